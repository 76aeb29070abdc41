//! Servers that die or talk nonsense, clients that talk nonsense or never finish, and what is too
//! large for memory or the table of open files.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::message::{self, Message, from_server};
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, Version, each_postgres};
use crate::support::scene::{self, Watch, error_in, tags, the_error, try_login, values};
use crate::support::wait::{eventually, patient};

#[test]
fn a_server_that_died_idle_is_replaced_unseen() {
    for postgres in each_postgres() {
        for mode in ["transaction", "statement"] {
            let (pgweir, database) = scene::start(postgres, mode, 2);
            let mut watch = Watch::new(postgres, &database);
            let mut peer = scene::client(&pgweir);
            for n in 0..5 {
                assert_eq!(peer.value("SELECT 'served'"), "served", "{mode} {n}");
                assert_eq!(watch.terminate("true"), 1);
                watch.until(0, "true");
            }
        }
    }
}

#[test]
fn a_server_that_dies_in_a_query_ends_its_client_alone() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, database) = scene::start(postgres, mode, 2);
            let mut watch = Watch::new(postgres, &database);
            let mut bystander = scene::client(&pgweir);
            bystander.query("BEGIN");
            for sql in [
                "SELECT pg_sleep(600)",
                "SELECT repeat('x', 1000), pg_sleep(0.01) FROM generate_series(1, 100000)",
            ] {
                let mut peer = scene::client(&pgweir);
                peer.send(&[message::query(sql)]);
                watch.until(1, "state = 'active' AND query LIKE '%pg_sleep%'");
                watch.terminate("state = 'active' AND query LIKE '%pg_sleep%'");
                let error = the_error(&peer.expect_end());
                assert_eq!(error.sqlstate(), "57P01", "{mode}");
                assert_eq!(error.field('V'), "FATAL");
            }
            assert_eq!(bystander.value("SELECT 'there'"), "there");
            assert_eq!(scene::client(&pgweir).value("SELECT 'next'"), "next");
        }
    }
}

#[test]
fn a_server_that_dies_in_a_transaction_never_lets_it_go_on_elsewhere() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, database) = scene::start(postgres, mode, 1);
            postgres.psql(&database, "CREATE TABLE t (x int)");
            let mut watch = Watch::new(postgres, &database);
            let mut peer = scene::client(&pgweir);
            peer.query("BEGIN");
            assert_eq!(watch.terminate("true"), 1);
            watch.until(0, "true");
            // It may be too late to send anything.
            let _ = peer.try_send(&[message::query("INSERT INTO t VALUES (1)")]);
            let messages = peer.expect_end();
            assert_eq!(the_error(&messages).field('V'), "FATAL", "{messages:?}");
            assert!(messages.iter().all(|m| m.tag != b'C'), "{messages:?}");
            let mut next = scene::client(&pgweir);
            assert_eq!(next.value("SELECT count(*) FROM t"), "0");
        }
    }
}

#[test]
fn a_restart_of_postgresql_is_survived() {
    for version in Version::ALL {
        let Some(mut postgres) = Postgres::own(version) else {
            continue;
        };
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("default_pool_size", 1)
            .database("app", &postgres, &database)
            .start();
        let mut idle = scene::client(&pgweir);
        assert_eq!(idle.value("SELECT 1"), "1");
        let mut holder = scene::client(&pgweir);
        holder.query("BEGIN");
        let mut waiter = scene::client(&pgweir);
        waiter.send(&[message::query("SELECT 1")]);
        postgres.cluster.crash();
        for peer in [&mut holder, &mut waiter] {
            let messages = peer.expect_end();
            assert_eq!(the_error(&messages).field('V'), "FATAL", "{messages:?}");
        }
        // A client that asks while nothing is there is told so.
        let mut early = try_login(pgweir.address()).expect("what servers say is known");
        early.send(&[message::query("SELECT 1")]);
        let error = the_error(&early.expect_end());
        assert!(
            error.sqlstate().starts_with("08") || error.sqlstate() == "57P03",
            "{error:?}"
        );
        postgres.cluster.start().expect("it starts again");
        eventually("it is served again", || {
            let mut peer = try_login(pgweir.address()).ok()?;
            let answer = peer.until_ready_or_end("SELECT 'again'");
            (values(&answer) == ["again"]).then_some(())
        });
        // The one that slept through it all has not noticed.
        assert_eq!(idle.value("SELECT 'awake'"), "awake");
    }
}

