//! TLS on both legs.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::certs::{Identity, certs};
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};
use crate::support::scene::{self, the_error};
use crate::support::wait::eventually;

/// The clusters whose programs and servers speak TLS.
fn with_tls() -> impl Iterator<Item = &'static Postgres> {
    each_postgres().filter(|postgres| {
        let tls = postgres.cluster.binaries().tls;
        if !tls {
            eprintln!(
                "left out: PostgreSQL {} is built without TLS",
                postgres.major()
            );
        }
        tls
    })
}

fn path(file: &Path) -> String {
    file.display().to_string()
}

/// pgweir's setup for TLS towards clients.
fn offering(postgres: &Postgres, mode: &str, identity: &Identity) -> Setup {
    scene::setup(postgres, "transaction", 2)
        .0
        .set("client_tls_sslmode", mode)
        .set("client_tls_cert_file", path(&identity.cert))
        .set("client_tls_key_file", path(&identity.key))
        .set("client_tls_ca_file", path(&certs().ca))
}

fn psql(pgweir: &Pgweir, postgres: &Postgres, user: &str, sslmode: &str) -> Command {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGSSLMODE", sslmode)
        .env("PGSSLROOTCERT", &certs().ca)
        .env("PGHOST", "localhost")
        .env("PGHOSTADDR", "127.0.0.1")
        // Whatever the user who runs this has at home is not meant.
        .env("PGSSLCERT", "/nonexistent")
        .args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"]);
    psql
}

fn with_certificate(mut psql: Command) -> Command {
    let client = &certs().client;
    psql.env("PGSSLCERT", &client.cert)
        .env("PGSSLKEY", &client.key);
    psql
}

fn comes_in(output: &Output) -> bool {
    output.status.success() && output.stdout == b"in\n"
}

fn run(mut psql: Command) -> Output {
    psql.output().expect("running psql")
}

#[test]
fn clients_get_the_encryption_that_both_sides_want() {
    for postgres in with_tls() {
        for (mode, plain, encrypted, certificate_needed) in [
            ("disable", true, false, false),
            ("allow", true, true, false),
            ("prefer", true, true, false),
            ("require", false, true, false),
            ("verify-ca", false, true, true),
            ("verify-full", false, true, true),
        ] {
            let pgweir = offering(postgres, mode, &certs().server).start();
            for (sslmode, works) in [
                ("disable", plain),
                ("require", encrypted),
                ("verify-full", encrypted),
            ] {
                let bare = run(psql(&pgweir, postgres, "t_trust", sslmode));
                let known = run(with_certificate(psql(
                    &pgweir, postgres, "t_trust", sslmode,
                )));
                let what = format!("{mode} with {sslmode}: {bare:?}");
                assert_eq!(comes_in(&bare), works && !certificate_needed, "{what}");
                assert_eq!(comes_in(&known), works, "{what}");
            }
        }
    }
}

#[test]
fn a_certificate_of_somebody_else_is_refused_by_psql() {
    for postgres in with_tls() {
        let pgweir = offering(postgres, "allow", &certs().stranger).start();
        assert!(comes_in(&run(psql(
            &pgweir, postgres, "t_trust", "require"
        )
        .env_remove_root())));
        assert!(!comes_in(&run(psql(
            &pgweir,
            postgres,
            "t_trust",
            "verify-full"
        ))));
    }
}

/// `require` with a root certificate file is `verify-ca` to libpq.
trait WithoutRoot {
    fn env_remove_root(self) -> Self;
}

impl WithoutRoot for Command {
    fn env_remove_root(mut self) -> Self {
        self.env("PGSSLROOTCERT", "/nonexistent");
        self
    }
}

#[test]
fn direct_tls_is_spoken_where_psql_can() {
    for postgres in with_tls().filter(|postgres| postgres.major() >= 17) {
        let pgweir = offering(postgres, "require", &certs().server).start();
        let mut psql = psql(&pgweir, postgres, "t_trust", "verify-full");
        psql.env("PGSSLNEGOTIATION", "direct");
        let output = run(psql);
        assert!(comes_in(&output), "{output:?}");
    }
}

#[test]
fn a_certificate_is_a_proof_of_its_name_only() {
    for postgres in with_tls() {
        let pgweir = offering(postgres, "verify-full", &certs().server)
            .set("auth_type", "cert")
            .database_set("app", "user", "postgres")
            .start();
        let login = |user: &str| run(with_certificate(psql(&pgweir, postgres, user, "require")));
        let output = login("t_cert");
        assert!(comes_in(&output), "{output:?}");
        assert!(!comes_in(&login("t_trust")));
        assert!(!comes_in(&run(psql(
            &pgweir, postgres, "t_cert", "require"
        ))));
    }
}

