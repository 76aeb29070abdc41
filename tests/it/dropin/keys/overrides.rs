//! What holds for one database or one user acts there only, and a RELOAD without it takes it back.

use std::collections::BTreeMap;

use super::{console, first, ini, last_words, row, rows};
use crate::support::message;
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::Pgweir;
use crate::support::postgres::Postgres;
use crate::support::scene;
use crate::support::wait::{eventually, patient};

const USERS: [&str; 2] = ["t_trust", "t_scram"];
const DATABASES: [&str; 2] = ["app", "plain"];

/// Two entries for one database, the first with `entry`; `general` are lines of `[pgbouncer]`.
fn text(place: (&Postgres, &str), entries: [&str; 2], users: &str, general: &str) -> String {
    let (postgres, database) = place;
    let plain = format!(
        "plain = host=127.0.0.1 port={} dbname={database} {}\n[pgbouncer]",
        postgres.port(),
        entries[1]
    );
    let more = format!("pool_mode = transaction\n{general}\n{users}");
    ini(postgres, database, entries[0], &more).replacen("[pgbouncer]", &plain, 1)
}

fn reload(pgweir: &Pgweir, text: &str) {
    pgweir.rewrite_ini(text);
    let answer = console(pgweir).query("RELOAD");
    assert!(scene::error_in(&answer).is_none(), "{answer:?}");
}

/// Of four clients of each pool that begin a transaction, those that get a server, by pool.
fn served(pgweir: &Pgweir) -> BTreeMap<(&'static str, &'static str), usize> {
    let pools = USERS.map(|user| DATABASES.map(|database| (user, database)));
    let mut clients: Vec<((&str, &str), Peer)> = Vec::new();
    for (user, database) in pools.into_iter().flatten() {
        for _ in 0..4 {
            let peer = Peer::login(pgweir.address(), user, database);
            clients.push(((user, database), peer));
        }
    }
    for (_, peer) in &mut clients {
        peer.send(&[message::query("BEGIN")]);
    }
    let mut counts = BTreeMap::new();
    for (pool, peer) in &mut clients {
        let limit = patient(std::time::Duration::from_secs(15));
        let got = match peer.hear(limit) {
            Heard::Message(first) if first.tag == b'C' => 1,
            Heard::Message(first) if first.tag == b'E' => {
                assert_eq!(first.report().message(), "query_wait_timeout");
                0
            }
            heard => panic!("{pool:?}: {heard:?}"),
        };
        *counts.entry(*pool).or_insert(0) += got;
    }
    counts
}

/// Sums of [`served`]: by database, by user, and of one user in one database.
fn sums(counts: &BTreeMap<(&str, &str), usize>) -> ([usize; 2], [usize; 2], [usize; 4]) {
    let sum = |of: &dyn Fn(&(&str, &str)) -> bool| {
        let of = counts.iter().filter(|(pool, _)| of(pool));
        of.map(|(_, count)| count).sum::<usize>()
    };
    let [app, plain] = DATABASES.map(|name| sum(&|pool| pool.1 == name));
    let [trust, scram] = USERS.map(|name| sum(&|pool| pool.0 == name));
    let each = USERS.map(|user| DATABASES.map(|database| counts[&(user, database)]));
    let [[a, b], [c, d]] = each;
    ([app, plain], [trust, scram], [a, b, c, d])
}

/// Entry of the database `app`, of `t_trust`, general lines; servers of t_trust in app and in
/// plain, of t_scram in app and in plain.
const SIZES: [(&str, &str, &str, [usize; 4]); 4] = [
    ("pool_size=1", "", "default_pool_size = 2", [1, 2, 1, 2]),
    (
        "pool_size=1",
        "pool_size=3",
        "default_pool_size = 2",
        [3, 3, 1, 2],
    ),
    (
        "reserve_pool_size=1",
        "",
        "default_pool_size = 1\nreserve_pool_timeout = 0.1",
        [2, 1, 2, 1],
    ),
    (
        "reserve_pool_size=1",
        "reserve_pool_size=2",
        "default_pool_size = 1\nreserve_pool_timeout = 0.1",
        [3, 3, 2, 1],
    ),
];

#[test]
fn sizes_of_pools() {
    let Some(postgres) = first() else { return };
    std::thread::scope(|scope| {
        for (entry, user, general, wanted) in SIZES {
            scope.spawn(move || {
                let database = postgres.database();
                let place = (postgres, &*database);
                let general = format!("{general}\nquery_wait_timeout = 3");
                let users = format!("[users]\nt_trust = {user}");
                let users = if user.is_empty() { "" } else { &users };
                let with = text(place, [entry, ""], users, &general);
                let pgweir = Pgweir::start_ini(&with, &[]);
                assert_eq!(sums(&served(&pgweir)).2, wanted, "{with}");
                reload(&pgweir, &text(place, [""; 2], "", &general));
                let size = usize::from(general.contains("default_pool_size = 2")) + 1;
                assert_eq!(sums(&served(&pgweir)).2, [size; 4], "back from {with}");
            });
        }
    });
}