/// Bytes that no server may send, at any time.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let header = |tag: u8, length: u32| {
        let mut bytes = vec![tag];
        bytes.extend(length.to_be_bytes());
        bytes
    };
    vec![
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("length 0", header(b'Z', 0)),
        ("length 3", header(b'C', 3)),
        ("a negative length", header(b'R', 0xffff_fffc)),
        ("an unknown tag", Message::new(b'!', [1, 2, 3]).bytes()),
        (
            "a ReadyForQuery of another kind",
            Message::new(b'Z', [b'?']).bytes(),
        ),
        (
            "a ReadyForQuery without status",
            Message::new(b'Z', []).bytes(),
        ),
        (
            "ParameterStatus without values",
            Message::new(b'S', [b'x']).bytes(),
        ),
        ("a huge ParameterStatus", header(b'S', 0x7fff_ffff)),
        ("a huge error", header(b'E', 0x7fff_ffff)),
        ("half a message", header(b'T', 100)),
    ]
}

#[test]
fn a_server_that_talks_nonsense_at_login_is_refused() {
    let mut all = nonsense();
    all.extend([
        ("nothing", Vec::new()),
        ("an error without fields", Message::new(b'E', []).bytes()),
        ("an error with no field", Message::new(b'E', [0]).bytes()),
        (
            "an unknown authentication",
            Message::new(b'R', [0, 0, 0, 99]).bytes(),
        ),
        ("half an authentication", Message::new(b'R', [0]).bytes()),
        (
            "SASL without mechanisms",
            Message::new(b'R', [0, 0, 0, 10, 0]).bytes(),
        ),
        ("a result of a query", Message::new(b'D', [0, 0]).bytes()),
        ("ready without a login", from_server::ready(b'I').bytes()),
    ]);
    for (what, bytes) in all {
        let server = FakeServer::listen();
        let pgweir = Setup::new()
            .set("server_connect_timeout", "2s")
            .database_at("app", server.port())
            .start();
        let answer = std::thread::scope(|scope| {
            let login = scope.spawn(|| try_login(pgweir.address()));
            let (mut peer, _, _) = server.accept_startup();
            let _ = peer.try_send_raw(&bytes);
            if what == "half a message" || what == "nothing" {
                drop(peer);
            }
            login.join().expect("the login ends")
        });
        let messages = answer.err().unwrap_or_else(|| panic!("{what}: logged in"));
        let error = the_error(&messages);
        assert_eq!(error.field('V'), "FATAL", "{what}");
        assert_eq!(error.sqlstate().len(), 5, "{what}");
        assert!(!error.message().is_empty(), "{what}");
    }
}

#[test]
fn a_server_that_talks_nonsense_later_ends_its_client_alone() {
    let mut all = nonsense();
    all.extend([
        ("an answer too many", {
            let answer = [from_server::complete("SELECT 0"), from_server::ready(b'I')];
            let mut bytes: Vec<u8> = answer.iter().flat_map(Message::bytes).collect();
            bytes.extend(from_server::complete("SELECT 1").bytes());
            bytes
        }),
        ("ParseComplete for a Query", Message::new(b'1', []).bytes()),
        (
            "an authentication request",
            from_server::authentication_ok().bytes(),
        ),
    ]);
    for (what, bytes) in all {
        let server = FakeServer::listen();
        let pgweir = Setup::new()
            .set("default_pool_size", 2)
            .database_at("app", server.port())
            .start();
        std::thread::scope(|scope| {
            let login = scope.spawn(|| try_login(pgweir.address()).expect("a login"));
            let mut fake = first_login(&server);
            let mut client = login.join().expect("a client");
            client.send(&[message::query("SELECT 1")]);
            assert_eq!(fake.expect(b'Q'), message::query("SELECT 1"));
            let _ = fake.try_send_raw(&bytes);
            if matches!(what, "half a message" | "HTTP") {
                // Until then it looks like the beginning of an answer.
                drop(fake);
            }
            let mut heard = Vec::new();
            match client.hear(patient(Duration::from_secs(5))) {
                Heard::Silence => panic!("{what}: still open"),
                Heard::Message(message) => heard.push(message),
                Heard::Closed => {}
            }
            heard.extend(client.expect_end());
            let answered = tags(&heard).starts_with("CZ");
            assert_eq!(answered, what == "an answer too many", "{what}: {heard:?}");
            client = try_login(pgweir.address()).expect("another login");
            client.send(&[message::query("SELECT 2")]);
            let mut next = server.accept_login(2);
            assert_eq!(next.expect(b'Q'), message::query("SELECT 2"), "{what}");
            next.send(&[from_server::complete("SELECT 2"), from_server::ready(b'I')]);
            assert_eq!(tags(&client.until_ready(1)), "CZ", "{what}");
        });
    }
}

