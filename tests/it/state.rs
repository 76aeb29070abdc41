//! Nothing that a client leaves in its session is ever seen by another one, and all of it is still
//! there for the client itself.

use std::process::Command;

use crate::support::message::{self, Message};
use crate::support::peer::{Heard, Peer};
use crate::support::pgweir::{Pgweir, succeed};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene::{self, error_in, the_error, values};

use std::time::Duration;

/// The protocols in which a client may say things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Simple,
    Extended,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Simple, Protocol::Extended];

/// Sends statements one after the other, which must succeed, and gives the last one's first value.
fn say(peer: &mut Peer, protocol: Protocol, statements: &[&str]) -> String {
    let mut last = String::new();
    for sql in statements {
        let messages = ask(peer, protocol, sql);
        assert_eq!(error_in(&messages), None, "{sql} ({protocol:?})");
        last = values(&messages).pop().unwrap_or_default();
    }
    last
}

fn ask(peer: &mut Peer, protocol: Protocol, sql: &str) -> Vec<Message> {
    request(peer, protocol, sql);
    peer.until_ready(1)
}

fn request(peer: &mut Peer, protocol: Protocol, sql: &str) {
    match protocol {
        Protocol::Simple => peer.send(&[message::query(sql)]),
        Protocol::Extended => peer.send(&[
            message::parse("", sql),
            message::bind("", "", &[]),
            message::describe_portal(""),
            message::execute("", 0),
            message::sync(),
        ]),
    }
}

/// Session parameters: how they are set and how they are shown.
const PARAMETERS: [(&[&str], &str); 12] = [
    (&["SET DateStyle = 'German, DMY'"], "SHOW DateStyle"),
    (&["SET work_mem = '123kB'"], "SHOW work_mem"),
    (
        &["SET app.tenant = 'seven'"],
        "SELECT coalesce(current_setting('app.tenant', true), '')",
    ),
    (&["SET search_path = elsewhere, public"], "SHOW search_path"),
    (&["SET search_path = ''"], "SHOW search_path"),
    (
        &["SELECT set_config('app.user', '7', false)"],
        "SELECT coalesce(current_setting('app.user', true), '')",
    ),
    (
        &["SELECT set_config('statement_timeout', '12345', false)"],
        "SHOW statement_timeout",
    ),
    (&["SET TIME ZONE 'Asia/Tokyo'"], "SHOW TimeZone"),
    (
        &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
        "SHOW default_transaction_read_only",
    ),
    (&["SET NAMES 'LATIN1'"], "SHOW client_encoding"),
    (
        &["BEGIN", "SET work_mem = '321kB'", "COMMIT"],
        "SHOW work_mem",
    ),
    (
        &["DO $$ BEGIN PERFORM set_config('work' || '_mem', '456kB', false); END $$"],
        "SHOW work_mem",
    ),
];

#[test]
fn parameters_follow_their_client() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        for protocol in PROTOCOLS {
            for (set, show) in PARAMETERS {
                let mut a = scene::client(&pgweir);
                let mut b = scene::client(&pgweir);
                let before = say(&mut b, protocol, &[show]);
                say(&mut a, protocol, set);
                let mine = say(&mut a, protocol, &[show]);
                assert_ne!(mine, before, "{set:?} {protocol:?}");
                for _ in 0..2 {
                    assert_eq!(say(&mut b, protocol, &[show]), before, "{set:?}");
                    assert_eq!(say(&mut a, protocol, &[show]), mine, "{set:?}");
                }
                drop(a);
                assert_eq!(say(&mut b, protocol, &[show]), before, "{set:?}");
                assert_eq!(
                    say(&mut scene::client(&pgweir), protocol, &[show]),
                    before,
                    "{set:?}"
                );
            }
        }
    }
}

