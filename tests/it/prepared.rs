//! Prepared statements of clients that change servers behave as if each had a server of its own.

use crate::support::message::{self, Message};
use crate::support::peer::Peer;
use crate::support::pgweir::Pgweir;
use crate::support::postgres::{Postgres, each_postgres};
use crate::support::scene::{self, error_in, tags, the_error, values};

const MODES: [&str; 2] = ["transaction", "statement"];

fn start(postgres: &Postgres, mode: &str, pool_size: u32) -> Pgweir {
    scene::start(postgres, mode, pool_size).0
}

/// A Parse with parameter types.
fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Message {
    let mut body = message::parse(name, sql).body;
    body.truncate(body.len() - 2);
    let count = u16::try_from(types.len()).expect("few types");
    body.extend(count.to_be_bytes());
    for oid in types {
        body.extend(oid.to_be_bytes());
    }
    Message::new(b'P', body)
}

/// Bind, Execute of a statement.
fn run(name: &str, values: &[Option<&str>]) -> [Message; 2] {
    [message::bind("", name, values), message::execute("", 0)]
}

/// Sends messages and a Sync and gives all answers.
fn ask(peer: &mut Peer, messages: &[Message]) -> Vec<Message> {
    peer.send(&[messages, &[message::sync()]].concat());
    peer.until_ready(1)
}

/// Makes a statement of that name, which must work.
fn prepare(peer: &mut Peer, name: &str, sql: &str) {
    let answer = ask(peer, &[message::parse(name, sql)]);
    assert_eq!(tags(&answer), "1Z", "{sql}: {answer:?}");
}

/// Runs a statement that gives one value.
fn call(peer: &mut Peer, name: &str) -> String {
    let answer = ask(peer, &run(name, &[]));
    assert_eq!(tags(&answer), "2DCZ", "{name}: {answer:?}");
    values(&answer).remove(0)
}

#[test]
fn one_name_means_each_clients_own_text() {
    for postgres in each_postgres() {
        for mode in MODES {
            let pgweir = start(postgres, mode, 2);
            let mut clients: Vec<Peer> = (0..6).map(|_| scene::client(&pgweir)).collect();
            for (n, peer) in clients.iter_mut().enumerate() {
                prepare(peer, "s", &format!("SELECT 'text {n}'"));
            }
            for _ in 0..3 {
                for (n, peer) in clients.iter_mut().enumerate() {
                    assert_eq!(call(peer, "s"), format!("text {n}"));
                }
            }
        }
    }
}

#[test]
fn one_text_with_other_types_is_another_statement() {
    const INT8: u32 = 20;
    const TEXT: u32 = 25;
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        let sql = "SELECT pg_typeof($1)";
        ask(&mut a, &[parse_typed("s", sql, &[INT8])]);
        ask(&mut b, &[parse_typed("s", sql, &[TEXT])]);
        for _ in 0..2 {
            for (peer, name) in [(&mut a, "bigint"), (&mut b, "text")] {
                let answer = ask(peer, &run("s", &[Some("1")]));
                assert_eq!(values(&answer), [name]);
            }
        }
    }
}

#[test]
fn deallocate_forgets_one_name_of_one_client() {
    for postgres in each_postgres() {
        for extended in [false, true] {
            let pgweir = start(postgres, "transaction", 1);
            let mut a = scene::client(&pgweir);
            let mut b = scene::client(&pgweir);
            for peer in [&mut a, &mut b] {
                prepare(peer, "s", "SELECT 's'");
                prepare(peer, "Other name", "SELECT 'other'");
            }
            let deallocate = |peer: &mut Peer, sql: &str| match extended {
                false => peer.query(sql),
                true => {
                    let [bind, execute] = run("", &[]);
                    ask(peer, &[message::parse("", sql), bind, execute])
                }
            };
            let answer = deallocate(&mut a, "DEALLOCATE s");
            assert_eq!(error_in(&answer), None);
            let error = the_error(&ask(&mut a, &run("s", &[])));
            assert_eq!(error.sqlstate(), "26000");
            assert_eq!(error.message(), "prepared statement \"s\" does not exist");
            assert_eq!(call(&mut a, "Other name"), "other");
            assert_eq!(call(&mut b, "s"), "s");
            assert_eq!(
                error_in(&deallocate(&mut a, "DEALLOCATE PREPARE \"Other name\"")),
                None
            );
            // Again: it is gone, and the error has the client's name for it.
            let error = the_error(&deallocate(&mut a, "DEALLOCATE \"Other name\""));
            assert_eq!(error.sqlstate(), "26000");
            assert!(error.message().contains("\"Other name\""), "{error:?}");
            // The name is free.
            prepare(&mut a, "s", "SELECT 'new'");
            assert_eq!(call(&mut a, "s"), "new");
            assert_eq!(call(&mut b, "s"), "s");
        }
    }
}

