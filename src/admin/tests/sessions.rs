//! Sessions over a socket: simple queries, waiting, garbage.

use super::*;

#[tokio::test]
async fn simple_queries() {
    let scene = Scene::new();
    let (mut peer, session) = scene.connect(1, Rights::Admin).await;
    let version = format!("D {}", show::process::version_text());
    assert_eq!(
        peer.ask("show version").await,
        ["T 1", &version, "C SHOW", "Z"]
    );
    assert_eq!(peer.ask(";").await, ["I", "Z"]);
    assert_eq!(
        peer.ask("SHOW client_encoding").await,
        ["T 1", "D UTF-8", "C SHOW", "Z"]
    );
    assert_eq!(
        peer.ask("SET timezone TO 'UTC'").await,
        ["N SET ignored", "C SET", "Z"]
    );
    let help = peer.ask("SHOW HELP").await;
    assert!(
        help[0].starts_with("N Console usage") && help.len() == 3,
        "{help:?}"
    );
    assert_eq!(
        peer.ask("bogus").await,
        [
            "E ERROR 42601: invalid command 'bogus', use SHOW HELP;",
            "Z"
        ]
    );
    let clients = peer.ask("SHOW CLIENTS").await;
    assert_eq!(clients.len(), 5, "{clients:?}");
    assert!(clients[2].contains("|op|pgweir|"), "{clients:?}");
    peer.send(b"X\0\0\0\x04").await;
    assert!(matches!(session.await.expect("no panic"), Ended::Left));
    assert!(scene.console.sessions.all().is_empty());
    assert_eq!(scene.console.sessions.totals().logins, 1);
}

#[tokio::test]
async fn commands_and_their_errors() {
    let scene = Scene::new();
    let (mut peer, _session) = scene.connect(1, Rights::Admin).await;
    let process = scene.control.process().clone();
    for (text, answer) in [
        ("RESUME", "E ERROR 55000: pooler is not paused/suspended"),
        ("RESUME app", "E ERROR 55000: database app is not paused"),
        ("PAUSE nope", "E ERROR 3D000: no such database: nope"),
        (
            "PAUSE pgbouncer",
            "E ERROR 0A000: cannot pause admin db: pgbouncer",
        ),
        ("DISABLE", "E ERROR 42601: a database is required"),
        ("DISABLE app", "C DISABLE"),
        ("RECONNECT app", "C RECONNECT"),
        ("WAIT_CLOSE", "C WAIT_CLOSE"),
        ("KILL_CLIENT 5", "C KILL_CLIENT"),
        ("KILL_CLIENT 0x100000005", "C KILL_CLIENT"),
        ("KILL_CLIENT 6", "E ERROR 42704: client not found"),
        ("KILL_CLIENT 0x6", "E ERROR 42704: client not found"),
        (
            "SET listen_port = 5",
            "E ERROR 22023: SET failed: listen_port takes a restart; change the configuration file",
        ),
        ("SET pool_mode = session", "C SET pool_mode=session"),
        ("KILL two", "C KILL"),
        ("RESUME two", "C RESUME"),
    ] {
        assert_eq!(peer.ask(text).await, [answer, "Z"], "{text}");
    }
    assert!(process.holds.read().disabled.contains("app"));
    assert_eq!(peer.ask("ENABLE app").await, ["C ENABLE", "Z"]);
    assert!(process.holds.read().disabled.is_empty());
    let reload = peer.ask("RELOAD").await;
    assert!(
        reload[0].starts_with("E ERROR F0000: ") && reload[0].contains("pool_sise"),
        "{reload:?}"
    );
    assert_eq!(
        peer.ask("SHUTDOWN WAIT_FOR_CLIENTS").await,
        ["C SHUTDOWN", "Z"]
    );
    assert_eq!(process.phase.get(), Phase::WaitForClients);
    assert_eq!(
        peer.ask("PAUSE").await,
        ["E ERROR 57P01: pooler is shutting down", "Z"]
    );
    assert_eq!(peer.ask("SHUTDOWN").await, ["C SHUTDOWN", "Z"]);
    assert_eq!(process.phase.get(), Phase::Stopped);
}

