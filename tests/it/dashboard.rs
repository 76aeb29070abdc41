//! The page of pgweir in a real browser, under traffic with problems in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pgweir::demo::cluster::free_port;
use tempfile::TempDir;

use crate::support::certs::certs;
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, Setup, clean_environment, client, succeed};
use crate::support::postgres::{PASSWORD, Postgres, Version, each_postgres};
use crate::support::wait::eventually;
use crate::support::wire::Wire;

/// Name of an application that would be an image with a script, were it ever taken for markup.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// A child that is stopped when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// psql as an application of this name, which does what it is told in the background.
fn application(pgweir: &Pgweir, postgres: &Postgres, name: &str, commands: &[&str]) -> Running {
    let mut psql = pgweir.client(postgres, "psql", "t_trust");
    psql.args(["-AtX", "-d", "shop"]).env("PGAPPNAME", name);
    for command in commands {
        psql.args(["-c", command]);
    }
    psql.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Running(psql.spawn().expect("psql"))
}

/// What an application with an N+1 sends: a list, and a lookup for each of its rows.
fn visits(count: u32) -> Vec<String> {
    let mut all = Vec::new();
    for visit in 0..count {
        let first = visit * 10;
        all.push(format!(
            "SELECT id, author_id FROM post WHERE id > {first} ORDER BY id LIMIT 10"
        ));
        all.extend(
            (1..=10).map(|n| format!("SELECT id, name FROM author WHERE id = {}", first + n)),
        );
    }
    all
}

fn start(postgres: &Postgres, dir: &Path) -> (Pgweir, u16) {
    let database = postgres.database();
    let http = free_port().expect("a free port");
    let pgweir = Setup::new()
        .set("pool_mode", "transaction")
        .set("default_pool_size", 1)
        .set("audit_file", dir.join("audit.jsonl").display().to_string())
        .set("audit_policy", "all")
        .set("http_listen", format!("127.0.0.1:{http}"))
        .lint("rules.lock-contention.min_ms = 200")
        .database("shop", postgres, &database)
        .database("till", postgres, &database)
        .database_set("till", "pool_size", 3)
        .database_set("till", "mirror", "next")
        .database("next", postgres, &postgres.database())
        .start();
    let tables = "CREATE TABLE author AS SELECT n AS id, 'author ' || n AS name FROM generate_series(1, 500) n; \
                  CREATE TABLE post AS SELECT n AS id, n AS author_id FROM generate_series(1, 500) n";
    pgweir.psql(postgres, "t_trust", "shop", tables);
    (pgweir, http)
}