/// The value of a parameter that every client starts with.
#[test]
fn parameters_that_were_taken_back_are_taken_back() {
    let undone: [&[&str]; 9] = [
        &["BEGIN", "SET DateStyle = 'German'", "ROLLBACK"],
        &["BEGIN", "SET LOCAL DateStyle = 'German'", "COMMIT"],
        &[
            "BEGIN",
            "SAVEPOINT s",
            "SET DateStyle = 'German'",
            "ROLLBACK TO s",
            "COMMIT",
        ],
        &["SET DateStyle = 'German'", "RESET DateStyle"],
        &["SET DateStyle = 'German'", "RESET ALL"],
        &["SET DateStyle = 'German'", "DISCARD ALL"],
        &["SET DateStyle = 'German'", "SET DateStyle = DEFAULT"],
        &["SET DateStyle = 'German'", "SET DateStyle TO 'ISO, MDY'"],
        &[
            "SET DateStyle = 'German'",
            "SELECT set_config('datestyle', 'ISO, MDY', false)",
        ],
    ];
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        for name in ["DateStyle", "work_mem"] {
            let show = format!("SHOW {name}");
            for protocol in PROTOCOLS {
                for statements in undone {
                    let value = if name == "work_mem" { "64kB" } else { "German" };
                    let initial = scene::client(&pgweir).value(&show);
                    let statements: Vec<String> = statements
                        .iter()
                        .map(|sql| {
                            sql.replace("DateStyle", name)
                                .replace("datestyle", name)
                                .replace("German", value)
                                .replace("ISO, MDY", &initial)
                        })
                        .collect();
                    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                    let mut a = scene::client(&pgweir);
                    let mut b = scene::client(&pgweir);
                    say(&mut a, protocol, &statements);
                    assert_eq!(b.value(&show), initial, "{statements:?} {protocol:?}");
                    assert_eq!(a.value(&show), initial, "{statements:?} {protocol:?}");
                }
            }
        }
    }
}

/// Something that binds a client to its server: how it comes about, how another client would
/// notice it, what that says if there is nothing, and how it is released.
struct Hold {
    make: &'static [&'static str],
    probe: &'static str,
    clean: &'static str,
    release: &'static [&'static str],
}

const fn hold(
    make: &'static [&'static str],
    (probe, clean): (&'static str, &'static str),
    release: &'static [&'static str],
) -> Hold {
    Hold {
        make,
        probe,
        clean,
        release,
    }
}

const USERS: (&str, &str) = (
    "SELECT current_user || ' ' || session_user",
    "t_trust t_trust",
);
const TEMP: (&str, &str) = ("SELECT to_regclass('pg_temp.tt') IS NULL", "t");
const CHANNELS: (&str, &str) = ("SELECT count(*) FROM pg_listening_channels()", "0");
const LOCKS: (&str, &str) = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "0",
);
const CURSORS: (&str, &str) = ("SELECT count(*) FROM pg_cursors WHERE is_holdable", "0");
const STATEMENTS: (&str, &str) = (
    "SELECT count(*) FROM pg_prepared_statements WHERE from_sql",
    "0",
);

