//! Client drivers of other languages through pgweir: the scripts in tests/drivers.
//!
//! Each script drives many clients over few servers, prints one line when all is well and ends
//! with an error otherwise. They also pass on PostgreSQL directly, which is tested first: what
//! fails there is the script's fault.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pgweir::{Setup, clean_environment, succeed};
use crate::support::postgres::{PASSWORD, Postgres, each_postgres};

const PSYCOPG: &str = "psycopg_driver.py";
const ASYNCPG: &str = "asyncpg_driver.py";
const NODE: &str = "node_postgres.js";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter of a script with its packages; `None`, said on standard error, if the
/// environment leaves it out.
fn interpreter(script: &str) -> Option<Command> {
    if script != NODE {
        let python = root().join(".cache/venv/bin/python");
        assert!(
            python.exists(),
            "{} is missing: run make setup",
            python.display()
        );
        return Some(Command::new(python));
    }
    if std::env::var("PGWEIR_TEST_NODE").is_ok_and(|value| value == "skip") {
        eprintln!("left out by PGWEIR_TEST_NODE: node-postgres");
        return None;
    }
    let modules = root().join(".cache/node/node_modules");
    let package: PathBuf = modules.join("pg");
    assert!(
        package.exists(),
        "{} is missing: run make setup",
        package.display()
    );
    let mut node = Command::new("node");
    node.env("NODE_PATH", modules);
    Some(node)
}

/// A script for Python, not yet run.
pub(crate) fn python(script: &str) -> Command {
    let mut command = interpreter(script).expect("only scripts for Node.js can be left out");
    clean_environment(&mut command);
    command
        .arg(root().join("tests/drivers").join(script))
        .env("DRIVER_HOST", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a script against a port; `pooled` tells it which guarantees it has.
fn drive(script: &str, port: u16, database: &str, mode: &str) {
    let Some(mut command) = interpreter(script) else {
        return;
    };
    clean_environment(&mut command);
    command
        .arg(root().join("tests/drivers").join(script))
        .env("DRIVER_HOST", "127.0.0.1")
        .env("DRIVER_PORT", port.to_string())
        .env("DRIVER_DATABASE", database)
        .env("DRIVER_USER", "t_scram")
        .env("DRIVER_PASSWORD", PASSWORD)
        .env("DRIVER_MODE", mode)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let summary = succeed(&mut command);
    println!("{mode}: {summary}");
    assert!(summary.contains("checks passed"), "{summary}");
}

fn directly(script: &str) {
    for postgres in each_postgres() {
        drive(script, postgres.port(), &postgres.database(), "direct");
    }
}

fn through_pgweir(script: &str) {
    for postgres in each_postgres() {
        // Session mode needs a server for each client; a transaction does with few.
        for (mode, pool_size) in [("session", 40), ("transaction", 4)] {
            through(script, postgres, mode, pool_size);
        }
    }
}

fn through(script: &str, postgres: &Postgres, mode: &str, pool_size: i64) {
    let database = postgres.database();
    let pgweir = Setup::new()
        .set("auth_type", "scram-sha-256")
        .set("pool_mode", mode)
        .set("default_pool_size", pool_size)
        .database("app", postgres, &database)
        .start();
    drive(script, pgweir.port(), "app", mode);
}

#[test]
fn psycopg_directly() {
    directly(PSYCOPG);
}

#[test]
fn psycopg_through_pgweir() {
    through_pgweir(PSYCOPG);
}

#[test]
fn asyncpg_directly() {
    directly(ASYNCPG);
}

#[test]
fn asyncpg_through_pgweir() {
    through_pgweir(ASYNCPG);
}

#[test]
fn node_postgres_directly() {
    directly(NODE);
}

#[test]
fn node_postgres_through_pgweir() {
    through_pgweir(NODE);
}