#[test]
fn servers_get_the_encryption_that_is_configured() {
    for postgres in with_tls() {
        let ca = path(&certs().ca);
        let stranger = path(&certs().stranger.cert);
        for (mode, ca, host, works) in [
            ("disable", &ca, "127.0.0.1", false),
            ("allow", &ca, "127.0.0.1", true),
            ("prefer", &ca, "127.0.0.1", true),
            ("require", &ca, "127.0.0.1", true),
            ("verify-ca", &ca, "127.0.0.1", true),
            ("verify-full", &ca, "localhost", true),
            ("verify-full", &ca, "127.0.0.1", true),
            ("verify-ca", &stranger, "127.0.0.1", false),
            ("verify-full", &stranger, "localhost", false),
            // The certificate is for 127.0.0.1, not for every address of this machine.
            ("verify-full", &ca, "127.0.0.2", false),
        ] {
            // t_tls may log in over TLS only.
            let (setup, _) = scene::setup(postgres, "transaction", 1);
            let pgweir = setup
                .set("server_tls_sslmode", mode)
                .set("server_tls_ca_file", ca.as_str())
                .set("server_login_retry", "100ms")
                .database_set("app", "host", host)
                .start();
            let mut peer = Peer::connect(pgweir.address());
            let parameters = [("user", "t_tls"), ("database", "app")];
            peer.send_raw(&message::startup(0x0003_0000, &parameters));
            let first = peer.next();
            assert_eq!(first.tag == b'R', works, "{mode} {ca} {host}: {first:?}");
            if works {
                peer.finish_login();
                let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                assert_eq!(peer.value(ssl), "t", "{mode}");
            } else {
                let error = the_error(&[first]);
                assert_eq!(error.field('V'), "FATAL", "{mode} {ca} {host}");
            }
        }
    }
}

#[test]
fn pgweir_shows_servers_its_certificate() {
    for postgres in with_tls() {
        let client = &certs().client;
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup
            .set("server_tls_sslmode", "verify-full")
            .set("server_tls_ca_file", path(&certs().ca))
            .set("server_tls_cert_file", path(&client.cert))
            .set("server_tls_key_file", path(&client.key))
            .start();
        let mut peer = Peer::login(pgweir.address(), "t_cert", "app");
        assert_eq!(peer.value("SELECT session_user"), "t_cert");
    }
}

#[test]
fn a_new_certificate_comes_with_a_reload_and_drops_nobody() {
    for postgres in with_tls() {
        let own = std::env::temp_dir().join(format!(
            "pgweir-tls-{}-{}",
            std::process::id(),
            crate::support::postgres::unique()
        ));
        std::fs::create_dir(&own).expect("a directory");
        let identity = Identity {
            cert: own.join("own.crt"),
            key: own.join("own.key"),
        };
        let put = |from: &Identity| {
            std::fs::copy(&from.cert, &identity.cert).expect("a certificate");
            std::fs::copy(&from.key, &identity.key).expect("a key");
        };
        put(&certs().stranger);
        let pgweir = offering(postgres, "allow", &identity).start();
        let mut before = scene::client(&pgweir);
        before.query("BEGIN");
        assert!(!comes_in(&run(psql(
            &pgweir,
            postgres,
            "t_trust",
            "verify-full"
        ))));
        put(&certs().server);
        pgweir.signal("HUP");
        eventually("psql trusts the new certificate", || {
            comes_in(&run(psql(&pgweir, postgres, "t_trust", "verify-full"))).then_some(())
        });
        assert_eq!(before.value("SELECT 'still here'"), "still here");
        // A broken one changes nothing.
        std::fs::write(&identity.cert, "nonsense").expect("writing");
        pgweir.signal("HUP");
        eventually("the mistake is logged", || {
            pgweir.log().contains("own.crt").then_some(())
        });
        let output = run(psql(&pgweir, postgres, "t_trust", "verify-full"));
        assert!(comes_in(&output), "{output:?}");
        assert_eq!(before.value("SELECT 'still here'"), "still here");
        std::fs::remove_dir_all(&own).expect("removing a directory");
    }
}

#[test]
fn bytes_before_the_handshake_are_an_attack() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let pgweir = offering(postgres, "allow", &certs().server).start();
    let request = message::untagged(&80_877_103u32.to_be_bytes());
    let startup = message::startup(0x0003_0000, &[("user", "t_trust"), ("database", "app")]);
    for more in [&startup[..], b"x", b"\x16\x03\x01"] {
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&[&request, more].concat());
        let messages = peer.expect_end();
        assert!(messages.iter().all(|m| m.tag == b'E'), "{messages:?}");
    }
    // Refused TLS is another matter: a client may go on without.
    let (setup, _) = scene::setup(postgres, "transaction", 1);
    let pgweir = setup.start();
    let mut peer = Peer::connect(pgweir.address());
    peer.send_raw(&request);
    assert_eq!(peer.byte(), b'N');
    peer.send_raw(&startup);
    assert_eq!(peer.expect(b'R').body, [0; 4]);
}

