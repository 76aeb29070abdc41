//! The catalogue advisor against a real schema: what it finds there, and what it leaves alone.

use crate::support::pgweir::{Pgweir, Setup, succeed};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::wait::eventually;

/// A schema with what the advisor is to find, each beside what it is not.
const SCHEMA: &str = "
CREATE TABLE parent (id bigint PRIMARY KEY, code text UNIQUE);
CREATE TABLE exact (id bigint PRIMARY KEY, parent_id bigint REFERENCES parent (id), v text);
CREATE INDEX exact_parent ON exact (parent_id);
CREATE TABLE missing (id bigint PRIMARY KEY, parent_id bigint REFERENCES parent (id), v text);
CREATE TABLE second (id bigint PRIMARY KEY, parent_id bigint REFERENCES parent (id), v text);
CREATE INDEX second_vp ON second (v, parent_id);
CREATE TABLE partial (id bigint PRIMARY KEY, parent_id bigint REFERENCES parent (id), live boolean);
CREATE INDEX partial_live ON partial (parent_id) WHERE live;
CREATE TABLE own_key (parent_id bigint PRIMARY KEY REFERENCES parent (id));
CREATE TABLE pair (a bigint, b bigint, PRIMARY KEY (a, b));
CREATE TABLE of_pair (id bigint PRIMARY KEY, b bigint, a bigint, FOREIGN KEY (a, b) REFERENCES pair (a, b));
CREATE INDEX of_pair_ba ON of_pair (b, a);
CREATE TABLE tiny (id bigint PRIMARY KEY, parent_id bigint REFERENCES parent (id));
CREATE TABLE idx (id bigint PRIMARY KEY, a int, b int, c text);
CREATE INDEX idx_a ON idx (a);
CREATE INDEX idx_ab ON idx (a, b);
CREATE INDEX idx_ab2 ON idx (a, b);
CREATE UNIQUE INDEX idx_b_id_u ON idx (b, id);
CREATE INDEX idx_a_part ON idx (a) WHERE b > 0;
CREATE INDEX idx_c_pat ON idx (c text_pattern_ops);
CREATE INDEX idx_c ON idx (c);
CREATE INDEX idx_a_desc ON idx (a DESC, b);
CREATE TABLE no_key (v text);
CREATE TABLE counted (id serial PRIMARY KEY);
SELECT setval('counted_id_seq', 2000000000);
INSERT INTO parent SELECT g, 'c' || g FROM generate_series(1, 20000) g;
INSERT INTO exact SELECT g, g % 20000 + 1, 'v' || g FROM generate_series(1, 120000) g;
INSERT INTO missing SELECT g, g % 20000 + 1, 'v' || g FROM generate_series(1, 120000) g;
INSERT INTO second SELECT g, g % 20000 + 1, 'v' || g FROM generate_series(1, 20000) g;
INSERT INTO partial SELECT g, g % 20000 + 1, g % 2 = 0 FROM generate_series(1, 20000) g;
INSERT INTO tiny VALUES (1, 1), (2, 2), (3, 3);
ANALYZE;
";

fn start(postgres: &Postgres, more: &[(&str, toml::Value)]) -> (Pgweir, String) {
    let database = postgres.database();
    postgres.psql(&database, SCHEMA);
    let mut setup = Setup::new().set("admin_users", "t_trust");
    for (key, value) in more {
        setup = setup.set(key, value.clone());
    }
    let pgweir = setup.database("app", postgres, &database).start();
    (pgweir, database)
}

