//! HTTP as a client sees it.

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Secret;

use super::endpoints::{ENDPOINTS, Source};
use super::fields::{Field, Type};
use super::*;

/// HTTP in front of a worker that shows made-up rows; its address and the handle.
async fn served() -> (std::net::SocketAddr, Control) {
    let control = crate::admin::tests::control(Arc::default());
    let env = Env {
        control: control.clone(),
        console: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = listener.local_addr().expect("an address");
    let derivation = Arc::new(Derivation::new().expect("random numbers"));
    tokio::spawn(serve(listener, env, derivation));
    (addr, control)
}

async fn ask(addr: std::net::SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.expect("connected");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("text");
    answer
}

async fn get(addr: std::net::SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ask(addr, &request).await
}

#[tokio::test]
async fn ready_follows_the_phase() {
    let (addr, control) = served().await;
    assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
    let starting = get(addr, "/ready").await;
    assert!(starting.starts_with("HTTP/1.1 503") && starting.ends_with("starting\n"));
    control.process().phase.advance(Phase::Running);
    let running = get(addr, "/ready").await;
    assert!(running.starts_with("HTTP/1.1 200") && running.ends_with("running\n"));
    control.shutdown(Phase::WaitForClients);
    let draining = get(addr, "/ready").await;
    assert!(draining.starts_with("HTTP/1.1 503"), "{draining}");
    assert!(draining.ends_with("wait_for_clients\n"), "{draining}");
    assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_and_mistakes() {
    let (addr, _control) = served().await;
    let page = get(addr, "/metrics").await;
    assert!(
        page.contains("content-type: text/plain; version=0.0.4"),
        "{page}"
    );
    assert!(page.contains("\npgweir_info 1\n"), "{page}");
    let open = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let page = ask(addr, open).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0";
    assert!(page.contains(kind) && page.ends_with("\n# EOF\n"), "{page}");
    assert!(get(addr, "/x").await.starts_with("HTTP/1.1 404"));
    let post =
        "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(ask(addr, post).await.starts_with("HTTP/1.1 405"));
    let head = "HEAD /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(ask(addr, head).await.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn garbage_and_long_heads_end_one_connection() {
    let (addr, _control) = served().await;
    let answer = ask(addr, "\0\x01\x02 garbage\r\n\r\n").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let mut socket = TcpStream::connect(addr).await.expect("connected");
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES * 2));
    // It may be closed before all of it is sent.
    let _ = socket.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn silent_connections_do_not_keep_others_out() {
    let (addr, _control) = served().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(TcpStream::connect(addr).await.expect("connected"));
    }
    assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
}