#[tokio::test]
async fn stats_users_only_look() {
    let scene = Scene::new();
    let (mut peer, _session) = scene.connect(1, Rights::Stats).await;
    for show in SHOWS {
        let answer = peer.ask(&format!("SHOW {}", show.name)).await;
        assert_eq!(answer[answer.len() - 2], "C SHOW", "{}", show.name);
    }
    for command in COMMANDS.iter().filter(|command| command.name != "show") {
        let argument = match command.takes {
            command::Takes::Database | command::Takes::Switchover => " app",
            command::Takes::Client => " 5",
            command::Takes::Findings => " findings",
            command::Takes::Acknowledge => " 'x'",
            command::Takes::Allow => " 'x' '7'",
            command::Takes::Route => " ROUTE app 'SELECT 1'",
            command::Takes::Assignment if command.name == "set firewall" => " 'x' 'off'",
            command::Takes::Assignment if command.name == "set rule" => " 'x' ACTION 'log'",
            command::Takes::Assignment => " pool_mode = session",
            _ => "",
        };
        let answer = peer.ask(&format!("{}{argument}", command.name)).await;
        assert_eq!(
            answer,
            ["E ERROR 42501: admin access needed", "Z"],
            "{}",
            command.name
        );
    }
    assert_eq!(
        peer.ask("SET datestyle TO 'ISO'").await,
        ["N SET ignored", "C SET", "Z"]
    );
    assert!(!scene.control.process().holds.read().all);
}

#[tokio::test]
async fn pause_waits_and_can_be_given_up() {
    let scene = Scene::new();
    let process = scene.control.process().clone();
    let (mut peer, _session) = scene.connect(1, Rights::Admin).await;
    peer.query("PAUSE").await;
    while !process.holds.read().all {
        tokio::task::yield_now().await;
    }
    scene.quiet.notify_one();
    assert_eq!(peer.talk().await, ["C PAUSE", "Z"]);
    assert_eq!(
        peer.ask("PAUSE").await,
        ["E ERROR 55000: already suspended/paused", "Z"]
    );
    assert_eq!(peer.ask("RESUME").await, ["C RESUME", "Z"]);

    // A cancel request gives up the waiting, not the pause.
    peer.query("PAUSE app").await;
    while process.holds.read().paused.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(scene.console.cancel(1));
    assert_eq!(
        peer.talk().await,
        [
            "E ERROR 57014: canceling statement due to user request",
            "Z"
        ]
    );
    assert!(process.holds.read().paused.contains("app"));
    assert!(!scene.console.cancel(2));

    // So does hanging up.
    let (mut waiting, session) = scene.connect(2, Rights::Admin).await;
    waiting.query("PAUSE two").await;
    while process.holds.read().paused.len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    assert!(matches!(session.await.expect("no panic"), Ended::Left));
    assert!(process.holds.read().paused.contains("two"));

    // And one console can end another.
    let (mut waiting, session) = scene.connect(3, Rights::Admin).await;
    waiting.query("PAUSE two").await;
    assert_eq!(peer.ask("KILL_CLIENT 3").await, ["C KILL_CLIENT", "Z"]);
    let end = waiting.talk().await;
    assert_eq!(
        end,
        ["E FATAL 57P01: terminating connection due to administrator command"]
    );
    assert!(matches!(session.await.expect("no panic"), Ended::Killed));
}

#[tokio::test]
async fn garbage_ends_one_session_with_an_error() {
    let scene = Scene::new();
    let (mut other, _session) = scene.connect(1, Rights::Admin).await;
    for (garbage, says) in [
        (&b"\0\0\0\0\x04"[..], "unknown message type 0x00"),
        (b"Q\0\0\0\x03", "message 'Q' has length 3, the minimum is 4"),
        (
            b"Q\x7f\xff\xff\xff",
            "message 'Q' has length 2147483647, the limit is 65540",
        ),
        (b"Q\0\0\0\x07abc", "malformed 'Q' message: no terminator"),
        (
            b"B\0\0\0\x05\0",
            "malformed 'B' message: lengths do not fit",
        ),
        (b"E\0\0\0\x06\0\0", "malformed 'E' message: no row limit"),
        (b"R\0\0\0\x04", "unknown message type 'R'"),
    ] {
        let (mut peer, session) = scene.connect(2, Rights::Admin).await;
        peer.send(garbage).await;
        assert_eq!(peer.talk().await, [format!("E FATAL 08P01: {says}")]);
        assert!(matches!(session.await.expect("no panic"), Ended::Frame(_)));
    }
    assert_eq!(other.ask("SHOW VERSION").await.len(), 4);
    assert_eq!(scene.console.sessions.all().len(), 1);
}

#[test]
fn sessions_need_no_worker() {
    fn sendable<T: Send>(_: &T) {}
    fn check(stream: Stream, welcome: Welcome, control: Control, console: Arc<Shared>) {
        sendable(&run(
            stream,
            Vec::new(),
            welcome,
            control.clone(),
            console.clone(),
        ));
        sendable(&sample(control, console));
    }
    let _ = check;
}
