//! PostgreSQL 15 and 18, one cluster of each per run of the tests, a fresh database per test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use pgweir::demo::binaries::Binaries;
use pgweir::demo::cluster::{Cluster, ClusterOptions};
use pgweir::demo::guard::Guard;

use super::certs::certs;

/// The password of every login of the test clusters that needs one.
pub(crate) const PASSWORD: &str = "s3cret 'quoted' pässword";

/// The versions of PostgreSQL that pgweir is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V15,
    V18,
}

impl Version {
    pub(crate) const ALL: [Version; 2] = [Version::V15, Version::V18];

    pub(crate) fn major(self) -> u32 {
        match self {
            Version::V15 => 15,
            Version::V18 => 18,
        }
    }
}

/// A cluster with these logins, all superusers, password [`PASSWORD`]:
///
/// | login | on the unix socket | on 127.0.0.1 |
/// |---|---|---|
/// | `postgres`, `t_trust` | trust | trust |
/// | `t_plain` | trust | password |
/// | `t_md5` | trust | md5 |
/// | `t_scram` | trust | scram-sha-256 |
/// | `t_tls` | trust | scram-sha-256, only over TLS |
/// | `t_cert` | trust | client certificate |
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) cluster: Cluster,
}

/// The directory for everything of this run. It and the processes in it are gone when this
/// process is, however it ends: the guard that waits for that is a process of its own.
pub(crate) fn run_dir() -> &'static Path {
    guard().dir()
}

/// The guard over [`run_dir`].
pub(crate) fn guard() -> &'static Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    GUARD.get_or_init(|| Guard::new("it").expect("a temporary directory with a guard"))
}

/// A number that no other call in this process gets.
pub(crate) fn unique() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The versions that this run is for.
fn wanted(version: Version) -> bool {
    match std::env::var("PGWEIR_TEST_PG") {
        Ok(list) => list
            .split(',')
            .any(|v| v.trim() == version.major().to_string()),
        Err(_) => true,
    }
}

/// The running cluster of `version`, or `None`, said on standard error, if `PGWEIR_TEST_PG`
/// leaves it out. Panics if it cannot be found or started.
pub(crate) fn postgres(version: Version) -> Option<&'static Postgres> {
    static V15: OnceLock<Result<Postgres, String>> = OnceLock::new();
    static V18: OnceLock<Result<Postgres, String>> = OnceLock::new();
    if !wanted(version) {
        eprintln!("left out by PGWEIR_TEST_PG: PostgreSQL {}", version.major());
        return None;
    }
    let cell = match version {
        Version::V15 => &V15,
        Version::V18 => &V18,
    };
    match cell.get_or_init(|| Postgres::start(version, run_dir(), "pg")) {
        Ok(postgres) => Some(postgres),
        Err(error) => panic!("{error}"),
    }
}

/// Every cluster that this run is for.
pub(crate) fn each_postgres() -> impl Iterator<Item = &'static Postgres> {
    Version::ALL.into_iter().filter_map(postgres)
}

/// The programs of `version`. Also what the setup brought into `.cache` counts.
pub(crate) fn binaries(version: Version) -> Result<Binaries, String> {
    let cache = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache");
    Binaries::find(Some(version.major()), &[cache]).map_err(|error| {
        format!(
            "{error}\n(`make setup` brings it; PGWEIR_TEST_PG={} would leave it out)",
            Version::ALL
                .into_iter()
                .filter(|v| *v != version)
                .map(|v| v.major().to_string())
                .collect::<Vec<_>>()
                .join(",")
        )
    })
}

impl Postgres {
    /// Starts a cluster of its own, for a test that stops or breaks it; the shared ones come
    /// from [`postgres`].
    pub(crate) fn own(version: Version) -> Option<Self> {
        if !wanted(version) {
            eprintln!("left out by PGWEIR_TEST_PG: PostgreSQL {}", version.major());
            return None;
        }
        let name = format!("own{}_", unique());
        match Self::start(version, run_dir(), &name) {
            Ok(postgres) => Some(postgres),
            Err(error) => panic!("{error}"),
        }
    }

    fn start(version: Version, dir: &Path, name: &str) -> Result<Self, String> {
        let binaries = binaries(version)?;
        let mut hba: Vec<String> = [
            "host replication postgres 127.0.0.1/32 trust",
            "host all postgres,t_trust 127.0.0.1/32 trust",
            "host all t_plain 127.0.0.1/32 password",
            "host all t_md5 127.0.0.1/32 md5",
            "host all t_scram 127.0.0.1/32 scram-sha-256",
        ]
        .map(str::to_owned)
        .into();
        let mut conf = Vec::new();
        // The private copy of PostgreSQL 18 is built without TLS; there TLS is not tested.
        let tls = binaries.tls.then(|| {
            let certs = certs();
            conf.push(format!("ssl_ca_file = '{}'", certs.ca.display()));
            hba.push("hostssl all t_tls 127.0.0.1/32 scram-sha-256".to_owned());
            hba.push("hostnossl all t_tls 127.0.0.1/32 reject".to_owned());
            hba.push("hostssl all t_cert 127.0.0.1/32 cert".to_owned());
            (certs.server.cert.clone(), certs.server.key.clone())
        });
        let options = ClusterOptions {
            password: Some(PASSWORD.to_owned()),
            tls,
            hba,
            conf,
        };
        let name = format!("{name}{}", version.major());
        let cluster = Cluster::create(&binaries, dir, &name, &options)
            .map_err(|error| format!("PostgreSQL {}: {error}", version.major()))?;
        let quoted = PASSWORD.replace('\'', "''");
        let mut sql = String::new();
        for role in ["t_trust", "t_plain", "t_scram", "t_tls", "t_cert", "t_md5"] {
            let stored = if role == "t_md5" {
                "md5"
            } else {
                "scram-sha-256"
            };
            sql.push_str(&format!(
                "SET password_encryption = '{stored}';\
                 CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{quoted}';"
            ));
        }
        cluster
            .psql("postgres", &sql)
            .map_err(|error| error.to_string())?;
        Ok(Self { cluster })
    }

    /// Makes an empty database that no other test uses and gives its name.
    pub(crate) fn database(&self) -> String {
        let name = format!("t_{}", unique());
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Runs SQL as the superuser, not through pgweir. Panics with PostgreSQL's message.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        match self.cluster.psql(database, sql) {
            Ok(text) => text,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// A streaming replica of this cluster, for the caller alone.
    pub(crate) fn replica(&self) -> Cluster {
        let name = format!("replica{}", unique());
        match self.cluster.replica(run_dir(), &name) {
            Ok(cluster) => cluster,
            Err(error) => panic!("a replica: {error}"),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    pub(crate) fn major(&self) -> u32 {
        self.cluster.binaries().major
    }
}
