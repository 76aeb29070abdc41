//! Clients behind a proxy or load balancer that tells where they are.

use std::io::Write as _;

use crate::support::certs::certs;
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup, client, succeed};
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene::{self, the_error};
use crate::support::service::Service;
use crate::support::wait::eventually;

/// Who gets in is said by addresses that only a proxy can tell here.
const HBA: &str = "local all postgres trust\n\
                   host app t_trust 203.0.113.0/24 trust\n\
                   host app t_trust 2001:db8::/32 trust\n\
                   host app t_plain 127.0.0.1/32 trust\n";

fn setup(postgres: &Postgres, directory: &tempfile::TempDir, mode: &str, from: &str) -> Setup {
    let file = directory.path().join("hba");
    std::fs::write(&file, HBA).expect("written");
    let (setup, _) = scene::setup(postgres, "transaction", 2);
    setup
        .set("auth_type", "hba")
        .set("auth_hba_file", file.display().to_string())
        .set("proxy_protocol", mode)
        .set("proxy_protocol_from", from)
}

fn startup(user: &str) -> Vec<u8> {
    message::startup(0x0003_0000, &[("user", user), ("database", "app")])
}

/// A header of version 2 for a client at `ip`, port 4001.
fn binary(command: u8, ip: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, 0x11, 0, 12 + 4]);
    header.extend(ip);
    header.extend([192, 0, 2, 1]);
    header.extend(4_001u16.to_be_bytes());
    header.extend([0, 1]);
    // A TLV that nobody knows here.
    header.extend([0xe0, 0, 1, 9]);
    header
}

/// Lines of SHOW CLIENTS, seen over the unix socket.
fn clients(pgweir: &Pgweir, postgres: &Postgres) -> String {
    let mut psql = pgweir.client(postgres, "psql", "postgres");
    psql.env("PGHOST", pgweir.dir());
    succeed(psql.args(["-AtqX", "-d", "pgbouncer", "-c", "SHOW CLIENTS"]))
}

#[test]
fn the_client_is_where_a_trusted_proxy_says() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let pgweir = setup(postgres, &directory, "required", "127.0.0.1, 192.0.2.0/24").start();
        for (header, shown) in [
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.1 4001 6432\r\n".to_vec(),
                "|203.0.113.7|4001|",
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 4001 6432\r\n".to_vec(),
                "|2001:db8::7|4001|",
            ),
            (binary(0x21, [203, 0, 113, 8]), "|203.0.113.8|4001|"),
        ] {
            // All at once, and byte by byte.
            let mut peer = Peer::connect(pgweir.address());
            peer.send_raw(&[&header[..], &startup("t_trust")].concat());
            assert_eq!(peer.expect(b'R').body, [0; 4]);
            peer.finish_login();
            assert_eq!(peer.value("SELECT 1"), "1");
            let all = clients(&pgweir, postgres);
            assert!(all.contains(shown), "{all}");
            let mut peer = Peer::connect(pgweir.address());
            for byte in header.iter().chain(&startup("t_trust")) {
                peer.send_raw(&[*byte]);
            }
            assert_eq!(peer.expect(b'R').body, [0; 4]);
        }
        // From elsewhere: nobody's line fits, and the log says where from.
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&[binary(0x21, [198, 51, 100, 9]), startup("t_trust")].concat());
        assert_eq!(
            the_error(&peer.expect_end()).field('M'),
            "no authentication method is found"
        );
        eventually("the client's address in the log", || {
            pgweir.log().contains("198.51.100.9:4001").then_some(())
        });
        // A proxy that speaks for itself has its own address.
        for header in [
            binary(0x20, [203, 0, 113, 7]),
            b"PROXY UNKNOWN\r\n".to_vec(),
        ] {
            let mut peer = Peer::connect(pgweir.address());
            peer.send_raw(&[header, startup("t_plain")].concat());
            assert_eq!(peer.expect(b'R').body, [0; 4]);
        }
        // Not without, not twice, and nothing that only looks like it.
        for (bytes, told) in [
            (
                startup("t_plain"),
                "does not begin with a PROXY protocol header",
            ),
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.1 4001\r\n".to_vec(),
                "malformed PROXY protocol header",
            ),
            (
                [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN\r\n"].concat(),
                "invalid length of startup packet",
            ),
        ] {
            let mut peer = Peer::connect(pgweir.address());
            peer.send_raw(&bytes);
            let error = the_error(&peer.expect_end()).field('M').to_owned();
            assert!(error.contains(told), "{error}");
        }
        // Whoever is on this machine needs no proxy.
        let mut psql = pgweir.client(postgres, "psql", "postgres");
        psql.env("PGHOST", pgweir.dir());
        let sql = ["-AtqX", "-d", "app", "-c", "SELECT 'in'"];
        assert_eq!(succeed(psql.args(sql)), "in");
    }
}

#[test]
fn a_header_of_somebody_else_is_worth_nothing() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 4001 6432\r\n".to_vec();
    for (mode, from, without, with) in [
        ("off", "", None, "invalid length of startup packet"),
        (
            "on",
            "192.0.2.0/24",
            None,
            "invalid length of startup packet",
        ),
        (
            "required",
            "192.0.2.0/24",
            Some("must come through a proxy"),
            "must come through a proxy",
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let pgweir = setup(postgres, &directory, mode, from).start();
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&startup("t_plain"));
        match without {
            None => assert_eq!(peer.expect(b'R').body, [0; 4]),
            Some(told) => {
                let error = the_error(&peer.expect_end()).field('M').to_owned();
                assert!(error.contains(told), "{error}");
            }
        }
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&[&header[..], &startup("t_trust")].concat());
        let error = the_error(&peer.expect_end()).field('M').to_owned();
        assert!(error.contains(with), "{mode}: {error}");
    }
}

#[test]
fn haproxy_tells_it_before_tls() {
    for postgres in each_postgres().filter(|postgres| postgres.cluster.binaries().tls) {
        for send in ["send-proxy", "send-proxy-v2"] {
            let (setup, _) = scene::setup(postgres, "transaction", 2);
            let pgweir = setup
                .set("proxy_protocol", "required")
                .set("proxy_protocol_from", "127.0.0.1")
                .set("client_tls_sslmode", "require")
                .set(
                    "client_tls_cert_file",
                    certs().server.cert.display().to_string(),
                )
                .set(
                    "client_tls_key_file",
                    certs().server.key.display().to_string(),
                )
                .start();
            let haproxy = Service::start("haproxy", |haproxy, dir, port| {
                let file = dir.join("haproxy.cfg");
                let mut out = std::fs::File::create(&file).expect("a file");
                write!(
                    out,
                    "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
                     listen pg\n bind 127.0.0.1:{port}\n server weir {} {send}\n",
                    pgweir.address()
                )
                .expect("written");
                haproxy.arg("-db").arg("-f").arg(&file);
            });
            let mut psql = client(postgres, "psql", "t_trust", haproxy.address().port());
            psql.env("PGSSLMODE", "require")
                .env("PGSSLROOTCERT", "/nonexistent")
                .env("PGSSLCERT", "/nonexistent")
                .args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"]);
            assert_eq!(succeed(&mut psql), "in", "{send}");
            // The port is the client's own, not haproxy's.
            let log = pgweir.log();
            let mut peer = std::net::TcpStream::connect(haproxy.address()).expect("connecting");
            let own = peer.local_addr().expect("an address");
            peer.write_all(&startup("t_trust")).expect("written");
            let told = format!("{own}");
            eventually("the client's port in the log", || {
                pgweir.log().contains(&told).then_some(())
            });
            assert!(!log.contains(&told), "{log}");
        }
    }
}
