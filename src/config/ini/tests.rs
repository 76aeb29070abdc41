//! The syntax of `pgbouncer.ini`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Document {
    parse("p.ini", text, &mut |_| Err("is not there".into()))
}

fn entries(document: &Document) -> Vec<(String, String, u32)> {
    document
        .entries
        .iter()
        .map(|e| {
            let Raw::Bare(value) = &e.value else {
                panic!("an ini has text only")
            };
            (
                e.section.path(&e.key),
                value.as_str().to_owned(),
                e.place.line,
            )
        })
        .collect()
}

fn row(key: &str, value: &str, line: u32) -> (String, String, u32) {
    (key.into(), value.into(), line)
}

#[test]
fn reads_what_pgbouncer_reads() {
    let text = "\
;; comment
[databases]
app = host=127.0.0.1 port=5433  dbname='my db'
\"odd \"\"name\" = host = /run
* = host=h
empty =
[users]
boss = pool_mode=session
[pgbouncer]
  listen_port =  6543
# comment
server_reset_query = DISCARD ALL; -- not a comment
auth_file=
";
    let document = read(text);
    assert_eq!(document.errors, []);
    assert_eq!(
        entries(&document),
        [
            row("databases.app.host", "127.0.0.1", 3),
            row("databases.app.port", "5433", 3),
            row("databases.app.dbname", "my db", 3),
            row("databases.\"odd \\\"name\".host", "/run", 4),
            row("databases.\"*\".host", "h", 5),
            row("users.boss.pool_mode", "session", 8),
            row("pgweir.listen_port", "6543", 10),
            row(
                "pgweir.server_reset_query",
                "DISCARD ALL; -- not a comment",
                12
            ),
            row("pgweir.auth_file", "", 13),
        ]
    );
    assert_eq!(document.declared.len(), 5);
}

#[test]
fn reports_lines_without_values() {
    let text = "\
a = 1
[databases]
app = host=h password=hidden secret
two = password='hidden
three = host=
\"open = host=h
four = password='hidden'x=1
[pgbounce]
ignored = 1
[peers]
1 = host=h
[pgbouncer
[pgbouncer]
no equals sign hidden
= 5
%include
";
    let document = read(text);
    let lines: Vec<u32> = document.errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 12, 14, 15, 16]);
    let shown = format!("{:?}", document.errors);
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains("did you mean [pgbouncer]"));
}

#[test]
fn includes_other_files_with_their_own_lines() {
    let files: BTreeMap<&str, &str> = [
        ("one.ini", "\nlisten_port = 1\n%include two.ini\n"),
        ("two.ini", "[users]\nx = pool_size=1\n"),
        ("loop.ini", "%include loop.ini\n"),
    ]
    .into();
    let mut open = |path: &Path| -> Result<Zeroizing<String>, String> {
        let name = path.to_str().unwrap_or_default();
        let text = files.get(name).ok_or("is not there")?;
        Ok((*text).to_owned().into())
    };
    let document = parse(
        "p.ini",
        "[pgbouncer]\n%include one.ini\ny = pool_size=2\n",
        &mut open,
    );
    assert_eq!(document.errors, []);
    assert_eq!(document.files, ["p.ini", "one.ini", "two.ini"]);
    let places: Vec<(usize, u32)> = document
        .entries
        .iter()
        .map(|e| (e.place.file, e.place.line))
        .collect();
    assert_eq!(places, [(1, 2), (2, 2), (0, 3)]);

    let document = parse("p.ini", "%include loop.ini\n%include none.ini\n", &mut open);
    let messages: Vec<String> = document.errors.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("too many levels"));
    assert!(messages[1].contains("none.ini"));
}

#[test]
fn a_backslash_is_a_backslash() {
    let (pairs, error) = connection_string(r"password='it''s\' user=a\b");
    assert_eq!(error, None);
    assert_eq!(pairs[0].1.as_str(), r"it's\");
    assert_eq!(pairs[1].1.as_str(), r"a\b");
}

proptest! {
    #[test]
    fn quoted_values_come_back(value in "[^\0\r\n]{1,30}") {
        let text = format!("host=h password='{}' port=1", value.replace('\'', "''"));
        let (pairs, error) = connection_string(&text);
        prop_assert_eq!(error, None);
        prop_assert_eq!(pairs.len(), 3);
        prop_assert_eq!(pairs[1].1.as_str(), value.as_str());
    }

    #[test]
    fn no_text_panics(text in "([a-z]{1,3}|[\\[\\]='\"%;#\n é*]){0,60}") {
        let _ = read(&text);
        let _ = connection_string(&text);
    }
}
