//! What passes between a client and a server when both behave in ways that few do: batches without
//! a Sync, messages cut in two, peers that leave or never read.

use std::time::Duration;

use crate::support::message::{self, Message, from_server};
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::each_postgres;

fn transaction() -> Setup {
    Setup::new().set("pool_mode", "transaction")
}

fn insert(table: &str) -> [Message; 3] {
    [
        message::parse("", &format!("INSERT INTO {table} VALUES (1)")),
        message::bind("", "", &[]),
        message::execute("", 0),
    ]
}

#[test]
fn a_batch_without_sync_keeps_its_server() {
    for postgres in each_postgres() {
        let database = postgres.database();
        postgres.psql(
            &database,
            "CREATE TABLE t (x int); GRANT ALL ON t TO public",
        );
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        one.send(&insert("t"));
        one.send(&[message::flush()]);
        one.expect_tags("12C");
        // On the same server this would be one transaction with the INSERT, and undo it.
        two.send(&[message::query("SELECT 1/0")]);
        two.expect_silence(Duration::from_millis(200));
        one.send(&[message::sync()]);
        one.expect_tags("Z");
        two.expect_tags("EZ");
        assert_eq!(postgres.psql(&database, "SELECT count(*) FROM t"), "1");
        one.send(&insert("t"));
        one.send(&[message::flush()]);
        one.expect_tags("12C");
        // It leaves without a Sync: nothing is committed, whoever comes next.
        drop(one);
        assert_eq!(two.value("SELECT count(*) FROM t"), "1");
    }
}
