//! What passes between a client and a server when both behave in ways that few do: batches without
//! a Sync, messages cut in two, peers that leave or never read.

use std::time::Duration;

use crate::support::message::{self, Message, from_server};
use crate::support::peer::{FakeServer, Heard, Peer};
use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::each_postgres;
use crate::support::wait::eventually;

/// pgweir in front of a scripted server with one connection, and a first client with that
/// connection logged in.
fn scripted(setup: Setup) -> (Pgweir, FakeServer, Peer, Peer) {
    let listener = FakeServer::listen();
    let pgweir = setup
        .set("default_pool_size", 1)
        .database_at("app", listener.port())
        .start();
    let address = pgweir.address();
    let login = std::thread::spawn(move || Peer::login(address, "t_trust", "app"));
    let server = listener.accept_login(1);
    let client = login.join().expect("the client's login");
    (pgweir, listener, client, server)
}

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

#[test]
fn made_up_replies_never_cut_a_message_in_two() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::parse("a", "SELECT 1"), message::sync()]);
    server.expect_tags("PS");
    server.send(&[Message::new(b'1', []), from_server::ready(b'I')]);
    client.expect_tags("1Z");
    client.send(&[
        message::describe_statement("a"),
        message::parse("b", "SELECT 1"),
        message::sync(),
    ]);
    server.expect_tags("DS");
    let description = from_server::row_description(&["one", "two"]);
    let bytes = description.bytes();
    server.send(&[Message::new(b't', [0, 0])]);
    server.send_raw(&bytes[..20]);
    std::thread::sleep(Duration::from_millis(100));
    server.send_raw(&bytes[20..]);
    server.send(&[from_server::ready(b'I')]);
    client.expect(b't');
    assert_eq!(client.expect(b'T'), description);
    client.expect_tags("1Z");
}

#[test]
fn last_words_are_not_taken_for_the_rest_of_a_row() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::query("SELECT x")]);
    server.expect(b'Q');
    server.send(&[from_server::row_description(&["x"])]);
    let row = from_server::row(&["0123456789012345678901234567890123456789"]).bytes();
    server.send_raw(&row[..row.len() - 20]);
    std::thread::sleep(Duration::from_millis(100));
    drop(server);
    let heard = client.expect_end();
    let tags: Vec<char> = heard.iter().map(|m| char::from(m.tag)).collect();
    assert_eq!(tags, ['T'], "{heard:?}");
}

/// Header and first bytes of a CopyData message, and the rest of it.
fn half_copy_data() -> (Vec<u8>, Vec<u8>) {
    let mut first = message::copy_data(&"x".repeat(100)).bytes();
    let rest = first.split_off(15);
    (first, rest)
}

/// A COPY that the server ends with an error while the client is in the middle of a message.
fn failed_copy(client: &mut Peer, server: &mut Peer) -> Vec<u8> {
    client.send(&[message::query("COPY t FROM STDIN")]);
    server.expect(b'Q');
    server.send(&[Message::new(b'G', [0, 0, 0])]);
    client.expect(b'G');
    let (first, rest) = half_copy_data();
    client.send_raw(&first);
    std::thread::sleep(Duration::from_millis(100));
    server.send(&[
        from_server::report(b'E', "ERROR", "22P04", "no"),
        from_server::ready(b'I'),
    ]);
    client.expect_tags("EZ");
    rest
}

#[test]
fn a_server_with_half_a_message_is_given_to_nobody() {
    let (pgweir, listener, mut client, mut server) = scripted(transaction());
    let mut other = Peer::login(pgweir.address(), "t_trust", "app");
    failed_copy(&mut client, &mut server);
    drop(client);
    other.send(&[message::query("SELECT 1")]);
    let mut fresh = listener.accept_login(2);
    fresh.expect(b'Q');
    fresh.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    other.expect_tags("CZ");
}

