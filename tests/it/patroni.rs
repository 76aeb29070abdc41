//! A cluster whose servers Patroni names; its REST API is played by a few lines here.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::pgweir::Setup;
use crate::support::postgres::{Postgres, Version, each_postgres};
use crate::support::site::{WHERE, ask, connect, eventually_async, runtime, within};
use crate::support::wait::eventually;

/// Answers `GET /cluster` with the members of the moment; with none it hangs up.
struct Patroni {
    port: u16,
    members: Arc<Mutex<Vec<String>>>,
}

impl Patroni {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let members: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = members.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &told.lock().expect("unbroken"));
            }
        });
        Self { port, members }
    }

    /// Names the members: port and role.
    fn say(&self, members: &[(u16, &str)]) {
        let one = |(at, (port, role)): (usize, &(u16, &str))| {
            format!(
                "{{\"name\": \"n{at}\", \"role\": \"{role}\", \"state\": \"running\", \
                 \"host\": \"127.0.0.1\", \"port\": {port}, \"timeline\": 1}}"
            )
        };
        *self.members.lock().expect("unbroken") = members.iter().enumerate().map(one).collect();
    }
}

fn answer(mut stream: TcpStream, members: &[String]) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut asked = Vec::new();
    let mut chunk = [0; 1024];
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => asked.extend(&chunk[..n]),
            _ => return,
        }
    }
    if members.is_empty() || !asked.starts_with(b"GET /cluster HTTP/1.1\r\n") {
        return;
    }
    let body = format!(
        "{{\"members\": [{}], \"scope\": \"demo\"}}",
        members.join(", ")
    );
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

#[test]
fn patroni_says_who_is_there_and_who_may_be_the_primary() {
    for version in Version::ALL {
        let Some(postgres) = Postgres::own(version) else {
            continue;
        };
        postgres.psql(
            "postgres",
            "CREATE TABLE item (id bigint PRIMARY KEY, v int)",
        );
        let mut replicas = [postgres.replica(), postgres.replica()];
        let (primary, first) = (postgres.port(), replicas[0].port());
        let second = replicas[1].port();
        let patroni = Patroni::start();
        patroni.say(&[(primary, "leader"), (first, "replica")]);
        let pgweir = Setup::new()
            .set("admin_users", "t_trust")
            .set("cluster_check_interval", "100ms")
            .database_set("app", "dbname", "postgres")
            .database_set("app", "servers", format!("127.0.0.1:{primary}"))
            // The first place is one where nobody is.
            .database_set(
                "app",
                "patroni",
                format!("http://127.0.0.1:1,http://127.0.0.1:{}", patroni.port),
            )
            .start();
        let console = |text: &str| pgweir.psql(&postgres, "t_trust", "pgweir", text);
        let states = || -> Vec<String> {
            let shown = console("SHOW CLUSTER");
            let of = |port: u16| {
                let name = format!("|127.0.0.1:{port}|");
                let line = shown
                    .lines()
                    .find(|line| line.contains(&name))
                    .unwrap_or_default();
                line.split('|').nth(2).unwrap_or_default().to_owned()
            };
            [primary, first, second].map(of).to_vec()
        };
        let until = |wanted: [&str; 3]| {
            eventually(&format!("{wanted:?}"), || {
                (states() == wanted).then_some(())
            });
        };
        pgweir.psql(&postgres, "t_trust", "app", "SELECT 1");
        until(["primary", "replica", ""]);
        runtime().block_on(async {
            let (client, other) = (connect(&pgweir).await, connect(&pgweir).await);
            eventually_async(async || ask(&client, WHERE).await == first.to_string()).await;
            // A server more is nothing to those who are there.
            ask(&other, "BEGIN").await;
            ask(&other, "INSERT INTO item VALUES (1, 1)").await;
            patroni.say(&[
                (primary, "leader"),
                (first, "replica"),
                (second, "sync_standby"),
            ]);
            until(["primary", "replica", "replica"]);
            ask(&other, "COMMIT").await;
            // Patroni's silence neither, and nor a reload of the file.
            patroni.say(&[]);
            console("RELOAD");
            ask(&client, "INSERT INTO item VALUES (2, 2)").await;
            assert_eq!(states(), ["primary", "replica", "replica"]);
            // Whoever lost the key gets no writes, though it would take them.
            patroni.say(&[(primary, "replica"), (first, "leader"), (second, "replica")]);
            until(["fenced", "replica", "replica"]);
            let writing = tokio::spawn(async move {
                ask(&client, "INSERT INTO item VALUES (3, 3)").await;
                client
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!writing.is_finished(), "nobody may be the primary");
            let promoted = replicas[0].psql("postgres", "SELECT pg_promote()");
            promoted.expect("a promotion");
            let client = within(writing).await.expect("a write");
            let ids = "SELECT string_agg(id::text, ',' ORDER BY id) FROM item";
            assert_eq!(
                ask(&client, &format!("/* pgweir: route=primary */ {ids}")).await,
                "1,2,3"
            );
            assert_eq!(replicas[0].psql("postgres", ids).expect("reads"), "1,2,3");
            assert_eq!(
                postgres.psql("postgres", ids),
                "1,2",
                "the old primary was left alone"
            );
            // Whoever is none of the members any more is left.
            patroni.say(&[(first, "leader")]);
            until(["", "primary", ""]);
            assert_eq!(ask(&client, WHERE).await, first.to_string());
        });
        replicas.iter_mut().for_each(|replica| replica.stop());
    }
}

/// Whoever waits for the primary of servers that are not the cluster's any more waits for the new one instead.
#[test]
fn a_login_outlives_the_servers_it_waited_for() {
    for postgres in each_postgres() {
        let primary = postgres.port();
        // It takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent = silent.local_addr().expect("an address").port();
        let patroni = Patroni::start();
        let pgweir = Setup::new()
            .set("cluster_check_interval", "100ms")
            .set("server_connect_timeout", "60s")
            .database_set("app", "dbname", "postgres")
            .database_set("app", "servers", format!("127.0.0.1:{silent}"))
            .database_set(
                "app",
                "patroni",
                format!("http://127.0.0.1:{}", patroni.port),
            )
            .start();
        let pgweir = Arc::new(pgweir);
        runtime().block_on(async {
            let waiting = [pgweir.clone(), pgweir.clone()]
                .map(|pgweir| tokio::spawn(async move { connect(&pgweir).await }));
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(waiting.iter().all(|login| !login.is_finished()));
            patroni.say(&[(primary, "leader")]);
            for login in waiting {
                let client = within(login).await.expect("a login");
                assert_eq!(ask(&client, WHERE).await, primary.to_string());
            }
        });
    }
}