#[test]
fn server_connections_of_a_database_and_of_a_user() {
    let Some(postgres) = first() else { return };
    std::thread::scope(|scope| {
        for (entry, users, more, databases, by_user) in [
            ("max_db_connections=1", "", "", Some([1, 4]), None),
            (
                "max_db_connections=0",
                "",
                "max_db_connections = 1",
                Some([4, 1]),
                None,
            ),
            (
                "",
                "[users]\nt_trust = max_user_connections=1",
                "",
                None,
                Some([1, 4]),
            ),
            (
                "",
                "[users]\nt_trust = max_user_connections=0",
                "max_user_connections = 1",
                None,
                Some([4, 1]),
            ),
        ] {
            scope.spawn(move || {
                let database = postgres.database();
                let place = (postgres, &*database);
                let general = "default_pool_size = 2\nquery_wait_timeout = 3";
                let limited = format!("{general}\n{more}");
                let with = text(place, [entry, ""], users, &limited);
                let pgweir = Pgweir::start_ini(&with, &[]);
                let (found, found_by_user, _) = sums(&served(&pgweir));
                let what = format!("{entry}{users}");
                assert_eq!(found, databases.unwrap_or(found), "{what}");
                assert_eq!(found_by_user, by_user.unwrap_or(found_by_user), "{what}");
                reload(&pgweir, &text(place, [""; 2], "", general));
                assert_eq!(sums(&served(&pgweir)).2, [2; 4], "back from {what}");
            });
        }
    });
}

/// Which of two logins of each user to each database are taken.
#[test]
fn clients_of_a_database_and_of_a_user() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    for (entry, users, general, refused) in [
        (
            "max_db_client_connections=1",
            "",
            "",
            vec![("t_trust", "app")],
        ),
        (
            "max_db_client_connections=2",
            "",
            "max_db_client_connections = 1",
            vec![("t_trust", "plain")],
        ),
        (
            "max_db_client_connections=0",
            "",
            "max_db_client_connections = 1",
            vec![("t_trust", "plain")],
        ),
        (
            "",
            "[users]\nt_trust = max_user_client_connections=1",
            "",
            vec![("t_trust", "app"), ("t_trust", "plain")],
        ),
        (
            "",
            "[users]\nt_trust = max_user_client_connections=0",
            "max_user_client_connections = 1",
            vec![("t_scram", "app"), ("t_scram", "plain")],
        ),
    ] {
        let pgweir = Pgweir::start_ini(&text(place, [entry, ""], users, general), &[]);
        let refusals = || {
            let mut found = Vec::new();
            for user in USERS {
                for database in DATABASES {
                    let one = Peer::login(pgweir.address(), user, database);
                    let told = super::refusal(&pgweir, user, database);
                    if told.contains("client connections exceeded") {
                        found.push((user, database));
                    }
                    drop(one);
                    eventually("both are gone", || {
                        let shown = row(&pgweir, "SHOW DATABASES", "name", database)?;
                        (shown["current_client_connections"] == "0").then_some(())
                    });
                }
            }
            found
        };
        let mut wanted = refused;
        if entry.ends_with('1') || general.contains("max_db") {
            // Whoever the user is.
            wanted.push(("t_scram", wanted[0].1));
        }
        assert_eq!(refusals(), wanted, "{entry}{users}");
        reload(&pgweir, &text(place, [""; 2], "", ""));
        assert_eq!(refusals(), [], "back from {entry}{users}");
    }
}

/// Of two clients one after the other: whether the second gets the server of the first, who stays.
fn shared(pgweir: &Pgweir, user: &str, database: &str) -> bool {
    // Those of before are gone: a server that came back in between would be taken first.
    eventually("nobody is there", || {
        let servers = rows(&console(pgweir).query("SHOW SERVERS"));
        let nobody = servers.iter().all(|server| server["state"] != "active");
        nobody.then_some(())
    });
    let pids = [(); 2].map(|()| {
        let mut peer = Peer::login(pgweir.address(), user, database);
        (peer.value("SELECT pg_backend_pid()"), peer)
    });
    pids[0].0 == pids[1].0
}