const HOLDS: [Hold; 21] = [
    hold(&["SET ROLE t_plain"], USERS, &["RESET ROLE"]),
    hold(&["SET ROLE t_plain"], USERS, &["SET ROLE NONE"]),
    hold(
        &["SET SESSION AUTHORIZATION t_plain"],
        USERS,
        &["RESET SESSION AUTHORIZATION"],
    ),
    hold(
        &["SELECT set_config('role', 't_plain', false)"],
        USERS,
        &["RESET ROLE"],
    ),
    hold(
        &["CREATE TEMP TABLE tt (x int)"],
        TEMP,
        &["DROP TABLE pg_temp.tt"],
    ),
    hold(
        &["CREATE TABLE pg_temp.tt (x int)"],
        TEMP,
        &["DROP TABLE tt"],
    ),
    hold(&["SELECT 1 AS x INTO TEMP tt"], TEMP, &["DROP TABLE tt"]),
    hold(
        &["CREATE TEMPORARY VIEW tt AS SELECT 1"],
        TEMP,
        &["DROP VIEW tt"],
    ),
    hold(
        &["DO $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE tt (x int)'; END $$"],
        TEMP,
        &["DROP TABLE tt"],
    ),
    hold(
        &["BEGIN", "CREATE TEMP TABLE tt (x int)", "COMMIT"],
        TEMP,
        &["DISCARD TEMP"],
    ),
    hold(
        &["CREATE TEMP TABLE tt (x int)"],
        TEMP,
        &["BEGIN", "DROP TABLE tt", "COMMIT"],
    ),
    hold(&["LISTEN c"], CHANNELS, &["UNLISTEN c"]),
    hold(&["BEGIN", "LISTEN c", "COMMIT"], CHANNELS, &["UNLISTEN *"]),
    hold(
        &["SELECT pg_advisory_lock(7)"],
        LOCKS,
        &["SELECT pg_advisory_unlock(7)"],
    ),
    hold(
        &["WITH l AS (SELECT pg_try_advisory_lock(8)) SELECT * FROM l"],
        LOCKS,
        &["SELECT pg_advisory_unlock_all()"],
    ),
    hold(
        &["BEGIN", "SELECT pg_advisory_lock_shared(7)", "ROLLBACK"],
        LOCKS,
        &["SELECT pg_advisory_unlock_shared(7)"],
    ),
    hold(
        &["DECLARE c CURSOR WITH HOLD FOR SELECT 1"],
        CURSORS,
        &["CLOSE c"],
    ),
    hold(
        &[
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DECLARE d CURSOR WITH HOLD FOR SELECT 1",
            "COMMIT",
        ],
        CURSORS,
        &["CLOSE ALL"],
    ),
    hold(
        &["PREPARE p (int) AS SELECT $1"],
        STATEMENTS,
        &["DEALLOCATE p"],
    ),
    // What a function does, no text shows.
    hold(
        &[
            "CREATE OR REPLACE FUNCTION makes_temp() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE tt (x int); RETURN 1; END $$",
            "SELECT makes_temp()",
        ],
        TEMP,
        &["DROP TABLE tt"],
    ),
    hold(
        &[
            "CREATE OR REPLACE FUNCTION locks() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(7); RETURN 1; END $$",
            "SELECT locks() FROM generate_series(1, 1)",
        ],
        LOCKS,
        &["SELECT pg_advisory_unlock_all()"],
    ),
];

fn start(postgres: &Postgres) -> Pgweir {
    scene::start(postgres, "transaction", 1).0
}

/// Has `a` hold its server; then `b` must wait until `a` has said `release`, and find nothing.
fn held_and_released(pgweir: &Pgweir, protocol: Protocol, hold: &Hold, release: &[&str]) {
    let what = format!("{:?} {protocol:?} {release:?}", hold.make);
    let mut a = scene::client(pgweir);
    let mut b = scene::client(pgweir);
    say(&mut a, protocol, hold.make);
    request(&mut b, protocol, hold.probe);
    let pid = a.value("SELECT pg_backend_pid()");
    assert_ne!(a.value(hold.probe), hold.clean, "{what}: lost");
    assert_eq!(
        b.hear(Duration::from_millis(10)),
        Heard::Silence,
        "{what}: not held"
    );
    say(&mut a, protocol, release);
    assert_eq!(values(&b.until_ready(1)), [hold.clean], "{what}: seen");
    assert_eq!(b.value("SELECT pg_backend_pid()"), pid, "{what}");
    // And the client that let go is served like anybody else.
    assert_eq!(a.value(hold.probe), hold.clean, "{what}");
}

#[test]
fn what_binds_a_client_to_its_server_holds_it_until_released() {
    for postgres in each_postgres() {
        let pgweir = start(postgres);
        for protocol in PROTOCOLS {
            for hold in &HOLDS {
                held_and_released(&pgweir, protocol, hold, hold.release);
            }
        }
    }
}

#[test]
fn discard_all_releases_everything() {
    for postgres in each_postgres() {
        let pgweir = start(postgres);
        for hold in &HOLDS {
            held_and_released(&pgweir, Protocol::Simple, hold, &["DISCARD ALL"]);
        }
    }
}

#[test]
fn what_a_client_leaves_behind_goes_with_it() {
    for postgres in each_postgres() {
        let pgweir = start(postgres);
        for protocol in PROTOCOLS {
            for hold in &HOLDS {
                for polite in [true, false] {
                    let mut a = scene::client(&pgweir);
                    say(&mut a, protocol, hold.make);
                    if polite {
                        a.send(&[message::terminate()]);
                        assert_eq!(a.expect_end(), []);
                    }
                    drop(a);
                    let mut b = scene::client(&pgweir);
                    assert_eq!(b.value(hold.probe), hold.clean, "{:?} {polite}", hold.make);
                }
            }
        }
    }
}

