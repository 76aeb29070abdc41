use super::*;
use crate::lint::facts::Change;
use crate::lint::rule::Severity;

fn texts() -> Texts {
    Texts::new(1 << 20, Hashing::seeded(1))
}

fn rules(looked: &Looked) -> Vec<&'static str> {
    looked.hits().iter().map(|hit| hit.rule.id).collect()
}

#[test]
fn a_shape_is_parsed_once() {
    let mut texts = texts();
    for n in 0..10 {
        let text = format!("DELETE FROM t /* {n} */ RETURNING a + {n}");
        let looked = texts.look(text.as_bytes(), Lexing::default());
        assert_eq!(rules(&looked), ["missing-where"]);
    }
    assert_eq!((texts.stats.parses, texts.stats.shape_hits), (1, 9));
    let text = b"DELETE FROM t RETURNING a + 77";
    for _ in 0..3 {
        texts.look(text, Lexing::default());
    }
    assert_eq!(texts.stats.hits, 1, "kept at its second coming");
}

#[test]
fn values_of_parameters_are_those_of_their_text() {
    let mut texts = texts();
    for (text, on) in [("'2s'", true), ("'0'", false), ("'5s'", true)] {
        let text = format!("SET lock_timeout = {text}");
        let looked = texts.look(text.as_bytes(), Lexing::default());
        let change = &looked.profile.facts[0].lock_timeout;
        assert_eq!(*change, Some(Change::Session(on)), "{text}");
    }
}

#[test]
fn a_text_that_is_too_long_hides_no_other_of_its_shape() {
    let mut texts = texts();
    let long = format!("DELETE FROM t RETURNING '{}'", "x".repeat(sql::MAX_PARSED));
    let looked = texts.look(long.as_bytes(), Lexing::default());
    assert!(looked.profile.unread);
    let short = b"DELETE FROM t RETURNING 'x'";
    for _ in 0..2 {
        assert_eq!(
            rules(&texts.look(short, Lexing::default())),
            ["missing-where"]
        );
    }
}

#[test]
fn other_numbers_judge_known_texts_anew() {
    let mut texts = texts();
    let cases = [
        (
            "deep-offset",
            "min_offset",
            "SELECT a FROM t ORDER BY a OFFSET 50",
        ),
        (
            "large-in-list",
            "min_elements",
            "SELECT a FROM t WHERE b IN (1, 2, 3)",
        ),
        (
            "too-many-joins",
            "min_relations",
            "SELECT a.x FROM a JOIN b ON b.a = a.x",
        ),
    ];
    for (rule, name, text) in cases {
        for _ in 0..3 {
            let looked = texts.look(text.as_bytes(), Lexing::default());
            assert_eq!(rules(&looked), [""; 0], "{rule} by default");
        }
        let mut thresholds = Thresholds::default();
        assert_eq!(thresholds.set(rule, name, 2), Ok(()));
        texts.judge_by(&thresholds);
        let looked = texts.look(text.as_bytes(), Lexing::default());
        assert_eq!(rules(&looked), [rule]);
        if rule == "too-many-joins" {
            let message = &looked.hits()[0].message;
            assert!(message.contains("beyond 1 the planner"), "{message}");
        }
        texts.judge_by(&Thresholds::default());
    }
    let parses = texts.stats.parses;
    texts.judge_by(&Thresholds::default());
    texts.look(cases[0].2.as_bytes(), Lexing::default());
    texts.judge_by(&Thresholds::default());
    texts.look(cases[0].2.as_bytes(), Lexing::default());
    assert_eq!(
        texts.stats.parses,
        parses + 1,
        "the same numbers forget nothing"
    );
}

#[test]
fn values_and_shapes_tell_executions_apart() {
    let mut texts = texts();
    let mut look = |text: &str| texts.look(text.as_bytes(), Lexing::default());
    let (one, two) = (
        look("SELECT a FROM t WHERE b = 1"),
        look("select a from t where b = '1'"),
    );
    assert_eq!((one.shape, one.literals), (two.shape, two.literals));
    let other = look("SELECT a FROM t WHERE b = 2");
    assert_eq!(one.shape, other.shape);
    assert_ne!(one.literals, other.literals);
    let (short, long) = (
        look("SELECT a FROM t WHERE b IN (1, 2)"),
        look("SELECT a FROM t WHERE b IN (1, 2, 3)"),
    );
    assert_eq!(short.shape, long.shape);
    assert_ne!(short.literals.all, long.literals.all);
    assert_eq!((short.longest_list, long.longest_list), (2, 3));
}