/// A server's error without any field passes as it is: it is between the two of them.
#[test]
fn an_error_without_fields_after_login_breaks_nothing() {
    let server = FakeServer::listen();
    let pgweir = Setup::new().database_at("app", server.port()).start();
    for body in [vec![], vec![0]] {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut peer = try_login(pgweir.address()).expect("a login");
                peer.send(&[message::query("SELECT 1")]);
                peer.expect(b'E');
                peer.expect(b'Z');
            });
            let mut fake = server.accept_login(1);
            loop {
                let query = fake.expect(b'Q');
                if query.body != [0] {
                    break;
                }
                fake.send(&[Message::new(b'I', []), from_server::ready(b'I')]);
            }
            fake.send(&[Message::new(b'E', body.clone()), from_server::ready(b'I')]);
            client.join().expect("the client");
        });
        // The server above is closed by us: the next client gets a new one.
    }
}

/// Logs pgweir's first connection in. Before it welcomes a client it has nothing to ask.
fn first_login(server: &FakeServer) -> Peer {
    let mut fake = server.accept_login(1);
    fake.expect_silence(Duration::from_millis(10));
    fake
}

/// A tag and a length, and nothing behind it.
fn header(tag: u8, length: u32) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(length.to_be_bytes());
    bytes
}

#[test]
fn bytes_that_are_no_startup_end_that_connection_alone() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let (pgweir, _) = scene::start(postgres, "transaction", 1);
    let mut bystander = scene::client(&pgweir);
    let startup = message::startup(0x0003_0000, &[("user", "t_trust"), ("database", "app")]);
    let mut unterminated = startup.clone();
    unterminated.pop();
    let length = u32::try_from(unterminated.len()).expect("short");
    unterminated[..4].copy_from_slice(&length.to_be_bytes());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("length 0", vec![0; 8]),
        ("length 7", vec![0, 0, 0, 7, 0, 3, 0, 0]),
        ("length 2^31-1", vec![0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
        (
            "a negative length",
            vec![0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0],
        ),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "protocol 2",
            message::startup(0x0002_0000, &[("user", "x")]),
        ),
        (
            "protocol 4",
            message::startup(0x0004_0000, &[("user", "x")]),
        ),
        ("no terminator", unterminated),
        (
            "no user",
            message::startup(0x0003_0000, &[("database", "app")]),
        ),
        (
            "a short cancel request",
            message::untagged(&80_877_102u32.to_be_bytes()),
        ),
        ("a query first", message::query("SELECT 1").bytes()),
    ];
    for (what, bytes) in cases {
        let mut peer = Peer::connect(pgweir.address());
        peer.send_raw(&bytes);
        let messages = peer.expect_end();
        assert!(
            messages.iter().all(|m| m.tag == b'E'),
            "{what}: {messages:?}"
        );
        assert_eq!(bystander.value("SELECT 'there'"), "there", "{what}");
    }
}

#[test]
fn bytes_that_are_no_password_end_that_login_alone() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    for auth_type in ["scram-sha-256", "md5", "plain"] {
        let (setup, _) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.set("auth_type", auth_type).start();
        let startup = message::startup(0x0003_0000, &[("user", "t_scram"), ("database", "app")]);
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("a query", message::query("SELECT 1").bytes()),
            ("length 3", header(b'p', 3)),
            ("length 2^31-1", header(b'p', 0x7fff_ffff)),
            ("a negative length", header(b'p', 0x8000_0000)),
            ("nothing inside", Message::new(b'p', []).bytes()),
            ("zeros", Message::new(b'p', [0; 100]).bytes()),
            ("another startup", startup.clone()),
            ("Terminate", message::terminate().bytes()),
        ];
        for (what, bytes) in cases {
            let mut peer = Peer::connect(pgweir.address());
            peer.send_raw(&startup);
            peer.expect(b'R');
            peer.send_raw(&bytes);
            let messages = peer.expect_end();
            assert!(
                messages.iter().all(|m| m.tag == b'E'),
                "{auth_type} {what}: {messages:?}"
            );
        }
        let answer = pgweir.psql(postgres, "t_scram", "app", "SELECT 'well'");
        assert_eq!(answer, "well");
    }
}