#[test]
fn pool_mode_of_a_database_and_of_a_user() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    let users = "[users]\nt_trust = pool_mode=transaction";
    let pgweir = Pgweir::start_ini(&text(place, ["pool_mode=session", ""], users, ""), &[]);
    let found = || USERS.map(|user| DATABASES.map(|database| shared(&pgweir, user, database)));
    assert_eq!(found(), [[true, true], [false, true]]);
    reload(&pgweir, &text(place, ["pool_mode=session", ""], "", ""));
    assert_eq!(found(), [[false, true], [false, true]]);
    reload(&pgweir, &text(place, [""; 2], "", ""));
    assert_eq!(found(), [[true, true], [true, true]]);
}

/// The number of the server that a new client of `database` gets.
fn pid(pgweir: &Pgweir, database: &str) -> String {
    let mut peer = Peer::login(pgweir.address(), "t_trust", database);
    peer.value("SELECT pg_backend_pid()")
}

#[test]
fn lifetime_of_a_databases_servers() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    let entry = "server_lifetime=1";
    let pgweir = Pgweir::start_ini(&text(place, [entry, ""], "", ""), &[]);
    for (goes, stays, entries) in [("app", "plain", [entry, ""]), ("plain", "app", ["", entry])] {
        reload(&pgweir, &text(place, entries, "", ""));
        let kept = pid(&pgweir, stays);
        let old = pid(&pgweir, goes);
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {old}");
        eventually("it is old", || {
            (postgres.psql("postgres", &there) == "0").then_some(())
        });
        assert_eq!(pid(&pgweir, stays), kept, "{stays} is older and stays");
    }
}

#[test]
fn servers_that_a_database_keeps() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    let entry = "min_pool_size=2";
    let general = "server_idle_timeout = 0.3";
    let pgweir = Pgweir::start_ini(&text(place, [""; 2], "", general), &[]);
    let mut clients = DATABASES.map(|name| Peer::login(pgweir.address(), "t_trust", name));
    for (keeps, other, entries) in [("app", "plain", [entry, ""]), ("plain", "app", ["", entry])] {
        reload(&pgweir, &text(place, entries, "", general));
        for peer in &mut clients {
            assert_eq!(peer.value("SELECT 1"), "1");
        }
        let servers = |name: &str| {
            let shown = row(&pgweir, "SHOW POOLS", "database", name).expect("a pool");
            let count = |column: &str| shown[column].parse::<u32>().expect("a number");
            count("sv_idle") + count("sv_used")
        };
        eventually("two and none", || {
            (servers(keeps) == 2 && servers(other) == 0).then_some(())
        });
    }
}

#[test]
fn what_one_entry_sets_on_its_servers() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    let entry = "application_name=forced client_encoding=LATIN1 datestyle='German, DMY' \
                 timezone=Asia/Tokyo connect_query='SET lock_timeout = 1234'";
    let values = |pgweir: &Pgweir, name: &str| {
        let mut peer = Peer::login(pgweir.address(), "t_trust", name);
        [
            "application_name",
            "client_encoding",
            "datestyle",
            "timezone",
            "lock_timeout",
        ]
        .map(|show| peer.value(&format!("SHOW {show}")))
    };
    let pgweir = Pgweir::start_ini(&text(place, [entry, ""], "", ""), &[]);
    let forced = ["forced", "LATIN1", "German, DMY", "Asia/Tokyo", "1234ms"];
    let plain = values(&pgweir, "plain");
    assert_eq!(values(&pgweir, "app"), forced);
    assert!(
        (plain.iter().zip(forced)).all(|(value, forced)| value != forced),
        "{plain:?}"
    );
    reload(&pgweir, &text(place, ["", entry], "", ""));
    assert_eq!(values(&pgweir, "plain"), forced);
    assert_eq!(values(&pgweir, "app"), plain);
}

/// Who asked first waits longer.
#[test]
fn wait_for_a_server_of_a_database() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let place = (postgres, &*database);
    let entry = "query_wait_timeout=1";
    let pgweir = Pgweir::start_ini(&text(place, [""; 2], "", ""), &[]);
    for (short, long, entries) in [("app", "plain", [entry, ""]), ("plain", "app", ["", entry])] {
        reload(&pgweir, &text(place, entries, "", ""));
        let mut console = console(&pgweir);
        let [mut ends, mut waits] =
            [short, long].map(|name| Peer::login(pgweir.address(), "t_trust", name));
        for name in DATABASES {
            console.query(&format!("PAUSE {name}"));
        }
        for peer in [&mut waits, &mut ends] {
            peer.send(&[message::query("SELECT 1")]);
        }
        assert_eq!(last_words(&mut ends), "query_wait_timeout", "{short}");
        for name in DATABASES {
            console.query(&format!("RESUME {name}"));
        }
        let answer = waits.until_ready(1);
        assert!(scene::error_in(&answer).is_none(), "{long}: {answer:?}");
    }
}