#[test]
fn a_failed_copy_does_not_keep_its_server() {
    let (pgweir, _listener, mut client, mut server) = scripted(transaction());
    let mut other = Peer::login(pgweir.address(), "t_trust", "app");
    let rest = failed_copy(&mut client, &mut server);
    client.send_raw(&rest);
    client.send(&[message::copy_done()]);
    other.send(&[message::query("SELECT 1")]);
    assert_eq!(server.expect_raw_until(b'Q'), message::query("SELECT 1"));
    server.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    other.expect_tags("CZ");
    client.expect_silence(Duration::from_millis(50));
}

impl Peer {
    /// The next message with this tag, others left out; COPY data that came before is too.
    fn expect_raw_until(&mut self, tag: u8) -> Message {
        loop {
            let message = self.next();
            if message.tag == tag {
                return message;
            }
        }
    }
}

#[test]
fn a_skipped_parse_leaves_no_wrong_statement_behind() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        let prepare = |peer: &mut Peer, sql: &str| {
            peer.send(&[message::parse("", sql), message::sync()]);
            peer.expect_tags("1Z");
        };
        prepare(&mut one, "SELECT 'one'");
        prepare(&mut two, "SELECT 'two'");
        // What the pooler puts in front of the Bind is skipped with it.
        one.send(&[
            message::execute("nowhere", 0),
            message::bind("", "", &[]),
            message::sync(),
        ]);
        one.expect_tags("EZ");
        one.send(&[
            message::bind("", "", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        let answer = one.until_ready(1);
        let row = answer.iter().find(|m| m.tag == b'D').expect("a row");
        assert_eq!(row.columns(), [Some("one".to_owned())]);
        // A Query that is skipped destroys nothing.
        let mut three = Peer::login(pgweir.address(), "t_trust", "app");
        one.send(&[
            message::parse("", "SELECT 'one'"),
            message::execute("nowhere", 0),
            message::query("SELECT 1"),
            message::close_statement(""),
            message::sync(),
        ]);
        one.expect_tags("1EZ");
        three.send(&[
            message::bind("", "", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        let error = three.expect(b'E');
        assert_eq!(error.report().sqlstate(), "26000");
        three.expect_tags("Z");
    }
}

#[test]
fn a_client_that_never_reads_is_not_read_either() {
    let (pgweir, _listener, client, _server) = scripted(transaction());
    let mut stream = client.into_stream();
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a write timeout");
    let syncs: Vec<u8> = std::iter::repeat_n(message::sync().bytes(), 20_000)
        .flatten()
        .collect();
    let mut sent = 0;
    // Each Sync is answered without a server. At some point it must not take any more.
    while sent < 200 << 20 {
        match std::io::Write::write(&mut stream, &syncs) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    assert!(sent < 200 << 20, "all of it was taken");
    assert!(pgweir.resident() < 100 << 10, "{} kB", pgweir.resident());
}

#[test]
fn bytes_behind_an_answer_of_ours_stay_in_step() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::query("CREATE TEMP TABLE x ()")]);
    server.expect(b'Q');
    server.send(&[
        from_server::complete("CREATE TABLE"),
        from_server::ready(b'I'),
    ]);
    client.expect_tags("CZ");
    // The question what is left, answered in pieces, with the front of a report behind it.
    server.expect(b'Q');
    let row = from_server::row(&["0"]).bytes();
    let report = from_server::parameter_status("TimeZone", "Europe/Berlin").bytes();
    server.send(&[from_server::row_description(&["x"])]);
    server.send_raw(&row[..row.len() - 1]);
    std::thread::sleep(Duration::from_millis(100));
    let mut rest = row[row.len() - 1..].to_vec();
    rest.extend(from_server::complete("SELECT 1").bytes());
    rest.extend(from_server::ready(b'I').bytes());
    rest.extend(&report[..7]);
    server.send_raw(&rest);
    std::thread::sleep(Duration::from_millis(100));
    server.send_raw(&report[7..]);
    client.send(&[message::query("SELECT 1")]);
    server.expect(b'Q');
    server.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    let heard = client.until_ready(1);
    let tags: String = heard.iter().map(|m| char::from(m.tag)).collect();
    assert!(matches!(tags.as_str(), "CZ" | "SCZ"), "{heard:?}");
}

#[test]
fn a_batch_is_not_played_again_behind_the_next() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::parse("a", "SELECT 1"), message::sync()]);
    server.expect_tags("PS");
    server.send(&[Message::new(b'1', []), from_server::ready(b'I')]);
    client.expect_tags("1Z");
    let batch = [
        message::bind("", "a", &[]),
        message::execute("", 0),
        message::sync(),
    ];
    client.send(&batch);
    server.expect_tags("BES");
    let mut stale = from_server::report(b'E', "ERROR", "0A000", "cached plan").body;
    stale.pop();
    stale.extend(b"RRevalidateCachedQuery\0\0");
    server.send(&[Message::new(b'E', stale)]);
    std::thread::sleep(Duration::from_millis(100));
    client.send(&[message::query("SELECT 2")]);
    std::thread::sleep(Duration::from_millis(100));
    server.send(&[from_server::ready(b'I')]);
    // First the batch once more, then the query.
    server.expect_tags("CPBESQ");
    server.send(&[
        Message::new(b'3', []),
        Message::new(b'1', []),
        Message::new(b'2', []),
        from_server::complete("SELECT 0"),
        from_server::ready(b'I'),
        from_server::complete("SELECT 0"),
        from_server::ready(b'I'),
    ]);
    client.expect_tags("2CZCZ");
    assert_eq!(client.hear(Duration::from_millis(50)), Heard::Silence);
}