/// Runs the browser over all views; with a directory it writes pictures of them there.
fn browse(http: u16, pictures: Option<&Path>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/pages.py");
    let mut command = Command::new("python3");
    clean_environment(&mut command);
    command
        .arg(script)
        .arg(format!("http://127.0.0.1:{http}/"))
        .args(pictures)
        .env("PGWEIR_OPERATOR", format!("postgres:{PASSWORD}"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    assert_eq!(succeed(&mut command).trim(), "ok");
}

#[test]
fn every_view_shows_what_is_wrong_and_complains_of_nothing() {
    if std::env::var("PGWEIR_TEST_BROWSER").is_ok_and(|value| value == "skip") {
        eprintln!("left out by PGWEIR_TEST_BROWSER: the page in Chromium");
        return;
    }
    // The page is the same for every server.
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let (pgweir, http) = start(postgres, dir.path());
    let mut visits = visits(6);
    visits.push("SELECT id FROM author WHERE name LIKE '%thor 7'".to_owned());
    let visits: Vec<&str> = visits.iter().map(String::as_str).collect();
    let mut shop = application(&pgweir, postgres, "shop-web", &visits);
    assert!(shop.0.wait().expect("psql").success());
    eventually("the N+1", || {
        let found = pgweir.psql(postgres, "postgres", "pgweir", "SHOW FINDINGS n-plus-one");
        found.contains("executions of one lookup").then_some(())
    });
    let _slow = application(&pgweir, postgres, "report", &["SELECT pg_sleep(600)"]);
    eventually("the only server is lent", || {
        let pools = pgweir.psql(postgres, "postgres", "pgweir", "SHOW SERVERS");
        pools.contains("|active|").then_some(())
    });
    let _waiting = application(&pgweir, postgres, MARKUP, &["SELECT 1"]);
    differ(&pgweir, postgres);
    let _locks = locked(&pgweir);
    browse(http, None);
}

/// A query of which the mirror has one row more.
fn differ(pgweir: &Pgweir, postgres: &Postgres) {
    for (database, rows) in [("till", 0), ("next", 1)] {
        let table =
            format!("CREATE TABLE only_there AS SELECT n AS id FROM generate_series(1, {rows}) n");
        pgweir.psql(postgres, "t_trust", database, &table);
    }
    pgweir.psql(postgres, "t_trust", "till", "SELECT id FROM only_there");
}

/// Two clients that wait for a row which a third one has changed and keeps. The value is a secret.
fn locked(pgweir: &Pgweir) -> [Peer; 3] {
    let login = |name: &str| {
        let parameters = [
            ("user", "t_trust"),
            ("database", "till"),
            ("application_name", name),
        ];
        Peer::login_with(pgweir.address(), &parameters)
    };
    let mut all = [login("night-batch"), login("till-1"), login("till-2")];
    let update = "UPDATE author SET name = 'hush-4711' WHERE id = 7";
    all[0].query("BEGIN");
    all[0].query(update);
    for waits in &mut all[1..] {
        waits.send(&[message::query(update)]);
    }
    all
}

fn overview(http: u16) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", http)).expect("HTTP");
    let asked = "GET /api/v1/overview HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(asked.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn the_overview_names_who_has_had_a_server_the_longest() {
    for postgres in each_postgres() {
        let database = postgres.database();
        let http = free_port().expect("a free port");
        let pgweir = Setup::new()
            .set("workers", 2)
            .set("pool_mode", "transaction")
            .set("default_pool_size", 2)
            .set("http_listen", format!("127.0.0.1:{http}"))
            .database("shop", postgres, &database)
            .start();
        let lent = |count: usize| {
            eventually("servers are lent", || {
                let servers = pgweir.psql(postgres, "postgres", "pgweir", "SHOW SERVERS");
                (servers.matches("|active|").count() == count).then_some(())
            });
        };
        let sleep = &["SELECT pg_sleep(600)"];
        let _first = application(&pgweir, postgres, "first", sleep);
        lent(1);
        let _second = application(&pgweir, postgres, "second", sleep);
        lent(2);
        let told = overview(http);
        assert!(!told.contains("\"kind\":\"waiting\""), "{told}");
        let _waiting = application(&pgweir, postgres, "waiting", &["SELECT 1"]);
        let told = eventually("the holder is named", || {
            let told = overview(http);
            told.contains("since its last request").then_some(told)
        });
        assert!(told.contains("(first) has one since"), "{told}");
        assert!(told.contains("1 client waits for a server"), "{told}");
    }
}

/// Asks with TLS, with a name and a password or without: prints the status.
const ASK: &str = "
import base64, ssl, sys, urllib.error, urllib.request
context = ssl.create_default_context(cafile=sys.argv[1])
context.check_hostname = False
request = urllib.request.Request(sys.argv[2])
if sys.argv[3]:
    request.add_header('Authorization', 'Basic ' + base64.b64encode(sys.argv[3].encode()).decode())
try:
    print(urllib.request.urlopen(request, context=context, timeout=30).status)
except urllib.error.HTTPError as error:
    print(error.code)
";

#[test]
fn over_tls_users_log_in_and_machines_do_not() {
    let certs = certs();
    let http = free_port().expect("a free port");
    let _pgweir = Setup::new()
        .set("stats_users", "t_scram")
        .set("http_listen", format!("127.0.0.1:{http}"))
        .set("http_login", true)
        .set("http_tls", true)
        .set("client_tls_sslmode", "allow")
        .set(
            "client_tls_cert_file",
            certs.server.cert.display().to_string(),
        )
        .set(
            "client_tls_key_file",
            certs.server.key.display().to_string(),
        )
        .database_at("app", 1)
        .start();
    let ask = |path: &str, shown: &str| {
        let mut python = Command::new("python3");
        clean_environment(&mut python);
        python
            .args(["-c", ASK])
            .arg(&certs.ca)
            .arg(format!("https://127.0.0.1:{http}{path}"))
            .arg(shown);
        succeed(&mut python).trim().to_owned()
    };
    assert_eq!(ask("/metrics", ""), "200");
    assert_eq!(ask("/", ""), "401");
    assert_eq!(ask("/api/v1/pools", "t_scram:wrong"), "401");
    for path in ["/", "/api/v1/pools"] {
        assert_eq!(ask(path, &format!("t_scram:{PASSWORD}")), "200");
    }
}

/// An application for a while: pgbench with a script of this text, so many connections and runs per second.
fn traffic(scene: &Scene, name: &str, connections: u32, rate: u32, script: &str) -> Running {
    let path = scene.dir.path().join(format!("{name}.sql"));
    std::fs::write(&path, script).expect("a script");
    let mut pgbench = scene.pgweir.client(&scene.postgres, "pgbench", "shop");
    pgbench
        .args(["-n", "-T", "150", "-c", &connections.to_string()])
        .args(["-R", &rate.to_string(), "-f"])
        .arg(&path)
        .arg("shop")
        .env("PGAPPNAME", name)
        .stdout(Stdio::null());
    Running(pgbench.spawn().expect("pgbench"))
}

/// A shop in trouble.
struct Scene {
    dir: TempDir,
    postgres: Postgres,
    pgweir: Pgweir,
}

/// `PGWEIR_PICTURES=docs/img cargo test --test it -- --ignored dashboard::pictures` takes those of the
/// documentation anew.
#[test]
#[ignore = "takes the pictures of the documentation"]
fn pictures() {
    let Some(directory) = std::env::var_os("PGWEIR_PICTURES") else {
        panic!("PGWEIR_PICTURES says where the pictures go");
    };
    let postgres = Postgres::own(Version::V18).expect("PostgreSQL 18");
    let password = PASSWORD.replace('\'', "''");
    let role = format!("CREATE ROLE shop LOGIN PASSWORD '{password}'");
    for sql in [
        &*role,
        "CREATE DATABASE shop OWNER shop",
        "CREATE DATABASE shop_next OWNER shop",
    ] {
        postgres.psql("postgres", sql);
    }
    let replicas = [postgres.replica(), postgres.replica(), postgres.replica()];
    // The last one will take no logins.
    let wire = Wire::to(replicas[2].port());
    let servers: Vec<String> = [
        postgres.port(),
        replicas[0].port(),
        replicas[1].port(),
        wire.port(),
    ]
    .iter()
    .map(|port| format!("127.0.0.1:{port}"))
    .collect();
    let http = free_port().expect("a free port");
    let dir = tempfile::tempdir().expect("a directory");
    let setup = Setup::new()
        .secret("shop", PASSWORD)
        .set("admin_users", "postgres")
        .set("pool_mode", "transaction")
        .set("default_pool_size", 6)
        .set("cluster_check_interval", "200ms")
        .set("http_listen", format!("127.0.0.1:{http}"))
        .set(
            "audit_file",
            dir.path().join("audit.jsonl").display().to_string(),
        )
        .set("audit_policy", "all")
        .database_set("shop", "dbname", "shop")
        .database_set("shop", "servers", servers)
        .database_set("shop", "mirror", "shop_next")
        .database_set("shop", "mirror_share", 60)
        .database("shop_next", &postgres, "shop_next")
        .database("stock", &postgres, "shop")
        .database("billing", &postgres, "shop")
        .database_set("billing", "pool_size", 2)
        .lint("[[firewall]]\nname = \"billing\"\ndatabase = \"billing\"\nmode = \"learn\"");
    let scene = Scene {
        dir,
        pgweir: setup.start(),
        postgres,
    };
    let tables = "CREATE TABLE author (id int PRIMARY KEY, name text, email text); \
         CREATE TABLE post (id int PRIMARY KEY, author_id int, title text, body text); \
         CREATE TABLE invoice (id int PRIMARY KEY, paid bool DEFAULT false, total numeric); \
         INSERT INTO author SELECT n, 'author ' || n, n || '@example.org' FROM generate_series(1, 2000) n; \
         INSERT INTO post SELECT n, n % 2000 + 1, 'post ' || n, repeat('text ', 60) FROM generate_series(1, 20000) n; \
         INSERT INTO invoice SELECT n, false, n FROM generate_series(1, 5000) n";
    for database in ["shop", "shop_next"] {
        scene.postgres.psql(database, tables);
        let grant = "GRANT ALL ON author, post, invoice TO shop";
        scene.postgres.psql(database, grant);
    }
    // What a move has forgotten: some rows and an index.
    for sql in [
        "DELETE FROM post WHERE id % 500 = 0",
        "ALTER TABLE author DROP CONSTRAINT author_pkey",
    ] {
        scene.postgres.psql("shop_next", sql);
    }
    let tags = "/*controller='posts',action='index',framework='django'*/";
    let mut loops = format!(
        "\\set first random(1, 19000)\nSELECT id, title, author_id FROM post WHERE id > :first ORDER BY id LIMIT 20 {tags};\n"
    );
    for n in 1..=20 {
        loops.push_str(&format!(
            "\\set one (:first + {n}) % 2000 + 1\nSELECT id, name FROM author WHERE id = :one {tags};\n"
        ));
    }
    let _running = [
        traffic(&scene, "shop-web", 5, 12, &loops),
        traffic(
            &scene,
            "search",
            2,
            8,
            "\\set n random(1, 900)\nSELECT id, title FROM post WHERE title LIKE '%' || :n;\nSELECT * FROM post ORDER BY id LIMIT 20 OFFSET 5000;\n",
        ),
        traffic(
            &scene,
            "checkout",
            4,
            60,
            "\\set n random(1, 5000)\nBEGIN;\nSELECT total FROM invoice WHERE id = :n FOR UPDATE;\nUPDATE invoice SET paid = true WHERE id = :n;\nCOMMIT;\n",
        ),
    ];
    let billing = |name: &str, commands: &[&str]| {
        let mut psql = scene.pgweir.client(&scene.postgres, "psql", "shop");
        psql.args(["-AtX", "-d", "billing"]).env("PGAPPNAME", name);
        for command in commands {
            psql.args(["-c", command]);
        }
        psql.stdout(Stdio::null()).stderr(Stdio::null());
        Running(psql.spawn().expect("psql"))
    };
    let ask = |database: &str, sql: &str| {
        let user = match database {
            "pgweir" => "postgres",
            _ => "shop",
        };
        scene.pgweir.psql(&scene.postgres, user, database, sql)
    };
    ask("billing", "SELECT total FROM invoice WHERE id = 7");
    ask("billing", "UPDATE invoice SET paid = true WHERE id = 7");
    eventually("what is known", || {
        let known = ask("pgweir", "SHOW FIREWALL");
        known.contains("|learn|2|").then_some(())
    });
    ask("pgweir", "SET FIREWALL 'billing' 'detect'");
    ask("billing", "SELECT total FROM invoice WHERE id = 7 OR 1 = 1");
    let report = "SELECT pg_sleep(600) FROM invoice LIMIT 1";
    let _held = [
        billing("month-end-report", &[report]),
        billing("month-end-report", &[report]),
    ];
    std::thread::sleep(std::time::Duration::from_secs(25));
    succeed(
        client(&scene.postgres, "psql", "postgres", replicas[1].port()).args([
            "-d",
            "shop",
            "-c",
            "SELECT pg_wal_replay_pause()",
        ]),
    );
    // Keeps what it changed, and waits for its next command.
    let mut import = scene.pgweir.client(&scene.postgres, "psql", "shop");
    import.args(["-AtX", "-d", "stock"]);
    import.env("PGAPPNAME", "nightly-import");
    import.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut import = Running(import.spawn().expect("psql"));
    let commands = b"BEGIN;\nUPDATE invoice SET total = 1 WHERE id = 6000;\nUPDATE author SET name = 'x' WHERE id = 7;\n";
    let mut stdin = import.0.stdin.take().expect("a pipe");
    stdin.write_all(commands).expect("sent");
    eventually("it has changed a row", || {
        let clients = ask("pgweir", "SHOW CLIENTS");
        (clients.contains("nightly-import")).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    let stock = |name: &str, sql: &str| {
        let mut psql = scene.pgweir.client(&scene.postgres, "psql", "shop");
        psql.args(["-AtX", "-d", "stock", "-c", sql]);
        psql.env("PGAPPNAME", name).stdout(Stdio::null());
        Running(psql.spawn().expect("psql"))
    };
    let rename = "UPDATE author SET name = 'author 7' WHERE id = 7";
    let _locks = [
        stock("warehouse-api", rename),
        stock("warehouse-api", rename),
        stock(
            "labels",
            "SELECT name, email FROM author WHERE id = 7 FOR UPDATE",
        ),
    ];
    let _waits: Vec<Running> = (0..7)
        .map(|_| {
            billing(
                "billing-api",
                &["UPDATE invoice SET paid = true WHERE id = 7"],
            )
        })
        .collect();
    wire.lead_to(1);
    ask("pgweir", "RECONNECT shop");
    std::thread::sleep(std::time::Duration::from_secs(12));
    browse(http, Some(Path::new(&directory)));
}
