//! The language.

use super::*;

fn form(text: &str) -> String {
    match parse(text) {
        Ok(Statement::Empty) => "empty".to_owned(),
        Ok(Statement::Command(command, argument)) => format!("{} {argument:?}", command.name),
        Err(error) => error.to_string(),
    }
}

#[test]
fn words_in_any_case_and_quoted_names() {
    assert_eq!(form(" pause;"), "pause None");
    assert_eq!(form("PAUSE App ;"), "pause Database(\"App\")");
    assert_eq!(
        form("Pause \"My \"\"DB\";;"),
        "pause Database(\"My \"\"DB\")".replace("\"\"", "\\\"")
    );
    assert_eq!(form("select pools"), form("SHOW POOLS;"));
    assert_eq!(form("\"show\" \"Pools\""), form("SHOW POOLS"));
    assert_eq!(
        form("SET \"verbose\" = \"0\""),
        "set Setting(\"verbose\", \"0\")"
    );
    assert_eq!(form(" ; "), "empty");
    assert_eq!(form(""), "empty");
    assert_eq!(
        form("shutdown wait_for_clients"),
        "shutdown Shutdown(WaitForClients)"
    );
    assert_eq!(form("SHUTDOWN"), "shutdown Shutdown(Stopped)");
    let client = |text| match parse(text) {
        Ok(Statement::Command(_, Argument::Client(client))) => client,
        other => panic!("{other:?}"),
    };
    assert_eq!(client("KILL_CLIENT 12"), Client::Id(12));
    assert_eq!(client("KILL_CLIENT 0xfF"), Client::Pointer(255));
    for text in [
        "KILL_CLIENT",
        "KILL_CLIENT x",
        "KILL_CLIENT 0x",
        "KILL_CLIENT 99999999999999999999",
    ] {
        assert_eq!(
            parse(text).unwrap_err(),
            ConsoleError::InvalidClient,
            "{text}"
        );
    }
}

#[test]
fn what_is_not_understood() {
    for text in [
        "nonsense",
        "SHOW nonsense",
        "SHOW",
        "PAUSE a b",
        "PAUSE 'a",
        "RELOAD x",
        "SET",
        "SET a",
        "SET = 1",
        "SHOW $$x$$",
        "SHUTDOWN now",
    ] {
        let expected = ConsoleError::Invalid(text.to_owned());
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
    assert_eq!(
        form("nonsense;"),
        "invalid command 'nonsense;', use SHOW HELP;"
    );
    assert_eq!(
        parse("SHOW POOLS; SHOW STATS").unwrap_err(),
        ConsoleError::Several
    );
    assert_eq!(
        parse("DISABLE").unwrap_err(),
        ConsoleError::DatabaseRequired
    );
    let long = "é".repeat(1_000);
    assert_eq!(form(&long).chars().filter(|c| *c == 'é').count(), 50);
}

#[test]
fn rules_and_findings() {
    let argument = |text: &str| match parse(text) {
        Ok(Statement::Command(_, argument)) => argument,
        other => panic!("{text}: {other:?}"),
    };
    let Argument::Rule(change) = argument(
        "SET RULE 'missing-where:delete' ACTION 'block' FOR DATABASE 'shop' USER web APP 'till'",
    ) else {
        panic!("SET RULE is no setting");
    };
    assert_eq!(
        (&*change.rule, &*change.kind, &*change.action),
        ("missing-where", "delete", "block")
    );
    let scope = [&change.database, &change.user, &change.app].map(|name| name.as_deref());
    assert_eq!(scope, [Some("shop"), Some("web"), Some("till")]);
    assert_eq!(
        argument("ack 'select-star-0a' for '7d' reason 'it''s a report'"),
        Argument::Acknowledge(
            "select-star-0a".to_owned(),
            std::time::Duration::from_secs(7 * 86_400),
            "it's a report".to_owned()
        )
    );
    assert_eq!(
        argument("SHOW FINDING 'x'"),
        Argument::Finding("x".to_owned())
    );
    assert_eq!(argument("reset findings"), Argument::None);
    let switchover = |to: Option<&str>| Argument::Switchover("App".into(), to.map(str::to_owned));
    assert_eq!(argument("SWITCHOVER App"), switchover(None));
    let to = switchover(Some("db2:5432"));
    assert_eq!(argument("switchover App to db2:5432;"), to);
    assert_eq!(argument("SWITCHOVER \"App\" TO 'db2:5432'"), to);
    for wrong in [
        "SET RULE 'x'",
        "SET RULE 'x' ACTION",
        "SET RULE 'x' FOR DATABASE 'y'",
        "SET RULE 'x' ACTION 'log' FOR COLOUR 'y'",
        "ACK",
        "ACK 'x' FOR 'long'",
        "ACK 'x' BECAUSE 'y'",
        "RESET",
        "RESET STATS",
        "SHOW FINDING",
        "SWITCHOVER",
        "SWITCHOVER app TO",
        "SWITCHOVER app FROM db2",
        "SWITCHOVER app TO db2 db3",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn drivers_may_set_what_they_set() {
    assert_eq!(form("SET DateStyle TO 'ISO'"), "set Ignored");
    assert_eq!(form("set application_name = 'x;y'"), "set Ignored");
    assert_eq!(
        form("SET server_reset_query TO ''"),
        "set Setting(\"server_reset_query\", \"\")"
    );
    assert!(parse("SET pool_mode = =").is_err());
    assert!(parse("SET pool_mode IS 'x'").is_err());
    assert_eq!(
        form("SET pool_mode = session"),
        "set Setting(\"pool_mode\", \"session\")"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_words_panic(words in proptest::collection::vec("SHOW|SET|KILL_CLIENT|PAUSE|\"|'|;|=|to|0x|x|9", 0..6)) {
        let _ = parse(&words.join(" "));
    }
}
