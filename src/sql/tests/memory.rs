//! The cache: same answers, bounds, and when it stores.

use crate::sql::{Cache, Flags, Lexing, analyse};
use proptest::prelude::*;
use std::cell::RefCell;
use std::sync::Arc;

fn ask(cache: &mut Cache, text: &str) -> crate::sql::Known {
    cache.analyse(text.as_bytes(), Lexing::default())
}

#[test]
fn a_text_is_stored_when_it_comes_again() {
    let mut cache = Cache::new(100, 100_000);
    assert!(ask(&mut cache, "begin").text.is_none());
    let second = ask(&mut cache, "begin");
    assert_eq!(second.text.as_deref(), Some(&b"begin"[..]));
    assert_eq!(cache.stats().hits, 0);
    let third = ask(&mut cache, "begin");
    assert!(Arc::ptr_eq(&second.analysis, &third.analysis));
    assert!(Arc::ptr_eq(&second.text.unwrap(), &third.text.unwrap()));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.parses, stats.entries), (1, 2, 1));
}

#[test]
fn new_literals_are_answered_by_shape() {
    let mut cache = Cache::new(100, 100_000);
    for id in 0..50 {
        let known = ask(&mut cache, &format!("select a from t where id = {id}"));
        assert_eq!(known.analysis.flags, Flags::READ_ONLY);
    }
    let stats = cache.stats();
    assert_eq!((stats.parses, stats.shape_hits, stats.hits), (1, 49, 0));
    // The shape, and the few texts that the doorkeeper takes for old ones.
    assert!((1..=6).contains(&stats.entries), "{stats:?}");
}

#[test]
fn what_literals_decide_is_never_answered_by_shape() {
    let mut cache = Cache::new(100, 100_000);
    let names = |cache: &mut Cache, text: &str| -> Vec<String> {
        let known = ask(cache, text);
        known
            .analysis
            .params
            .iter()
            .map(|p| p.name.to_string())
            .collect()
    };
    for _ in 0..3 {
        assert_eq!(
            names(&mut cache, "select set_config('a.b', '1', false)"),
            ["a.b"]
        );
        assert_eq!(
            names(&mut cache, "select set_config('a.c', '1', false)"),
            ["a.c"]
        );
        assert_eq!(
            names(&mut cache, "select \"set_config\"('a.d', '1', false)"),
            ["a.d"]
        );
        assert_eq!(
            names(
                &mut cache,
                "select u&\"set\\005fconfig\"('a.e', '1', false)"
            ),
            ["a.e"]
        );
        let temp = ask(&mut cache, "set search_path to 'pg_temp'")
            .analysis
            .flags;
        let not = ask(&mut cache, "set search_path to 'public'")
            .analysis
            .flags;
        assert!(temp.contains(Flags::TEMP) && !not.contains(Flags::TEMP));
    }
    assert_eq!(cache.stats().shape_hits, 0);
}

#[test]
fn unusual_rules_go_past_the_cache() {
    let mut cache = Cache::new(100, 100_000);
    let text = b"select 'a\\'; set a.b = 1; --'";
    let old = Lexing {
        standard_conforming_strings: false,
        ascii_safe_encoding: true,
    };
    for _ in 0..4 {
        assert_eq!(
            cache.analyse(text, Lexing::default()).analysis.statements,
            2
        );
        let known = cache.analyse(text, old);
        assert_eq!(known.analysis.statements, 1);
        assert!(known.text.is_none());
    }
    assert_eq!(cache.stats().unanalysed, 4);
}

