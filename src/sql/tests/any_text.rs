//! Properties of any text: no panic, guards, agreement of lexer and parser.

use super::plain;
use crate::sql::{Flags, Kind, Lexing, MAX_DEPTH, MAX_OPERATORS, MAX_PARSED, analyse};
use crate::sql::{parse, shape, survey};
use proptest::prelude::*;

/// Pieces that make lexers and parsers stumble, and some that make sense together.
const PIECES: &[&str] = &[
    "select 1",
    "select",
    "from t",
    "where",
    "insert into t values (1, 'a')",
    "update t set a = 1",
    "create function f() returns int begin atomic",
    "end",
    "begin",
    "atomic",
    "case",
    "when a",
    "then 1",
    "set a.b = 1",
    "set",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ";",
    ";",
    "'",
    "\"",
    "''",
    "\\",
    "'a;b'",
    "e'\\';'",
    "E'\\\\'",
    "u&'\\0061;'",
    "U&\"d\\0061t\"",
    "$$;$$",
    "$a$ ; $$ ; $a$",
    "$",
    "$1",
    "$1$",
    "$a$",
    "/*",
    "*/",
    "/* ; /* ; */ */",
    "--",
    "-- ;\n",
    "\n",
    "\r",
    "\t",
    " ",
    "1",
    "1.5e3",
    "0x1f",
    "1_000",
    "1e",
    ".5",
    "..",
    "::",
    ":=",
    ":",
    "+",
    "-",
    "*/*",
    "->>",
    "@-",
    "?",
    "||",
    "<=>",
    "in (1, 2, -3)",
    "values (1), (2)",
    "x",
    "b'01'",
    "n'x'",
    "\u{e9}",
    "\0",
    "abc",
    "commit",
    "rollback",
    "execute",
    "do $$ begin null; end $$",
    "set_config('a.b', '1', false)",
    "deallocate p",
    "array[1, 2]",
    "as c",
    "union",
    "and",
    "not",
    "t.*",
    "limit 1",
    "{",
    "#",
    "%",
];

fn text_of_pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES);
    let gap = prop::sample::select(&["", " ", " ", "\n"][..]);
    prop::collection::vec((piece, gap), 0..12).prop_map(|parts| {
        parts
            .into_iter()
            .flat_map(|(piece, gap)| [piece, gap])
            .collect()
    })
}

/// Whole statements, each of which the parser accepts.
const STATEMENTS: &[&str] = &[
    "select 1",
    "select ';' as \"a;b\" /* ; */",
    "select e'\\';' -- ;\n",
    "select $$;$$, $x$;$$;$x$",
    "select 'a' \n ';'",
    "begin",
    "end",
    "set a.b to 'x;y'",
    "create function f() returns int begin atomic select 1; select case when true then 1 end; end",
    "create function g() returns int language plpgsql as $$ begin return 1; end $$",
    "create rule r as on insert to t do instead (delete from u; update v set a = 1)",
    "select case when a then 1 else 2 end from t",
    "do $do$ begin perform 1; end $do$",
    "insert into t values (1, ';'), (2, '')",
    "select 1_000, 0xff, 1.5e-3, .5, $1",
    "values (1)",
    "select a->>'b;', c @> '{}', d ? 'e', -1, - -1, +2 from t",
    "select u&'\\003b'",
    "table t",
    "select U&\"d\\0061t;\" from t",
    "copy t from stdin",
    "select b'01', x'1f', n';'",
    "commit",
    "select a/*;*/+/*;*/b",
    "select 1--;\n",
    "select 2 operator(pg_catalog.+) 3",
    "(select 1)",
    "select 1 as begin, 2 as atomic",
    "select \"begin atomic\" from t",
];

