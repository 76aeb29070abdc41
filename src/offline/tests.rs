//! Tests of what is printed.

use super::*;
use crate::lint::rules::filter::MISSING_WHERE;

const FILE: &str = "\\set x 1\n-- purge\nDELETE FROM sessions; -- all of it\nSELECT 1 FRM t;\n/* lint:ignore=missing-where */ DELETE FROM a;\nUPDATE \"é\" SET a = (1;\n\tUPDATE b\n SET c = 'x';\n";

fn source(text: &str) -> report::Source {
    let linted = script::lint(text, &[&MISSING_WHERE]);
    report::Source {
        name: "a b.sql".to_owned(),
        text: text.to_owned(),
        findings: linted.findings,
    }
}

#[test]
fn one_bad_statement_hides_no_other() {
    let linted = script::lint(FILE, &[&MISSING_WHERE]);
    let places: Vec<_> = (linted.findings.iter())
        .map(|finding| &FILE[finding.span.start as usize..finding.span.end as usize])
        .collect();
    assert_eq!(places, ["sessions", "b"]);
    let skipped: Vec<_> = linted
        .skipped
        .iter()
        .map(|s| report::Lines::of(FILE).position(s.at))
        .collect();
    assert_eq!(skipped, [(4, 1), (6, 1)]);
}

#[test]
fn variables_of_psql_are_no_mistake() {
    let linted = script::lint(
        "DELETE FROM :schema.t; DELETE FROM t WHERE a = :'b'",
        &[&MISSING_WHERE],
    );
    assert_eq!((linted.findings.len(), linted.skipped), (1, Vec::new()));
}

#[test]
fn only_the_chosen_rules_speak() {
    assert_eq!(script::lint(FILE, &[]).findings, []);
}

#[test]
fn text_underlines_the_place() {
    let text = report::text(&source(FILE), false);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "a b.sql:3:13: critical missing-where: This DELETE touches every row of sessions."
    );
    assert_eq!(lines[1], format!("    {}", MISSING_WHERE.remedy));
    assert_eq!(lines[2], "      3 | DELETE FROM sessions; -- all of it");
    assert_eq!(lines[3], "        |             ^^^^^^^^");
    assert!(!text.contains('\x1b'));
    assert!(report::text(&source(FILE), true).contains("\x1b[1;31mcritical\x1b[0m"));
    assert!(
        text.contains("      7 |  UPDATE b\n        |         ^\n"),
        "{text}"
    );
}

#[test]
fn long_lines_and_letters_of_several_bytes() {
    let text = format!(
        "/* {} */ DELETE FROM \"té\" /* {} */",
        "é".repeat(300),
        "ü".repeat(300)
    );
    let shown = report::text(&source(&text), false);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("a b.sql:1:320: "), "{shown}");
    let at = lines[3].find('^').expect("a mark");
    let above: String = lines[2].chars().skip(at).take(4).collect();
    assert_eq!(above, "\"té\"", "{shown}");
    assert!(lines[2].chars().count() < 140, "{shown}");
}

#[test]
fn a_byte_order_mark_takes_no_column() {
    let shown = report::text(&source("\u{feff}DELETE FROM t"), false);
    assert!(shown.starts_with("a b.sql:1:13: "), "{shown}");
    assert!(
        shown.contains("| DELETE FROM t\n        |             ^\n"),
        "{shown}"
    );
    assert_eq!(report::Lines::of("\u{feff}a").position(0), (1, 1));
}

#[test]
fn json_is_one_object_per_line() {
    let text = report::json(&source(FILE));
    assert_eq!(text.lines().count(), 2);
    let first: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["file"], "a b.sql");
    assert_eq!((&first["line"], &first["col"]), (&3.into(), &13.into()));
    assert_eq!(first["rule"], "missing-where");
    assert_eq!(
        first["span"]["start"],
        FILE.find("sessions").expect("there")
    );
    assert_eq!(first["suggestion"]["text"], MISSING_WHERE.remedy);
}

#[test]
fn sarif_has_rules_and_places() {
    let document = sarif::document(&[source(FILE)], &[&MISSING_WHERE]);
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "missing-where");
    let result = &run["results"][0];
    assert_eq!(
        (&result["level"], &result["ruleIndex"]),
        (&"error".into(), &0.into())
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.sql");
    assert_eq!(place["region"]["startLine"], 3);
    assert_eq!(place["region"]["endColumn"], 21);
}

#[test]
fn a_rule_explains_itself() {
    let text = explain::rule(&MISSING_WHERE);
    for part in [
        "missing-where: UPDATE",
        "QL002",
        "\nKinds:\n",
        "update-trivial",
        "  bad   DELETE FROM sessions\n",
        "\nInstead: Add a WHERE",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
    let table = explain::table(registry::all());
    for rule in registry::all() {
        assert!(table.contains(rule.title), "{table}");
    }
}

#[test]
fn rules_are_found_by_name() {
    assert_eq!(find("missing-where").expect("a rule"), &MISSING_WHERE);
    let error = find("mising-where").expect_err("no rule").to_string();
    assert!(error.contains("did you mean missing-where?"), "{error}");
    assert_eq!(
        (chosen(&["missing-where".to_owned()]).expect("a rule").rules).len(),
        1
    );
}

/// `PGWEIR_WRITE_DOCS=1` writes the page.
#[test]
fn the_page_is_the_registry() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
    if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
        std::fs::write(path, explain::page()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == explain::page(),
        "docs/rules.md is not what the rules say: run this test with PGWEIR_WRITE_DOCS=1"
    );
}

#[test]
fn the_cases_of_sequences_are_judged_as_they_should() {
    let file = include_str!("../../tests/cases/sequences.jsonl");
    let rules = registry::all();
    let mut score = score::Score::default();
    let mut cases = 0;
    for line in file.lines() {
        let case = case::read(line.as_bytes()).expect("a case");
        let hits = replay::run(&case);
        score.add(&case, &hits, rules);
        cases += 1;
    }
    assert!(cases > 190, "{cases} cases");
    assert!(score.is_perfect(), "{}", score.report());
}
