//! A second database that runs what the first one ran.

use std::collections::BTreeMap;

use crate::support::postgres::each_postgres;
use crate::support::scene;
use crate::support::site::{ask, connect, runtime, within};
use crate::support::wait::eventually;

#[test]
fn a_mirror_runs_what_was_run_and_is_compared() {
    for postgres in each_postgres() {
        let (setup, first) = scene::setup(postgres, "transaction", 4);
        let second = postgres.database();
        for database in [&first, &second] {
            postgres.psql(database, "CREATE TABLE item (id int PRIMARY KEY, v int)");
            postgres.psql(
                database,
                "INSERT INTO item SELECT n, 0 FROM generate_series(1, 5) n",
            );
        }
        // What a move would overlook.
        postgres.psql(&second, "DELETE FROM item WHERE id = 5");
        postgres.psql(&first, "CREATE TABLE forgotten (id int)");
        let pgweir = setup
            .set("admin_users", "t_trust")
            .database("next", postgres, &second)
            .database_set("app", "mirror", "next")
            .database_set("app", "mirror_statements", "all")
            .start();
        let shown = || -> BTreeMap<&'static str, String> {
            let text = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW MIRRORS");
            let names = [
                "database", "mirror", "same", "rows", "errors", "failed", "dropped", "passed",
                "waiting", "first", "second", "last",
            ];
            names
                .into_iter()
                .zip(text.split('|').map(str::to_owned))
                .collect()
        };
        let until = |what: &str, count: &str| {
            eventually(&format!("{what} is {count}"), || {
                (shown().get(what).map(String::as_str) == Some(count)).then_some(())
            });
        };
        runtime().block_on(async {
            let client = connect(&pgweir).await;
            assert_eq!(ask(&client, "SELECT v FROM item WHERE id = 1").await, "0");
            until("same", "1");
            // A prepared statement, which the mirror knows under no name.
            let update = "UPDATE item SET v = v + $1 WHERE id = $2";
            let update = within(client.prepare(update)).await.expect("prepared");
            for id in 1..=3 {
                let done = within(client.execute(&update, &[&10, &id])).await;
                assert_eq!(done.expect("updated"), 1);
            }
            until("same", "4");
            // A transaction as a whole, and one that is rolled back.
            ask(&client, "BEGIN").await;
            ask(&client, "INSERT INTO item VALUES (6, 6)").await;
            ask(&client, "COMMIT").await;
            ask(&client, "BEGIN; DELETE FROM item; ROLLBACK").await;
            until("same", "5");
            // One row less there: the rows of the second transaction differ, and those of this.
            assert_eq!(
                ask(&client, "SELECT count(*) FROM (SELECT id FROM item) x").await,
                "6"
            );
            within(client.simple_query("SELECT id FROM item"))
                .await
                .expect("rows");
            until("rows", "2");
            within(client.simple_query("SELECT * FROM forgotten"))
                .await
                .expect("it is there");
            until("errors", "1");
            assert!(
                shown()["last"].contains("error none, and 42P01 here"),
                "{:?}",
                shown()
            );
            // The same error on both sides is no difference.
            let twice = within(client.simple_query("INSERT INTO item VALUES (1, 1)")).await;
            twice.expect_err("it is there already");
            until("same", "7");
            // What stays in the session, and COPY, are passed over.
            ask(&client, "CREATE TEMP TABLE t (a int)").await;
            until("passed", "1");
        });
        let all = "SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM item";
        assert_eq!(postgres.psql(&first, all), "1:10 2:10 3:10 4:0 5:0 6:6");
        assert_eq!(postgres.psql(&second, all), "1:10 2:10 3:10 4:0 6:6");
        let end = shown();
        assert_eq!(
            (&*end["failed"], &*end["dropped"], &*end["waiting"]),
            ("0", "0", "0"),
            "{end:?}"
        );
    }
}

#[test]
fn a_mirror_that_is_dead_or_hangs_harms_nobody() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let (setup, database) = scene::setup(postgres, "transaction", 2);
    let pgweir = setup
        .set("admin_users", "t_trust")
        .database_at("next", 1)
        .database_set("app", "mirror", "next")
        .start();
    postgres.psql(&database, "CREATE TABLE item (id int)");
    runtime().block_on(async {
        let client = connect(&pgweir).await;
        for n in 0..50 {
            assert_eq!(ask(&client, &format!("SELECT {n}")).await, n.to_string());
            // Only what reads is mirrored.
            ask(&client, "INSERT INTO item VALUES (1)").await;
        }
    });
    eventually("all were given up", || {
        let text = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW MIRRORS");
        let columns: Vec<&str> = text.split('|').collect();
        (columns.get(5) == Some(&"50") && columns.get(8) == Some(&"0")).then_some(())
    });
    let text = pgweir.psql(postgres, "t_trust", "pgweir", "SHOW MIRRORS");
    assert!(
        text.contains("not played: no connection to be had"),
        "{text}"
    );
}