#[test]
fn deallocate_all_forgets_all_names_of_one_client() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        for sql in ["DEALLOCATE ALL", "DISCARD ALL", "DEALLOCATE PREPARE ALL"] {
            for extended in [false, true] {
                let mut a = scene::client(&pgweir);
                let mut b = scene::client(&pgweir);
                for peer in [&mut a, &mut b] {
                    prepare(peer, "s", "SELECT 's'");
                    prepare(peer, "t", "SELECT 't'");
                }
                let answer = match extended {
                    false => a.query(sql),
                    true => {
                        let [bind, execute] = run("", &[]);
                        ask(&mut a, &[message::parse("", sql), bind, execute])
                    }
                };
                assert_eq!(error_in(&answer), None, "{sql}");
                for name in ["s", "t"] {
                    let error = the_error(&ask(&mut a, &run(name, &[])));
                    assert_eq!(error.sqlstate(), "26000", "{sql}");
                    assert_eq!(call(&mut b, name), name, "{sql}");
                }
                prepare(&mut a, "s", "SELECT 'anew'");
                assert_eq!(call(&mut a, "s"), "anew");
                assert_eq!(call(&mut b, "t"), "t");
            }
        }
    }
}

/// Effects take place at their position in the stream.
#[test]
fn what_is_prepared_after_discard_all_in_one_write_stays() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        for sql in ["DISCARD ALL", "DEALLOCATE ALL"] {
            let mut peer = scene::client(&pgweir);
            prepare(&mut peer, "before", "SELECT 'before'");
            let mut batch = vec![
                message::query(sql),
                message::parse("after", "SELECT 'after'"),
            ];
            batch.extend(run("after", &[]));
            batch.push(message::sync());
            peer.send(&batch);
            let answer = peer.until_ready(2);
            assert_eq!(tags(&answer), "CZ12DCZ", "{answer:?}");
            assert_eq!(call(&mut peer, "after"), "after", "{sql}");
            let error = the_error(&ask(&mut peer, &run("before", &[])));
            assert_eq!(error.sqlstate(), "26000", "{sql}");

            // A name that was taken before is free.
            let mut batch = vec![
                message::query(sql),
                message::parse("after", "SELECT 'again'"),
            ];
            batch.extend(run("after", &[]));
            batch.extend([message::sync(), message::query(sql)]);
            batch.extend(run("after", &[]));
            batch.push(message::sync());
            peer.send(&batch);
            let answer = peer.until_ready(4);
            assert_eq!(tags(&answer), "CZ12DCZCZEZ", "{sql}: {answer:?}");
            assert_eq!(the_error(&answer).sqlstate(), "26000");
            prepare(&mut peer, "after", "SELECT 'after'");

            // One that fails forgets nothing.
            peer.send(&[
                message::query(&format!("BEGIN; SELECT 1/0; {sql}")),
                message::query("ROLLBACK"),
            ]);
            peer.until_ready(2);
            assert_eq!(call(&mut peer, "after"), "after", "{sql}");

            // In one batch of the extended protocol.
            let mut batch = vec![message::parse("", sql)];
            if sql == "DEALLOCATE ALL" {
                batch.extend(run("", &[]));
                batch.push(message::parse("then", "SELECT 'then'"));
                batch.extend(run("then", &[]));
                let answer = ask(&mut peer, &batch);
                assert_eq!(tags(&answer), "12C12DCZ", "{answer:?}");
                assert_eq!(call(&mut peer, "then"), "then");
                let error = the_error(&ask(&mut peer, &run("after", &[])));
                assert_eq!(error.sqlstate(), "26000");
            }
        }
    }
}

