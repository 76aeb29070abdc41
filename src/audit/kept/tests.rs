use super::*;
use crate::audit::findings::{Findings, Seen};
use crate::lint::rules::filter::MISSING_WHERE;

/// A table with one finding that has something everywhere.
fn full() -> Findings {
    let mut findings = Findings::new(10);
    let text = "SELECT 1; DELETE FROM t /*controller='posts',framework='rails',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/ WHERE a = 'hush'";
    let mut hit = Hit::new(
        &MISSING_WHERE,
        "delete",
        "This DELETE \"touches\"\nevery row.",
    )
    .severity(Severity::Info)
    .confidence(Confidence::Confirmed)
    .at(Some(Span { start: 10, end: 23 }))
    .object("táble")
    .evidence("rows", 7_u64)
    .evidence("share", 0.25)
    .evidence("none", f64::NAN)
    .evidence("table", "t")
    .evidence("again", true)
    .suggest_sql("DELETE FROM t WHERE id = $1");
    hit.times = Box::new([(1, 2), (3, u32::MAX)]);
    hit.statement = 1;
    hit.suggestion.framework = Some("includes".into());
    let subject = Subject {
        database: "shop".into(),
        user: "web".into(),
        app: "till".into(),
        client: "10.0.0.1".into(),
        ..Subject::default()
    };
    let seen = |scope| Seen {
        hit: &hit,
        subject: &subject,
        action: Action::Block,
        shape: u64::MAX,
        text: text.as_bytes(),
        parent: (3, b"SELECT id FROM p WHERE x = 'hush'"),
        scope,
        suppressed: Some("a purge"),
        count: 1,
        cost: Cost {
            round_trips: 1,
            server_us: 2,
            gap_us: 3,
            rows: 4,
            bytes: 5,
        },
    };
    for scope in 0..12 {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001 + scope);
        findings.record(&seen(scope), now);
    }
    let id = findings.all()[0].id.clone();
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    assert!(findings.acknowledge(&id, until, "it stays"));
    findings
}

fn rules() -> Vec<RuleAction> {
    vec![RuleAction {
        rule: "missing-where".to_owned(),
        kind: "delete".to_owned(),
        action: "block".to_owned(),
        user: Some("web".to_owned()),
        ..RuleAction::default()
    }]
}

fn text() -> String {
    write(&full().all(), &rules(), 1 << 20).0
}

#[test]
fn what_is_read_is_what_was_written() {
    let (findings, text) = (full(), text());
    assert!(!text.contains("hush"), "{text}");
    let kept = read(&text).expect("whole");
    assert_eq!((kept.rules, kept.unknown), (rules(), 0));
    let (before, after) = (findings.all()[0], &kept.findings[0]);
    assert_eq!(before.json(), after.json());
    assert_eq!(before.json()["scopes"], 12);
    assert_eq!(
        (before.next_log, before.logged, &before.subject),
        (after.next_log, after.logged, &after.subject)
    );
    assert_eq!(
        (&before.hit.span, before.hit.statement),
        (&after.hit.span, after.hit.statement)
    );
    let again = write(&[after], &rules(), 1 << 20).0;
    assert_eq!(again, text);
}

#[test]
fn a_hit_of_the_same_thing_counts_on() {
    let mut after = Findings::new(10);
    for finding in read(&text()).expect("whole").findings {
        assert!(after.restore(finding));
    }
    let before = full();
    let one = before.all()[0];
    let seen = Seen {
        hit: &one.hit,
        subject: &one.subject,
        action: Action::Log,
        shape: one.shape,
        text: b"DELETE FROM t",
        parent: (one.parent_shape, b""),
        scope: 0,
        suppressed: None,
        count: 1,
        cost: Cost::default(),
    };
    after.record(&seen, SystemTime::now());
    let all = after.all();
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0].id, all[0].count), (&one.id, 13));
    assert_eq!(all[0].first, one.first);
    let mut small = Findings::new(1);
    let kept = read(&text()).expect("whole").findings;
    assert!(small.restore(kept[0].clone()) && !small.restore(kept[0].clone()));
}

#[test]
fn damage_is_told_with_its_line() {
    let whole = text();
    let told = |text: &str| read(text).expect_err("damaged");
    let strange = (1, "this is no file of findings".to_owned());
    for bad in ["", "{}", "[]", "nonsense", "{\"v\":1,\"lines\":0}"] {
        assert_eq!(told(bad), strange, "{bad}");
    }
    let newer = whole.replacen("\"v\":1", "\"v\":2", 1);
    assert_eq!(
        told(&newer),
        (
            1,
            "it is of version 2, this pgweir reads version 1".to_owned()
        )
    );
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 3);
    let short = told(&lines[..2].join("\n"));
    assert_eq!(
        short,
        (
            2,
            "the first line says that 2 lines follow, there are 1".to_owned()
        )
    );
    assert_eq!(told(&format!("{whole}{}\n", lines[2])).0, 4);
    assert_eq!(told(&whole[..whole.len() - 9]).0, 3);
    // Each member has to be there and of its kind.
    let line: Json = serde_json::from_str(lines[2]).expect("JSON");
    let members = line.as_object().expect("an object");
    for key in members.keys().filter(|key| *key != "id") {
        for other in [Json::Null, json!({"a": 1}), json!(-1), json!([[1], {}])] {
            let mut wrong = members.clone();
            wrong.insert(key.clone(), other.clone());
            let line = Json::Object(wrong).to_string();
            let result = read(&format!("{}\n{}\n{line}\n", lines[0], lines[1]));
            let nullable = other.is_null()
                && [
                    "object",
                    "sql",
                    "framework",
                    "suppressed",
                    "acknowledged",
                    "hit_span",
                ]
                .contains(&&**key);
            match result {
                Ok(_) => assert!(nullable, "{key} {other}"),
                Err((at, what)) => {
                    assert_eq!(at, 3);
                    assert!(what.starts_with('`'), "{what}");
                    assert!(!nullable, "{key}");
                }
            }
        }
    }
    let year_10000 = whole.replace("\"first\":1700000000000001", "\"first\":253402300800000000");
    assert_eq!(told(&year_10000).0, 3);
}

#[test]
fn rules_that_are_gone_are_left_out() {
    for (from, to) in [
        ("\"rule\":\"missing-where\"", "\"rule\":\"of-tomorrow\""),
        ("\"kind\":\"delete\",\"last\"", "\"kind\":\"new\",\"last\""),
    ] {
        let changed = text().replace(from, to);
        assert_ne!(changed, text(), "{from}");
        let kept = read(&changed).expect("whole");
        assert_eq!((kept.findings.len(), kept.unknown), (0, 1), "{from}");
    }
}

#[test]
fn a_file_is_bounded_and_loses_the_least_bad() {
    let findings = full();
    let all: Vec<&Finding> = std::iter::repeat_n(findings.all()[0], 20).collect();
    let (whole, none) = write(&all, &[], 1 << 20);
    assert_eq!(none, 0);
    let (part, left_out) = write(&all, &[], whole.len() / 2);
    assert!(part.len() <= whole.len() / 2);
    let kept = read(&part).expect("whole").findings.len();
    assert!(kept > 5, "{kept}");
    assert_eq!(kept + left_out, 20);
}