fn lexed(text: &str) -> survey::Survey {
    shape::survey(text.as_bytes(), Lexing::default(), &mut Vec::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for conforming in [true, false] {
            for safe in [true, false] {
                let lexing =
                    Lexing { standard_conforming_strings: conforming, ascii_safe_encoding: safe };
                let got = analyse(&bytes, lexing);
                prop_assert!(!got.flags.is_empty() || got.statements > 0);
            }
        }
    }

    #[test]
    fn any_pieces_are_survived(text in text_of_pieces()) {
        let got = plain(&text);
        prop_assert_eq!(got.flags.contains(Flags::EMPTY), got.statements == 0);
        prop_assert_eq!(got.flags.contains(Flags::MULTI), got.statements > 1);
        if got.flags.contains(Flags::READ_ONLY) {
            prop_assert!(!got.flags.intersects(Flags::UNANALYSED | Flags::SETS_PARAM));
        }
    }

    #[test]
    fn lexer_and_parser_count_the_same_statements(text in text_of_pieces()) {
        let survey = lexed(&text);
        if let Some(parsed) = parse::parse(text.as_bytes(), &survey) {
            prop_assert_eq!(survey.statements as usize, parsed.statements(), "{}", text);
            prop_assert!(!survey.broken, "the parser accepts what the lexer calls broken: {}", text);
        }
    }

    #[test]
    fn valid_statements_are_split_alike(
        statements in prop::collection::vec(prop::sample::select(STATEMENTS), 1..6),
        separator in prop::sample::select(&[";", " ; ", ";\n", ";;", ";/*;*/"][..]),
    ) {
        let text = statements.join(separator);
        let survey = lexed(&text);
        prop_assert_eq!(survey.statements as usize, statements.len(), "{}", text);
        let parsed = parse::parse(text.as_bytes(), &survey);
        prop_assert_eq!(parsed.map(|p| p.statements()), Some(statements.len()), "{}", text);
    }

    /// What the lexer alone says must cover what the parser knows, or long texts would leak state.
    #[test]
    fn keywords_cover_the_parser(
        statements in prop::collection::vec(prop::sample::select(STATEFUL), 1..4),
    ) {
        let text = statements.join("; ");
        let survey = lexed(&text);
        let guess = survey.verdict(Flags::NONE, 0).flags;
        let known = plain(&text).flags;
        prop_assert!(!known.contains(Flags::UNANALYSED), "{}", text);
        let covered = if guess.contains(Flags::SETS_UNKNOWN) {
            guess | Flags::SETS_PARAM
        } else {
            guess
        };
        let needed = known.without(
            Flags::READ_ONLY
                | Flags::CALLS_FUNCTION
                | Flags::BEGINS_READING
                | Flags::BEGINS_WRITING,
        );
        prop_assert!(covered.contains(needed), "{}: {:?} against {:?}", text, guess, known);
    }
}

const STATEFUL: &[&str] = &[
    "set a.b = 1",
    "set role alice",
    "set session authorization bob",
    "reset a.b",
    "reset all",
    "select set_config('a.b', '1', false)",
    "with x as (select \"set_config\"($1, $2, $3)) table x",
    "create temp table x (a int)",
    "create table pg_temp.x as select 1",
    "select 1 into temp x",
    "with a as (select 1) select * into temporary x from a",
    "create temporary view v as select 1",
    "listen c",
    "declare c cursor with hold for select 1",
    "prepare p as select 1",
    "load 'x'",
    "select pg_advisory_lock(1)",
    "insert into t select pg_try_advisory_lock(2)",
    "discard all",
    "discard temp",
    "deallocate all",
    "deallocate p",
    "unlisten *",
    "close c",
    "drop table x",
    "select pg_advisory_unlock_all()",
    "rollback",
    "rollback to a",
    "abort",
    "begin",
    "commit",
    "commit and chain",
    "savepoint a",
    "copy t to stdout",
    "execute p",
    "call p()",
    "reset role",
    "update pg_settings set setting = 1",
    "set time zone default",
    "set search_path to pg_temp",
    "explain analyze execute p",
    "set local a.b = 1",
    "explain analyze create temp table x as select 1",
    "explain analyze select set_config('a.b', '1', false)",
    "prepare transaction 'x'",
    "set a.b to default",
    "set session characteristics as transaction read only",
    "set names 'utf8'",
    "set time zone 'UTC'",
];