#[test]
fn a_failed_parse_leaves_its_name_free() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        let answer = ask(&mut peer, &[message::parse("s", "SELEC 1")]);
        assert_eq!(the_error(&answer).sqlstate(), "42601");
        let error = the_error(&ask(&mut peer, &run("s", &[])));
        assert_eq!(error.sqlstate(), "26000");
        prepare(&mut peer, "s", "SELECT 'works'");
        assert_eq!(call(&mut peer, "s"), "works");
        // One that is skipped because of an error before it.
        let answer = ask(
            &mut peer,
            &[
                message::parse("", "SELEC 1"),
                message::parse("skipped", "SELECT 'skipped'"),
            ],
        );
        assert_eq!(tags(&answer), "EZ");
        let error = the_error(&ask(&mut peer, &run("skipped", &[])));
        assert_eq!(error.sqlstate(), "26000");
        // And a Close that is skipped leaves what it names.
        let answer = ask(
            &mut peer,
            &[message::parse("", "SELEC 1"), message::close_statement("s")],
        );
        assert_eq!(tags(&answer), "EZ");
        assert_eq!(call(&mut peer, "s"), "works");
        // A statement that refers to what is not there yet.
        let answer = ask(&mut peer, &[message::parse("late", "SELECT * FROM late")]);
        assert_eq!(the_error(&answer).sqlstate(), "42P01");
        peer.query("CREATE TABLE late AS SELECT 'late'");
        prepare(&mut peer, "late", "SELECT * FROM late");
        assert_eq!(call(&mut peer, "late"), "late");
        // One that was good before, so that its Parse needs no server, and is not any more.
        peer.query("DEALLOCATE ALL");
        peer.query("DROP TABLE late");
        let mut other = scene::client(&pgweir);
        prepare(&mut other, "late", "SELECT * FROM late");
        let error = the_error(&ask(&mut other, &run("late", &[])));
        assert_eq!(error.sqlstate(), "42P01");
        let answer = ask(&mut other, &[message::parse("late", "SELECT * FROM late")]);
        assert_eq!(the_error(&answer).sqlstate(), "42P01");
        peer.query("CREATE TABLE late AS SELECT 'again'");
        prepare(&mut other, "late", "SELECT * FROM late");
        assert_eq!(call(&mut other, "late"), "again");
    }
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_session_goes_on() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        prepare(&mut peer, "s", "SELECT 'first'");
        for sql in ["SELECT 'second'", "SELECT 'first'"] {
            let mut batch = vec![message::parse("s", sql)];
            batch.extend(run("s", &[]));
            let answer = ask(&mut peer, &batch);
            assert_eq!(tags(&answer), "EZ", "{answer:?}");
            let error = the_error(&answer);
            assert_eq!(error.sqlstate(), "42P05");
            assert_eq!(error.message(), "prepared statement \"s\" already exists");
            assert_eq!(error.field('V'), "ERROR");
            assert_eq!(call(&mut peer, "s"), "first");
        }
        // Twice in one batch.
        let answer = ask(
            &mut peer,
            &[
                message::parse("twice", "SELECT 1"),
                message::parse("twice", "SELECT 2"),
            ],
        );
        assert_eq!(tags(&answer), "1EZ");
        assert_eq!(the_error(&answer).sqlstate(), "42P05");
        // In a transaction it is an error like any other.
        peer.query("BEGIN");
        let answer = ask(&mut peer, &[message::parse("s", "SELECT 3")]);
        assert_eq!(the_error(&answer).sqlstate(), "42P05");
        assert_eq!(answer.last().map(|m| m.body.clone()), Some(vec![b'E']));
        let error = the_error(&peer.query("SELECT 1"));
        assert_eq!(error.sqlstate(), "25P02");
        peer.query("ROLLBACK");
        assert_eq!(call(&mut peer, "s"), "first");
        // Closed, the name is free, also within a batch.
        let mut batch = vec![
            message::close_statement("s"),
            message::parse("s", "SELECT 'third'"),
        ];
        batch.extend(run("s", &[]));
        let answer = ask(&mut peer, &batch);
        assert_eq!(tags(&answer), "312DCZ");
        assert_eq!(values(&answer), ["third"]);
    }
}