#[test]
fn malformed_messages_end_at_most_their_client() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an unknown tag", Message::new(b'!', [1, 2, 3]).bytes()),
        ("a zero tag", vec![0; 10]),
        ("length 0", header(b'Q', 0)),
        ("length 3", header(b'S', 3)),
        ("a negative length", header(b'Q', 0xffff_ffff)),
        ("Sync of 2^31-1", header(b'S', 0x7fff_ffff)),
        ("Describe of 2^31-1", header(b'D', 0x7fff_ffff)),
        (
            "Query without terminator",
            Message::new(b'Q', *b"SELECT 1").bytes(),
        ),
        ("an empty Query body", Message::new(b'Q', []).bytes()),
        (
            "Query with a NUL inside",
            Message::new(b'Q', *b"SELECT 1\0; x\0").bytes(),
        ),
        ("Parse without anything", Message::new(b'P', []).bytes()),
        (
            "Parse without types",
            Message::new(b'P', *b"s\0SELECT 1\0").bytes(),
        ),
        (
            "Parse with too many types",
            Message::new(b'P', *b"s\0SELECT 1\0\xff\xff").bytes(),
        ),
        (
            "Bind without terminator",
            Message::new(b'B', *b"abc").bytes(),
        ),
        (
            "Bind that ends early",
            Message::new(b'B', *b"\0s\0\0\x05").bytes(),
        ),
        ("Describe of nothing", Message::new(b'D', []).bytes()),
        (
            "Describe of another kind",
            Message::new(b'D', *b"Xs\0").bytes(),
        ),
        (
            "Close without terminator",
            Message::new(b'C', *b"Ss").bytes(),
        ),
        ("Execute without rows", Message::new(b'E', *b"p\0").bytes()),
        ("a password", Message::new(b'p', *b"secret\0").bytes()),
        ("FunctionCall of nothing", Message::new(b'F', []).bytes()),
    ];
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, database) = scene::start(postgres, mode, 2);
            let mut watch = Watch::new(postgres, &database);
            let mut bystander = scene::client(&pgweir);
            bystander.query("BEGIN");
            for (what, bytes) in &cases {
                for prefix in [Vec::new(), message::query("BEGIN").bytes()] {
                    let mut peer = scene::client(&pgweir);
                    let mut all = prefix.clone();
                    all.extend(bytes);
                    // What was only an error of the server is over with this.
                    all.extend(message::sync().bytes());
                    peer.send_raw(&all);
                    let mut heard = Vec::new();
                    let expected = 1 + usize::from(!prefix.is_empty());
                    while tags(&heard).matches('Z').count() < expected {
                        match peer.hear(patient(Duration::from_secs(15))) {
                            Heard::Message(message) => heard.push(message),
                            Heard::Closed => break,
                            Heard::Silence => panic!("{mode}, {what}: silence after {heard:?}"),
                        }
                    }
                    assert!(error_in(&heard).is_some(), "{mode}, {what}: {heard:?}");
                    drop(peer);
                    watch.until(1, "state LIKE 'idle in transaction%'");
                    assert_eq!(bystander.value("SELECT 'there'"), "there", "{what}");
                }
            }
            assert_eq!(scene::client(&pgweir).value("SELECT 'next'"), "next");
        }
    }
}

#[test]
fn long_texts_pass() {
    for postgres in each_postgres() {
        for mode in ["session", "transaction"] {
            let (pgweir, _) = scene::start(postgres, mode, 1);
            let mut peer = scene::client(&pgweir);
            let mut other = scene::client_if(&pgweir, mode == "transaction");
            for size in [1 << 20, 3 << 20] {
                let sql = format!("SELECT length('{}')", "x".repeat(size));
                assert_eq!(peer.value(&sql), size.to_string());
                peer.send(&[
                    message::parse("", &sql),
                    message::bind("", "", &[]),
                    message::execute("", 0),
                    message::sync(),
                ]);
                assert_eq!(values(&peer.until_ready(1)), [size.to_string()]);
                // A long text may have set anything; others do not see it.
                let set = format!("SET work_mem = '99kB'; /*{}*/", "x".repeat(size));
                assert_eq!(error_in(&peer.query(&set)), None);
                if let Some(other) = &mut other {
                    assert_eq!(other.value("SHOW work_mem"), "4MB");
                }
                assert_eq!(peer.value("SHOW work_mem"), "99kB");
            }
        }
    }
}

