//! A small application with the usual mistakes, and what pgweir says about it.
//!
//! psql plays the application: it sends what an ORM would send, one statement after the other.

use std::fmt::Write as _;

use super::load::{self, Target};
use super::{Failure, process};

/// The application's name, as pgweir shows it.
const APP: &str = "demo-shop";
/// Authors of the shop's posts.
const AUTHORS: u32 = 200;
/// Between the fields of psql's output: no text of ours has it.
const FIELD: char = '\u{1f}';

/// One finding, as the console tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) severity: String,
    pub(super) rule: String,
    pub(super) count: String,
    pub(super) query: String,
    pub(super) parent: String,
    pub(super) message: String,
    pub(super) instead: String,
}

/// Makes the shop's tables.
pub(super) fn initialize(target: &Target<'_>, database: &str) -> Result<(), Failure> {
    let tables = format!(
        "SET lock_timeout = '5s';
         CREATE TABLE author (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL);
         CREATE TABLE post (id bigint PRIMARY KEY, author_id bigint NOT NULL REFERENCES author,
                            title text NOT NULL, body text NOT NULL);
         INSERT INTO author SELECT n, 'author ' || n, n || '@example.org' FROM generate_series(1, {AUTHORS}) n;
         INSERT INTO post SELECT n, (n * 7) % {AUTHORS} + 1, 'post ' || n, repeat('text ', 50)
           FROM generate_series(1, 5000) n;"
    );
    send(target, database, "demo-setup", &tables)
}

/// What the application sends in one visit of its pages.
fn visit(page: u32) -> String {
    let first = page * 20;
    let tags = format!(
        "/*controller='posts',framework='django',traceparent='00-{:032x}-{:016x}-01'*/",
        page + 1,
        page + 1
    );
    let mut sql = format!(
        "SELECT id, title, author_id FROM post WHERE id > {first} ORDER BY id LIMIT 20 {tags};\n"
    );
    for id in first + 1..=first + 20 {
        let author = (id * 7) % AUTHORS + 1;
        // Writing to a string cannot fail.
        let _ = writeln!(
            sql,
            "SELECT id, name FROM author WHERE id = {author} {tags};"
        );
    }
    let _ = writeln!(
        sql,
        "SELECT * FROM post WHERE author_id = {} {tags};\n\
         SELECT id, title FROM post ORDER BY id LIMIT 20 OFFSET {} {tags};\n\
         SELECT id FROM author WHERE lower(email) = '{page}@example.org' {tags};\n\
         SELECT id FROM post WHERE title LIKE '%{page}' {tags};",
        page + 1,
        4000 + page * 20,
    );
    sql
}

/// Lets the application run for some visits.
pub(super) fn run(target: &Target<'_>, database: &str) -> Result<(), Failure> {
    let visits: String = (0..5).map(visit).collect();
    send(target, database, APP, &visits)
}

fn send(target: &Target<'_>, database: &str, app: &str, sql: &str) -> Result<(), Failure> {
    let script = target.dir.join("shop.sql");
    std::fs::write(&script, sql)?;
    let mut psql = load::client(target.binaries, "psql", target.port, target.password);
    psql.env("PGAPPNAME", app)
        .args(["-AtqX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null"])
        .args(["-d", database, "-f"])
        .arg(&script);
    process::run(&mut psql)?;
    Ok(())
}

/// What pgweir found in what the application sent.
pub(super) fn findings(target: &Target<'_>) -> Result<Vec<Told>, Failure> {
    let mut psql = load::client(target.binaries, "psql", target.port, target.password);
    psql.args(["-AqX", "-P", "footer=off", "-F", &FIELD.to_string()])
        .args(["-d", "pgweir", "-c", "SHOW FINDINGS"]);
    Ok(told(&process::run(&mut psql)?))
}

/// The application's findings among all that psql printed.
fn told(printed: &str) -> Vec<Told> {
    let mut lines = printed.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(FIELD).collect();
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(FIELD).collect();
            let field = |name: &str| {
                let at = header.iter().position(|column| *column == name)?;
                fields.get(at).map(|text| (*text).to_owned())
            };
            let sql = field("suggested_sql").unwrap_or_default();
            (field("app")? == APP).then_some(Told {
                severity: field("severity")?,
                rule: field("rule")?,
                count: field("count")?,
                query: field("query")?,
                parent: field("parent_query")?,
                message: field("message")?,
                instead: match sql.is_empty() {
                    true => field("suggestion")?,
                    false => sql,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_the_application_are_read_by_the_names_of_columns() {
        let printed =
            "rule|app|severity|count|query|parent_query|message|suggestion|suggested_sql\n\
                       n-plus-one|demo-shop|warn|5|q|p|m|in words|SELECT 1\n\
                       select-star|demo-shop|info|1|q||m|in words|\n\
                       select-star|pgbench|info|1|q||m|in words|\n\
                       short|demo-shop\n"
                .replace('|', &FIELD.to_string());
        let told = told(&printed);
        assert_eq!(told.len(), 2);
        assert_eq!((&*told[0].instead, &*told[0].parent), ("SELECT 1", "p"));
        assert_eq!(told[1].instead, "in words");
    }

    #[test]
    fn a_visit_asks_for_the_authors_of_its_page() {
        let sql = visit(1);
        assert!(sql.contains("WHERE id > 20 ORDER BY id LIMIT 20"));
        assert!(sql.contains("FROM author WHERE id = 148 "), "{sql}");
        assert_eq!(sql.matches("FROM author WHERE id =").count(), 20);
    }
}
