//! A primary of its own with streaming replicas, and pgweir in front, which writes down where everything ran.

use std::time::{Duration, Instant};

use pgweir::demo::cluster::Cluster;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::pgweir::{Pgweir, Setup};
use super::postgres::{Postgres, Version};
use super::wait::{eventually, patient};

/// Ends a test that hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = patient(Duration::from_secs(30));
    (tokio::time::timeout(limit, future).await).expect("an answer in time")
}

/// A primary of its own with replicas, and pgweir in front.
pub(crate) struct Site {
    pub(crate) setup: Setup,
    pub(crate) trail: tempfile::TempDir,
    pub(crate) pgweir: Pgweir,
    pub(crate) replicas: Vec<Cluster>,
    pub(crate) postgres: Postgres,
}

pub(crate) fn site(
    version: Version,
    replicas: usize,
    more: &[(&str, toml::Value)],
) -> Option<Site> {
    site_of(version, &vec![""; replicas + 1], more, Setup::new())
}

/// One in which `words` stand behind the name of each server, the primary's first.
pub(crate) fn site_of(
    version: Version,
    words: &[&str],
    more: &[(&str, toml::Value)],
    setup: Setup,
) -> Option<Site> {
    let postgres = Postgres::own(version)?;
    postgres.psql(
        "postgres",
        "CREATE TABLE item (id bigint PRIMARY KEY, v int)",
    );
    let replicas: Vec<Cluster> = words.iter().skip(1).map(|_| postgres.replica()).collect();
    let trail = tempfile::tempdir().expect("a directory");
    let audit = trail.path().join("audit.jsonl").display().to_string();
    let mut setup = setup
        .set("admin_users", "t_trust")
        .set("audit_file", audit)
        .set("audit_policy", "all")
        .set("cluster_check_interval", "100ms")
        .database_set("app", "dbname", "postgres")
        .database_set("app", "servers", servers(&postgres, &replicas, words));
    for (key, value) in more {
        setup = setup.database_set("app", key, value.clone());
    }
    let pgweir = setup.start();
    Some(Site {
        setup,
        trail,
        pgweir,
        replicas,
        postgres,
    })
}

fn servers(postgres: &Postgres, replicas: &[Cluster], words: &[&str]) -> Vec<String> {
    let ports = std::iter::once(postgres.port()).chain(replicas.iter().map(Cluster::port));
    let server = |(port, words)| format!("127.0.0.1:{port} {words}");
    ports.zip(words).map(server).collect()
}

/// The value of the first column of the first row.
pub(crate) fn first(messages: &[SimpleQueryMessage]) -> Option<String> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

/// The port of the server that answers: configured there, so that reading it is a plain read.
pub(crate) const WHERE: &str = "SELECT current_setting('port')";

pub(crate) async fn connect(pgweir: &Pgweir) -> Client {
    let text = format!(
        "host=127.0.0.1 port={} user=t_trust dbname=app",
        pgweir.port()
    );
    let (client, connection) = tokio_postgres::connect(&text, NoTls)
        .await
        .expect("a login");
    tokio::spawn(connection);
    client
}

pub(crate) async fn ask(client: &Client, text: &str) -> String {
    let answer = within(client.simple_query(text)).await;
    first(&answer.unwrap_or_else(|error| panic!("{text}: {error}"))).unwrap_or_default()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Site {
    /// Where the statements of this text ran, and why, as the audit trail has it.
    pub(crate) fn ran(&self, wanted: &str) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.trail.path().join("audit.jsonl"));
        let lines = text.unwrap_or_default();
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let part = |name: &str| line[name].as_str().map(str::to_owned);
            (part("query")? == wanted).then(|| Some((part("server")?, part("route")?)))?
        };
        lines.lines().filter_map(line).collect()
    }

    pub(crate) fn primary(&self) -> String {
        self.postgres.port().to_string()
    }

    /// Gives the servers other words and has pgweir read them.
    pub(crate) fn reword(&mut self, words: &[&str]) {
        let servers = servers(&self.postgres, &self.replicas, words);
        let setup = std::mem::replace(&mut self.setup, Setup::new());
        self.setup = setup.database_set("app", "servers", servers);
        self.pgweir.rewrite(&self.setup);
        self.console("RELOAD");
    }

    /// Adds another name for the same servers.
    pub(crate) fn alias(&mut self, name: &str, more: &[(&str, toml::Value)]) {
        let words = vec![""; self.replicas.len() + 1];
        let servers = servers(&self.postgres, &self.replicas, &words);
        let mut setup = std::mem::replace(&mut self.setup, Setup::new())
            .database_set(name, "dbname", "postgres")
            .database_set(name, "servers", servers);
        for (key, value) in more {
            setup = setup.database_set(name, key, value.clone());
        }
        self.setup = setup;
        self.pgweir.rewrite(&self.setup);
        self.console("RELOAD");
    }

    /// What the console says, unaligned.
    pub(crate) fn console(&self, command: &str) -> String {
        self.pgweir
            .psql(&self.postgres, "t_trust", "pgweir", command)
    }

    /// What the console says against a command.
    pub(crate) fn try_console(&self, command: &str) -> String {
        let mut psql = self.pgweir.client(&self.postgres, "psql", "t_trust");
        let output = psql
            .args(["-AtqX", "-d", "pgweir", "-c", command])
            .output()
            .expect("psql runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The port of the replica of that number.
    pub(crate) fn replica(&self, at: usize) -> String {
        self.replicas[at].port().to_string()
    }

    /// Waits until so many replicas are fresh.
    pub(crate) fn settle(&self, replicas: usize) {
        self.settle_alias("app", replicas);
    }

    /// The same for another name of the cluster.
    pub(crate) fn settle_alias(&self, name: &str, replicas: usize) {
        // Whoever logs in first has the servers asked; by then nobody knows a replica yet.
        let text = "SELECT count(*) FROM pg_class";
        self.pgweir.psql(&self.postgres, "t_trust", name, text);
        eventually("fresh replicas", || {
            let all = self.console("SHOW CLUSTER");
            let fresh = all.lines().filter(|line| {
                let columns: Vec<&str> = line.split('|').collect();
                columns.first() == Some(&name)
                    && columns.get(2) == Some(&"replica")
                    && columns.get(5) != Some(&"")
            });
            (fresh.count() == replicas).then_some(())
        });
    }
}

pub(crate) async fn eventually_async<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let until = Instant::now() + patient(Duration::from_secs(20));
    while !holds().await {
        assert!(Instant::now() < until, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
