//! What clients see when servers of a cluster die, are cut off, are promoted and come back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pgweir::demo::cluster::Cluster;

use crate::support::load::{Books, Load, connect};
use crate::support::pgweir::{Pgweir, Setup, succeed};
use crate::support::postgres::{PASSWORD, Postgres, Version};
use crate::support::wait::{eventually, patient};
use crate::support::wire::Wire;

/// A primary with two replicas, a cable to each, and pgweir in front.
///
/// What is confirmed is on one of the replicas at least: what is lost in a promotion is lost by pgweir.
struct Site {
    pgweir: Pgweir,
    /// The primary's first.
    wires: Vec<Wire>,
    replicas: Vec<Cluster>,
    postgres: Postgres,
}

fn site(version: Version) -> Option<Site> {
    site_with(version, Setup::new())
}

fn site_with(version: Version, setup: Setup) -> Option<Site> {
    let postgres = Postgres::own(version)?;
    postgres.psql(
        "postgres",
        "CREATE TABLE item (id bigint PRIMARY KEY, v int)",
    );
    let replicas: Vec<Cluster> = (0..2).map(|_| postgres.replica()).collect();
    for text in [
        "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'",
        "ALTER SYSTEM SET synchronous_commit = 'on'",
        "SELECT pg_reload_conf()",
    ] {
        postgres.psql("postgres", text);
    }
    let ports = std::iter::once(postgres.port()).chain(replicas.iter().map(Cluster::port));
    let wires: Vec<Wire> = ports.map(Wire::to).collect();
    let servers: Vec<String> = (wires.iter())
        .map(|wire| format!("127.0.0.1:{}", wire.port()))
        .collect();
    let pgweir = setup
        .set("admin_users", "t_trust")
        .set("cluster_check_interval", "200ms")
        .set("lint", false)
        .database_set("app", "dbname", "postgres")
        .database_set("app", "servers", servers.clone())
        .database_set("other", "dbname", "postgres")
        .database_set("other", "servers", servers)
        .start();
    let site = Site {
        pgweir,
        wires,
        replicas,
        postgres,
    };
    site.console("SHOW VERSION");
    site.pgweir
        .psql(&site.postgres, "t_trust", "app", "SELECT 1");
    site.until_standings(&["primary", "replica", "replica"]);
    Some(site)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Site {
    fn console(&self, text: &str) -> String {
        self.pgweir.psql(&self.postgres, "t_trust", "pgweir", text)
    }

    /// The roles in SHOW CLUSTER, in the order of the configuration, `*` for any; a replica counts once
    /// it is fresh.
    fn until_standings(&self, wanted: &[&str]) {
        let mut seen = String::new();
        let end = Instant::now() + patient(Duration::from_secs(20));
        loop {
            let table = self.console("SHOW CLUSTER");
            let roles: Vec<&str> = (table.lines())
                .filter(|line| line.starts_with("app|"))
                .map(|line| {
                    let columns: Vec<&str> = line.split('|').collect();
                    match (columns.get(2), columns.get(5)) {
                        (Some(&"replica"), Some(&"")) => "behind",
                        (role, _) => role.copied().unwrap_or_default(),
                    }
                })
                .collect();
            let fits = |(role, wanted): (&&str, &&str)| role == wanted || *wanted == "*";
            if roles.len() == wanted.len() && roles.iter().zip(wanted).all(fits) {
                return;
            }
            if Instant::now() > end {
                panic!("never {wanted:?}, but\n{seen}");
            }
            seen.clone_from(&table);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The replica that has got most of the log: what a failover manager promotes.
    fn foremost(&self) -> usize {
        let received = |at: usize| {
            let text = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')";
            let said = self.replicas[at]
                .psql("postgres", text)
                .expect("a position");
            said.parse::<u64>().expect("a number")
        };
        usize::from(received(1) > received(0))
    }

    /// Promotes a replica, lets the other one follow it, and says when it had begun to take writes.
    ///
    /// Before that the other one is cut off from the old primary: what it alone received would keep it from
    /// following.
    fn promote(&self, replica: usize) -> Instant {
        let (one, other) = (&self.replicas[replica], &self.replicas[1 - replica]);
        let ask = |server: &Cluster, text: &str| server.psql("postgres", text).expect("an answer");
        ask(other, "ALTER SYSTEM SET primary_conninfo = ''");
        ask(other, "SELECT pg_reload_conf()");
        eventually("the other one receives nothing", || {
            let receivers = ask(other, "SELECT count(*) FROM pg_stat_wal_receiver");
            (receivers == "0").then_some(())
        });
        let received = ask(other, "SELECT pg_last_wal_receive_lsn()");
        let reached = format!("SELECT pg_last_wal_receive_lsn() >= '{received}'");
        eventually("the one has what the other one has", || {
            (ask(one, &reached) == "t").then_some(())
        });
        self.replicas[replica]
            .psql("postgres", "SELECT pg_promote()")
            .expect("promotes");
        let promoted = Instant::now();
        self.replicas[1 - replica]
            .follow(&self.replicas[replica])
            .expect("follows");
        promoted
    }

    /// All rows of a server.
    fn rows(&self, server: &Cluster) -> BTreeSet<i64> {
        let text = "SELECT id FROM item ORDER BY id";
        let said = server.psql("postgres", text).expect("reads");
        said.lines()
            .map(|id| id.parse().expect("a number"))
            .collect()
    }

    /// Nothing was lost, nothing was stale, and every error was an honest one.
    fn audit(&self, what: &str, books: &Books, primary: &Cluster) {
        eprintln!(
            "{what}: {} writes, {} reads, errors {:?}, {} failed logins, longest pause {} ms",
            books.written.len(),
            books.reads,
            books.errors,
            books.refused,
            books.longest_pause().as_millis()
        );
        assert_eq!(books.stale, Vec::<i64>::new(), "{what}: stale reads");
        let there = self.rows(primary);
        let lost: Vec<i64> = (books.ids().into_iter())
            .filter(|id| !there.contains(id))
            .collect();
        assert_eq!(lost, Vec::<i64>::new(), "{what}: confirmed and lost");
        for code in books.errors.keys() {
            let honest = ["57P01", "57P02", "08006"].contains(&code.as_str());
            assert!(honest, "{what}: {:?}", books.errors);
        }
        assert_eq!(books.refused, 0, "{what}: logins refused");
    }
}

/// Says so if the first write came late. The limit is for slow machines; what is measured is printed.
fn soon(what: &str, books: &Books, promoted: Instant) {
    let late = books.written_after(promoted).expect("writes went on");
    eprintln!(
        "{what}: written {} ms after the promotion",
        late.as_millis()
    );
    assert!(late < patient(Duration::from_secs(3)), "{what}: {late:?}");
}

#[test]
fn the_death_of_the_primary_under_load() {
    for version in Version::ALL {
        let Some(mut site) = site(version) else {
            continue;
        };
        let what = format!("PostgreSQL {}", version.major());
        runtime().block_on(async {
            let (idle, _alive) = connect(site.pgweir.port()).await.expect("a login");
            let load = Load::start(site.pgweir.port(), 8);
            load.go_on(200).await;
            site.postgres.cluster.kill();
            let new = site.foremost();
            let promoted = site.promote(new);
            load.go_on(200).await;
            soon(&what, &load.books(), promoted);
            // It comes back as if nothing had happened.
            site.postgres.cluster.start().expect("starts");
            site.wires[0].lead_to(site.postgres.port());
            let mut wanted = ["fenced", "replica", "replica"];
            wanted[1 + new] = "primary";
            site.until_standings(&wanted);
            let there = site.rows(&site.postgres.cluster);
            load.go_on(200).await;
            assert_eq!(
                site.rows(&site.postgres.cluster),
                there,
                "{what}: written to a demoted primary"
            );
            // It is built anew, as a replica of the new one, and reads go there again.
            let rebuilt = site.replicas[new]
                .replica(crate::support::postgres::run_dir(), &unique_name())
                .expect("a replica");
            site.postgres.cluster.stop();
            site.wires[0].lead_to(rebuilt.port());
            wanted[0] = "replica";
            site.until_standings(&wanted);
            load.go_on(200).await;
            serves_reads(&site, 0, &rebuilt);
            let books = load.end().await;
            site.audit(&what, &books, &site.replicas[new]);
            // Whoever had nothing under way noticed nothing.
            let row = idle.query_one("SELECT count(*) FROM item", &[]).await;
            assert!(row.is_ok(), "{what}: {row:?}");
        });
    }
}

/// The network to the primary is cut, one way or both; what is under way there has no end of its own.
#[test]
fn a_primary_that_is_cut_off() {
    for (version, both) in [(Version::V15, true), (Version::V18, false)] {
        let Some(site) = site(version) else {
            continue;
        };
        let what = format!("cut off, PostgreSQL {}", version.major());
        runtime().block_on(async {
            let load = Load::start(site.pgweir.port(), 8);
            load.go_on(200).await;
            match both {
                true => site.wires[0].cut(),
                false => site.wires[0].cut_answers(),
            }
            // Everybody is stuck there by now.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(load.books().errors.is_empty(), "{what}");
            let new = site.foremost();
            let promoted = site.promote(new);
            load.go_on(200).await;
            soon(&what, &load.books(), promoted);
            assert!(
                load.books().errors.contains_key("08006"),
                "{what}: whoever was stuck was told: {:?}",
                load.books().errors
            );
            // What was on its way may arrive there now, and nothing else.
            site.wires[0].mend();
            let mut wanted = ["fenced", "replica", "replica"];
            wanted[1 + new] = "primary";
            site.until_standings(&wanted);
            let there = site.rows(&site.postgres.cluster);
            load.go_on(200).await;
            assert_eq!(
                site.rows(&site.postgres.cluster),
                there,
                "{what}: written to a demoted primary"
            );
            let books = load.end().await;
            site.audit(&what, &books, &site.replicas[new]);
        });
    }
}

/// Somebody promotes a replica beside a primary that is well: it gets nothing from then on, and what
/// transactions did there does not count.
#[test]
fn a_promotion_beside_a_living_primary() {
    let Some(site) = site(Version::V18) else {
        return;
    };
    runtime().block_on(async {
        // The old one goes on writing until pgweir knows: then nobody may confirm that.
        for text in [
            "ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (*)'",
            "SELECT pg_reload_conf()",
        ] {
            site.postgres.psql("postgres", text);
        }
        let load = Load::start(site.pgweir.port(), 8);
        let (waits, connection) = connect(site.pgweir.port()).await.expect("a login");
        waits
            .batch_execute("BEGIN; INSERT INTO item VALUES (5, 5)")
            .await
            .expect("inserts");
        load.go_on(200).await;
        let new = site.foremost();
        let promoted = site.promote(new);
        load.go_on(200).await;
        soon("beside", &load.books(), promoted);
        // The other replica may have got too much from the old one to follow the new one.
        let mut wanted = ["fenced", "*", "*"];
        wanted[1 + new] = "primary";
        site.until_standings(&wanted);
        // The transaction has ended with its server, and its client was told without asking.
        let told = within(connection).await.expect("an end");
        let told = told.expect_err("an error");
        let code = told.code().map(|code| code.code());
        assert_eq!(code, Some("08006"), "{told}");
        let there = site.rows(&site.postgres.cluster);
        assert!(!there.contains(&5));
        load.go_on(200).await;
        assert_eq!(site.rows(&site.postgres.cluster), there);
        let books = load.end().await;
        site.audit("beside", &books, &site.replicas[new]);
    });
}

/// One replica stands still and then dies, the other one is killed and built anew.
#[test]
fn the_death_of_replicas_under_load() {
    for version in Version::ALL {
        let Some(mut site) = site(version) else {
            continue;
        };
        // With no replica left, nobody could confirm.
        let alone = "ALTER SYSTEM RESET synchronous_standby_names";
        site.postgres.psql("postgres", alone);
        site.postgres.psql("postgres", "SELECT pg_reload_conf()");
        let what = format!("replicas, PostgreSQL {}", version.major());
        runtime().block_on(async {
            let load = Load::start(site.pgweir.port(), 8);
            site.replicas[0]
                .psql("postgres", "SELECT pg_wal_replay_pause()")
                .expect("pauses");
            load.go_on(200).await;
            site.replicas[1].kill();
            site.until_standings(&["primary", "replica", "down"]);
            load.go_on(200).await;
            site.replicas[0].kill();
            site.until_standings(&["primary", "down", "down"]);
            load.go_on(200).await;
            let rebuilt = site.postgres.replica();
            site.wires[2].lead_to(rebuilt.port());
            site.until_standings(&["primary", "down", "replica"]);
            serves_reads(&site, 2, &rebuilt);
            // The cable of the dead one leads to data that are not this cluster's.
            let stranger = Postgres::own(version).expect("this version is wanted");
            site.wires[1].lead_to(stranger.port());
            site.until_standings(&["primary", "stranger", "replica"]);
            load.go_on(200).await;
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                            AND application_name NOT IN ('psql', 'pgweir watcher')";
            assert_eq!(stranger.psql("postgres", sessions), "0", "{what}");
            let books = load.end().await;
            site.audit(&what, &books, &site.postgres.cluster);
        });
    }
}

/// What the console says, be it an error.
fn try_console(site: &Site, text: &str) -> String {
    let mut psql = site.pgweir.client(&site.postgres, "psql", "t_trust");
    let output = psql
        .args(["-AtqX", "-d", "pgweir", "-c", text])
        .output()
        .expect("psql runs");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_switchover_loses_nothing() {
    for version in Version::ALL {
        let Some(site) = site(version) else {
            continue;
        };
        let what = format!("switchover, PostgreSQL {}", version.major());
        runtime().block_on(async {
            let load = Load::start(site.pgweir.port(), 8);
            load.go_on(200).await;
            let target = format!("127.0.0.1:{}", site.wires[2].port());
            let said = try_console(&site, &format!("SWITCHOVER app TO {target}"));
            assert!(said.contains(&format!("{target} is the primary")), "{said}");
            eprintln!("{what}: {}", said.trim());
            load.go_on(200).await;
            site.replicas[0].follow(&site.replicas[1]).expect("follows");
            site.until_standings(&["fenced", "replica", "primary"]);
            // Reads and writes go on; of the old primary nothing is wanted any more.
            let there = site.rows(&site.postgres.cluster);
            load.go_on(200).await;
            assert_eq!(site.rows(&site.postgres.cluster), there, "{what}");
            let books = load.end().await;
            assert!(books.errors.is_empty(), "{what}: {:?}", books.errors);
            site.audit(&what, &books, &site.replicas[1]);
        });
        // And back to the first replica under pgbench, which says itself whether it lost any.
        let pgbench = |arguments: &[&str]| {
            let mut command = site.pgweir.client(&site.postgres, "pgbench", "t_trust");
            command.args(arguments).arg("app");
            succeed(&mut command)
        };
        pgbench(&["-i", "-q", "-s", "1"]);
        let printed = std::thread::scope(|scope| {
            let running =
                scope.spawn(|| pgbench(&["-n", "-c", "8", "-T", "4", "-M", "prepared", "-N"]));
            std::thread::sleep(Duration::from_secs(1));
            let said = try_console(&site, "SWITCHOVER app");
            assert!(said.contains("is the primary"), "{said}");
            running.join().expect("pgbench")
        });
        let number = |label: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(label));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.unwrap_or_else(|| panic!("{label} in {printed}"))
                .to_owned()
        };
        assert_eq!(number("number of failed transactions:"), "0", "{printed}");
        let done = number("number of transactions actually processed:");
        let there = site.replicas[0]
            .psql("postgres", "SELECT count(*) FROM pgbench_history")
            .expect("counts");
        assert_eq!(there, done, "{what}: {printed}");
    }
}

#[test]
fn a_switchover_that_cannot_be_leaves_everything_as_it_was() {
    // Transactions have half of that to end.
    let setup = Setup::new()
        .set("query_wait_timeout", "4s")
        .secret("app_user", crate::support::postgres::PASSWORD);
    let Some(site) = site_with(Version::V18, setup) else {
        return;
    };
    let all_is_well = || {
        site.until_standings(&["primary", "replica", "replica"]);
        let app = |text| site.pgweir.psql(&site.postgres, "t_trust", "app", text);
        app("INSERT INTO item SELECT coalesce(max(id), 0) + 1, 0 FROM item");
        assert_eq!(app("SELECT v FROM item LIMIT 1"), "0");
    };
    let port = |at: usize| format!("127.0.0.1:{}", site.wires[at].port());
    let refused = |text: &str, reason: &str| {
        let said = try_console(&site, text);
        assert!(said.contains(reason), "{text}: {said}");
        all_is_well();
    };
    all_is_well();
    refused(
        "SWITCHOVER app TO 127.0.0.1:1",
        "is none of the servers of app",
    );
    refused(
        &format!("SWITCHOVER app TO {}", port(0)),
        "is the primary already",
    );
    refused("SWITCHOVER nothing", "no such database");
    // Nobody has asked for this one yet.
    refused("SWITCHOVER other", "nobody has used other yet");
    // A transaction that does not end.
    runtime().block_on(async {
        let (client, _alive) = connect(site.pgweir.port()).await.expect("a login");
        client.batch_execute("BEGIN").await.expect("begins");
        let seen = std::thread::scope(|scope| {
            let running = scope.spawn(|| try_console(&site, "SWITCHOVER app"));
            eventually("the step in SHOW CLUSTER", || {
                let table = site.console("SHOW CLUSTER");
                table
                    .contains("switchover to it: waits for transactions")
                    .then_some(())
            });
            let second = try_console(&site, "SWITCHOVER app");
            assert!(
                second.contains("another switchover is under way"),
                "{second}"
            );
            running.join().expect("psql")
        });
        assert!(
            seen.contains("1 server connections of app are still in use"),
            "{seen}"
        );
        all_is_well();
        let row = client.query_one("SELECT 1", &[]).await;
        assert!(row.is_ok(), "{row:?}");
        client.batch_execute("COMMIT").await.expect("commits");
    });
    // Paused by the operator, who wants it to stay so.
    site.console("PAUSE app");
    let said = try_console(&site, "SWITCHOVER app");
    assert!(said.contains("RESUME it first"), "{said}");
    site.console("RESUME app");
    // A replica that stands still, or does not get there.
    let replica = |at: usize, text: &str| site.replicas[at].psql("postgres", text).expect("sets");
    replica(0, "SELECT pg_wal_replay_pause()");
    let to_first = format!("SWITCHOVER app TO {}", port(1));
    refused(&to_first, "replay is paused");
    replica(0, "SELECT pg_wal_replay_resume()");
    replica(0, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'");
    replica(0, "SELECT pg_reload_conf()");
    site.pgweir.psql(
        &site.postgres,
        "t_trust",
        "app",
        "INSERT INTO item VALUES (-1, 0)",
    );
    let said = try_console(&site, &to_first);
    assert!(
        said.contains("bytes of the write-ahead log after 10 s"),
        "{said}"
    );
    all_is_well();
    // A user that may not promote is told what to do, and that helps.
    site.postgres.psql(
        "postgres",
        &format!(
            "CREATE ROLE app_user LOGIN PASSWORD '{}'; GRANT SELECT ON item TO app_user",
            PASSWORD.replace('\'', "''")
        ),
    );
    let other = |text| site.pgweir.psql(&site.postgres, "app_user", "other", text);
    assert_eq!(other("SELECT v FROM item LIMIT 1"), "0");
    let to_second = format!("SWITCHOVER other TO {}", port(2));
    let grant = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO app_user";
    let said = eventually("a replica of the other database", || {
        let said = try_console(&site, &to_second);
        (!said.contains("not a replica that follows")).then_some(said)
    });
    assert!(said.contains(grant), "{said}");
    assert_eq!(other("SELECT v FROM item LIMIT 1"), "0");
    site.postgres.psql("postgres", grant);
    let said = eventually("the grant on the replica", || {
        let said = try_console(&site, &to_second);
        (!said.contains("GRANT EXECUTE")).then_some(said)
    });
    assert!(said.contains("is the primary of other now"), "{said}");
}

/// Ends a test that hangs.
async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = patient(Duration::from_secs(30));
    (tokio::time::timeout(limit, future).await).expect("an answer in time")
}

/// Waits until a server has sessions of pgweir that read.
fn serves_reads(site: &Site, wire: usize, server: &Cluster) {
    let port = site.wires[wire].port();
    eventually(&format!("reads on the server behind {port}"), || {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT v FROM item%'";
        let there = server.psql("postgres", text).expect("counts");
        (there != "0").then_some(())
    });
}

fn unique_name() -> String {
    format!("rebuilt{}", crate::support::postgres::unique())
}