#[test]
fn each_text_has_its_own_trace() {
    let mut texts = texts();
    for _ in 0..3 {
        for trace in 1..4_u128 {
            let text =
                format!("SELECT a FROM t /*traceparent='00-{trace:032x}-00f067aa0ba902b7-01'*/");
            let looked = texts.look(text.as_bytes(), Lexing::default());
            let traced = looked.said.traced.as_ref().expect("a trace");
            assert_eq!((traced.trace, traced.sampled), (trace, true));
        }
    }
    let plain = texts.look(b"SELECT a FROM t", Lexing::default());
    assert!(plain.said.traced.is_none() && plain.said.trace == 0);
}

#[test]
fn the_length_of_a_list_is_each_texts_own() {
    let mut texts = texts();
    let mut found = |elements: usize| {
        let text = format!(
            "SELECT a FROM t WHERE b IN ({})",
            vec!["1"; elements].join(",")
        );
        let looked = texts.look(text.as_bytes(), Lexing::default());
        let mut hits = looked
            .hits()
            .iter()
            .filter(|hit| hit.rule.id == "large-in-list");
        (hits.next().map(|hit| hit.severity), hits.count())
    };
    assert_eq!(found(100), (Some(Severity::Warn), 0));
    assert_eq!(found(2), (None, 0));
    assert_eq!(found(1000), (Some(Severity::Critical), 0));
    assert_eq!(texts.stats.parses, 1);
}

#[test]
fn a_comment_silences_a_rule_and_that_is_remembered() {
    let mut texts = texts();
    let looked = texts.look(
        b"/* lint:ignore=missing-where reason='purge' */ DELETE FROM t",
        Lexing::default(),
    );
    assert!(looked.hits().is_empty());
    let suppressed = looked.said.suppressed.as_ref().expect("one");
    assert_eq!((suppressed.hits.len(), &*suppressed.reason), (1, "purge"));
    texts.inline_suppress = false;
    let looked = texts.look(b"DELETE FROM t -- lint:ignore=*", Lexing::default());
    assert_eq!(rules(&looked), ["missing-where"]);
}

#[test]
fn a_text_with_other_literals_is_what_it_would_be_alone() {
    let cases = [
        "SELECT a FROM t WHERE b = {} AND c = '{}'",
        "SELECT a FROM t ORDER BY a LIMIT 10 OFFSET {}",
        "SELECT a FROM t WHERE b IN ({}, 2, 3) /* x='y' */",
        "INSERT INTO t VALUES ({}, 'a{}'), (3, 'b')",
        "SELECT a FROM t WHERE b LIKE '{}%'",
        "SELECT \"a\".\"b\" FROM \"a\" WHERE \"a\".\"id\" = -{}",
        "DELETE FROM t RETURNING a + {}",
        "SELECT a FROM t WHERE b LIKE '{}'",
    ];
    let values = ["1", "0", "77", "123456789", "5000", "2", "9999999"];
    let mut texts = texts();
    for round in 0..4 {
        for case in cases {
            for value in values {
                let value = format!("{round}{value}");
                let text = case.replace("{}", &value);
                let known = texts.look(text.as_bytes(), Lexing::default());
                let mut alone = Texts::new(1 << 20, Hashing::seeded(1));
                alone.hasher = texts.hasher.clone();
                let alone = alone.look(text.as_bytes(), Lexing::default());
                assert_eq!(
                    (known.raw, known.literals),
                    (alone.raw, alone.literals),
                    "{text}"
                );
                // Places are those of the sample.
                let found = |looked: &Looked| -> Vec<_> {
                    let hits = looked.hits().iter();
                    hits.map(|hit| (hit.rule.id, hit.kind, hit.severity))
                        .collect()
                };
                assert_eq!(found(&known), found(&alone), "{text}");
                assert_eq!((known.shape, known.plain), (alone.shape, alone.plain));
                assert_eq!(
                    (known.longest_list, known.value_rows),
                    (alone.longest_list, alone.value_rows)
                );
            }
        }
    }
    assert_eq!(
        texts.templates.len(),
        cases.len() - 1,
        "one for both patterns"
    );
    let odd = Lexing {
        standard_conforming_strings: false,
        ..Lexing::default()
    };
    let text = b"SELECT a FROM t WHERE b LIKE '2'";
    let (one, other) = (
        texts.look(text, Lexing::default()),
        texts.look(b"SELECT a FROM t WHERE b LIKE '3'", odd),
    );
    assert!(
        !Arc::ptr_eq(&one.known, &other.known),
        "other rules, another look"
    );
}

#[test]
fn memory_is_bounded_and_odd_texts_are_harmless() {
    let mut texts = Texts::new(20_000, Hashing::seeded(1));
    for n in 0..2000 {
        texts.look(format!("SELECT a{n} FROM t").as_bytes(), Lexing::default());
        assert!(texts.bytes <= 20_000);
    }
    assert!(texts.stats.emptied > 0);
    for odd in [&b""[..], b"\xff\xfe", b"SELECT '", b"/* ", b"((((", b";;;"] {
        assert!(texts.look(odd, Lexing::default()).hits().is_empty());
    }
}