/// The same by PostgreSQL itself: the name is looked at last.
#[test]
fn a_name_that_is_taken_is_refused_after_whatever_else_is_wrong() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        let direct = Peer::login(
            ([127, 0, 0, 1], postgres.port()).into(),
            "t_trust",
            &database,
        );
        for mut peer in [direct, scene::client(&pgweir)] {
            let refused = |peer: &mut Peer, sql: &str| {
                let answer = ask(peer, &[message::parse("s", sql)]);
                assert_eq!(tags(&answer), "EZ", "{sql}: {answer:?}");
                the_error(&answer).sqlstate().to_owned()
            };
            prepare(&mut peer, "s", "SELECT 'the first'");
            assert_eq!(refused(&mut peer, "SELEC 'the second'"), "42601");
            assert_eq!(refused(&mut peer, "SELECT missing"), "42703");
            for _ in 0..2 {
                assert_eq!(refused(&mut peer, "SELECT 'the third'"), "42P05");
            }
            peer.query("BEGIN");
            peer.query("SELECT 1/0");
            for sql in ["SELECT 'the first'", "SELECT 'the fourth'"] {
                assert_eq!(refused(&mut peer, sql), "25P02");
            }
            peer.query("ROLLBACK");
            assert_eq!(call(&mut peer, "s"), "the first");
        }
    }
}

/// Names are the client's own in errors, also of what was never prepared; and a failed transaction
/// prepares nothing, whatever the server has from others.
#[test]
fn what_is_not_prepared_keeps_its_name_and_is_not_said_to_be() {
    for postgres in each_postgres() {
        let (pgweir, database) = scene::start(postgres, "transaction", 1);
        let mut other = scene::client(&pgweir);
        prepare(&mut other, "theirs", "SELECT 'known'");
        assert_eq!(call(&mut other, "theirs"), "known");
        let direct = Peer::login(
            ([127, 0, 0, 1], postgres.port()).into(),
            "t_trust",
            &database,
        );
        for mut peer in [direct, scene::client(&pgweir)] {
            // Skipped, and asked for in the same write.
            peer.send(&[
                message::parse("", "SELEC"),
                message::parse("mine", "SELECT 'skipped'"),
                message::sync(),
                message::bind("", "mine", &[]),
                message::sync(),
            ]);
            let answer = peer.until_ready(2);
            assert_eq!(tags(&answer), "EZEZ", "{answer:?}");
            let report = answer[2].report();
            assert_eq!(
                report.message(),
                "prepared statement \"mine\" does not exist"
            );
            // Skipped, each after the other: what was there before is.
            prepare(&mut peer, "old", "SELECT 'old'");
            prepare(&mut peer, "", "SELECT 'kept'");
            let answer = ask(
                &mut peer,
                &[
                    message::bind("", "missing", &[]),
                    message::close_statement("old"),
                    message::parse("old", "SELECT 'new'"),
                    message::parse("", "SELECT 'a'"),
                    message::parse("", "SELECT 'b'"),
                ],
            );
            assert_eq!(tags(&answer), "EZ", "{answer:?}");
            assert_eq!(call(&mut peer, ""), "kept");
            assert_eq!(call(&mut peer, "old"), "old");
            // Skipped, and prepared by the next batch of the same write; then taken.
            for text in ["SELEC", "SELECT 'works'"] {
                let mut batch = vec![
                    message::parse("", text),
                    message::parse("twice", "SELECT 'skipped'"),
                    message::sync(),
                    message::parse("twice", "SELECT 'prepared'"),
                ];
                batch.extend(run("twice", &[]));
                batch.extend([message::close_statement("twice"), message::sync()]);
                peer.send(&batch);
                let answer = peer.until_ready(2);
                match text {
                    "SELEC" => {
                        assert_eq!(tags(&answer), "EZ12DC3Z", "{answer:?}");
                        assert_eq!(values(&answer), ["prepared"]);
                    }
                    _ => {
                        assert_eq!(tags(&answer), "11ZEZ", "{answer:?}");
                        assert_eq!(the_error(&answer).sqlstate(), "42P05");
                    }
                }
            }
            peer.query("BEGIN");
            peer.query("SELECT 1/0");
            let answer = ask(&mut peer, &[message::parse("s", "SELECT 'known'")]);
            assert_eq!(tags(&answer), "EZ", "{answer:?}");
            assert_eq!(the_error(&answer).sqlstate(), "25P02");
            // What ends it may be prepared, again and again.
            for _ in 0..2 {
                let end = [message::parse("end", "ROLLBACK")];
                let answer = ask(&mut peer, &end);
                assert_eq!(tags(&answer), "1Z", "{answer:?}");
                let answer = ask(&mut peer, &run("end", &[]));
                assert_eq!(tags(&answer), "2CZ", "{answer:?}");
                ask(&mut peer, &[message::close_statement("end")]);
                peer.query("BEGIN");
                peer.query("SELECT 1/0");
            }
            peer.query("ROLLBACK");
            prepare(&mut peer, "s", "SELECT 'known'");
            assert_eq!(call(&mut peer, "s"), "known");
        }
    }
}