/// Status and body of what the API says.
async fn api(addr: std::net::SocketAddr, path: &str) -> (u16, Value) {
    let request =
        format!("GET /api/v1{path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let answer = ask(addr, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("content-type: application/json"), "{head}");
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let body = serde_json::from_str(body).expect("JSON");
    (status.expect("a status"), body)
}

/// Whether an object has these fields, with values of their types, and no others.
fn check(path: &str, fields: &[Field], object: &Map<String, Value>) {
    for field in fields {
        let value = object.get(field.name);
        let value = value.unwrap_or_else(|| panic!("{path}: no {}", field.name));
        let fits = match field.kind {
            Type::Text => value.is_string(),
            Type::Integer => value.is_i64() || value.is_u64(),
            Type::Number => value.is_number(),
            Type::Flag => value.is_boolean(),
            Type::Object => value.is_object(),
            Type::List => value.is_array(),
        };
        assert!(fits || value.is_null(), "{path}: {} is {value}", field.name);
    }
    assert_eq!(object.len(), fields.len(), "{path}: {object:?}");
}

#[tokio::test]
async fn answers_are_what_the_description_says() {
    let (addr, control) = served().await;
    let process = control.process();
    let member = crate::config::Member::parse("db1 weight=2 zone=a", 5432).expect("a server");
    let cluster = Arc::new(crate::pool::cluster::Cluster::new(&[member], "a"));
    process.clusters.insert("app".into(), cluster);
    process.mirrors.insert("app".into(), Arc::default());
    process.waits.lock().now = vec![crate::audit::waits::Waiting::default()];
    {
        let mut usage = process.usage.lock();
        let row = usage.rows().remove(0);
        usage.planned(&row, vec!["Result".into()]);
    }
    let id = process.findings.lock().all()[0].id.to_string();
    for endpoint in ENDPOINTS {
        let id = match endpoint.source {
            Source::Plan | Source::Histogram => "0000000000000001",
            _ => &id,
        };
        let path = endpoint.path.replace("{id}", id);
        let (status, answer) = api(addr, &path).await;
        if endpoint.source == Source::Audit {
            assert_eq!(status, 401, "{path}: {answer}");
            continue;
        }
        assert_eq!(status, 200, "{path}: {answer}");
        let answer = answer.as_object().expect("an object");
        if endpoint.source == Source::Description {
            let paths = answer["paths"].as_object().expect("paths");
            assert_eq!(paths.len(), ENDPOINTS.len() + actions::ACTIONS.len());
            continue;
        }
        if !endpoint.lists() {
            check(&path, &endpoint.fields(), answer);
            continue;
        }
        let rows = answer["rows"].as_array().expect("rows");
        let all = answer["total"].as_u64().expect("a number");
        assert_eq!(all.min(100), rows.len() as u64, "{path}");
        assert!(
            !rows.is_empty() || matches!(endpoint.source, Source::History | Source::PoolHistory),
            "{path}"
        );
        for row in rows {
            check(&path, &endpoint.fields(), row.as_object().expect("a row"));
        }
    }
}

#[tokio::test]
async fn parameters_and_mistakes_of_the_api() {
    let (addr, _control) = served().await;
    let (_, pools) = api(addr, "/pools?limit=1&database=APP&sort=-cl_waiting").await;
    assert_eq!(
        (&pools["total"], &pools["rows"][0]["pool_size"]),
        (&1.into(), &7.into())
    );
    assert_eq!(pools["rows"][0]["cl_waiting"], 4);
    for (path, status, told) in [
        ("/pools?limit=0", 400, "1 to 1000"),
        ("/pools?sort=colour", 400, "there are database, user"),
        ("/overview?limit=3", 400, "no parameters"),
        ("/nothing", 404, "openapi.json"),
        ("/findings/nothing", 404, "no such finding: nothing"),
        ("/statements/12/plan", 404, "no plan"),
    ] {
        let (got, answer) = api(addr, path).await;
        assert_eq!(got, status, "{path}: {answer}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains(told), "{path}: {error}");
    }
    // A page of a stranger, whose name leads here.
    let stranger = get(addr, "/api/v1/overview").await;
    assert!(stranger.starts_with("HTTP/1.1 403"), "{stranger}");
    assert!(stranger.contains("another host"), "{stranger}");
}

/// The next event of a stream.
async fn event(socket: &mut TcpStream, received: &mut String) -> String {
    loop {
        if let Some(at) = received.find("event: ")
            && let Some(end) = received[at..].find("\n\n")
        {
            let event = received[at..at + end].to_owned();
            received.drain(..at + end);
            return event;
        }
        let mut bytes = [0; 4096];
        let count = socket.read(&mut bytes).await.expect("read");
        assert_ne!(count, 0, "{received}");
        received.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[tokio::test]
async fn listeners_are_told_and_are_bounded() {
    let (addr, _control) = served().await;
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    let listen = async || {
        let mut socket = TcpStream::connect(addr).await.expect("connected");
        socket.write_all(request.as_bytes()).await.expect("sent");
        socket
    };
    let mut listeners = Vec::new();
    for _ in 0..events::LISTENERS {
        let (mut socket, mut received) = (listen().await, String::new());
        let told = event(&mut socket, &mut received).await;
        assert!(told.contains(r#""cl_waiting":4"#), "{told}");
        listeners.push(socket);
    }
    let mut refused = [0; 12];
    listen()
        .await
        .read_exact(&mut refused)
        .await
        .expect("a status");
    assert_eq!(&refused, b"HTTP/1.1 503");
    assert!(get(addr, "/live").await.starts_with("HTTP/1.1 200"));
    // Whoever leaves makes room.
    listeners.clear();
    loop {
        let mut status = [0; 12];
        listen()
            .await
            .read_exact(&mut status)
            .await
            .expect("a status");
        if &status == b"HTTP/1.1 200" {
            break;
        }
        crate::timer::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_page_is_there_and_may_do_little() {
    let (addr, _control) = served().await;
    for asset in page::ASSETS {
        let path = asset.path;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        let answer = ask(addr, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.ends_with(asset.content), "{path}");
        for wanted in [
            "content-security-policy: default-src 'none'; script-src 'self';",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            asset.kind,
        ] {
            assert!(answer.contains(wanted), "{path}: {wanted}");
        }
        let stranger = get(addr, path).await;
        assert!(stranger.starts_with("HTTP/1.1 403"), "{path}: {stranger}");
    }
}

/// HTTP with an operator `ann`, a viewer `bob` and a user `eve` of no console, and an audit trail.
async fn with_users(login: bool) -> (SocketAddr, Control, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let (addr, control) = served().await;
    let mut config = control.process().config.load().as_ref().clone();
    config.settings.http_login = login;
    config.settings.admin_users = vec!["ann".to_owned()];
    config.settings.stats_users = vec!["bob".to_owned()];
    let trail = dir.path().join("audit.jsonl");
    std::fs::write(&trail, "{\"event\":\"login\",\"user\":\"carl\"}\n").expect("written");
    config.settings.audit_file = Some(trail);
    for user in ["ann", "bob", "eve"] {
        let secret = Secret::new(format!("{user}:s pass"));
        config.secrets.insert(user.to_owned(), secret);
    }
    control.process().config.store(Arc::new(config));
    (addr, control, dir)
}

/// Status and text of what somebody is told who shows a name and a password.
async fn told(
    addr: SocketAddr,
    user: &str,
    password: &str,
    request: &str,
    more: &str,
) -> (u16, String) {
    use base64::Engine as _;
    let shown = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nAuthorization: Basic {shown}\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    );
    let answer = ask(addr, &request).await;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    (status.expect("a status"), answer)
}

#[tokio::test]
async fn users_of_the_console_log_in() {
    let (addr, _control, _dir) = with_users(true).await;
    for path in [
        "/",
        "/api/v1/overview",
        "/api/v1/events",
        "/login",
        "/assets/app.js",
    ] {
        let nobody = get(addr, path).await;
        assert!(nobody.starts_with("HTTP/1.1 401"), "{path}: {nobody}");
        assert!(
            nobody.contains("www-authenticate: Basic realm=\"pgweir\""),
            "{nobody}"
        );
    }
    assert!(get(addr, "/metrics").await.starts_with("HTTP/1.1 200"));
    for (user, password, status) in [
        ("ann", "ann:s pass", 200),
        ("bob", "bob:s pass", 200),
        ("bob", "ann:s pass", 401),
        ("ann", "", 401),
        // Exists, but not for the console.
        ("eve", "eve:s pass", 401),
        ("nobody", "x", 401),
    ] {
        let (got, _) = told(addr, user, password, "GET /api/v1/overview", "").await;
        assert_eq!(got, status, "{user} {password}");
    }
    let (_, session) = told(addr, "ann", "ann:s pass", "GET /api/v1/session", "").await;
    assert!(session.contains(r#""role":"operator""#), "{session}");
    let (status, trail) = told(
        addr,
        "bob",
        "bob:s pass",
        "GET /api/v1/audit?event=login",
        "",
    )
    .await;
    assert_eq!(status, 200);
    assert!(
        trail.contains(r#""user":"carl""#) && trail.contains(r#""total":1"#),
        "{trail}"
    );
    let (status, login) = told(addr, "bob", "bob:s pass", "GET /login", "").await;
    assert!(status == 303 && login.contains("location: /"), "{login}");
}

#[tokio::test]
async fn who_guesses_has_to_wait() {
    let (addr, _control, _dir) = with_users(true).await;
    let look = "GET /api/v1/overview";
    let mut answer = (401, String::new());
    // The waits grow, so that a slow machine sees one too.
    for _ in 0..16 {
        answer = told(addr, "ann", "wrong", look, "").await;
        if answer.0 != 401 {
            break;
        }
    }
    assert_eq!(answer.0, 429, "{}", answer.1);
    assert!(answer.1.contains("retry-after: 60"), "{}", answer.1);
    assert!(answer.1.contains("too many logins failed"), "{}", answer.1);
    assert_eq!(told(addr, "bob", "bob:s pass", look, "").await.0, 200);
}

#[tokio::test]
async fn operators_give_commands_and_nobody_else_does() {
    let (addr, control, _dir) = with_users(false).await;
    const OURS: &str = "Content-Type: application/json\r\nX-Pgweir: 1\r\n";
    let resume = "POST /api/v1/actions/resume\n{}";
    let (ann, bob) = (("ann", "ann:s pass"), ("bob", "bob:s pass"));
    for ((user, password), request, more, status, text) in [
        (ann, resume, OURS, 409, "not paused"),
        (bob, resume, OURS, 403, "only users of admin_users"),
        (ann, resume, "", 403, "X-Pgweir is missing"),
        (ann, resume, "X-Pgweir: 1\r\n", 415, "application/json"),
        (
            ann,
            "POST /api/v1/actions/nothing\n{}",
            OURS,
            404,
            "no such command",
        ),
        (
            ann,
            "POST /api/v1/actions/shutdown\n{}",
            OURS,
            404,
            "no such command",
        ),
        (
            ann,
            "POST /api/v1/actions/resume\n[]",
            OURS,
            400,
            "no JSON object",
        ),
        (
            ann,
            "POST /api/v1/actions/pause\n{\"database\": \"x\"}",
            OURS,
            404,
            "no such database",
        ),
        (
            ann,
            "POST /api/v1/actions/kill_client\n{\"client\": \"0x100000005\"}",
            OURS,
            200,
            "KILL_CLIENT",
        ),
        (
            ann,
            "POST /api/v1/actions/kill_client\n{\"client\": 77}",
            OURS,
            404,
            "client not found",
        ),
        (ann, "GET /api/v1/actions/resume", OURS, 405, "only POST"),
        (ann, "POST /api/v1/overview\n{}", OURS, 405, "only GET"),
    ] {
        let (got, answer) = told(addr, user, password, request, more).await;
        assert_eq!(got, status, "{user} {request}: {answer}");
        assert!(
            answer.to_lowercase().contains(&text.to_lowercase()),
            "{request}: {answer}"
        );
    }
    let evil = format!("{OURS}Origin: https://evil.example\r\n");
    let (status, answer) = told(addr, "ann", "ann:s pass", resume, &evil).await;
    assert_eq!(status, 403, "{answer}");
    let long = format!(
        "POST /api/v1/actions/resume\n{{\"database\":\"{}\"}}",
        "x".repeat(commands::BODY_BYTES)
    );
    let (status, answer) = told(addr, "ann", "ann:s pass", &long, OURS).await;
    assert_eq!(status, 413, "{answer}");
    // Nobody has logged in.
    let anybody = format!(
        "POST /api/v1/actions/resume HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: 2\r\n{OURS}\r\n{{}}"
    );
    assert!(ask(addr, &anybody).await.starts_with("HTTP/1.1 401"));
    let id = control.process().findings.lock().all()[0].id.to_string();
    let ack = format!("POST /api/v1/actions/ack\n{{\"finding\": \"{id}\", \"reason\": \"known\"}}");
    let (status, answer) = told(addr, "ann", "ann:s pass", &ack, OURS).await;
    assert_eq!(status, 200, "{answer}");
    let (_, finding) = api(addr, &format!("/findings/{id}")).await;
    assert_eq!(
        (&finding["status"], &finding["reason"]),
        (&"acknowledged".into(), &"known".into())
    );
}
