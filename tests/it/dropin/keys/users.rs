//! `[users]`: what holds for one user holds for nobody else.

use super::{console, first, ini, last_words, row};
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::Pgweir;
use crate::support::scene;

/// Key of one second, what makes it pass, what is said then.
const TIMES: [(&str, &[&str], &str); 5] = [
    ("query_timeout", &["SELECT pg_sleep(4)"], "query timeout"),
    (
        "idle_transaction_timeout",
        &["BEGIN"],
        "idle transaction timeout",
    ),
    (
        "transaction_timeout",
        &["BEGIN", "SELECT pg_sleep(4)"],
        "transaction timeout",
    ),
    ("client_idle_timeout", &[], "client_idle_timeout"),
    ("query_wait_timeout", &["SELECT 1"], "query_wait_timeout"),
];

#[test]
fn time_limits_of_a_user() {
    let Some(postgres) = first() else { return };
    std::thread::scope(|scope| {
        for (key, queries, words) in TIMES {
            scope.spawn(move || {
                let database = postgres.database();
                let text = |user: &str| {
                    let users = format!("pool_mode = transaction\n[users]\n{user} = {key}=1");
                    ini(postgres, &database, "", &users)
                };
                let pgweir = Pgweir::start_ini(&text("t_trust"), &[]);
                let mut console = console(&pgweir);
                // A reload takes the limit from one and gives it to the other.
                for (limited, free) in [("t_trust", "t_scram"), ("t_scram", "t_trust")] {
                    pgweir.rewrite_ini(&text(limited));
                    let answer = console.query("RELOAD");
                    assert!(scene::error_in(&answer).is_none(), "{answer:?}");
                    let [mut other, mut theirs] =
                        [free, limited].map(|user| Peer::login(pgweir.address(), user, "app"));
                    if key == "query_wait_timeout" {
                        console.query("PAUSE app");
                    }
                    for peer in [&mut other, &mut theirs] {
                        if let Some((last, before)) = queries.split_last() {
                            before.iter().for_each(|query| drop(peer.query(query)));
                            peer.send(&[message::query(last)]);
                        }
                    }
                    assert_eq!(last_words(&mut theirs), words, "{key}");
                    if key == "query_wait_timeout" {
                        console.query("RESUME app");
                    }
                    if !queries.is_empty() {
                        let answer = other.until_ready(1);
                        assert!(scene::error_in(&answer).is_none(), "{key}: {answer:?}");
                    }
                    assert_eq!(other.value("SELECT 'there'"), "there", "{key}");
                }
            });
        }
    });
}

#[test]
fn sizes_and_limits_of_a_user() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let users = "[users]\nt_trust = pool_size=3 reserve_pool_size=2 pool_mode=transaction \
                 max_user_connections=9 max_user_client_connections=8";
    let pgweir = Pgweir::start_ini(&ini(postgres, &database, "", users), &[]);
    let shown = row(&pgweir, "SHOW USERS", "name", "t_trust").expect("a row");
    for (column, value) in [
        ("pool_size", "3"),
        ("reserve_pool_size", "2"),
        ("pool_mode", "transaction"),
        ("max_user_connections", "9"),
        ("max_user_client_connections", "8"),
    ] {
        assert_eq!(shown[column].trim(), value, "{column}");
    }
    let other = row(&pgweir, "SHOW USERS", "name", "t_scram").expect("a row");
    assert_ne!(other.get("pool_size").map(|size| size.trim()), Some("3"));
    assert_ne!(
        other.get("pool_mode").map(String::as_str),
        Some("transaction")
    );
}

/// The server's user is another than the client's.
#[test]
fn time_limits_of_a_forced_user() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let users = "[users]\nt_trust = query_timeout=1";
    let text = ini(postgres, &database, "user=t_trust", users);
    let pgweir = Pgweir::start_ini(&text, &[]);
    let mut peer = Peer::login(pgweir.address(), "t_scram", "app");
    peer.send(&[message::query("SELECT pg_sleep(20)")]);
    assert_eq!(last_words(&mut peer), "query timeout");
}