/// What a client counts on and was skipped must not be found to be another client's.
#[test]
fn an_unnamed_statement_that_was_skipped_is_not_another_clients() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut other = scene::client(&pgweir);
        let mut peer = scene::client(&pgweir);
        // The second is opened by something else, so that it cannot wait for the first.
        for opens in [false, true] {
            let theirs = ask(&mut other, &[message::parse("", "SELECT 'theirs'")]);
            assert_eq!(tags(&theirs), "1Z", "{theirs:?}");
            let mut batches = vec![
                message::bind("", "missing", &[]),
                message::parse("", "SELECT 'mine'"),
                message::sync(),
            ];
            if opens {
                batches.push(message::close_portal("none"));
            }
            batches.extend(run("", &[]));
            batches.push(message::sync());
            peer.send(&batches);
            let answer = peer.until_ready(2);
            let values = values(&answer);
            assert!(!values.contains(&"theirs".to_owned()), "{answer:?}");
            // PostgreSQL would say that there is none; it is told the one that was meant if the
            // second batch was under way.
            match opens {
                true => assert_eq!(tags(&answer), "EZ32DCZ", "{answer:?}"),
                false => {
                    assert_eq!(tags(&answer), "EZEZ", "{answer:?}");
                    assert_eq!(answer[2].report().sqlstate(), "26000");
                }
            }
        }
    }
}

#[test]
fn unknown_names_are_answered_as_by_postgresql() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut other = scene::client(&pgweir);
        // Somebody's statements are on the server, under names of ours.
        for n in 0..3 {
            prepare(&mut other, &format!("o{n}"), &format!("SELECT {n}"));
            call(&mut other, &format!("o{n}"));
        }
        let mut peer = scene::client(&pgweir);
        let mut direct = Peer::login(scene::address(postgres), "t_trust", "postgres");
        for name in [
            "nothing",
            "o1",
            "_pgweir_1",
            "_pgweir_2",
            "_pgweir_refused",
            "Ünï \"q\"",
        ] {
            for messages in [
                run(name, &[]).to_vec(),
                vec![message::describe_statement(name)],
                vec![message::close_statement(name)],
            ] {
                let answers = [&mut peer, &mut direct].map(|peer| {
                    ask(peer, &messages)
                        .iter()
                        .map(|m| match m.tag {
                            b'E' => format!("{} {}", m.report().sqlstate(), m.report().message()),
                            tag => char::from(tag).to_string(),
                        })
                        .collect::<Vec<_>>()
                });
                assert_eq!(answers[0], answers[1], "{name}");
            }
        }
    }
}

