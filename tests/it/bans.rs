//! A replica that answers questions and takes no logins: others have its reads, and it is left alone.

use crate::support::pgweir::Setup;
use crate::support::postgres::{Postgres, Version};
use crate::support::site::{WHERE, ask, connect, runtime};
use crate::support::wait::eventually;
use crate::support::wire::Wire;

#[test]
fn a_replica_that_takes_no_logins_is_left_alone_for_a_while() {
    for version in Version::ALL {
        let Some(postgres) = Postgres::own(version) else {
            continue;
        };
        let replicas = [postgres.replica(), postgres.replica()];
        let wires = [Wire::to(replicas[0].port()), Wire::to(replicas[1].port())];
        let mut servers = vec![format!("127.0.0.1:{}", postgres.port())];
        servers.extend(
            wires
                .iter()
                .map(|wire| format!("127.0.0.1:{}", wire.port())),
        );
        let pgweir = Setup::new()
            .set("admin_users", "t_trust")
            .set("cluster_check_interval", "100ms")
            // What matters is not to be lost among logins.
            .set("log_connections", false)
            .set("log_disconnections", false)
            .database_set("app", "dbname", "postgres")
            .database_set("app", "servers", servers)
            .database_set("app", "balance", "round-robin")
            .database_set("app", "slow_start", "0s")
            .start();
        let console = |text: &str| pgweir.psql(&postgres, "t_trust", "pgweir", text);
        let states = || -> Vec<String> {
            let shown = console("SHOW CLUSTER");
            let state = |line: &str| line.rsplit('|').next().unwrap_or_default().to_owned();
            shown.lines().map(state).collect()
        };
        pgweir.psql(&postgres, "t_trust", "app", "SELECT 1");
        eventually("both replicas read", || {
            (states() == ["writes", "reads", "reads"]).then_some(())
        });
        // Who asks the servers keeps its connection; nobody gets a new one.
        wires[0].lead_to(1);
        console("RECONNECT app");
        let ports = replicas.each_ref().map(|one| one.port().to_string());
        runtime().block_on(async {
            let client = connect(&pgweir).await;
            for _ in 0..20 {
                assert_eq!(ask(&client, WHERE).await, ports[1]);
            }
            // It is tried again, and its next ban is longer.
            let (begin, mut asked, mut shown) = (std::time::Instant::now(), 20, String::new());
            while !pgweir.log().contains("pause=2s") || !shown.contains("|banned") {
                assert_eq!(ask(&client, WHERE).await, ports[1]);
                assert!(begin.elapsed().as_secs() < 60, "{}", pgweir.log());
                asked += 1;
                shown = console("SHOW CLUSTER");
            }
            assert!(
                shown.contains("for another ") && shown.contains("during login"),
                "{shown}"
            );
            let log = pgweir.log();
            let tried = log.matches("connect failed").count();
            assert!(log.contains("pause=1s") && tried < asked / 4, "{log}");
            wires[0].lead_to(replicas[0].port());
            let mut back = false;
            for _ in 0..2000 {
                back |= ask(&client, WHERE).await == ports[0];
                if back {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert!(back, "{}", console("SHOW CLUSTER"));
        });
    }
}
