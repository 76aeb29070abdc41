//! TOML: places of keys and mistakes of form.

use proptest::prelude::*;

use super::*;

#[test]
fn keys_have_their_lines() {
    let text = "# ä\n[pgweir]\npool_mode = \"session\"\n\n[databases.\"*\"]\n  port = 1\n[databases]\nx = { port = 2 }\n";
    let document = parse("f", text);
    assert_eq!(document.errors, []);
    let found: Vec<(String, u32, Option<u32>)> = document
        .entries
        .iter()
        .map(|e| (e.section.path(&e.key), e.place.line, e.place.column))
        .collect();
    assert_eq!(
        found,
        [
            ("pgweir.pool_mode".to_owned(), 3, Some(1)),
            ("databases.\"*\".port".to_owned(), 6, Some(3)),
            ("databases.x.port".to_owned(), 8, Some(7)),
        ]
    );
    assert_eq!(document.declared.len(), 2);
}

#[test]
fn sections_are_known() {
    let text =
        "port = 1\nlisten_port = 1\n[pgbouncer]\n[database.x]\n[colours]\n[databases]\ny = 1\n";
    let document = parse("f", text);
    let messages: Vec<String> = document.errors.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 6, "{messages:#?}");
    assert!(messages[0].starts_with("f:1: port: unknown section"));
    assert!(messages[1].contains("write [pgweir] above it"));
    assert!(messages[2].contains("is called [pgweir]"));
    assert!(messages[3].contains("did you mean [databases.NAME]"));
    assert!(messages[5].starts_with("f:7: databases.y: is a section"));
}

#[test]
fn mistakes_of_form_do_not_hide_the_rest() {
    let text = "[pgweir]\nlisten_port = = 5\npool_mode = \"session\"\npool_mode = \"statement\"\n";
    let document = parse("f", text);
    let lines: Vec<u32> = document.errors.iter().map(|e| e.line).collect();
    assert!(
        lines.contains(&2) && lines.contains(&4),
        "{:?}",
        document.errors
    );
    assert!(document.entries.iter().any(|e| e.key == "pool_mode"));
}

#[test]
fn messages_repeat_no_value() {
    for text in [
        "[databases.a]\npassword = \"hidden",
        "[databases.a]\npassword = hidden\n",
        "[databases.a]\npassword = \"hid\\den\"\n",
        "[databases.a]\npassword = 'hidden' hidden\n",
    ] {
        let document = parse("f", text);
        assert!(!document.errors.is_empty(), "{text}");
        assert!(
            !format!("{:?}", document.errors).contains("hid"),
            "{:?}",
            document.errors
        );
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "([a-z]{1,3}|[\\[\\]={}\"'.#,\n 0-9é]){0,60}") {
        let document = parse("f", &text);
        for error in &document.errors {
            prop_assert!(error.line as usize <= text.lines().count() + 1);
        }
    }
}
