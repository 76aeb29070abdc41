//! Which columns and how many relations a statement names.

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Severity};
use crate::lint::tree::{self, Clause, Role, Source, Tree, Verb, Wrapper};
use crate::rule;
use pg_raw_parse::Node;

use super::reads;

rule! {
    /// A query whose outermost list of columns is `*` over a table gets every column that the table
    /// has, now and later: wide texts and documents travel although nobody reads them, index-only
    /// scans are impossible, and the application breaks or slows down when somebody adds a column.
    ///
    /// The star counts too if it goes through subqueries or common table expressions that are
    /// stars themselves. It is a warning as soon as a result has 20 columns or 2 KiB per row, and only then
    /// `t.*` is reported too, which some mappers always write.
    ///
    /// Not reported: stars over an explicit list, count(*), EXISTS, RETURNING *, views and CREATE
    /// TABLE AS, and system tables.
    pub(super) static SELECT_STAR = {
        id: "select-star",
        title: "SELECT *",
        number: 16,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: true,
        kinds: [
            ("qualified", "t.* with a wide result"),
        ],
        examples: [
            ("SELECT * FROM users WHERE id = $1", "SELECT id, email FROM users WHERE id = $1"),
            ("WITH recent AS (SELECT * FROM events) SELECT * FROM recent", "WITH recent AS (SELECT id FROM events) SELECT * FROM recent"),
        ],
        remedy: "List the columns that are used.",
        sources: ["https://pragprog.com/titles/bksap1/sql-antipatterns-volume-1/"],
        check: Check::Tree(select_star),
    }
}

fn select_star(cx: &mut Cx<'_, '_>) {
    if matches!(cx.tree.wrapper, Wrapper::View | Wrapper::TableAs) {
        return;
    }
    let arms: Vec<usize> = cx.tree.outermost().map(|(at, _)| at).collect();
    for at in arms {
        let star = (cx.tree.blocks[at].clause(Clause::Target))
            .find(|target| matches!(tree::star(*target), Some(None)));
        let Some(star) = star else { continue };
        if let Some(table) = behind_star(cx.tree, at) {
            let span = cx.token(tree::location(star));
            cx.hit(
                Hit::new(
                    &SELECT_STAR,
                    "",
                    format!("SELECT * returns every column of {table}."),
                )
                .object(table)
                .at(span),
            );
        }
    }
}

/// The base table of which a `*` in the list of block `at` shows all columns.
pub(in crate::lint) fn behind_star(tree: &Tree<'_>, at: usize) -> Option<String> {
    let mut seen = vec![at];
    let mut next = 0;
    while let Some(&index) = seen.get(next) {
        next += 1;
        let Some(block) = tree.blocks.get(index) else {
            continue;
        };
        if block.select().is_none() {
            // RETURNING * of a write in WITH.
            continue;
        }
        let stars: Vec<Option<&str>> = (block.clause(Clause::Target))
            .filter_map(tree::star)
            .collect();
        for relation in &block.relations {
            if !(stars.iter()).any(|of| of.is_none_or(|name| name == relation.name)) {
                continue;
            }
            if let Some(base) = reads::base_table(tree, index, relation) {
                // A sequence is a table of three columns.
                if !base.name.ends_with("_seq") {
                    return Some(base.name);
                }
            }
            if let Source::Subquery(below) | Source::Cte(Some(below)) = relation.source {
                for arm in reads::arms(tree, below) {
                    if !seen.contains(&arm) {
                        seen.push(arm);
                    }
                }
            }
        }
    }
    None
}

rule! {
    /// An INSERT that does not name its columns depends on their order in the table. A column that
    /// is added or dropped makes it fail or, worse, puts values into the wrong columns.
    ///
    /// INSERT … DEFAULT VALUES and COPY are not reported.
    pub(super) static INSERT_WITHOUT_COLUMNS = {
        id: "insert-without-columns",
        title: "INSERT without a column list",
        number: 58,
        class: Shape,
        severity: Info,
        enforce: Block,
        on: true,
        examples: [
            ("INSERT INTO users VALUES ($1, $2)", "INSERT INTO users (id, email) VALUES ($1, $2)"),
            ("INSERT INTO log TABLE log_staging", ""),
        ],
        remedy: "Name the columns.",
        sources: ["https://www.postgresql.org/docs/current/sql-insert.html"],
        check: Check::Tree(insert_without_columns),
    }
}

fn insert_without_columns(cx: &mut Cx<'_, '_>) {
    for block in &cx.tree.blocks {
        let Verb::Insert(insert) = block.verb else {
            continue;
        };
        if matches!(insert.select_stmt(), Node::None) || !insert.cols().is_empty() {
            continue;
        }
        let Some(target) = insert.relation() else {
            continue;
        };
        let table = tree::table_name(target);
        let span = cx.token(target.location);
        cx.hit(
            Hit::new(
                &INSERT_WITHOUT_COLUMNS,
                "",
                format!("This INSERT depends on the column order of {table}."),
            )
            .object(table)
            .at(span),
        );
    }
}

/// The default of `geqo_threshold`.
const GENETIC: usize = 12;

rule! {
    /// A SELECT that joins more than eight relations is beyond join_collapse_limit: PostgreSQL
    /// stops looking for the best order and joins the rest as written. From twelve on, the genetic
    /// optimiser guesses, and the plan may change from one execution to the next.
    ///
    /// Counted are the leaves of one FROM; a subquery is one leaf. Queries about the system
    /// catalogue are not reported.
    pub(super) static TOO_MANY_JOINS = {
        id: "too-many-joins",
        title: "More relations than join_collapse_limit",
        number: 59,
        class: Shape,
        severity: Info,
        enforce: Observe,
        on: true,
        examples: [
            (
                "SELECT a.id FROM a JOIN b ON b.a = a.id JOIN c ON c.a = a.id JOIN d ON d.a = a.id JOIN e ON e.a = a.id JOIN f ON f.a = a.id JOIN g ON g.a = a.id JOIN h ON h.a = a.id JOIN i ON i.a = a.id",
                "SELECT a.id FROM a JOIN b ON b.a = a.id JOIN c ON c.a = a.id"
            ),
        ],
        remedy: "Split the query, or raise join_collapse_limit for it.",
        sources: ["https://www.postgresql.org/docs/current/runtime-config-query.html#GUC-JOIN-COLLAPSE-LIMIT"],
        check: Check::Tree(too_many_joins),
    }
}

fn too_many_joins(cx: &mut Cx<'_, '_>) {
    for block in &cx.tree.blocks {
        let count = block.relations.len();
        if block.select().is_none() || (count as u64) < cx.thresholds.relations {
            continue;
        }
        // What join_collapse_limit is taken to be, by default the server's own.
        let limit = cx.thresholds.relations.saturating_sub(1);
        let first = (block.relations.first()).map_or(-1, |relation| relation.location);
        let span = cx.token(first);
        let severity = if count > GENETIC {
            Severity::Warn
        } else {
            Severity::Info
        };
        let part = match block.role {
            Role::Outermost | Role::Arm => "",
            _ => " in a subquery",
        };
        cx.hit(
            Hit::new(
                &TOO_MANY_JOINS,
                "",
                format!(
                    "{count} relations{part}: beyond {limit} the planner keeps the written join order."
                ),
            )
            .severity(severity)
            .evidence("relations", count as u64)
            .at(span),
        );
    }
}
