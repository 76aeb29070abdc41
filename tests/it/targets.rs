//! Sessions that are for the primary or for replicas as a whole.

use pgweir::demo::cluster::free_port;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::support::pgweir::Setup;
use crate::support::postgres::Version;
use crate::support::site::{Site, WHERE, ask, connect, runtime, site_of, within};
use crate::support::wait::eventually;

/// A client of this database with these options of its own.
async fn client_of(site: &Site, database: &str, options: &str) -> Client {
    client_at(site.pgweir.port(), database, options).await
}

/// The same through this port.
async fn client_at(port: u16, database: &str, options: &str) -> Client {
    let text =
        format!("host=127.0.0.1 port={port} user=t_trust dbname={database} options='{options}'");
    let (client, connection) = within(tokio_postgres::connect(&text, NoTls))
        .await
        .expect("a login");
    tokio::spawn(connection);
    client
}

/// A cluster that has other names for those who split by hand.
fn split(version: Version, replicas: usize) -> Option<Site> {
    let mut site = site_of(version, &vec![""; replicas + 1], &[], Setup::new())?;
    for (name, target) in [
        ("app_ro", "standby"),
        ("app_rw", "read-write"),
        ("app_any", "prefer-standby"),
    ] {
        site.alias(name, &[("target_session_attrs", target.into())]);
    }
    site.settle(replicas);
    for name in ["app_ro", "app_rw", "app_any"] {
        site.settle_alias(name, replicas);
    }
    Some(site)
}

#[test]
fn a_name_of_its_own_leads_to_replicas_or_to_the_primary() {
    for version in Version::ALL {
        let Some(site) = split(version, 1) else {
            continue;
        };
        runtime().block_on(async {
            let (primary, replica) = (site.primary(), site.replica(0));
            let reader = client_of(&site, "app_ro", "").await;
            assert_eq!(ask(&reader, WHERE).await, replica);
            assert_eq!(
                ask(&reader, "SHOW port").await,
                replica,
                "what would be the primary's"
            );
            ask(&reader, "BEGIN").await;
            assert_eq!(ask(&reader, "SELECT pg_is_in_recovery()").await, "t");
            ask(&reader, "COMMIT").await;
            let refused = within(reader.simple_query("INSERT INTO item VALUES (1, 1)")).await;
            let refused = refused.expect_err("a replica writes nothing");
            assert_eq!(
                refused.code(),
                Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
                "{refused}"
            );
            let statement = within(reader.prepare("SELECT $1::int"))
                .await
                .expect("prepared");
            let row = within(reader.query_one(&statement, &[&7]))
                .await
                .expect("a row");
            assert_eq!(row.get::<_, i32>(0), 7);
            let writer = client_of(&site, "app_rw", "").await;
            assert_eq!(ask(&writer, WHERE).await, primary);
            // What a client says for itself.
            let own = client_of(&site, "app", "-cpgweir.target_session_attrs=standby").await;
            assert_eq!(ask(&own, "SHOW port").await, replica);
            let plain = connect(&site.pgweir).await;
            assert_eq!(ask(&plain, "SHOW port").await, primary);
            let told = site.console("EXPLAIN ROUTE app_ro 'DELETE FROM item'");
            assert!(
                told.contains("target_session_attrs: all goes to replicas"),
                "{told}"
            );
        });
    }
}

/// As HAProxy in front of Patroni has it: a port for writes and one for reads.
#[test]
fn a_port_of_its_own_leads_to_replicas_or_to_the_primary() {
    for version in Version::ALL {
        let ports = [0; 2].map(|_| free_port().expect("a free port"));
        let targets = format!("{}=standby, {}=read-write", ports[0], ports[1]);
        let setup = Setup::new().set("listen_targets", targets);
        let Some(mut site) = site_of(version, &["", ""], &[], setup) else {
            continue;
        };
        site.alias("app_rw", &[("target_session_attrs", "read-write".into())]);
        site.settle(1);
        runtime().block_on(async {
            let (primary, replica) = (site.primary(), site.replica(0));
            let reader = client_at(ports[0], "app", "").await;
            assert_eq!(ask(&reader, "SHOW port").await, replica);
            let writer = client_at(ports[1], "app", "").await;
            assert_eq!(ask(&writer, WHERE).await, primary);
            // The port comes before the database, and the client before the port.
            let reader = client_at(ports[0], "app_rw", "").await;
            assert_eq!(ask(&reader, "SHOW port").await, replica);
            let own = "-cpgweir.target_session_attrs=primary";
            let own = client_at(ports[0], "app", own).await;
            assert_eq!(ask(&own, WHERE).await, primary);
            // Through the others nothing is different.
            let plain = connect(&site.pgweir).await;
            assert_eq!(ask(&plain, "SHOW port").await, primary);
            let shown = site.console("SHOW CLIENTS");
            let through = |port: u16| shown.matches(&format!("|{port}|")).count();
            assert_eq!((through(ports[0]), through(ports[1])), (3, 1), "{shown}");
        });
    }
}

/// libpq believes what it is told at login, or asks.
#[test]
fn libpq_finds_what_it_looks_for() {
    for version in Version::ALL {
        let Some(site) = split(version, 1) else {
            continue;
        };
        let at = |database: &str, attrs: &str| {
            let mut psql = site.pgweir.client(&site.postgres, "psql", "t_trust");
            let target = format!("dbname={database} target_session_attrs={attrs}");
            let output = psql
                .args(["-AtqX", "-d", &target, "-c", "SHOW port"])
                .output();
            let output = output.expect("psql runs");
            match output.status.success() {
                true => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
                false => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }
        };
        assert_eq!(at("app_ro", "standby"), site.replica(0));
        assert_eq!(at("app_ro", "read-only"), site.replica(0));
        assert_eq!(at("app_rw", "primary"), site.primary());
        assert_eq!(at("app", "read-write"), site.primary());
        let refused = at("app_rw", "standby");
        assert!(refused.contains("not in hot standby mode"), "{refused}");
    }
}

#[test]
fn without_a_replica_some_wait_and_some_take_the_primary() {
    let Some(mut site) = split(Version::V15, 1) else {
        return;
    };
    site.replicas[0].kill();
    eventually("all names know", || {
        (site.console("SHOW CLUSTER").matches("|down|").count() == 4).then_some(())
    });
    runtime().block_on(async {
        let either = client_of(&site, "app_any", "").await;
        assert_eq!(ask(&either, WHERE).await, site.primary());
        let reader = client_of(&site, "app_ro", "").await;
        let reading = tokio::spawn(async move { ask(&reader, WHERE).await });
        eventually("it waits", || {
            site.console("SHOW CLIENTS")
                .contains("|waiting|")
                .then_some(())
        });
        site.replicas[0].start().expect("the replica comes back");
        assert_eq!(within(reading).await.expect("a read"), site.replica(0));
    });
}