#[test]
fn a_setting_whose_name_no_text_shows_is_seen_by_nobody() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        one.send(&[
            message::parse("", "SELECT set_config($1, $2, false)"),
            message::bind("", "", &[Some("app.tenant"), Some("acme")]),
            message::execute("", 0),
            message::sync(),
        ]);
        one.expect_tags("12DCZ");
        let tenant = "SELECT coalesce(current_setting('app.tenant', true), '')";
        let mut three = Peer::login(pgweir.address(), "t_trust", "app");
        assert_eq!(three.value(tenant), "");
        drop(one);
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        assert_eq!(two.value(tenant), "");
    }
}

#[test]
fn deallocate_in_a_pipeline_hits_the_statement_it_names() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        for peer in [&mut one, &mut two] {
            peer.send(&[
                message::parse("a", "SELECT 'a'"),
                message::parse("b", "SELECT 'b'"),
                message::sync(),
            ]);
            peer.expect_tags("11Z");
        }
        let batch = |sql: &str| {
            [
                message::parse("", sql),
                message::bind("", "", &[]),
                message::execute("", 0),
                message::sync(),
            ]
        };
        one.send(&batch("DEALLOCATE a"));
        one.send(&batch("DEALLOCATE b"));
        one.expect_tags("12CZ12CZ");
        // Another client's statements of the same text are not affected.
        for name in ["a", "b"] {
            let run = [
                message::bind("", name, &[]),
                message::execute("", 0),
                message::sync(),
            ];
            two.send(&run);
            two.expect_tags("2DCZ");
            one.send(&run);
            assert_eq!(one.expect(b'E').report().sqlstate(), "26000");
            one.expect(b'Z');
        }
        // One that fails names nothing for the next.
        one.send(&[
            message::parse("a", "SELECT 'a'"),
            message::parse("b", "SELECT 'b'"),
            message::sync(),
        ]);
        one.expect_tags("11Z");
        one.query("BEGIN");
        one.query("SELECT 1/0");
        one.query("DEALLOCATE a");
        one.query("ROLLBACK");
        one.query("DEALLOCATE b");
        one.send(&[
            message::bind("", "a", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        one.expect_tags("2DCZ");
        one.send(&[message::bind("", "b", &[]), message::sync()]);
        one.expect_tags("EZ");
    }
}

#[test]
fn what_follows_deallocate_all_in_a_pipeline_is_prepared_anew() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        one.send(&[message::parse("a", "SELECT 'a'"), message::sync()]);
        one.expect_tags("1Z");
        one.send(&[
            message::query("DEALLOCATE ALL"),
            message::parse("z", "SELECT 'a'"),
            message::bind("", "z", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        one.expect_tags("CZ12DCZ");
        one.send(&[
            message::parse("", "DEALLOCATE ALL"),
            message::bind("", "", &[]),
            message::execute("", 0),
            message::parse("y", "SELECT 'a'"),
            message::bind("", "y", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        one.expect_tags("12C12DCZ");
        assert_eq!(one.value("SELECT 1"), "1");
    }
}

#[test]
fn last_words_are_said_when_draining() {
    let postgres = each_postgres().next().expect("a PostgreSQL");
    let database = postgres.database();
    let pgweir = transaction().database("app", postgres, &database).start();
    let mut one = Peer::login(pgweir.address(), "t_trust", "app");
    assert_eq!(one.value("SELECT 1"), "1");
    pgweir.signal("INT");
    let heard = one.expect_end();
    let states: Vec<_> = heard
        .iter()
        .map(|m| m.report().sqlstate().to_owned())
        .collect();
    assert_eq!(states, ["57P01"]);
}

#[test]
fn pause_ends_though_a_login_was_under_way() {
    let (pgweir, listener, mut client, mut server) = scripted(transaction());
    let mut console = Peer::login(pgweir.address(), "postgres", "pgweir");
    // The only server is lost; another is being opened for the client.
    server.send(&[]);
    drop(server);
    client.send(&[message::query("SELECT 1")]);
    let (mut opening, _, _) = listener.accept_startup();
    console.send(&[message::query("PAUSE")]);
    console.expect_silence(Duration::from_millis(200));
    opening.send(&[
        from_server::authentication_ok(),
        from_server::backend_key(2, &[1, 2, 3, 4]),
        from_server::ready(b'I'),
    ]);
    console.expect_tags("CZ");
    console.send(&[message::query("RESUME")]);
    console.expect_tags("CZ");
    let mut fresh = listener.accept_login(3);
    fresh.expect(b'Q');
    fresh.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    client.expect_tags("CZ");
}

#[test]
fn an_idle_session_has_not_been_running_a_query() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = Setup::new()
            .set("pool_mode", "session")
            .set("query_timeout", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        assert_eq!(one.value("SELECT 1"), "1");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(one.value("SELECT 2 FROM pg_sleep(0.4)"), "2");
    }
}

#[test]
fn a_session_pool_that_becomes_a_transaction_pool_still_cleans_up() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let setup = Setup::new()
            .set("default_pool_size", 1)
            .database("app", postgres, &database);
        let pgweir = setup.clone().set("pool_mode", "session").start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        one.query("SET application_name = 'mine'");
        one.query("SET work_mem = '77MB'");
        pgweir.rewrite(&setup.set("pool_mode", "transaction"));
        let mut console = Peer::login(pgweir.address(), "postgres", "pgweir");
        console.query("RELOAD");
        drop(one);
        let mut two = Peer::login(pgweir.address(), "t_trust", "app");
        assert_ne!(two.value("SHOW work_mem"), "77MB");
    }
}

#[test]
fn a_cancel_request_that_is_lost_on_its_way_hits_nobody_else() {
    let (pgweir, listener, mut client, mut server) =
        scripted(transaction().set("cancel_wait_timeout", 1));
    let mut other = Peer::login(pgweir.address(), "t_trust", "app");
    client.send(&[message::query("SELECT 1")]);
    server.expect(b'Q');
    let (pid, key) = client.key();
    let mut canceller = Peer::connect(pgweir.address());
    canceller.send_raw(&message::cancel(pid, key));
    // It arrives, but nothing tells when it will be obeyed.
    let (slow, code, _) = listener.accept_startup();
    assert_eq!(code, 80_877_102);
    std::thread::sleep(Duration::from_millis(1500));
    server.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    client.expect_tags("CZ");
    other.send(&[message::query("SELECT 2")]);
    let mut fresh = listener.accept_login(2);
    assert_eq!(fresh.expect(b'Q'), message::query("SELECT 2"));
    fresh.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    other.expect_tags("CZ");
    drop(slow);
}

#[test]
fn a_client_that_never_reads_is_closed_in_the_end() {
    let postgres = each_postgres().next().expect("a PostgreSQL");
    let database = postgres.database();
    let pgweir = transaction().database("app", postgres, &database).start();
    let mut console = Peer::login(pgweir.address(), "postgres", "pgweir");
    let mut deaf = Peer::login(pgweir.address(), "t_trust", "app");
    deaf.send(&[message::query(
        "SELECT repeat('x', 1000) FROM generate_series(1, 100000)",
    )]);
    std::thread::sleep(Duration::from_millis(500));
    let clients = |console: &mut Peer| {
        let rows = console.query("SHOW CLIENTS");
        let mut rows = rows.iter().filter(|m| m.tag == b'D').map(Message::columns);
        rows.any(|row| row.contains(&Some("t_trust".to_owned())))
    };
    assert!(clients(&mut console));
    console.query("KILL app");
    console.query("RESUME app");
    eventually("the client is gone", || {
        (!clients(&mut console)).then_some(())
    });
}

#[test]
fn a_notification_during_a_question_of_ours_is_not_lost() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::query("LISTEN news")]);
    server.expect(b'Q');
    server.send(&[from_server::complete("LISTEN"), from_server::ready(b'I')]);
    client.expect_tags("CZ");
    server.expect(b'Q');
    let news = Message::new(b'A', *b"\x00\x00\x00\x07news\x00\x00");
    server.send(&[
        from_server::row_description(&["x"]),
        from_server::row(&["4"]),
        from_server::complete("SELECT 1"),
        news.clone(),
        from_server::ready(b'I'),
    ]);
    assert_eq!(client.expect(b'A'), news);
}

