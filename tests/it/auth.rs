//! How clients prove who they are, with PostgreSQL's own client, and how pgweir logs in for them.

use std::process::Output;

use crate::support::message::{self, Message};
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};
use crate::support::scene::{self, Watch, tags, the_error};

/// A setup whose servers need no password, so that only the client's side is tested.
fn setup(postgres: &Postgres, auth_type: &str) -> Setup {
    scene::setup(postgres, "transaction", 2)
        .0
        .set("auth_type", auth_type)
        .database_set("app", "user", "postgres")
}

fn try_psql(pgweir: &Pgweir, postgres: &Postgres, user: &str, password: &str) -> Output {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGPASSWORD", password)
        .args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"])
        .output()
        .expect("running psql")
}

fn comes_in(output: &Output) -> bool {
    output.status.success() && output.stdout == b"in\n"
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What may be stored for the test's password: in clear text, as an MD5 hash for `user`, as a
/// SCRAM verifier.
fn secrets(postgres: &Postgres, user: &str) -> [(&'static str, String); 3] {
    let quoted = PASSWORD.replace('\'', "''");
    let md5 = format!("SELECT 'md5' || md5('{quoted}' || '{user}')");
    let scram = "SELECT rolpassword FROM pg_authid WHERE rolname = 't_scram'";
    [
        ("clear", PASSWORD.to_owned()),
        ("md5", postgres.psql("postgres", &md5)),
        ("scram", postgres.psql("postgres", scram)),
    ]
}

#[test]
fn every_type_takes_the_secrets_it_can_use() {
    for postgres in each_postgres() {
        for auth_type in ["plain", "md5", "scram-sha-256"] {
            let mut setup = setup(postgres, auth_type);
            for (kind, secret) in secrets(postgres, "of_md5") {
                setup = setup.secret(&format!("of_{kind}"), &secret);
            }
            let pgweir = setup.start();
            for (kind, _) in secrets(postgres, "of_md5") {
                let user = format!("of_{kind}");
                let right = try_psql(&pgweir, postgres, &user, PASSWORD);
                // An MD5 hash is of no use for SCRAM.
                let usable = (auth_type, kind) != ("scram-sha-256", "md5");
                let what = format!("{auth_type} with {kind}: {}", complaint(&right));
                assert_eq!(comes_in(&right), usable, "{what}");
                for password in ["wrong", "", &PASSWORD.to_uppercase()] {
                    let wrong = try_psql(&pgweir, postgres, &user, password);
                    assert!(!comes_in(&wrong), "{what} with {password:?}");
                }
            }
            let unknown = try_psql(&pgweir, postgres, "nobody", PASSWORD);
            assert!(!comes_in(&unknown), "{auth_type}");
        }
    }
}

#[test]
fn trust_wants_a_known_user_and_any_does_not() {
    for postgres in each_postgres() {
        let pgweir = setup(postgres, "trust").secret("known", "").start();
        assert!(comes_in(&try_psql(&pgweir, postgres, "known", "")));
        assert!(!comes_in(&try_psql(&pgweir, postgres, "nobody", "")));
        let pgweir = setup(postgres, "any").start();
        assert!(comes_in(&try_psql(&pgweir, postgres, "nobody", "")));
    }
}

#[test]
fn peer_lets_the_systems_user_in_over_the_unix_socket() {
    for postgres in each_postgres() {
        let me = std::process::Command::new("id").arg("-un").output();
        let me = String::from_utf8(me.expect("running id").stdout).expect("a name");
        let me = me.trim();
        let pgweir = setup(postgres, "peer")
            .secret(me, "")
            .secret("somebody", "")
            .start();
        for (user, over_socket, works) in [
            (me, true, true),
            ("somebody", true, false),
            (me, false, false),
        ] {
            let mut psql = pgweir.client(postgres, "psql", user);
            if over_socket {
                psql.env("PGHOST", pgweir.dir());
            }
            psql.args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"]);
            let output = psql.output().expect("running psql");
            let what = format!("{user} {over_socket}: {}", complaint(&output));
            assert_eq!(comes_in(&output), works, "{what}");
        }
    }
}

/// The beginning of a SCRAM exchange, up to the server's first message.
fn scram_first(pgweir: &Pgweir, user: &str, database: &str) -> (Peer, String) {
    let mut peer = Peer::connect(pgweir.address());
    let parameters = [("user", user), ("database", database)];
    peer.send_raw(&message::startup(0x0003_0000, &parameters));
    let offer = peer.expect(b'R');
    assert_eq!(offer.body, b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let first = "n,,n=,r=abcdefghijklmnop";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend(u32::try_from(first.len()).expect("short").to_be_bytes());
    body.extend(first.as_bytes());
    peer.send(&[Message::new(b'p', body)]);
    let answer = peer.expect(b'R');
    assert_eq!(answer.body[..4], [0, 0, 0, 11]);
    let text = String::from_utf8_lossy(&answer.body[4..]).into_owned();
    (peer, text)
}

/// Salt and iterations of a server's first message.
fn salt(first: &str) -> String {
    let mut parts = first.split(',');
    assert!(
        parts
            .next()
            .is_some_and(|nonce| nonce.starts_with("r=abcdefghijklmnop"))
    );
    parts.collect::<Vec<_>>().join(",")
}

#[test]
fn who_does_not_exist_looks_like_a_wrong_password() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let pgweir = setup(postgres, "scram-sha-256").start();
    let mut endings = Vec::new();
    for (user, database) in [
        ("t_scram", "app"),
        ("nobody", "app"),
        ("t_scram", "nowhere"),
        ("nobody", "nowhere"),
    ] {
        let (mut peer, first) = scram_first(&pgweir, user, database);
        // Each name has its own salt, always the same.
        let (_, again) = scram_first(&pgweir, user, database);
        assert_eq!(salt(&first), salt(&again), "{user}");
        assert_eq!(
            salt(&first).len(),
            salt(&scram_first(&pgweir, "t_md5", "app").1).len()
        );
        let nonce = first.split(',').next().unwrap_or_default();
        let proof = "A".repeat(43) + "=";
        let last = format!("c=biws,{nonce},p={proof}");
        peer.send(&[Message::new(b'p', last.as_bytes())]);
        let messages = peer.expect_end();
        assert_eq!(tags(&messages), "E", "{user} {database}");
        let error = the_error(&messages);
        let text = error.message().replace(user, "USER");
        endings.push((
            error.sqlstate().to_owned(),
            text,
            error.field('V').to_owned(),
        ));
    }
    assert_eq!(endings[0].0, "28P01");
    assert!(
        endings.iter().all(|ending| *ending == endings[0]),
        "{endings:?}"
    );
    // Who has proved who they are learns that there is no such database.
    let mut psql = pgweir.client(postgres, "psql", "t_scram");
    psql.args(["-X", "-d", "nowhere", "-c", "SELECT 1"]);
    let output = psql.output().expect("running psql");
    assert!(
        complaint(&output).contains("no such database: nowhere"),
        "{}",
        complaint(&output)
    );
}

#[test]
fn pgweir_logs_in_to_servers_however_they_ask() {
    for postgres in each_postgres() {
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.start();
        for user in ["t_trust", "t_plain", "t_md5", "t_scram"] {
            let mut peer = Peer::login(pgweir.address(), user, "app");
            assert_eq!(peer.value("SELECT session_user"), user);
        }
    }
}

/// With nothing but a verifier pgweir logs in with what the client proved, again and again.
#[test]
fn a_client_is_passed_through_to_a_scram_server_also_after_a_reconnect() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 1);
        let [_, _, (_, verifier)] = secrets(postgres, "t_scram");
        let pgweir = setup
            .set("auth_type", "scram-sha-256")
            .secret("t_scram", &verifier)
            .start();
        let mut watch = Watch::new(postgres, &database);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::Config::new()
                .host("127.0.0.1")
                .port(pgweir.port())
                .user("t_scram")
                .password(PASSWORD)
                .dbname("app")
                .connect(tokio_postgres::NoTls)
                .await
                .expect("a login");
            let running = tokio::spawn(connection);
            for _ in 0..3 {
                let row = client.query_one("SELECT session_user::text", &[]).await;
                assert_eq!(row.expect("a row").get::<_, String>(0), "t_scram");
                assert_eq!(watch.terminate("true"), 1);
                watch.until(0, "true");
            }
            drop(client);
            running.await.expect("no panic").expect("a clean end");
        });
    }
}

#[test]
fn a_server_that_refuses_pgweir_is_quoted() {
    for postgres in each_postgres() {
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.secret("t_scram", "not the password").start();
        let mut peer = Peer::connect(pgweir.address());
        let parameters = [("user", "t_scram"), ("database", "app")];
        peer.send_raw(&message::startup(0x0003_0000, &parameters));
        let error = the_error(&peer.expect_end());
        assert_eq!(error.sqlstate(), "28P01");
        assert!(error.message().contains("t_scram"), "{error:?}");
        let log = pgweir.log();
        assert!(!log.contains("not the password"), "{log}");
    }
}
