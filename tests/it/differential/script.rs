//! Random scripts of protocol messages, the same for the same seed.

use std::fmt;

use crate::support::message::{self, Message};

/// SplitMix64: small, and good enough to choose statements.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(limit).expect("64 bits")).expect("small")
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True `percent` times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Messages that are sent together, and how many ReadyForQuery answer them.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) messages: Vec<Message>,
    pub(super) ready: usize,
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.messages).finish()
    }
}

impl Batch {
    fn new(messages: Vec<Message>) -> Self {
        let ready = messages
            .iter()
            .filter(|m| matches!(m.tag, b'Q' | b'S' | b'F'))
            .count();
        Self { messages, ready }
    }
}

/// SQL that every script starts from, in an empty schema. Two tables, so that a second client
/// has one of its own.
pub(super) const SCHEMA: &str = "DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public; \
    CREATE TABLE public.t (id int PRIMARY KEY, name text, n numeric DEFAULT 1.50); \
    INSERT INTO public.t SELECT i, 'name ' || i, i / 4.0 FROM generate_series(1, 5) i; \
    CREATE TABLE public.other (id int PRIMARY KEY, hits int NOT NULL); \
    INSERT INTO public.other VALUES (1, 0);";

/// Statements without parameters that may go into simple and extended queries.
const PLAIN: [&str; 38] = [
    "SELECT 1",
    "SELECT 1 AS a, 'two' AS b, NULL AS c",
    "SELECT * FROM t ORDER BY id",
    "SELECT generate_series(1, 7)",
    "SELECT repeat('x', 20000)",
    "SELECT 1/0",
    "SELECT * FROM missing",
    "SELEC 1",
    "",
    ";",
    "/* only a comment */",
    "UPDATE t SET name = name || '!' WHERE id < 3 RETURNING id, name",
    "DELETE FROM t WHERE id = 4",
    "INSERT INTO t VALUES (10, 'ten') ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES (1, 'again')",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION READ ONLY",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "SET application_name = 'first'",
    "SET application_name TO second",
    "SET LOCAL statement_timeout = 5000",
    "SET TimeZone = 'Europe/Paris'",
    "SET DateStyle = 'German'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 0",
    "SET search_path = pg_catalog, public",
    "SET no_such_setting = 1",
    "RESET application_name",
    "RESET TimeZone",
    "RESET ALL",
    "SHOW application_name",
    "DO $$ BEGIN RAISE NOTICE 'noted %', 1; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0001', HINT = 'a hint'; END $$",
];

/// What shows the state of a session.
const LOOKS: [&str; 7] = [
    "SELECT current_setting('application_name'), current_setting('TimeZone'), \
     current_setting('DateStyle'), current_setting('IntervalStyle')",
    "SELECT timestamptz '2024-03-01 12:00:00+00', interval '1 day 2 hours'",
    "SELECT current_setting('search_path'), current_setting('statement_timeout')",
    "SELECT 1.0::float8 / 3",
    "SELECT name, statement FROM pg_prepared_statements WHERE from_sql ORDER BY name",
    "SELECT count(*) FROM t",
    "SELECT current_user, session_user",
];

/// What only makes sense as a simple query.
const SIMPLE: [&str; 33] = [
    "SELECT 1; SELECT 2",
    "SELECT 1; SELECT 1/0; SELECT 3",
    "BEGIN; INSERT INTO t VALUES (20, 'twenty'); COMMIT",
    "BEGIN; INSERT INTO t VALUES (21, 'lost'); ROLLBACK",
    "INSERT INTO t VALUES (22, 'implicit'); SELECT 1/0",
    "BEGIN; SET application_name = 'rolled back'; ROLLBACK",
    "BEGIN; SET application_name = 'kept'; COMMIT",
    "SET application_name = 'several'; SET TimeZone = 'Asia/Tokyo'; SELECT 1",
    "SAVEPOINT b; SET TimeZone = 'UTC'; ROLLBACK TO b",
    "PREPARE q AS SELECT 41 + 1",
    "PREPARE q (int) AS SELECT $1 * 2",
    "EXECUTE q",
    "EXECUTE q (21)",
    "DEALLOCATE q",
    "DEALLOCATE ALL",
    "DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id",
    "BEGIN; DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id; FETCH 2 FROM c",
    "FETCH ALL FROM c",
    "CLOSE c",
    "COPY t TO STDOUT",
    "COPY (SELECT generate_series(1, 3)) TO STDOUT; SELECT 4",
    "COPY missing TO STDOUT",
    "DISCARD ALL",
    "DISCARD PLANS",
    "CREATE TEMP TABLE passing (x int); INSERT INTO passing VALUES (1)",
    "SELECT * FROM passing",
    "LISTEN here",
    "NOTIFY here, 'a note'",
    "UNLISTEN *",
    "SET ROLE t_plain",
    "SET SESSION AUTHORIZATION t_md5",
    "RESET SESSION AUTHORIZATION",
    "SELECT pg_advisory_lock_shared(7); SELECT count(*) FROM pg_locks \
     WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
];