/// psql as a user with a password, who wants channel binding as told.
fn binding(pgweir: &Pgweir, postgres: &Postgres, user: &str, binding: &str) -> Output {
    let mut psql = psql(pgweir, postgres, user, "require");
    psql.env("PGCHANNELBINDING", binding)
        .env("PGPASSWORD", PASSWORD);
    run(psql)
}

#[test]
fn psql_can_insist_on_channel_binding() {
    for postgres in with_tls() {
        let verifier = "SELECT rolpassword FROM pg_authid WHERE rolname = 't_tls'";
        let verifier = postgres.psql("postgres", verifier);
        let setup = offering(postgres, "allow", &certs().server)
            .set("auth_type", "scram-sha-256")
            .set("server_tls_sslmode", "require")
            .set("server_channel_binding", "require")
            .secret("t_scram", PASSWORD)
            // Only what its own login reveals gets this one in to the server, bound there too.
            .secret("t_tls", &verifier);
        for (policy, offers, needs) in [
            ("disable", false, false),
            ("prefer", true, false),
            ("require", true, true),
        ] {
            let pgweir = setup.clone().set("client_channel_binding", policy).start();
            for (wanted, works) in [("require", offers), ("prefer", true), ("disable", !needs)] {
                for user in ["t_scram", "t_tls"] {
                    let output = binding(&pgweir, postgres, user, wanted);
                    let what = format!("{policy} {user} {wanted}: {output:?}");
                    assert_eq!(comes_in(&output), works, "{what}");
                }
            }
            let mut plain = psql(&pgweir, postgres, "t_scram", "disable");
            plain.env("PGPASSWORD", PASSWORD);
            let output = run(plain);
            assert_eq!(comes_in(&output), !needs, "{policy}: {output:?}");
            let told = String::from_utf8_lossy(&output.stderr).contains("channel binding required");
            assert_eq!(told, needs, "{output:?}");
        }
    }
}

#[test]
fn servers_that_let_pgweir_in_without_channel_binding_can_be_refused() {
    for postgres in with_tls() {
        for (policy, user, works) in [
            ("require", "t_scram", true),
            ("require", "t_tls", true),
            ("require", "t_plain", false),
            ("require", "t_trust", false),
            ("prefer", "t_plain", true),
            ("prefer", "t_scram", true),
            ("disable", "t_scram", true),
        ] {
            let (setup, _) = scene::setup(postgres, "transaction", 1);
            let pgweir = setup
                .set("server_tls_sslmode", "require")
                .set("server_channel_binding", policy)
                .set("server_login_retry", "100ms")
                .start();
            let mut peer = Peer::connect(pgweir.address());
            let parameters = [("user", user), ("database", "app")];
            peer.send_raw(&message::startup(0x0003_0000, &parameters));
            let first = peer.next();
            assert_eq!(first.tag == b'R', works, "{policy} {user}: {first:?}");
            if !works {
                let log = pgweir.log();
                assert!(log.contains("server_channel_binding demands it"), "{log}");
            }
        }
    }
}

#[test]
fn versions_of_the_protocol_that_are_allowed() {
    for postgres in with_tls() {
        for (allowed, older, newer) in [
            ("tlsv1.3", false, true),
            ("tlsv1.2", true, false),
            ("secure", true, true),
        ] {
            let pgweir = offering(postgres, "require", &certs().server)
                .set("client_tls_protocols", allowed)
                .set("server_tls_sslmode", "require")
                .set("server_tls_protocols", allowed)
                .start();
            for (version, works) in [("TLSv1.2", older), ("TLSv1.3", newer)] {
                let mut psql = psql(&pgweir, postgres, "t_trust", "require");
                psql.env("PGSSLMINPROTOCOLVERSION", version)
                    .env("PGSSLMAXPROTOCOLVERSION", version);
                let output = run(psql);
                assert_eq!(comes_in(&output), works, "{allowed} {version}: {output:?}");
            }
            let mut psql = psql(&pgweir, postgres, "t_trust", "require");
            psql.args([
                "-c",
                "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            ]);
            let output = run(psql);
            let used = String::from_utf8_lossy(&output.stdout).into_owned();
            let wanted = match older && !newer {
                true => "in\nTLSv1.2\n",
                false => "in\nTLSv1.3\n",
            };
            assert_eq!(used, wanted, "towards the server: {allowed} {output:?}");
        }
        let output = offering(postgres, "require", &certs().server)
            .set("client_tls_protocols", "legacy")
            .run_to_end();
        assert!(!output.status.success());
    }
}