/// Names that look like ours are the client's own, like all others.
#[test]
fn names_with_our_prefix_are_as_good_as_any() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        for n in 1..5 {
            prepare(&mut a, &format!("_pgweir_{n}"), &format!("SELECT 'a{n}'"));
            prepare(
                &mut b,
                &format!("_pgweir_{}", 5 - n),
                &format!("SELECT 'b{n}'"),
            );
        }
        for n in 1..5 {
            assert_eq!(call(&mut a, &format!("_pgweir_{n}")), format!("a{n}"));
            assert_eq!(call(&mut b, &format!("_pgweir_{n}")), format!("b{}", 5 - n));
        }
        let answer = ask(&mut a, &[message::parse("_pgweir_1", "SELECT 1")]);
        assert_eq!(
            the_error(&answer).message(),
            "prepared statement \"_pgweir_1\" already exists"
        );
    }
}

#[test]
fn statements_return_when_they_were_evicted_also_in_one_batch() {
    for postgres in each_postgres() {
        let (setup, database) = scene::setup(postgres, "transaction", 1);
        let pgweir = setup.set("max_prepared_statements", 2).start();
        let mut peer = scene::client(&pgweir);
        for n in 0..5 {
            prepare(&mut peer, &format!("s{n}"), &format!("SELECT 'value {n}'"));
        }
        let order = [0, 1, 2, 3, 4, 0, 0, 2, 4, 1, 3, 3];
        let batch: Vec<Message> = order
            .iter()
            .flat_map(|n| run(&format!("s{n}"), &[]))
            .collect();
        for _ in 0..2 {
            let expected: Vec<String> = order.iter().map(|n| format!("value {n}")).collect();
            assert_eq!(values(&ask(&mut peer, &batch)), expected);
        }
        // New ones, used and described, in the same batch.
        let mut batch = Vec::new();
        for n in 0..4 {
            let name = format!("n{n}");
            batch.push(message::parse(&name, &format!("SELECT 'new {n}'")));
            batch.push(message::describe_statement(&name));
            batch.extend(run(&name, &[]));
            batch.extend(run("s0", &[]));
        }
        let answer = ask(&mut peer, &batch);
        assert_eq!(tags(&answer), "1tT2DC2DC".repeat(4) + "Z");
        // A failure in between takes back what did not happen.
        let mut batch = Vec::new();
        batch.extend(run("s0", &[]));
        batch.push(message::parse("", "SELECT 1/0"));
        batch.extend(run("", &[]));
        batch.extend(run("s1", &[]));
        batch.extend(run("s2", &[]));
        let answer = ask(&mut peer, &batch);
        assert_eq!(tags(&answer), "2DC1EZ");
        for n in 0..5 {
            assert_eq!(call(&mut peer, &format!("s{n}")), format!("value {n}"));
        }
        // The server holds no more than it should, once a batch is over.
        prepare(&mut peer, "last", "SELECT 'last'");
        let held = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''";
        let held: usize = peer.value(held).parse().expect("a number");
        assert!(held <= 2, "{held} statements on the server of {database}");
    }
}

#[test]
fn a_thousand_statements_on_two_servers() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 2);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        let mut batch = Vec::new();
        for n in 0..1100 {
            batch.push(message::parse(&format!("s{n}"), &format!("SELECT 'v{n}'")));
        }
        for peer in [&mut a, &mut b] {
            let answer = ask(peer, &batch);
            assert_eq!(tags(&answer), "1".repeat(1100) + "Z");
        }
        // On the other server too.
        a.query("BEGIN");
        for n in (0..1100).step_by(7) {
            assert_eq!(call(&mut b, &format!("s{n}")), format!("v{n}"));
            assert_eq!(call(&mut a, &format!("s{n}")), format!("v{n}"));
        }
        a.query("COMMIT");
    }
}

