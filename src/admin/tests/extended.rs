//! The extended protocol.

use super::*;

/// Parse, Bind and Execute as bytes.
fn parse_message(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let definition = [text.as_bytes(), b"\0\0\0"].concat();
    write::parse(&mut out, name.as_bytes(), &definition);
    out
}

fn bind_message(portal: &str, statement: &str, formats: &[u16]) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, b'B', |out| {
        out.extend(
            [
                portal.as_bytes(),
                b"\0",
                statement.as_bytes(),
                b"\0\0\0\0\0",
            ]
            .concat(),
        );
        out.extend((formats.len() as u16).to_be_bytes());
        out.extend(formats.iter().flat_map(|f| f.to_be_bytes()));
    });
    out
}

fn execute_message(portal: &str, limit: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(&mut out, b'E', |out| {
        out.extend([portal.as_bytes(), b"\0"].concat());
        out.extend(limit.to_be_bytes());
    });
    out
}

fn target_message(tag: u8, kind: u8, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write::target(&mut out, tag, kind, name.as_bytes());
    out
}

const SYNC: &[u8] = b"S\0\0\0\x04";

#[tokio::test]
async fn extended_queries() {
    let scene = Scene::new();
    let (mut peer, _session) = scene.connect(1, Rights::Admin).await;
    let batch = [
        parse_message("s", "SHOW STATE"),
        target_message(b'D', b'S', "s"),
        bind_message("", "s", &[]),
        target_message(b'D', b'P', ""),
        execute_message("", 3),
        execute_message("", 0),
        SYNC.to_vec(),
    ];
    peer.send(&batch.concat()).await;
    let rows = ["D active|yes", "D paused|no", "D suspended|no"];
    let expected = [
        &["1", "t", "T 2", "2", "T 2"][..],
        &rows,
        &["s", "D phase|starting", "C SHOW", "Z"],
    ]
    .concat();
    assert_eq!(peer.talk().await, expected);

    // The statement is still there, its portal is not.
    let batch = [execute_message("", 0), SYNC.to_vec()];
    peer.send(&batch.concat()).await;
    assert_eq!(
        peer.talk().await,
        ["E ERROR 34000: portal \"\" does not exist", "Z"]
    );
    let batch = [
        bind_message("p", "s", &[1]),
        execute_message("p", 1),
        target_message(b'C', b'S', "s"),
        bind_message("q", "s", &[]),
        parse_message("skipped", "SHOW STATE"),
        SYNC.to_vec(),
        bind_message("q", "skipped", &[]),
        SYNC.to_vec(),
    ];
    peer.send(&batch.concat()).await;
    let missing = |name| format!("E ERROR 26000: prepared statement \"{name}\" does not exist");
    assert_eq!(
        peer.talk().await,
        ["2", "D active|yes", "s", "3", &missing("s"), "Z"]
    );
    assert_eq!(peer.talk().await, [missing("skipped"), "Z".to_owned()]);

    // A command without rows runs once, however often it is executed.
    let batch = [
        parse_message("", "DISABLE app"),
        bind_message("", "", &[]),
        target_message(b'D', b'P', ""),
        execute_message("", 0),
        execute_message("", 0),
        SYNC.to_vec(),
    ];
    peer.send(&batch.concat()).await;
    assert_eq!(
        peer.talk().await,
        ["1", "2", "n", "C DISABLE", "C DISABLE", "Z"]
    );
    assert!(
        scene
            .control
            .process()
            .holds
            .read()
            .disabled
            .contains("app")
    );
}

#[tokio::test]
async fn extended_mistakes_skip_to_sync() {
    let scene = Scene::new();
    let (mut peer, _session) = scene.connect(1, Rights::Admin).await;
    let mut with_parameter = Vec::new();
    write::message(&mut with_parameter, b'B', |out| {
        out.extend(b"\0\0\0\0\0\x01\xff\xff\xff\xff\0\0")
    });
    for (messages, answer) in [
        (
            vec![parse_message("", "bogus")],
            vec!["E ERROR 42601: invalid command 'bogus', use SHOW HELP;"],
        ),
        (
            vec![parse_message("", "SHOW STATE"), with_parameter],
            vec![
                "1",
                "E ERROR 08P01: bind message supplies 1 parameters, but statements of the console have none",
            ],
        ),
        (
            vec![
                parse_message("", "SHOW STATE"),
                bind_message("", "", &[0, 0, 0]),
            ],
            vec![
                "1",
                "E ERROR 08P01: bind message has another number of result formats than there are columns",
            ],
        ),
        (
            vec![parse_message("", "SHOW STATE"), bind_message("", "", &[2])],
            vec!["1", "E ERROR 08P01: unknown format code of a result"],
        ),
        (
            vec![
                parse_message("a", "SHOW STATE"),
                parse_message("a", "SHOW STATE"),
            ],
            vec![
                "1",
                "E ERROR 42P05: prepared statement \"a\" already exists",
            ],
        ),
        (
            vec![target_message(b'D', b'P', "none")],
            vec!["E ERROR 34000: portal \"none\" does not exist"],
        ),
        (
            vec![target_message(b'C', b'x', "none")],
            vec!["E ERROR 08P01: close of neither a statement nor a portal"],
        ),
    ] {
        peer.send(&messages.concat()).await;
        // Skipped, whatever it is.
        peer.send(&parse_message("b", "SHOW STATE")).await;
        peer.send(SYNC).await;
        assert_eq!(peer.talk().await, [&answer[..], &["Z"]].concat());
    }
    for at in 1..crate::admin::extended::STATEMENTS {
        peer.send(&parse_message(&format!("n{at}"), ";")).await;
    }
    peer.send(&parse_message("one more", ";")).await;
    peer.send(SYNC).await;
    let answers = peer.talk().await;
    let full = "E ERROR 54000: too many prepared statements on the console (limit 256); close some";
    assert_eq!(answers[answers.len() - 2..], [full, "Z"]);
    let call = b"F\0\0\0\x04";
    peer.send(call).await;
    assert_eq!(
        peer.talk().await,
        [
            "E ERROR 0A000: function calls are not supported by the console",
            "Z"
        ]
    );
}

#[tokio::test]
async fn binary_results() {
    let scene = Scene::new();
    let (mut peer, _session) = scene.connect(1, Rights::Admin).await;
    let batch = [
        parse_message("", "SHOW LISTS"),
        bind_message("", "", &[0, 1]),
        execute_message("", 1),
        SYNC.to_vec(),
    ];
    peer.send(&batch.concat()).await;
    let mut rows = Vec::new();
    while let Some((tag, body)) = peer.message().await {
        match tag {
            b'D' => rows.push(body),
            b'Z' => break,
            _ => {}
        }
    }
    let row = read::data_row(&rows[0]).expect("a row");
    assert_eq!(row, [Some(&b"databases"[..]), Some(&[0, 0, 0, 3][..])]);
}

proptest::proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let mut session = crate::admin::extended::Session::default();
        let mut out = Vec::new();
        let _ = session.parse(&body, &mut out);
        let _ = session.bind(&body, &mut out);
        let _ = session.describe(&body, &mut out);
        let _ = session.close(&body, &mut out);
        let _ = session.execute(&body);
    }
}