/// A client that leaves before it has read the answer to what binds it.
#[test]
fn what_a_client_leaves_behind_in_flight_goes_with_it() {
    for postgres in each_postgres() {
        let pgweir = start(postgres);
        for hold in &HOLDS {
            let mut a = scene::client(&pgweir);
            let messages: Vec<Message> = hold.make.iter().map(|sql| message::query(sql)).collect();
            a.send(&messages);
            drop(a);
            let mut b = scene::client(&pgweir);
            assert_eq!(b.value(hold.probe), hold.clean, "{:?}", hold.make);
        }
    }
}

#[test]
fn what_was_rolled_back_holds_nothing() {
    let undone: [&[&str]; 8] = [
        &["BEGIN", "CREATE TEMP TABLE tt (x int)", "ROLLBACK"],
        &[
            "BEGIN",
            "SAVEPOINT s",
            "CREATE TEMP TABLE tt (x int)",
            "ROLLBACK TO s",
            "COMMIT",
        ],
        &[
            "BEGIN",
            "CREATE TEMP TABLE tt (x int) ON COMMIT DROP",
            "COMMIT",
        ],
        &["BEGIN", "SET ROLE t_plain", "ROLLBACK"],
        &["BEGIN", "SET LOCAL ROLE t_plain", "COMMIT"],
        &["BEGIN", "LISTEN c", "ROLLBACK"],
        &["BEGIN", "SELECT pg_advisory_xact_lock(7)", "COMMIT"],
        &[
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "ROLLBACK",
        ],
    ];
    for postgres in each_postgres() {
        let pgweir = start(postgres);
        let mut b = scene::client(&pgweir);
        for protocol in PROTOCOLS {
            for statements in undone {
                let mut a = scene::client(&pgweir);
                say(&mut a, protocol, statements);
                // It would wait for ever if `a` were bound.
                assert_eq!(b.value("SELECT 'served'"), "served", "{statements:?}");
                for (probe, clean) in [USERS, TEMP, CHANNELS, LOCKS, CURSORS] {
                    assert_eq!(b.value(probe), clean, "{statements:?}");
                }
            }
        }
    }
}

#[test]
fn notifications_go_to_who_listens() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 2);
        let mut listener = scene::client(&pgweir);
        listener.query("LISTEN news");
        let mut others: Vec<Peer> = (0..3).map(|_| scene::client(&pgweir)).collect();
        let notes = "NOTIFY news, 'it''s here'";
        others[0].query(notes);
        let notification = listener.expect(b'A');
        assert!(
            notification.body[4..].starts_with(b"news\0it's here\0"),
            "{notification:?}"
        );
        for other in &mut others {
            let messages = other.query("SELECT 1");
            assert!(messages.iter().all(|m| m.tag != b'A'), "{messages:?}");
        }
        listener.query("UNLISTEN news");
        others[1].query(notes);
        let messages = listener.query("SELECT 1");
        assert!(messages.iter().all(|m| m.tag != b'A'), "{messages:?}");
    }
}

#[test]
fn a_loaded_library_goes_with_its_client() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let mut a = scene::client(&pgweir);
        if let Some(error) = error_in(&a.query("LOAD 'auto_explain'")) {
            eprintln!("left out: auto_explain: {}", error.message());
            continue;
        }
        let pid = a.value("SELECT pg_backend_pid()");
        drop(a);
        let mut b = scene::client(&pgweir);
        assert_ne!(b.value("SELECT pg_backend_pid()"), pid);
        let error = the_error(&b.query("SHOW auto_explain.log_min_duration"));
        assert_eq!(error.sqlstate(), "42704");
    }
}