#[test]
fn a_pipeline_of_a_thousand_is_answered_in_order() {
    for postgres in each_postgres() {
        for mode in MODES {
            let pgweir = start(postgres, mode, 2);
            let mut peer = scene::client(&pgweir);
            prepare(&mut peer, "s", "SELECT $1::text");
            for syncs in [false, true] {
                let mut batch = Vec::new();
                for n in 0..1000 {
                    batch.extend(run("s", &[Some(&n.to_string())]));
                    if syncs {
                        batch.push(message::sync());
                    }
                }
                if !syncs {
                    batch.push(message::sync());
                }
                peer.send(&batch);
                let answer = peer.until_ready(if syncs { 1000 } else { 1 });
                let expected: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
                assert_eq!(values(&answer), expected, "{mode}");
            }
        }
    }
}

#[test]
fn an_error_in_a_pipeline_skips_to_sync_and_no_further() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        prepare(&mut peer, "div", "SELECT 10 / $1::int");
        let mut batch = Vec::new();
        for divisor in ["1", "2", "0", "5"] {
            batch.extend(run("div", &[Some(divisor)]));
        }
        batch.push(message::sync());
        batch.extend(run("div", &[Some("5")]));
        batch.push(message::sync());
        peer.send(&batch);
        let answer = peer.until_ready(2);
        assert_eq!(tags(&answer), "2DC2DCEZ2DCZ");
        assert_eq!(values(&answer), ["10", "5", "2"]);
    }
}

#[test]
fn a_plan_that_changed_its_result_is_healed_outside_a_transaction() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        let mut other = scene::client(&pgweir);
        peer.query("CREATE TABLE t AS SELECT 1 AS a");
        for peer in [&mut peer, &mut other] {
            prepare(peer, "s", "SELECT * FROM t");
            assert_eq!(call(peer, "s"), "1");
        }
        for (n, change) in [
            "ALTER TABLE t ADD COLUMN b int",
            "ALTER TABLE t ALTER COLUMN a TYPE text",
        ]
        .into_iter()
        .enumerate()
        {
            peer.query(change);
            let mut batch = run("s", &[]).to_vec();
            batch.insert(1, message::describe_portal(""));
            let answer = ask(&mut peer, &batch);
            assert_eq!(tags(&answer), "2TDCZ", "{n}: {answer:?}");
            assert_eq!(values(&answer), ["1"]);
            assert_eq!(call(&mut other, "s"), "1");
        }
        // Inside a transaction it is PostgreSQL's error, and the next use works.
        peer.query("ALTER TABLE t DROP COLUMN b");
        peer.query("BEGIN");
        let error = the_error(&ask(&mut peer, &run("s", &[])));
        assert_eq!(error.sqlstate(), "0A000");
        peer.query("ROLLBACK");
        assert_eq!(call(&mut peer, "s"), "1");
    }
}

#[test]
fn an_error_in_a_transaction_leaves_the_books_right() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        let mut other = scene::client(&pgweir);
        peer.query("BEGIN");
        prepare(&mut peer, "kept", "SELECT 'kept'");
        let answer = ask(&mut peer, &[message::parse("bad", "SELECT * FROM nowhere")]);
        assert_eq!(the_error(&answer).sqlstate(), "42P01");
        // Nothing is parsed in a failed transaction.
        let answer = ask(&mut peer, &[message::parse("late", "SELECT 'late'")]);
        assert_eq!(the_error(&answer).sqlstate(), "25P02");
        let answer = ask(&mut peer, &run("kept", &[]));
        assert_eq!(the_error(&answer).sqlstate(), "25P02");
        peer.query("ROLLBACK");
        // Statements are not transactional.
        assert_eq!(call(&mut peer, "kept"), "kept");
        for name in ["bad", "late"] {
            let error = the_error(&ask(&mut peer, &run(name, &[])));
            assert_eq!(error.sqlstate(), "26000");
        }
        prepare(&mut other, "late", "SELECT 'other'");
        assert_eq!(call(&mut other, "late"), "other");
        prepare(&mut peer, "late", "SELECT 'late'");
        assert_eq!(call(&mut peer, "late"), "late");
    }
}