#[test]
fn half_a_query_takes_no_server() {
    let (pgweir, _listener, mut client, mut server) = scripted(transaction());
    let mut other = Peer::login(pgweir.address(), "t_trust", "app");
    let bytes = message::query("SELECT 1").bytes();
    client.send_raw(&bytes[..9]);
    std::thread::sleep(Duration::from_millis(100));
    other.send(&[message::query("SELECT 2")]);
    assert_eq!(server.expect(b'Q'), message::query("SELECT 2"));
    server.send(&[from_server::complete("SELECT 0"), from_server::ready(b'I')]);
    other.expect_tags("CZ");
    client.send_raw(&bytes[9..]);
    assert_eq!(server.expect(b'Q'), message::query("SELECT 1"));
}

#[test]
fn a_long_unnamed_parse_may_be_cut_behind_its_header() {
    let (_pgweir, _listener, mut client, mut server) = scripted(transaction());
    let long = message::parse("", &format!("SELECT '{}'", "x".repeat(2 << 20)));
    let bytes = long.bytes();
    client.send_raw(&bytes[..5]);
    std::thread::sleep(Duration::from_millis(100));
    client.send_raw(&bytes[5..]);
    client.send(&[message::sync()]);
    assert_eq!(server.expect(b'P'), long);
    server.expect(b'S');
    server.send(&[Message::new(b'1', []), from_server::ready(b'I')]);
    client.expect_tags("1Z");
}