/// Highest resident memory of pgweir so far, in kilobytes.
fn peak_memory(pgweir: &Pgweir) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pgweir.pid()));
    let status = status.expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.expect("VmHWM").trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

/// Most that a large value may add to what pgweir takes, in kilobytes.
const LARGE_VALUE_COST: usize = 8 * 1024;

#[test]
fn a_large_row_for_a_slow_reader_takes_no_memory() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        let mut watch = Watch::new(postgres, &database);
        let mut peer = scene::client(&pgweir);
        assert_eq!(peer.value("SELECT 1"), "1");
        let before = peak_memory(&pgweir);
        peer.send(&[message::query("SELECT repeat('x', 64000000)")]);
        // The server cannot go on: nobody reads.
        watch.until(1, "wait_event = 'ClientWrite'");
        let value = values(&peer.until_ready(1)).remove(0);
        assert_eq!(value.len(), 64_000_000);
        let after = peak_memory(&pgweir);
        assert!(
            after - before < LARGE_VALUE_COST && after < 40_000,
            "from {before} kB to {after} kB"
        );
    }
}

#[test]
fn a_large_copy_for_a_slow_server_takes_no_memory() {
    let server = FakeServer::listen();
    let pgweir = Setup::new().database_at("app", server.port()).start();
    std::thread::scope(|scope| {
        let login = scope.spawn(|| try_login(pgweir.address()).expect("a login"));
        let mut fake = first_login(&server);
        let mut client = login.join().expect("a client");
        client.send(&[message::query("COPY t FROM STDIN")]);
        assert_eq!(fake.expect(b'Q'), message::query("COPY t FROM STDIN"));
        fake.send(&[Message::new(b'G', [0, 0, 0])]);
        client.expect(b'G');
        let before = peak_memory(&pgweir);
        // The server does not read: the client must be made to stop.
        let data = Message::new(b'd', vec![b'x'; 1 << 20]).bytes();
        let mut stream = client.into_stream();
        stream
            .set_write_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        let mut sent = 0;
        let mut partial = 0;
        while sent < 64 {
            match stream.write(&data[partial..]) {
                Ok(n) if partial + n == data.len() => {
                    partial = 0;
                    sent += 1;
                }
                Ok(n) => partial += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            sent < 40,
            "{sent} MiB went into a server that does not read"
        );
        // Now it reads, and all of it comes.
        let reader = scope.spawn(move || {
            let mut fake = fake.into_stream();
            let mut chunk = vec![0; 1 << 20];
            let mut left = 64 * (data_len()) + 5;
            while left > 0 {
                let n = fake.read(&mut chunk).expect("data");
                assert!(n > 0, "an end with {left} bytes to come");
                left -= n;
            }
            fake.write_all(
                &[from_server::complete("COPY 1"), from_server::ready(b'I')]
                    .iter()
                    .flat_map(Message::bytes)
                    .collect::<Vec<u8>>(),
            )
            .expect("an answer");
        });
        stream.set_write_timeout(None).expect("a timeout");
        stream.write_all(&data[partial..]).expect("the rest");
        for _ in sent + 1..64 {
            stream.write_all(&data).expect("data");
        }
        stream
            .write_all(&message::copy_done().bytes())
            .expect("the end");
        let mut answer = [0; 18];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[0], b'C');
        reader.join().expect("the server");
        let after = peak_memory(&pgweir);
        assert!(
            after - before < LARGE_VALUE_COST && after < 40_000,
            "from {before} kB to {after} kB"
        );
    });
}

/// Bytes of a CopyData of a mebibyte.
fn data_len() -> usize {
    (1 << 20) + 5
}

#[test]
fn a_large_copy_passes_in_little_memory() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        peer.query("CREATE UNLOGGED TABLE t (x text)");
        let before = peak_memory(&pgweir);
        peer.send(&[message::query("COPY t FROM STDIN")]);
        peer.expect(b'G');
        let row = message::copy_data(&format!("{}\n", "y".repeat((1 << 20) - 1)));
        for _ in 0..64 {
            peer.send(std::slice::from_ref(&row));
        }
        peer.send(&[message::copy_done()]);
        peer.expect_tags("CZ");
        assert_eq!(peer.value("SELECT count(*) FROM t"), "64");
        let after = peak_memory(&pgweir);
        assert!(
            after - before < LARGE_VALUE_COST && after < 40_000,
            "from {before} kB to {after} kB"
        );
    }
}