#[test]
fn startup_options_follow_the_client() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let login = |parameters: &[(&str, &str)]| {
            let mut all = vec![("user", "t_trust"), ("database", "app")];
            all.extend(parameters);
            Peer::login_with(pgweir.address(), &all)
        };
        let mut plain = login(&[]);
        let defaults: Vec<String> = [
            "statement_timeout",
            "search_path",
            "extra_float_digits",
            "DateStyle",
        ]
        .iter()
        .map(|name| plain.value(&format!("SHOW {name}")))
        .collect();
        let mut a = login(&[(
            "options",
            "-c statement_timeout=54321 --search-path=a,b -c geqo=off -cextra_float_digits=2 \
             -c app.name=it\\ has\\ blanks",
        )]);
        let mut b = login(&[
            ("statement_timeout", "99s"),
            ("DateStyle", "German"),
            ("application_name", "b"),
        ]);
        assert_eq!(b.parameter("DateStyle"), Some("German, DMY"));
        assert_eq!(b.parameter("application_name"), Some("b"));
        for _ in 0..2 {
            assert_eq!(a.value("SHOW statement_timeout"), "54321ms");
            assert_eq!(b.value("SHOW statement_timeout"), "99s");
            assert_eq!(plain.value("SHOW statement_timeout"), defaults[0]);
            assert_eq!(a.value("SHOW search_path"), "a,b");
            assert_eq!(b.value("SHOW search_path"), defaults[1]);
            assert_eq!(a.value("SHOW geqo"), "off");
            assert_eq!(a.value("SHOW app.name"), "it has blanks");
            assert_eq!(plain.value("SHOW geqo"), "on");
            assert_eq!(a.value("SHOW extra_float_digits"), "2");
            assert_eq!(b.value("SHOW DateStyle"), "German, DMY");
            assert_eq!(plain.value("SHOW DateStyle"), defaults[3]);
        }
        // RESET returns to what the client started with.
        for reset in ["RESET statement_timeout", "RESET ALL", "DISCARD ALL"] {
            say(
                &mut a,
                Protocol::Simple,
                &["SET statement_timeout = 1000", reset],
            );
            assert_eq!(
                plain.value("SHOW statement_timeout"),
                defaults[0],
                "{reset}"
            );
            assert_eq!(a.value("SHOW statement_timeout"), "54321ms", "{reset}");
            assert_eq!(a.value("SHOW search_path"), "a,b", "{reset}");
            say(&mut b, Protocol::Simple, &["SET DateStyle = 'SQL'", reset]);
            assert_eq!(plain.value("SHOW DateStyle"), defaults[3], "{reset}");
        }
        b.query("RESET DateStyle");
        assert_eq!(b.value("SHOW DateStyle"), "German, DMY");
    }
}

#[test]
fn bad_startup_values_are_refused_with_the_servers_words() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        for (parameters, sqlstate) in [
            (("DateStyle", "nonsense"), "22023"),
            (("options", "-c work_mem=lots"), "22023"),
            (("no_such_parameter", "1"), "42704"),
            (("options", "-c max_connections=7"), "55P02"),
            (("client_encoding", "nonsense"), "22023"),
        ] {
            let mut direct = Peer::connect(scene::address(postgres));
            let mut peer = Peer::connect(pgweir.address());
            let mut errors = Vec::new();
            for (peer, database) in [(&mut direct, "postgres"), (&mut peer, "app")] {
                let all = [("user", "t_trust"), ("database", database), parameters];
                peer.send_raw(&message::startup(0x0003_0000, &all));
                errors.push(the_error(&peer.expect_end()).sqlstate().to_owned());
            }
            assert_eq!(errors, [sqlstate, sqlstate], "{parameters:?}");
        }
        // None of it spoiled the server.
        assert_eq!(scene::client(&pgweir).value("SHOW DateStyle"), "ISO, MDY");
    }
}

#[test]
fn values_of_any_length_and_spelling_are_restored_exactly() {
    let values = [
        "x".repeat(200),
        "it's".to_owned(),
        r"back\slash\\es and \' both".to_owned(),
        "semi;colon -- comment /* and \"quotes\"".to_owned(),
        "ünïcödé $$ $1".to_owned(),
        " leading and trailing ".to_owned(),
        "UPPER lower".to_owned(),
        "upper lower".to_owned(),
        "x".repeat(60_000),
        "x".repeat(300_000),
    ];
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        for conforming in ["on", "off"] {
            let mut a = scene::client(&pgweir);
            let mut b = scene::client(&pgweir);
            a.query(&format!("SET standard_conforming_strings = {conforming}"));
            for value in &values {
                a.send(&[
                    message::parse("", "SELECT set_config('app.value', $1, false)"),
                    message::bind("", "", &[Some(value)]),
                    message::execute("", 0),
                    message::sync(),
                ]);
                assert_eq!(error_in(&a.until_ready(1)), None);
                let show = "SELECT coalesce(current_setting('app.value', true), '')";
                if value.len() > 65_536 {
                    // Too long to be carried about: the client keeps its server.
                    let seen = a.value(show);
                    assert!(seen == *value, "{} bytes", value.len());
                    a.query("RESET app.value");
                    assert_eq!(b.value(show), "");
                    continue;
                }
                for _ in 0..2 {
                    assert_eq!(b.value(show), "");
                    assert_eq!(b.value("SHOW standard_conforming_strings"), "on");
                    let seen = a.value(show);
                    assert!(seen == *value, "{} bytes", value.len());
                    assert_eq!(a.value("SHOW standard_conforming_strings"), conforming);
                }
            }
        }
    }
}