#[test]
fn long_texts_are_not_stored() {
    let mut cache = Cache::new(100, 1_000_000);
    let text = format!("select '{}'", "x".repeat(9_000));
    for _ in 0..4 {
        assert!(ask(&mut cache, &text).text.is_none());
    }
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn a_cache_of_nothing_still_answers() {
    for (entries, bytes) in [(0, 0), (0, 1_000), (10, 0), (1, 10)] {
        let mut cache = Cache::new(entries, bytes);
        for _ in 0..4 {
            assert_eq!(ask(&mut cache, "begin").analysis.flags, Flags::BEGIN);
            assert_eq!(ask(&mut cache, "select 1").analysis.flags, Flags::READ_ONLY);
        }
        assert_eq!(cache.stats().entries, 0);
    }
}

#[test]
fn what_is_used_stays_when_others_pass_through() {
    let mut cache = Cache::new(64, 1_000_000);
    for round in 0..400 {
        ask(&mut cache, "commit");
        // Twice each, so that the doorkeeper lets them in.
        let passing = format!("set a.b = {round}");
        ask(&mut cache, &passing);
        ask(&mut cache, &passing);
    }
    let before = cache.stats().hits;
    ask(&mut cache, "commit");
    assert_eq!(cache.stats().hits, before + 1);
    assert_eq!(cache.stats().entries, 48);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_answers_are_those_of_analyse(
        entries in 0usize..20,
        bytes in 0usize..8_000,
        asked in prop::collection::vec((0usize..12, 0u32..40), 1..300),
    ) {
        let mut cache = Cache::new(entries, bytes);
        for (form, n) in asked {
            let text = match form {
                0 => format!("select a from t{n} where b = {n}"),
                1 => format!("select a from t where b = {n} and c in ({n}, 2)"),
                2 => format!("set p.a{n} = {n}"),
                3 => format!("select set_config('p.a{n}', '', false)"),
                4 => format!("insert into t values ({n}, {n}), (1, 2)"),
                5 => format!("select 1; set a.b = {n}"),
                6 => format!("broken {n}"),
                7 => format!("select f{n}('{}')", "x".repeat(n as usize * 20)),
                8 => format!("deallocate p{n}"),
                9 => format!("select 1 into temp x{n}"),
                10 => format!("with a as (delete from t where a = {n} returning *) table a"),
                _ => format!("create temp table t{n} (a int)"),
            };
            let known = cache.analyse(text.as_bytes(), Lexing::default());
            let fresh = analyse(text.as_bytes(), Lexing::default());
            prop_assert_eq!(&*known.analysis, &fresh, "{}", text);
            if let Some(copy) = known.text {
                prop_assert_eq!(&*copy, text.as_bytes());
            }
            let stats = cache.stats();
            prop_assert!(stats.entries <= entries && stats.bytes <= bytes, "{:?}", stats);
        }
    }
}

/// Short texts of few kinds of tokens: many are valid, many share a shape.
fn crowded() -> impl Strategy<Value = String> {
    let token = prop::sample::select(
        &[
            "a",
            "t",
            "f",
            "(",
            ")",
            "(",
            ")",
            ",",
            ".",
            "1",
            "'x'",
            "-",
            "+",
            "?",
            "$1",
            "$2",
            "::",
            "in",
            "in (",
            "values",
            "values (",
            "array[",
            "]",
            "[",
            "select",
            "from",
            "where",
            "and",
            "as",
            "is null",
            "=",
            "not",
            "union",
            "E'\\''",
            "$$;$$",
            "set_config('a.b', '1', false)",
            "pg_advisory_lock(1)",
            "for update",
            "into temp",
            "int",
            "case when",
            "then",
            "end",
            "date '2020-01-01'",
            "now()",
            "limit",
            "null",
            "true",
            "\"a\"",
            "'y'\n'z'",
        ][..],
    );
    let head = prop::sample::select(
        &[
            "select",
            "select a from t where",
            "insert into t values",
            "update t set a =",
            "delete from t where",
            "with t as (select 1) select",
            "select a from t where a in (",
            "select f(",
        ][..],
    );
    (head, prop::collection::vec(token, 0..9)).prop_map(|(head, rest)| {
        rest.into_iter()
            .fold(head.to_owned(), |text, token| text + " " + token)
    })
}

thread_local! {
    /// Shared by all cases, so that shapes learnt from one text answer for another.
    static SHARED: RefCell<Cache> = RefCell::new(Cache::new(100_000, 100_000_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_shape_never_gives_a_text_the_facts_of_another(text in crowded()) {
        let known = SHARED.with_borrow_mut(|cache| ask(cache, &text)).analysis;
        let fresh = analyse(text.as_bytes(), Lexing::default());
        // A text that the parser refuses may share a shape with one that it takes: the server
        // will refuse it too, or run it with the facts of the other.
        if !fresh.flags.contains(Flags::UNANALYSED) {
            prop_assert_eq!(&*known, &fresh, "{}", text);
        }
    }
}
