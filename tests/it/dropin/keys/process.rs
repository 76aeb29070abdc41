//! `[pgbouncer]`: pools, sessions and what has nothing to do here.

use super::{console, first, ini, last_words, refusal, row, rows};
use crate::dropin::original::PgBouncer;
use crate::support::message::{self, Message};
use crate::support::peer::Peer;
use crate::support::pgweir::Pgweir;
use crate::support::scene;
use crate::support::wait::eventually;

fn start(more: &str) -> Option<Pgweir> {
    let postgres = first()?;
    let database = postgres.database();
    Some(Pgweir::start_ini(&ini(postgres, &database, "", more), &[]))
}

#[test]
fn who_may_do_what_on_the_console() {
    let Some(pgweir) = start("stats_users = t_trust") else {
        return;
    };
    // admin_users = postgres is in the file.
    let mut admin = console(&pgweir);
    let mut watcher = Peer::login(pgweir.address(), "t_trust", "pgbouncer");
    for peer in [&mut admin, &mut watcher] {
        assert!(scene::error_in(&peer.query("SHOW POOLS")).is_none());
    }
    assert!(scene::error_in(&admin.query("RELOAD")).is_none());
    let error = scene::the_error(&watcher.query("RELOAD"));
    assert_eq!(error.sqlstate(), "42501");
    let told = refusal(&pgweir, "t_scram", "pgbouncer");
    assert!(told.starts_with("not allowed"), "{told}");
}

/// On PgBouncer too.
#[test]
fn application_name_add_host_names_the_client() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = ini(postgres, &database, "", "application_name_add_host = 1");
    let Some(theirs) = PgBouncer::start(&text) else {
        return;
    };
    let ours = Pgweir::start_ini(&text, &[]);
    for (who, address) in [("PgBouncer", theirs.address()), ("pgweir", ours.address())] {
        for (name, begins) in [
            (Some("batch"), "batch - 127.0.0.1:"),
            (None, "app - 127.0.0.1:"),
        ] {
            let mut parameters = vec![("user", "t_trust"), ("database", "app")];
            parameters.extend(name.map(|name| ("application_name", name)));
            let mut peer = Peer::login_with(address, &parameters);
            let found = peer.value("SHOW application_name");
            let port = found.strip_prefix(begins).map(str::parse::<u16>);
            assert!(matches!(port, Some(Ok(_))), "{who}: {found}");
        }
    }
}

#[test]
fn pools_that_nobody_uses_go() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    for key in ["pool_idle_timeout", "autodb_idle_timeout"] {
        let text = ini(
            postgres,
            &database,
            "",
            &format!("server_idle_timeout = 0.2\n{key} = 1"),
        )
        .replace("app = ", "* = ");
        let pgweir = Pgweir::start_ini(&text, &[]);
        let pool = || row(&pgweir, "SHOW POOLS", "database", "some");
        let mut peer = Peer::login(pgweir.address(), "t_trust", "some");
        assert_eq!(peer.value("SELECT 1"), "1");
        assert!(pool().is_some(), "{key}");
        drop(peer);
        eventually(key, || pool().is_none().then_some(()));
    }
}

/// The pool of the configured database is older than the one that goes. On PgBouncer too.
#[test]
fn databases_that_are_configured_stay() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let more = "server_idle_timeout = 0.2\nautodb_idle_timeout = 1";
    let text = ini(postgres, &database, "", more);
    let place = format!(
        "* = host=127.0.0.1 port={} dbname={database}\n",
        postgres.port()
    );
    let text = text.replacen("[pgbouncer]", &format!("{place}[pgbouncer]"), 1);
    let Some(theirs) = PgBouncer::start(&text) else {
        return;
    };
    let ours = Pgweir::start_ini(&text, &[]);
    for (who, address) in [("PgBouncer", theirs.address()), ("pgweir", ours.address())] {
        let mut console = Peer::login(address, "postgres", "pgbouncer");
        let mut pools = || -> Vec<String> {
            let shown = rows(&console.query("SHOW POOLS"));
            let names = shown.into_iter().map(|row| row["database"].clone());
            names.filter(|name| name != "pgbouncer").collect()
        };
        for name in ["app", "some"] {
            let mut peer = Peer::login(address, "t_trust", name);
            assert_eq!(peer.value("SELECT 1"), "1", "{who}");
        }
        assert_eq!(pools(), ["app", "some"], "{who}");
        eventually(who, || {
            (!pools().iter().any(|name| name == "some")).then_some(())
        });
        assert_eq!(pools(), ["app"], "{who}");
    }
}

/// Servers that four transactions get, one after the other, when two are idle. On PgBouncer too.
#[test]
fn server_round_robin_uses_servers_in_turn() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    for (value, count) in [("0", 1), ("1", 2)] {
        let more = format!("pool_mode = transaction\nserver_round_robin = {value}");
        let text = ini(postgres, &database, "", &more);
        let Some(theirs) = PgBouncer::start(&text) else {
            return;
        };
        let ours = Pgweir::start_ini(&text, &[]);
        for (who, address) in [("PgBouncer", theirs.address()), ("pgweir", ours.address())] {
            let mut clients = [(); 2].map(|()| Peer::login(address, "t_trust", "app"));
            clients
                .iter_mut()
                .for_each(|peer| drop(peer.query("BEGIN")));
            clients
                .iter_mut()
                .for_each(|peer| drop(peer.query("COMMIT")));
            let pids: std::collections::BTreeSet<String> = (0..4)
                .map(|_| clients[0].value("SELECT pg_backend_pid()"))
                .collect();
            assert_eq!(pids.len(), count, "{who}: server_round_robin = {value}");
        }
    }
}