#[test]
fn application_names_differ_by_case_alone() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let mut clients: Vec<(Peer, String)> = ["worker", "Worker", "WORKER", "wörker'\\"]
            .iter()
            .map(|name| {
                let mut peer = scene::client(&pgweir);
                let quoted = name.replace('\'', "''");
                peer.query(&format!("SET application_name = '{quoted}'"));
                let seen = peer.value("SHOW application_name");
                (peer, seen)
            })
            .collect();
        assert_eq!(clients[1].1, "Worker");
        for _ in 0..3 {
            for (peer, name) in &mut clients {
                assert_eq!(peer.value("SHOW application_name"), *name);
                let seen = "SELECT application_name FROM pg_stat_activity \
                            WHERE pid = pg_backend_pid()";
                assert_eq!(peer.value(seen), *name);
            }
        }
    }
}

/// A SET that the server refuses, alone and in front of something else.
#[test]
fn a_failed_set_changes_nothing() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        for protocol in PROTOCOLS {
            a.query("SET work_mem = '111kB'");
            for bad in ["SET work_mem = 'lots'", "SET DateStyle = 'nonsense'"] {
                assert!(error_in(&ask(&mut a, protocol, bad)).is_some());
                assert_eq!(b.value("SHOW work_mem"), "4MB");
                assert_eq!(a.value("SHOW work_mem"), "111kB");
            }
            let error = the_error(&a.query("SET work_mem = '222kB'; SELECT 1/0"));
            assert_eq!(error.sqlstate(), "22012");
            assert_eq!(b.value("SHOW work_mem"), "4MB");
            assert_eq!(a.value("SHOW work_mem"), "111kB");
        }
    }
}

#[test]
fn pg_dump_works_and_leaves_no_search_path() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        postgres.psql(
            &database,
            "CREATE TABLE t (id int PRIMARY KEY, name text); \
             INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 100) i; \
             CREATE VIEW v AS SELECT * FROM t;",
        );
        let mut before = scene::client(&pgweir);
        let path = before.value("SHOW search_path");
        let dump = |mut command: Command, database: &str| {
            let text = succeed(command.args(["--no-comments", "-d", database]));
            // PostgreSQL's newer releases put a random word into each dump.
            text.lines()
                .filter(|line| !line.contains("restrict "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let through = dump(pgweir.client(postgres, "pg_dump", "t_trust"), "app");
        let direct =
            crate::support::pgweir::client(postgres, "pg_dump", "t_trust", postgres.port());
        assert_eq!(through, dump(direct, &database));
        assert!(through.contains("row 100"));
        assert_eq!(before.value("SHOW search_path"), path);
        assert_eq!(before.value("SELECT count(*) FROM t"), "100");
        assert_eq!(scene::client(&pgweir).value("SHOW search_path"), path);
    }
}

/// Also in session mode, where the server is reset between clients.
#[test]
fn session_mode_leaves_nothing_either() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "session", 1);
        for hold in &HOLDS {
            let mut a = scene::client(&pgweir);
            say(&mut a, Protocol::Simple, hold.make);
            assert_ne!(a.value(hold.probe), hold.clean, "{:?}", hold.make);
            drop(a);
            let mut b = scene::client(&pgweir);
            assert_eq!(b.value(hold.probe), hold.clean, "{:?}", hold.make);
        }
        for (set, show) in PARAMETERS {
            let mut a = scene::client(&pgweir);
            let before = a.value(show);
            say(&mut a, Protocol::Simple, set);
            drop(a);
            assert_eq!(scene::client(&pgweir).value(show), before, "{set:?}");
        }
    }
}
