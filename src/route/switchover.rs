//! Which replica a planned switchover may make the primary.

use super::topology::{Standing, View};

/// Why a switchover cannot begin; `name` tells servers' names.
///
/// # Errors
///
/// What stands against it, for the operator.
pub fn target(
    view: &View,
    wanted: Option<usize>,
    barred: impl Fn(usize) -> bool,
    name: impl Fn(usize) -> String,
) -> Result<usize, String> {
    let Some(primary) = view.primary else {
        return Err("no server says that it is the primary now".to_owned());
    };
    let Some(report) = view.servers.get(primary).and_then(|server| server.report) else {
        let primary = name(primary);
        return Err(format!(
            "the primary {primary} does not answer, and what it wrote last cannot be asked for; if it is \
             dead, promote a replica: pgweir follows"
        ));
    };
    let fits = |at: usize| {
        let server = view.servers.get(at)?;
        let said = server.report?;
        (!barred(at) && server.standing == Standing::Replica && said.timeline == report.timeline)
            .then_some(said.position)
    };
    match wanted {
        Some(at) if at == primary => Err(format!("{} is the primary already", name(at))),
        Some(at) if barred(at) => Err(format!(
            "{} must not be the primary: its role in the configuration forbids it",
            name(at)
        )),
        Some(at) => fits(at).map(|_| at).ok_or_else(|| {
            let standing = view
                .servers
                .get(at)
                .map_or("unknown", |server| server.standing.as_str());
            format!(
                "{} is not a replica that follows the primary: it is {standing} (see SHOW CLUSTER)",
                name(at)
            )
        }),
        None => (0..view.servers.len())
            .filter_map(|at| fits(at).map(|position| (position, at)))
            // Of equals the first of the configuration.
            .max_by_key(|&(position, at)| (position, std::cmp::Reverse(at)))
            .map(|(_, at)| at)
            .ok_or_else(|| "no replica follows the primary (see SHOW CLUSTER)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::route::topology::{Report, Server};

    fn server(standing: Standing, timeline: u32, position: u64) -> Server {
        Server {
            standing,
            report: Some(Report {
                asked: Instant::now(),
                latency: Duration::ZERO,
                system: 1,
                timeline,
                in_recovery: standing == Standing::Replica,
                position,
            }),
            ..Server::default()
        }
    }

    fn view(servers: Vec<Server>) -> View {
        View {
            primary: (servers.iter()).position(|server| server.standing == Standing::Primary),
            servers,
            epoch: 1,
        }
    }

    fn choose(view: &View, wanted: Option<usize>) -> Result<usize, String> {
        target(view, wanted, |at| at == 9, |at| format!("s{at}"))
    }

    #[test]
    fn the_replica_that_has_come_furthest_is_taken() {
        use Standing::{Down, Primary, Replica};
        let view = view(vec![
            server(Replica, 1, 5),
            server(Primary, 1, 9),
            server(Replica, 1, 7),
            server(Replica, 1, 7),
            // Of another branch.
            server(Replica, 2, 99),
            Server {
                standing: Down,
                ..Server::default()
            },
        ]);
        assert_eq!(choose(&view, None), Ok(2));
        assert_eq!(choose(&view, Some(0)), Ok(0));
        for (wanted, said) in [
            (1, "already"),
            (4, "not a replica that"),
            (5, "it is down"),
            (77, "unknown"),
        ] {
            let error = choose(&view, Some(wanted)).expect_err("refused");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn without_a_primary_that_answers_there_is_no_switchover() {
        let lone = view(vec![server(Standing::Replica, 1, 1)]);
        assert!(
            choose(&lone, None)
                .expect_err("refused")
                .contains("no server says")
        );
        let mut dead = view(vec![
            server(Standing::Primary, 1, 1),
            server(Standing::Replica, 1, 1),
        ]);
        dead.servers[0].report = None;
        assert!(
            choose(&dead, None)
                .expect_err("refused")
                .contains("s0 does not answer")
        );
        let alone = view(vec![server(Standing::Primary, 1, 1)]);
        assert!(
            choose(&alone, None)
                .expect_err("refused")
                .contains("no replica")
        );
    }
}