#[test]
fn deep_and_long_texts_are_caught_before_the_parser() {
    let n = 100_000;
    for text in [
        format!("select {}1{}", "ARRAY[".repeat(4_000), "]".repeat(4_000)),
        format!("select {}", "ARRAY[".repeat(4_000)),
        format!("select 1{}", "+1".repeat(n)),
        format!("select 1{}", " union select 1".repeat(n)),
        format!("select {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("select {}", "case when ".repeat(6_000)),
        format!("select {}true", "not ".repeat(3_000)),
        format!("select 1{}", "::int".repeat(3_000)),
        format!("select {}1", "- ".repeat(3_000)),
        format!("select a{}", " and a".repeat(3_000)),
    ] {
        assert!(
            plain(&text).flags.contains(Flags::UNANALYSED),
            "{}",
            &text[..40]
        );
    }
    // Comments nest without a limit, and cost nothing.
    let text = format!("{}{} select 1", "/*".repeat(10_000), "*/".repeat(10_000));
    assert_eq!(plain(&text).flags, Flags::READ_ONLY);
}

#[test]
fn what_the_guards_let_through_needs_little_stack() {
    let depth = MAX_DEPTH as usize;
    let operators = MAX_OPERATORS as usize - 1;
    let texts = [
        format!("select {}1{}", "ARRAY[".repeat(depth), "]".repeat(depth)),
        format!("select {}1{}", "(select ".repeat(depth), ")".repeat(depth)),
        format!(
            "select {}1{}",
            "case when a then ".repeat(depth),
            " end".repeat(depth)
        ),
        format!("select {}1{}", "f(".repeat(depth), ")".repeat(depth)),
        format!("select 1{}", "+1".repeat(operators)),
        format!("select 1{}", " union select 1".repeat(operators)),
        format!("select * from t{}", " cross join t".repeat(operators)),
        format!("select {}a", "a.".repeat(20_000)),
        format!("select a{}", "[1]".repeat(15_000)),
    ];
    let run = move || {
        for text in texts {
            let flags = plain(&text).flags;
            assert!(!flags.contains(Flags::UNANALYSED), "{}", &text[..40]);
        }
    };
    let thread = std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(run)
        .unwrap();
    thread.join().unwrap();
}

#[test]
fn long_plain_texts_are_judged_by_the_lexer() {
    let rows = "(1, 'it''s;'), ".repeat(6_000);
    let text = format!("insert into t values {rows} (1, '')");
    assert!(text.len() > MAX_PARSED);
    let got = plain(&text);
    let calls = Flags::CALLS_FUNCTION | Flags::CALLS_UNKNOWN;
    assert_eq!((got.flags, got.kind), (calls, Kind::Insert));
    let two = plain(&format!("{text}; delete from t"));
    assert_eq!(two.flags, calls | Flags::MULTI);
    let temp = plain(&format!("{text}; select 1 into temp x"));
    assert_eq!(temp.flags, calls | Flags::MULTI | Flags::TEMP);
    for more in [
        "set a.b = 1",
        "select set_config('a.b', '', false)",
        "select 'x",
        "flub",
    ] {
        let got = plain(&format!("{text}; {more}"));
        assert!(got.flags.contains(Flags::UNANALYSED), "{more}");
    }
    let got = plain(&format!(
        "{text}; select u&\"set\\005fconfig\"('a.b', '', false)"
    ));
    assert!(got.flags.contains(Flags::UNANALYSED));
    let huge = plain(&text.repeat(20));
    assert!(huge.flags.contains(Flags::UNANALYSED));
}

#[test]
fn other_encodings_and_string_rules() {
    let old = Lexing {
        standard_conforming_strings: false,
        ascii_safe_encoding: true,
    };
    // With conforming strings this is two statements; without, it is one string.
    let text = b"select 'a\\'; set a.b = 1; --'";
    assert_eq!(analyse(text, Lexing::default()).statements, 2);
    let got = analyse(text, old);
    assert_eq!(got.statements, 1);
    assert!(got.flags.contains(Flags::UNANALYSED));
    assert_eq!(analyse(b"select 'a'", old).flags, Flags::READ_ONLY);

    let asian = Lexing {
        standard_conforming_strings: true,
        ascii_safe_encoding: false,
    };
    assert_eq!(analyse(b"select 'a'", asian).flags, Flags::READ_ONLY);
    assert!(
        analyse(b"select '\x83\x5c'", asian)
            .flags
            .contains(Flags::UNANALYSED)
    );

    // LATIN1: a name and a string with bytes that are no UTF-8.
    let got = analyse(
        b"select caf\xe9 from t where a = '\xfc;'",
        Lexing::default(),
    );
    assert_eq!((got.flags, got.statements), (Flags::READ_ONLY, 1));
}

#[test]
fn the_name_of_a_single_deallocate() {
    let name = |text: &[u8]| analyse(text, Lexing::default()).deallocate;
    let is = |text: &str, expected: &str| {
        assert_eq!(
            name(text.as_bytes()).as_deref(),
            Some(expected.as_bytes()),
            "{text}"
        );
    };
    is("deallocate p", "p");
    is("DEALLOCATE PREPARE MyStmt;", "mystmt");
    is("/* x */ deallocate \"My \"\"Stmt\"", "My \"Stmt");
    is("deallocate u&\"d\\0061t\"", "dat");
    is("deallocate \"all\"", "all");
    is("deallocate prepare \"é\"", "é");
    assert_eq!(name(b"deallocate \"\xe9\"").as_deref(), Some(&b"\xe9"[..]));
    assert_eq!(name(b"deallocate all"), None);
    assert_eq!(name(b"deallocate p; deallocate q"), None);
    assert_eq!(name(b"deallocate p; select 1"), None);
    assert_eq!(
        name(format!("deallocate {}", "x".repeat(62)).as_bytes()).map(|n| n.len()),
        Some(62)
    );
    assert_eq!(
        name(format!("deallocate {}", "x".repeat(70)).as_bytes()),
        None
    );
    let long = format!("deallocate \"x{}\"", "é".repeat(40));
    assert!(
        analyse(long.as_bytes(), Lexing::default())
            .flags
            .contains(Flags::UNANALYSED)
    );
}

/// A function call counts wherever the grammar lets one stand.
#[test]
fn calls_are_found_in_every_corner() {
    for text in [
        "select ~",
        "select 1 from t where ~ = 1",
        "select (select ~)",
        "select 1 limit ~",
        "select 1 offset ~",
        "select 1 from t group by ~",
        "select 1 from t having ~ = 1",
        "select 1 from t group by grouping sets ((a, ~), rollup (b, ~))",
        "select distinct on (~) a from t",
        "select 1 order by ~ desc nulls last",
        "select sum(a order by ~) from t",
        "select sum(a) filter (where ~ = 1) from t",
        "select sum(a) over (order by ~) from t",
        "select sum(a) over w from t window w as (partition by ~)",
        "select sum(a) over (order by b rows between ~ preceding and ~ following) from t",
        "select percentile_cont(~) within group (order by ~) from t",
        "select a[~] from t",
        "select a[1:~] from t",
        "select (~).x",
        "select array[1, ~]",
        "select row(1, ~)",
        "select coalesce(1, ~)",
        "select nullif(1, ~)",
        "select greatest(1, ~)",
        "select ~::text",
        "select cast(~ as int)",
        "select ~ collate \"C\"",
        "select ~ at time zone 'UTC'",
        "select ~ is null",
        "select ~ is true",
        "select not ~",
        "select 1 between 0 and ~",
        "select 1 in (0, ~)",
        "select 1 = any (array[~])",
        "select 'a' like ~",
        "select 'a' similar to ~",
        "select exists (select ~)",
        "select case ~ when 1 then 2 end",
        "select case when a then ~ end from t",
        "select case when a then 1 else ~ end from t",
        "select lower(upper(~))",
        "select concat(variadic ~)",
        "select lower(a => ~)",
        "select extract(year from ~)",
        "select substring(~ from 1)",
        "select overlay('a' placing ~ from 1)",
        "select xmlelement(name a, ~)",
        "select xmlforest(~ as a)",
        "select xmlserialize(content ~ as text)",
        "select xmlparse(document ~)",
        "select xmlpi(name a, ~)",
        "select json_object('a': ~)",
        "select json_array(1, ~)",
        "select json_arrayagg(~) from t",
        "select json_objectagg('a': ~) from t",
        "select json_array(select ~)",
        "select json_value(~, '$')",
        "select json_query('{}', '$' passing ~ as x)",
        "select json_scalar(~)",
        "select ~ is json",
        "select json_value('1', '$' default ~ on empty)",
        "select json_exists(~, '$')",
        "select * from t join u on ~ = 1",
        "select * from lateral (select ~) x",
        "select * from ~",
        "select * from rows from (lower('a'), ~) with ordinality",
        "select * from (values (1, ~)) x",
        "select * from t tablesample system (~) repeatable (~)",
        "values (~)",
        "select * from xmltable('/a' passing ~ columns b text path 'c' default ~)",
        "select * from json_table(~, '$' columns (a int path '$.a'))",
        "select * from json_table('{}', '$' passing ~ as x columns (a int path '$.a'))",
        "with x as (select ~) select 1",
        "with recursive x as (select 1 union select ~) select 1 from x",
        "select 1 union select ~",
        "select 1 except (select 2 intersect select ~)",
        "insert into t values (~)",
        "insert into t select ~",
        "insert into t values (1) returning ~",
        "insert into t values (1) on conflict (a) where ~ = 1 do update set b = ~ where ~ = 2",
        "update t set a = ~",
        "update t set (a, b) = (select 1, ~)",
        "update t set (a, b) = row (1, ~)",
        "update t set a[~] = 1",
        "update t set a = 1 from u where ~ = 1",
        "update t set a = 1 returning ~",
        "delete from t where ~ = 1",
        "delete from t using ~ x",
        "delete from t returning with (old as o) ~",
        "merge into t using u on ~ = 1 when matched then delete",
        "merge into t using u on true when matched and ~ = 1 then do nothing",
        "merge into t using u on true when not matched then insert values (~)",
        "merge into t using u on true when not matched by source then update set a = ~ returning ~",
        "explain select ~",
        "explain (analyze) insert into t values (~)",
        "declare c cursor for select ~",
        "create table x as select ~",
        "create materialized view x as select ~",
        "copy (select ~) to stdout",
        "copy t from stdin where ~ = 1",
        "prepare p as select ~",
        "execute p (~)",
        "call p (~)",
        "select * from t for update of t skip locked limit ~",
        "select 1 order by 1 fetch first (~) rows with ties",
    ] {
        for (call, flag) in [
            ("probe(1)", Flags::CALLS_FUNCTION),
            ("pg_advisory_lock(1)", Flags::ADVISORY_LOCK),
            ("set_config('a.b', '1', false)", Flags::SETS_PARAM),
        ] {
            let text = text.replace('~', call);
            let flags = plain(&text).flags;
            assert!(flags.contains(flag), "{text}: {flags:?}");
            assert!(
                !flags.intersects(Flags::UNANALYSED | Flags::READ_ONLY),
                "{text}: {flags:?}"
            );
        }
    }
}

#[test]
fn a_scanner_that_disagrees_with_the_server_is_not_believed() {
    // The server takes this as one string; the vendored scanner ends it at the comment.
    let got = plain("select e'a' -- x\n '\\'; set a.b = 1; --'");
    assert!(got.flags.contains(Flags::UNANALYSED));
    assert_eq!(got.statements, 1);
}