#[test]
fn a_server_that_lost_a_statement_is_given_it_again() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let pgweir = transaction()
            .set("default_pool_size", 1)
            .database("app", postgres, &database)
            .start();
        let mut one = Peer::login(pgweir.address(), "t_trust", "app");
        one.send(&[message::parse("a", "SELECT 'a'"), message::sync()]);
        one.expect_tags("1Z");
        one.query("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$");
        one.send(&[
            message::bind("", "a", &[]),
            message::execute("", 0),
            message::sync(),
        ]);
        one.expect_tags("2DCZ");
    }
}

#[test]
fn what_is_owed_is_bounded() {
    let (pgweir, _listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::query("SELECT 1")]);
    server.expect(b'Q');
    // The server answers nothing; closing names it has never heard of costs it no byte.
    let mut stream = client.into_stream();
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a write timeout");
    let close = message::close_statement("_pgweir_x").bytes();
    let closes: Vec<u8> = std::iter::repeat_n(close, 20_000).flatten().collect();
    let mut sent = 0;
    while sent < 100 << 20 {
        match std::io::Write::write(&mut stream, &closes) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    assert!(sent < 100 << 20, "all of it was taken");
    assert!(pgweir.resident() < 100 << 10, "{} kB", pgweir.resident());
}

impl Pgweir {
    /// Its resident memory, in kB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.map(|rest| rest.trim().trim_end_matches("kB").trim().parse());
        number.expect("resident memory").expect("a number")
    }
}