/// Findings of the catalogue: rule, kind, severity and message.
fn found(pgweir: &Pgweir, postgres: &Postgres) -> Vec<String> {
    let all = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW FINDINGS");
    let mut found: Vec<String> = (all.lines())
        .filter_map(|line| {
            let columns: Vec<&str> = line.split('|').collect();
            let [_, severity, _, rule, kind, ..] = columns[..] else {
                return None;
            };
            let ours = [
                "seq-scan-large-table",
                "fk-without-index",
                "redundant-index",
                "table-without-primary-key",
                "int4-primary-key",
            ];
            // The last row of a message of several lines has none of these.
            (ours.contains(&rule)).then(|| {
                let message = columns.get(14).copied().unwrap_or_default();
                let object = message
                    .split_whitespace()
                    .find(|word| word.contains("public."))
                    .unwrap_or_default();
                let scanned = message
                    .split("scans ")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').next());
                format!("{severity} {rule} {kind} {}", scanned.unwrap_or(object))
            })
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_is_wrong_with_a_schema_is_found_and_nothing_else() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, &[]);
        let delete = "DELETE FROM parent WHERE id = 70000";
        pgweir.psql(postgres, "t_trust", "app", delete);
        // Ten times each, with parameters and without.
        let bound = "\\set seven 7\n\\set two 2\n\\set zero 0\n\
            SELECT id FROM missing WHERE parent_id = :seven;\n\
            SELECT id FROM exact WHERE parent_id = :seven;\n\
            SELECT id FROM tiny WHERE parent_id = :two;\n\
            SELECT id FROM missing WHERE id % 2 = :zero;\n";
        let literal = "SELECT id FROM exact WHERE v = 'v7';\n\
            SELECT count(*), max(v) FROM missing;\n";
        for (mode, script) in [("prepared", bound), ("simple", literal)] {
            let file = pgweir.dir().join(mode);
            std::fs::write(&file, script).expect("written");
            let mut pgbench = pgweir.client(postgres, "pgbench", "t_trust");
            pgbench
                .args(["-n", "-t", "10", "-M", mode, "-f"])
                .arg(file)
                .arg("app");
            succeed(&mut pgbench);
        }
        eventually("the statements", || {
            let seen = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW STATEMENTS");
            let ten = seen
                .lines()
                .filter(|line| line.split('|').nth(2) == Some("10"));
            (ten.count() == 6).then_some(())
        });
        pgweir.psql(postgres, "t_trust", "pgweir", "ADVISE app");
        assert_eq!(
            found(&pgweir, postgres),
            [
                "critical int4-primary-key near-end public.counted.id",
                "info redundant-index covered public.idx_a",
                "info redundant-index duplicate public.idx_ab2",
                "warn fk-without-index  public.missing",
                "warn fk-without-index  public.partial",
                "warn fk-without-index  public.second",
                "warn seq-scan-large-table  public.exact",
                "warn seq-scan-large-table  public.missing",
                "warn table-without-primary-key  public.no_key",
            ]
        );
        let all = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW FINDINGS");
        for suggested in [
            "CREATE INDEX CONCURRENTLY ON public.missing (parent_id)",
            "CREATE INDEX CONCURRENTLY ON public.exact (v)",
            "DROP INDEX CONCURRENTLY public.idx_ab2",
        ] {
            assert!(all.contains(suggested), "{suggested} in\n{all}");
        }
        let looked = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW ADVISOR");
        assert!(looked.starts_with("app|"), "{looked}");
        // The plan is shown without the literal.
        let statements = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW STATEMENTS");
        let line = statements
            .lines()
            .find(|line| line.contains("from exact where v = ?"))
            .expect("the statement");
        assert!(line.contains("Seq Scan on exact"), "{line}");
        let shape = line.split('|').nth(12).expect("a shape");
        let plan = pgweir.psql(
            postgres,
            "t_trust",
            "pgweir",
            &format!("SHOW PLAN '{shape}'"),
        );
        assert!(plan.contains("Filter: ") && !plan.contains("v7"), "{plan}");
    }
}

#[test]
fn a_database_is_looked_at_by_itself_unless_that_is_off() {
    for postgres in each_postgres() {
        let (pgweir, database) = start(postgres, &[("advisor_interval", "1s".into())]);
        pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
        eventually("a look", || {
            (!found(&pgweir, postgres).is_empty()).then_some(())
        });
        // It leaves no connection and no trace in the database.
        eventually("its end", || {
            let left = postgres.psql(
                &database,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgweir advisor'",
            );
            (left == "0").then_some(())
        });
        let (pgweir, _) = start(
            postgres,
            &[("advisor_interval", "1s".into()), ("advisor", false.into())],
        );
        pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
        std::thread::sleep(std::time::Duration::from_millis(2500));
        assert_eq!(found(&pgweir, postgres), [""; 0]);
    }
}

#[test]
fn a_look_keeps_to_the_limit_on_connections() {
    for postgres in each_postgres() {
        let (pgweir, _) = start(postgres, &[("max_db_connections", 1.into())]);
        pgweir.psql(postgres, "t_trust", "app", "SELECT 1");
        // The pool's idle connection has the only place.
        let mut psql = pgweir.client(postgres, "psql", "t_trust");
        let output = psql.args(["-d", "pgweir", "-c", "ADVISE app"]).output();
        let told = String::from_utf8(output.expect("running psql").stderr).expect("text");
        let why = "app could not be looked at: all connections that the limits allow are in use";
        assert!(told.contains(why), "{told}");
    }
}