/// Open files of pgweir.
fn open_files(pgweir: &Pgweir) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", pgweir.pid()))
        .expect("a running process")
        .count()
}

/// Ends a connection with a reset, which leaves nothing behind in the kernel.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("setting SO_LINGER");
}

#[test]
fn ten_thousand_abandoned_logins_leave_nothing() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let (setup, _) = scene::setup(postgres, "transaction", 2);
    let pgweir = setup
        .set("auth_type", "scram-sha-256")
        .set("log_connections", false)
        .set("log_disconnections", false)
        .set("log_pooler_errors", false)
        .set("max_client_conn", 60)
        .start();
    let address = pgweir.address();
    let startup = message::startup(0x0003_0000, &[("user", "t_scram"), ("database", "app")]);
    // Counted with one client there: the port is open before the worker has all its files.
    let mut served = Peer::connect(address);
    served.send_raw(&startup);
    served.expect(b'R');
    let with_one = open_files(&pgweir);
    drop(served);
    let unknown = message::startup(0x0003_0000, &[("user", "nobody"), ("database", "app")]);
    let mut initial = startup.clone();
    let first = b"n,,n=,r=abcdefghijklmnop";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend(u32::try_from(first.len()).expect("short").to_be_bytes());
    body.extend(first);
    initial.extend(Message::new(b'p', body).bytes());
    let stages: [(&str, Vec<u8>, bool); 7] = [
        ("nothing", Vec::new(), false),
        ("half a length", startup[..2].to_vec(), false),
        ("half a startup", startup[..20].to_vec(), false),
        ("a startup", startup.clone(), true),
        ("a startup of nobody", unknown, true),
        ("half an exchange", initial, true),
        ("a cancel request", message::cancel(1, &[0; 4]), false),
    ];
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let stages = &stages;
            scope.spawn(move || {
                for n in 0..2500 {
                    let (what, bytes, answered) = &stages[(n + worker) % stages.len()];
                    let mut stream = TcpStream::connect(address).expect("connecting");
                    stream.write_all(bytes).expect(what);
                    if *answered && n % 3 == 0 {
                        let _ = stream.read(&mut [0; 1]);
                    }
                    if n % 2 == 0 {
                        reset(&stream);
                    }
                }
            });
        }
    });
    println!("10000 abandoned logins took {:?}", begin.elapsed());
    eventually("every place is free again", || {
        (open_files(&pgweir) < with_one).then_some(())
    });
    // All places under the limit are there: none of these is turned away.
    let mut peers = Vec::new();
    for n in 0..60 {
        let mut peer = Peer::connect(address);
        peer.send_raw(&startup);
        assert_eq!(peer.expect(b'R').body[..4], [0, 0, 0, 10], "{n}");
        peers.push(peer);
    }
    drop(peers);
    assert_eq!(pgweir.psql(postgres, "t_scram", "app", "SELECT 1"), "1");
}

/// Sets the soft limit of open files of a running process.
fn limit_files(pid: u32, limit: u64) {
    let limits = libc::rlimit {
        rlim_cur: limit,
        rlim_max: 4096,
    };
    let pid = libc::pid_t::try_from(pid).expect("a pid");
    // SAFETY: the new limit is read from a valid struct, and no old one is asked for.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &limits, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn running_out_of_files_is_survived() {
    for postgres in each_postgres() {
        let (pgweir, _) = scene::start(postgres, "transaction", 2);
        let mut before = scene::client(&pgweir);
        assert_eq!(before.value("SELECT 1"), "1");
        let files = u64::try_from(open_files(&pgweir)).expect("few");
        limit_files(pgweir.pid(), files + 10);
        let mut crowd: Vec<TcpStream> = (0..60)
            .map(|_| TcpStream::connect(pgweir.address()).expect("the kernel's queue"))
            .collect();
        eventually("there are no files left", || {
            (u64::try_from(open_files(&pgweir)).expect("few") >= files + 10).then_some(())
        });
        // Who is there is served.
        assert_eq!(before.value("SELECT 'still served'"), "still served");
        crowd.clear();
        let mut after = eventually("new clients come in", || try_login(pgweir.address()).ok());
        assert_eq!(after.value("SELECT 'served'"), "served");
        // Idle servers are there, but a new one could not be opened: it can now.
        before.query("BEGIN");
        assert_eq!(after.value("SELECT 'second'"), "second");
    }
}