/// Asks pgweir to cancel what `client` does; the server's end of the request, not yet closed.
fn cancel(pgweir: &Pgweir, listener: &FakeServer, client: &Peer) -> (Peer, Peer) {
    let (pid, key) = client.key();
    let mut canceller = Peer::connect(pgweir.address());
    canceller.send_raw(&message::cancel(pid, key));
    let (arrived, code, _) = listener.accept_startup();
    assert_eq!(code, 80_877_102);
    (canceller, arrived)
}

#[test]
fn a_late_cancel_request_may_hit_our_question() {
    let (pgweir, listener, mut client, mut server) = scripted(transaction());
    client.send(&[message::query("CREATE TEMP TABLE x ()")]);
    server.expect(b'Q');
    let request = cancel(&pgweir, &listener, &client);
    server.send(&[
        from_server::complete("CREATE TABLE"),
        from_server::ready(b'I'),
    ]);
    client.expect_tags("CZ");
    let question = server.expect(b'Q');
    server.send(&[
        from_server::report(b'E', "ERROR", "57014", "canceling statement"),
        from_server::ready(b'I'),
    ]);
    drop(request);
    assert_eq!(server.expect(b'Q'), question);
    server.send(&[
        from_server::row_description(&["x"]),
        from_server::row(&["0"]),
        from_server::complete("SELECT 1"),
        from_server::ready(b'I'),
    ]);
    client.send(&[message::query("SELECT 1")]);
    assert_eq!(server.expect(b'Q'), message::query("SELECT 1"));
}

#[test]
fn a_cancel_request_waits_for_our_settings() {
    let (pgweir, listener, first, mut server) = scripted(transaction());
    drop(first);
    let with = [
        ("user", "t_trust"),
        ("database", "app"),
        ("application_name", "mine"),
    ];
    let mut client = Peer::login_with(pgweir.address(), &with);
    client.send(&[message::query("SELECT 1")]);
    server.expect_tags("QQ");
    let (pid, key) = client.key();
    let mut canceller = Peer::connect(pgweir.address());
    canceller.send_raw(&message::cancel(pid, key));
    std::thread::sleep(Duration::from_millis(200));
    server.send(&[from_server::complete("SET"), from_server::ready(b'I')]);
    let (arrived, code, _) = listener.accept_startup();
    assert_eq!(code, 80_877_102);
    drop(arrived);
    server.send(&[
        from_server::report(b'E', "ERROR", "57014", "canceling statement"),
        from_server::ready(b'I'),
    ]);
    client.expect_tags("EZ");
}

#[test]
fn a_server_lost_during_a_login_is_replaced() {
    let listener = FakeServer::listen();
    let pgweir = transaction().database_at("app", listener.port()).start();
    let address = pgweir.address();
    let parameters = |path| {
        [
            ("user", "t_trust"),
            ("database", "app"),
            ("search_path", path),
        ]
    };
    let login = std::thread::spawn(move || Peer::login_with(address, &parameters("own")));
    let mut server = listener.accept_login(1);
    server.expect(b'Q');
    server.send(&[from_server::report(
        b'E',
        "FATAL",
        "57P01",
        "terminating connection due to administrator command",
    )]);
    drop(server);
    let mut server = listener.accept_login(2);
    server.expect(b'Q');
    server.send(&[from_server::complete("SET"), from_server::ready(b'I')]);
    let mut client = login.join().expect("the client's login");
    // If it happens again and again, the client is told what the server said.
    let mut other = Peer::connect(address);
    other.send_raw(&message::startup(0x0003_0000, &parameters("never_seen")));
    let lose = |mut server: Peer| {
        server.expect(b'Q');
        server.send(&[from_server::report(b'E', "FATAL", "57P01", "gone")]);
    };
    lose(server);
    for pid in 3..6 {
        lose(listener.accept_login(pid));
    }
    let heard = other.expect_end();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].report().sqlstate(), "57P01");
    client.expect_silence(Duration::from_millis(10));
}