/// Statements with one parameter.
const WITH_PARAMETER: [&str; 6] = [
    "SELECT $1::int + 1",
    "SELECT id, name FROM t WHERE id >= $1::int ORDER BY id",
    "UPDATE t SET name = $1 WHERE id = 2 RETURNING name",
    "SELECT $1::text",
    "SELECT generate_series(1, $1::int)",
    "INSERT INTO t VALUES ($1::int, 'bound')",
];

const STATEMENTS: [&str; 4] = ["", "", "s1", "s2"];
const PORTALS: [&str; 3] = ["", "", "p1"];
const VALUES: [Option<&str>; 5] = [Some("1"), Some("3"), Some("x"), Some(""), None];

/// The script of a seed: between 3 and 14 batches, and a last look at the session.
pub(super) fn script(seed: u64) -> Vec<Batch> {
    let mut random = Random(seed);
    let count = 3 + random.below(12);
    let mut batches: Vec<Batch> = (0..count).map(|_| batch(&mut random)).collect();
    // Whatever happened, how it ended must be the same.
    batches.push(Batch::new(vec![message::query("ROLLBACK")]));
    let looks = LOOKS.map(message::query);
    batches.extend(looks.map(|look| Batch::new(vec![look])));
    batches.push(Batch::new(vec![message::query(
        "SELECT * FROM t ORDER BY id",
    )]));
    batches
}

fn batch(random: &mut Random) -> Batch {
    Batch::new(match random.below(20) {
        0..6 => vec![message::query(random.pick(&PLAIN))],
        6..9 => vec![message::query(random.pick(&SIMPLE))],
        9 => vec![message::query(random.pick(&LOOKS))],
        10 => simple_copy_in(random),
        11 => extended_copy_in(random),
        12 => vec![message::function_call(
            1397,
            random.pick(&["-5", "no number"]),
        )],
        13 => several_queries(random),
        14..16 => orderly(random),
        _ => disorderly(random),
    })
}

/// Simple queries sent without waiting for answers.
fn several_queries(random: &mut Random) -> Vec<Message> {
    let count = 2 + random.below(3);
    (0..count)
        .map(|_| message::query(random.pick(&PLAIN)))
        .collect()
}

/// What a client sends after COPY FROM STDIN, to an orderly or a sudden end.
fn copy_body(random: &mut Random) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..random.below(4) {
        let row = random.pick(&[
            "30\tthirty\t1\n",
            "31\tthirty-one\t2\n",
            "nonsense\n",
            "1\ta\t1\n",
        ]);
        messages.push(message::copy_data(row));
    }
    messages.push(if random.chance(75) {
        message::copy_done()
    } else {
        message::copy_fail("the client thought better of it")
    });
    messages
}

fn simple_copy_in(random: &mut Random) -> Vec<Message> {
    let sql = random.pick(&[
        "COPY t FROM STDIN",
        "COPY missing FROM STDIN",
        "COPY t FROM STDIN; SELECT 7",
    ]);
    let mut messages = vec![message::query(sql)];
    messages.extend(copy_body(random));
    messages
}

/// COPY by the extended protocol. Its statement is replaced afterwards: run again by accident it
/// would swallow what follows.
fn extended_copy_in(random: &mut Random) -> Vec<Message> {
    let mut messages = vec![
        message::parse("", "COPY t FROM STDIN"),
        message::bind("", "", &[]),
        message::execute("", 0),
    ];
    messages.extend(copy_body(random));
    messages.push(message::sync());
    messages.push(message::parse("", "SELECT 'after copy'"));
    messages.push(message::sync());
    messages
}

/// One to three statements as a driver sends them, as one pipeline with one or more Sync.
fn orderly(random: &mut Random) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..1 + random.below(3) {
        let name = random.pick(&STATEMENTS);
        if name.is_empty() || random.chance(40) {
            if !name.is_empty() && random.chance(80) {
                messages.push(message::close_statement(name));
            }
            messages.push(message::parse(name, random.pick(&WITH_PARAMETER)));
            if random.chance(50) {
                messages.push(message::describe_statement(name));
            }
        }
        messages.push(message::bind("", name, &[random.pick(&VALUES)]));
        messages.push(message::describe_portal(""));
        messages.push(message::execute("", random.pick(&[0, 0, 2])));
        if random.chance(50) {
            messages.push(message::sync());
        }
    }
    messages.push(message::sync());
    messages
}

/// Any messages in any order.
fn disorderly(random: &mut Random) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..1 + random.below(8) {
        let statement = random.pick(&STATEMENTS);
        let portal = random.pick(&PORTALS);
        messages.push(match random.below(16) {
            0..3 => message::parse(statement, random.pick(&PLAIN)),
            3..5 => message::parse(statement, random.pick(&WITH_PARAMETER)),
            5 => message::bind(portal, statement, &[]),
            6..8 => message::bind(portal, statement, &[random.pick(&VALUES)]),
            8 => message::describe_statement(statement),
            9 => message::describe_portal(portal),
            10..13 => message::execute(portal, random.pick(&[0, 1, 3])),
            13 => message::close_statement(statement),
            14 => message::close_portal(portal),
            _ => random
                .pick(&[message::flush(), message::sync()].map(|m| m.tag))
                .into(),
        });
    }
    messages.push(message::sync());
    messages
}

impl From<u8> for Message {
    /// A message without a body.
    fn from(tag: u8) -> Self {
        Message::new(tag, [])
    }
}
