//! Who reads the console: monitoring, psql.

use super::Pair;
use crate::drivers::python;
use crate::support::peer::Peer;
use crate::support::pgweir::{client, succeed};
use crate::support::postgres::PASSWORD;
use crate::support::scene;
use crate::support::wait::eventually;

/// A client of `app` on both, with a server.
fn busy(pair: &Pair) -> [Peer; 2] {
    let mut clients = pair.clients();
    for peer in &mut clients {
        assert_eq!(peer.value("SELECT 1"), "1");
    }
    clients
}

/// Everything that exporters and agents read by name is there, with values that they understand,
/// on PgBouncer too: what is not there was never read.
#[test]
fn monitoring_finds_its_columns() {
    let Some(pair) = Pair::start("pool_mode = transaction") else {
        return;
    };
    let _busy = busy(&pair);
    for (mode, address) in ["pgbouncer", "pgweir"].into_iter().zip(pair.addresses()) {
        let mut command = python("console_watchers.py");
        command
            .env("DRIVER_PORT", address.port().to_string())
            .env("DRIVER_DATABASE", "pgbouncer")
            .env("DRIVER_USER", "t_trust")
            .env("DRIVER_PASSWORD", PASSWORD)
            .env("DRIVER_MODE", mode);
        let summary = succeed(&mut command);
        assert!(summary.contains("checks passed"), "{mode}: {summary}");
    }
}

/// What Go's lib/pq says at login, which exporters use.
#[test]
fn drivers_may_say_at_login_what_they_say_to_postgresql() {
    let Some(pair) = Pair::start("ignore_startup_parameters = extra_float_digits") else {
        return;
    };
    for address in pair.addresses() {
        let mut peer = Peer::login_with(
            address,
            &[
                ("user", "t_trust"),
                ("database", "pgbouncer"),
                ("client_encoding", "UTF8"),
                ("datestyle", "ISO, MDY"),
                ("extra_float_digits", "2"),
            ],
        );
        let rows = scene::values(&peer.query("SHOW STATS_TOTALS;"));
        assert!(rows.contains(&"pgbouncer".to_owned()), "{rows:?}");
    }
}

/// `psql -c 'SHOW POOLS'` shows the same lines, with our columns behind theirs.
#[test]
fn psql_shows_the_pools() {
    let Some(pair) = Pair::start("pool_mode = transaction") else {
        return;
    };
    let _busy = busy(&pair);
    let [theirs, ours] = pair.addresses().map(|address| {
        let mut command = client(pair.postgres, "psql", "t_trust", address.port());
        let shown = succeed(command.args(["-AX", "-d", "pgbouncer", "-c", "SHOW POOLS"]));
        shown.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(theirs.len(), ours.len(), "{theirs:?} {ours:?}");
    assert!(theirs.len() > 3, "{theirs:?}");
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert!(ours.starts_with(theirs.as_str()), "{ours}, not {theirs}");
    }
}

/// Servers that wait for their check are used, not idle.
#[test]
fn servers_that_are_to_be_checked() {
    // PgBouncer looks at idle servers now and then.
    let Some(pair) = Pair::start("pool_mode = transaction\nserver_check_delay = 1") else {
        return;
    };
    let mut clients = busy(&pair);
    let row = |console: &mut Peer, show: &str, column: usize| {
        let messages = console.query(show);
        let mut rows = messages.iter().filter(|m| m.tag == b'D');
        let found = rows.find(|m| m.columns().contains(&Some("app".to_owned())));
        let columns = found.map(|m| m.columns()).unwrap_or_default();
        columns.get(column).cloned().flatten().unwrap_or_default()
    };
    for (mut console, [idle, used, state]) in pair
        .consoles("postgres")
        .into_iter()
        .zip([[9, 10, 3], [9, 10, 4]])
    {
        eventually("a server to be checked", || {
            let seen = [idle, used].map(|at| row(&mut console, "SHOW POOLS", at));
            (seen == ["0", "1"]).then_some(())
        });
        assert_eq!(row(&mut console, "SHOW SERVERS", state), "used");
    }
    // It is checked and serves.
    for peer in &mut clients {
        assert_eq!(peer.value("SELECT 2"), "2");
    }
}