#[test]
fn the_unnamed_statement_lasts_until_the_next_batch() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        for peer in [&mut a, &mut b] {
            let error = the_error(&ask(peer, &run("", &[])));
            assert_eq!(error.sqlstate(), "26000");
        }
        prepare(&mut a, "", "SELECT 'a'");
        prepare(&mut b, "", "SELECT 'b'");
        for _ in 0..2 {
            assert_eq!(call(&mut a, ""), "a");
            assert_eq!(call(&mut b, ""), "b");
        }
        // A simple query takes it away, for this client only.
        a.query("SELECT 1");
        let error = the_error(&ask(&mut a, &run("", &[])));
        assert_eq!(error.sqlstate(), "26000");
        assert_eq!(call(&mut b, ""), "b");
        // So does a Parse that fails, and Close.
        prepare(&mut a, "", "SELECT 'a'");
        ask(&mut a, &[message::parse("", "SELEC")]);
        let error = the_error(&ask(&mut a, &run("", &[])));
        assert_eq!(error.sqlstate(), "26000");
        ask(&mut b, &[message::close_statement("")]);
        let error = the_error(&ask(&mut b, &run("", &[])));
        assert_eq!(error.sqlstate(), "26000");
    }
}

#[test]
fn a_portal_is_suspended_and_goes_on() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 1);
        let mut peer = scene::client(&pgweir);
        prepare(&mut peer, "s", "SELECT generate_series(1, 7)");
        peer.query("BEGIN");
        let batch = [message::bind("p", "s", &[]), message::execute("p", 3)];
        let answer = ask(&mut peer, &batch);
        assert_eq!(tags(&answer), "2DDDsZ");
        let answer = ask(&mut peer, &[message::execute("p", 3)]);
        assert_eq!(values(&answer), ["4", "5", "6"]);
        let answer = ask(
            &mut peer,
            &[message::execute("p", 0), message::close_portal("p")],
        );
        assert_eq!(tags(&answer), "DC3Z");
        peer.query("COMMIT");
        // Without a block the portal ends at Sync.
        let answer = ask(&mut peer, &batch);
        assert_eq!(tags(&answer), "2DDDsZ");
        let error = the_error(&ask(&mut peer, &[message::execute("p", 3)]));
        assert_eq!(error.sqlstate(), "34000");
    }
}

#[test]
fn sql_prepare_and_execute_work_while_they_last() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 2);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        a.query("PREPARE p AS SELECT 'a'");
        b.query("PREPARE p AS SELECT 'b'");
        for _ in 0..2 {
            assert_eq!(a.value("EXECUTE p"), "a");
            assert_eq!(b.value("EXECUTE p"), "b");
        }
        a.query("DEALLOCATE p");
        let error = the_error(&a.query("EXECUTE p"));
        assert_eq!(error.sqlstate(), "26000");
        assert_eq!(b.value("EXECUTE p"), "b");
    }
}

/// Without support statements of the protocol are left alone, and the names are PostgreSQL's.
#[test]
fn session_mode_leaves_names_alone() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "session", 2);
        let mut peer = scene::client(&pgweir);
        prepare(&mut peer, "s", "SELECT 's'");
        let names = "SELECT string_agg(name, ',') FROM pg_prepared_statements";
        assert_eq!(peer.value(names), "s");
        assert_eq!(call(&mut peer, "s"), "s");
        assert_eq!(peer.value("EXECUTE s"), "s");
    }
}

/// Describe asks the server; its answers are the client's.
#[test]
fn statements_are_described_on_every_server() {
    for postgres in each_postgres() {
        let pgweir = start(postgres, "transaction", 2);
        let mut a = scene::client(&pgweir);
        let mut b = scene::client(&pgweir);
        for peer in [&mut a, &mut b] {
            prepare(peer, "s", "SELECT $1::int AS number, $2::text AS word");
        }
        a.query("BEGIN");
        for peer in [&mut a, &mut b] {
            let answer = ask(peer, &[message::describe_statement("s")]);
            assert_eq!(tags(&answer), "tTZ");
            assert_eq!(answer[0].body, [0, 2, 0, 0, 0, 23, 0, 0, 0, 25]);
            assert!(answer[1].body.windows(6).any(|part| part == b"number"));
        }
        a.query("COMMIT");
    }
}
