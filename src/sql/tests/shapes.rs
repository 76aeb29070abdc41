//! Shapes: what they forget and what they keep.

use super::plain;
use crate::sql::{Lexing, normalised};
use proptest::prelude::*;

fn shape(text: &str) -> String {
    String::from_utf8(normalised(text.as_bytes(), Lexing::default())).unwrap()
}

#[test]
fn readable_form() {
    for (text, expected) in [
        (
            "SELECT  *\nFROM Orders WHERE id = 7;",
            "select * from orders where id = ?",
        ),
        (
            "select a.b,c::INT from \"T\".x -- end",
            "select a.b, c::int from \"T\".x",
        ),
        (
            "select count( * ) from t where a in (1,2 , -3)",
            "select count(*) from t where a in (...)",
        ),
        ("select x where a in ($1, $2)", "select x where a in (...)"),
        (
            "select x where a in (select 1)",
            "select x where a in (select ?)",
        ),
        (
            "select x where a = any(array['a', 'b'])",
            "select x where a = any (array[...])",
        ),
        (
            "insert into t (a, b) values (1, 'x'), ($1, $2), (-3, 'y') returning a",
            "insert into t(a, b) values (?, ?), ($, $) returning a",
        ),
        (
            "insert into t values (1, now()), (2, now())",
            "insert into t values (?, now())",
        ),
        (
            "insert into t values (1, 2), (1, default)",
            "insert into t values (?, ?), (?, default)",
        ),
        ("select a ? 'b', a ?| 'c'", "select a ?? ?, a ??| ?"),
        (
            "select E'a\\'' 'b', $$x$$, 1.5e3, u&'x'",
            "select ? ?, ?, ?, ?",
        ),
        ("select 1; select $1;", "select ?; select $1"),
        ("select a - 1, a = -1, f(-1)", "select a - ?, a = ?, f(?)"),
        ("", ""),
    ] {
        assert_eq!(shape(text), expected, "{text}");
    }
}

#[test]
fn what_differs_in_more_than_literals_has_another_shape() {
    let texts = [
        "select a from t",
        "select b from t",
        "select a from u",
        "select a, b from t",
        "select b, a from t",
        "select a from t order by a",
        "select a from t order by a desc",
        "select a from t where a = 1",
        "select a from t where b = 1",
        "select a from t where a > 1",
        "select a from t where a = $1",
        "select a from t where a = $2",
        "select a from t limit 1",
        "select a from t where a in (1)",
        "select a from t where a not in (1)",
        "select \"A\" from t",
        "select a from t where a = null",
        "select a from t where a is null",
        "select a.t",
        "select a from t where a = true",
        "select a from t where a = false",
        "select a ? 'b'",
        "select a '?' 'b'",
        "select a from s.t",
        "select a as t",
        "select f(1)",
        "select f(1, 2)",
        "insert into t values (1)",
        "insert into t values (a)",
        "insert into t (a) values (1)",
        "select a::int",
        "select a:int",
        "select (1), 2",
        "select (1, 2)",
        "select ab",
        "select a b",
        "delete from t where a = 1",
        "delete from t where a = 1; select 1",
        "select x where a in (1, b)",
        "select x where a in (b, 1)",
        "select x where a in (b)",
    ];
    for (i, a) in texts.iter().enumerate() {
        for b in &texts[i + 1..] {
            assert_ne!(shape(a), shape(b), "{a} | {b}");
            assert_ne!(plain(a).fingerprint, plain(b).fingerprint, "{a} | {b}");
        }
    }
}

#[test]
fn fingerprints_are_stable() {
    // Users keep these numbers in their own tables: a change is a change of the interface.
    assert_eq!(
        plain("select 1").fingerprint,
        plain("SELECT /* x */ 'y' ;").fingerprint
    );
    let known = plain("select * from orders where id = 7").fingerprint;
    assert_eq!(known, FINGERPRINT, "{known:#x}");
}

const FINGERPRINT: u64 = 0x2c0b_40bd_ee81_a64f;

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|n| n.to_string()),
        any::<f32>()
            .prop_filter("plain", |f| f.is_finite())
            .prop_map(|f| format!("{:e}", f.abs())),
        "[a-z;/*? -]{0,12}".prop_map(|s| format!("'{s}'")),
        "[a-z;/*?' -]{0,12}".prop_map(|s| format!("'{}'", s.replace('\'', "''"))),
        "[a-z;/*?' -]{0,12}".prop_map(|s| format!("$q${s}$q$")),
        "[a-z;/*? -]{0,12}".prop_map(|s| format!("E'{s}\\''")),
        "[01]{0,8}".prop_map(|s| format!("b'{s}'")),
    ]
}

const TEMPLATES: &[&str] = &[
    "select a from t where b = ~ and c > ~ limit ~",
    "select f(~, lower(~)), ~ from t",
    "insert into t (a, b) values (~, ~)",
    "update t set a = ~ where b = ~",
    "delete from t where a between ~ and ~",
    "with x as (select ~ as a) select * from x where a = ~",
    "select pg_advisory_lock(~)",
    "select case when a = ~ then ~ else ~ end into temp y from t",
];

proptest! {
    #[test]
    fn literals_change_neither_shape_nor_facts(
        template in prop::sample::select(TEMPLATES),
        first in prop::collection::vec(literal(), 3),
        second in prop::collection::vec(literal(), 3),
    ) {
        let fill = |with: &[String]| {
            let mut with = with.iter();
            template.split_inclusive('~')
                .map(|part| match part.strip_suffix('~') {
                    Some(head) => format!("{head}{}", with.next().unwrap()),
                    None => part.to_owned(),
                })
                .collect::<String>()
        };
        let (a, b) = (fill(&first), fill(&second));
        prop_assert_eq!(shape(&a), shape(&b), "{} | {}", &a, &b);
        prop_assert_eq!(plain(&a), plain(&b), "{} | {}", &a, &b);
    }

    #[test]
    fn lengths_of_lists_do_not_matter(list in prop::collection::vec(literal(), 1..20)) {
        let list = list.join(", ");
        prop_assert_eq!(
            shape(&format!("select 1 from t where a in ({list}) and b = 1")),
            "select ? from t where a in (...) and b = ?"
        );
    }

    #[test]
    fn numbers_of_equal_rows_do_not_matter(rows in prop::collection::vec((literal(), literal()), 1..20)) {
        let rows: Vec<_> = rows.iter().map(|(a, b)| format!("({a}, {b})")).collect();
        let text = format!("insert into t values {} returning a", rows.join(","));
        prop_assert_eq!(shape(&text), "insert into t values (?, ?) returning a");
    }
}