#[test]
fn default_pool_size_is_the_size_of_a_pool() {
    let Some(pgweir) = start("default_pool_size = 1\nquery_wait_timeout = 1") else {
        return;
    };
    let [mut one, mut two] = [(); 2].map(|()| Peer::login(pgweir.address(), "t_trust", "app"));
    assert_eq!(one.value("SELECT 1"), "1");
    two.send(&[message::query("SELECT 1")]);
    assert_eq!(last_words(&mut two), "query_wait_timeout");
    let answer = console(&pgweir).query("SET default_pool_size = 0");
    assert!(scene::error_in(&answer).is_some(), "{answer:?}");
}

/// What a client's password is derived with whose secret is stored in clear.
#[test]
fn scram_iterations_are_asked_of_clients() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let text = ini(postgres, &database, "", "scram_iterations = 5000")
        .replace("auth_type = trust", "auth_type = scram-sha-256");
    let pgweir = Pgweir::start_ini(&text, &[]);
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", "t_trust"), ("database", "app")];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    peer.expect(b'R');
    let first = b"n,,n=,r=abcdefghijklmnop";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend(u32::try_from(first.len()).expect("short").to_be_bytes());
    body.extend(first);
    peer.send(&[Message::new(b'p', body)]);
    let challenge = peer.expect(b'R').body;
    let text = String::from_utf8_lossy(&challenge).into_owned();
    assert!(text.ends_with(",i=5000"), "{text}");
}

/// The server takes connections and says nothing.
#[test]
fn server_connect_timeout_ends_a_login_to_a_server() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let Some(postgres) = first() else { return };
    let text = ini(postgres, "any", "", "server_connect_timeout = 0.3").replace(
        &format!("port={}", postgres.port()),
        &format!("port={port}"),
    );
    let pgweir = Pgweir::start_ini(&text, &[]);
    let told = refusal(&pgweir, "t_trust", "app");
    assert!(
        told.contains("connecting to the server took too long"),
        "{told}"
    );
    eventually("the log", || {
        pgweir.log().contains("connect failed: ").then_some(())
    });
}

/// One of the lines for those who look for a mistake.
#[test]
fn verbose_says_more() {
    for (verbose, says) in [(0, false), (1, true)] {
        let Some(pgweir) = start(&format!("verbose = {verbose}\npeer_id = 1")) else {
            return;
        };
        let mut peer = Peer::connect(pgweir.address());
        // The second byte is the number of the process that has the client.
        peer.send_raw(&message::cancel(0x0002_0001, &[0, 0, 0, 3]));
        peer.expect_end();
        let log = pgweir.log();
        assert_eq!(
            log.contains("] DEBUG a cancel request of a peer"),
            says,
            "{log}"
        );
    }
}

/// A value that is not the default, and what is not taken if that is possible.
const NOTHING: &[(&str, &str)] = &[
    ("client_tls13_ciphers", "TLS_AES_128_GCM_SHA256"),
    ("client_tls_ciphers", "secure"),
    ("client_tls_dheparams", "legacy"),
    ("client_tls_ecdhcurve", "prime256v1"),
    ("conffile", "/nowhere.ini"),
    ("dns_nxdomain_ttl", "20"),
    ("dns_zone_check_period", "30"),
    ("job_name", "pooler"),
    ("pkt_buf", "8192"),
    ("resolv_conf", "/nowhere.conf"),
    ("sbuf_loopcnt", "7"),
    ("server_tls13_ciphers", "TLS_AES_128_GCM_SHA256"),
    ("server_tls_ciphers", "secure"),
    ("service_name", "pooler"),
    ("suspend_timeout", "12"),
    ("tcp_defer_accept", "45"),
    ("track_extra_parameters", "search_path"),
];

/// They are taken, told of, shown as they are written, and cannot be set.
#[test]
fn keys_that_have_nothing_to_do_here() {
    let known = pgweir::config::reference::ACCEPTED
        .iter()
        .map(|key| key.name);
    assert!(
        known.eq(NOTHING.iter().map(|(key, _)| *key)),
        "one row for each"
    );
    let lines: String = NOTHING
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let Some(pgweir) = start(&lines) else { return };
    for (key, value) in NOTHING {
        let told = format!("pgweir.{key}: has no effect");
        eventually(&told, || pgweir.log().contains(&told).then_some(()));
        if *key != "conffile" {
            let shown = row(&pgweir, "SHOW CONFIG", "key", key).expect("a row");
            assert_eq!(shown["value"], *value, "{key}");
            let answer = console(&pgweir).query(&format!("SET {key} = '{value}'"));
            let error = scene::the_error(&answer);
            assert!(
                error.message().contains("has no effect"),
                "{key}: {error:?}"
            );
        }
    }
}
