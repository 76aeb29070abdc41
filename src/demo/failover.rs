//! The demo's cluster: a workload whose reads are spread over replicas, and a switchover in the middle of it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::load::{self, Target};
use super::{DATABASE, Failure, process};

/// How long the workload runs, in seconds, and when the primary changes.
const SECONDS: u32 = 8;
const CHANGE_AFTER: Duration = Duration::from_secs(4);

/// What the workload and the servers said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Each server: what it was before and after, and how many transactions it ran before and after.
    pub(super) servers: Vec<Served>,
    /// Those that read, and those that wrote.
    pub(super) runs: Vec<Run>,
    /// What the console said about the switchover.
    pub(super) said: String,
}

/// What one pgbench printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Run {
    pub(super) name: &'static str,
    /// Transactions that were done, and that failed.
    pub(super) done: u64,
    pub(super) failed: u64,
    /// Transactions per second, second by second.
    pub(super) seconds: Vec<f64>,
}

/// One server's part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) before: (String, u64),
    pub(super) after: (String, u64),
}

/// Runs it. `servers` are the primary and its replicas; the first replica becomes the primary.
pub(super) fn run(target: &Target<'_>, servers: &[&Cluster]) -> Result<Outcome, Failure> {
    let names: Vec<String> = servers
        .iter()
        .map(|one| format!("127.0.0.1:{}", one.port()))
        .collect();
    let [_, new, others @ ..] = servers else {
        return Err("a primary and a replica are needed".into());
    };
    let counts =
        || -> Result<Vec<u64>, Failure> { servers.iter().map(|one| committed(one)).collect() };
    let first = counts()?;
    let began = Instant::now();
    // Both are sent to the same name.
    let readers = start(target, &["-b", "select-only", "-c", "16"])?;
    let writers = start(target, &["-b", "simple-update", "-c", "4"])?;
    std::thread::sleep(CHANGE_AFTER.saturating_sub(began.elapsed()));
    let (roles_before, halfway) = (roles(target, &names)?, counts()?);
    let mut switchover = load::client(target.binaries, "psql", target.port, target.password);
    let command = format!(
        "SWITCHOVER {DATABASE} TO {}",
        names.get(1).map_or("", |name| name)
    );
    switchover.args(["-AtqX", "-d", "pgweir", "-c", &command]);
    let switched = switchover.output()?;
    let said = String::from_utf8_lossy(&switched.stderr).trim().to_owned();
    if !switched.status.success() {
        return Err(format!("the switchover failed: {said}").into());
    }
    for replica in others {
        replica.follow(new)?;
    }
    let runs = vec![
        end("16 clients that read", readers)?,
        end("4 clients that write", writers)?,
    ];
    let (roles_after, last) = (roles(target, &names)?, counts()?);
    let part = |before: &[u64], after: &[u64], at: usize| {
        let count = |counts: &[u64]| counts.get(at).copied().unwrap_or_default();
        count(after).saturating_sub(count(before))
    };
    let role = |roles: &[String], at: usize| roles.get(at).cloned().unwrap_or_default();
    Ok(Outcome {
        servers: (names.into_iter().enumerate())
            .map(|(at, name)| Served {
                name,
                before: (role(&roles_before, at), part(&first, &halfway, at)),
                after: (role(&roles_after, at), part(&halfway, &last, at)),
            })
            .collect(),
        runs,
        said: said.trim_start_matches("NOTICE:").trim().to_owned(),
    })
}

/// Starts pgbench for as long as all of it takes.
fn start(target: &Target<'_>, arguments: &[&str]) -> Result<Child, Failure> {
    let mut pgbench = load::client(target.binaries, "pgbench", target.port, target.password);
    pgbench
        .args([
            "-n",
            "-M",
            "prepared",
            "-P",
            "1",
            "-T",
            &SECONDS.to_string(),
        ])
        .args(arguments)
        .arg(DATABASE)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(pgbench.spawn()?)
}

/// Waits for its end.
fn end(name: &'static str, pgbench: Child) -> Result<Run, Failure> {
    let ended = pgbench.wait_with_output()?;
    let (printed, progress) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    if !ended.status.success() {
        return Err(format!("pgbench failed ({}):\n{progress}", ended.status).into());
    }
    let number = |words| number_after(&printed, words).unwrap_or_default();
    Ok(Run {
        name,
        done: number("number of transactions actually processed: "),
        failed: number("number of failed transactions: "),
        seconds: progress.lines().filter_map(second).collect(),
    })
}

/// Transactions that a server has committed in the demo's database, as it counts them itself.
fn committed(server: &Cluster) -> Result<u64, Failure> {
    let text = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{DATABASE}'");
    Ok(server.psql("postgres", &text)?.parse()?)
}

/// The roles of the servers as SHOW CLUSTER has them.
fn roles(target: &Target<'_>, names: &[String]) -> Result<Vec<String>, Failure> {
    let mut psql = load::client(target.binaries, "psql", target.port, target.password);
    psql.args(["-AtqX", "-d", "pgweir", "-c", "SHOW CLUSTER"]);
    let shown = process::run(&mut psql)?;
    let role = |name: &String| role_of(&shown, name).unwrap_or("unknown").to_owned();
    Ok(names.iter().map(role).collect())
}

fn role_of<'s>(shown: &'s str, name: &str) -> Option<&'s str> {
    let mut lines = shown.lines().map(|line| line.split('|'));
    lines.find_map(|mut columns| {
        (columns.next()? == DATABASE && columns.next()? == name).then(|| columns.next())?
    })
}

/// The transactions per second in a line of pgbench's progress.
fn second(line: &str) -> Option<f64> {
    let rest = line.strip_prefix("progress: ")?;
    let (_, rest) = rest.split_once(" s, ")?;
    rest.split(' ').next()?.parse().ok()
}

/// The whole number behind these words.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(words))?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_and_the_console_say_is_read() {
        let line = "progress: 2.0 s, 1234.5 tps, lat 0.8 ms stddev 0.1, 0 failed";
        assert_eq!(second(line), Some(1234.5));
        assert_eq!(second("pgbench (15.1)"), None);
        let printed = "number of transactions actually processed: 4711\nnumber of failed transactions: 2 (0.04%)\n";
        assert_eq!(
            number_after(printed, "number of transactions actually processed: "),
            Some(4711)
        );
        assert_eq!(
            number_after(printed, "number of failed transactions: "),
            Some(2)
        );
        let shown = "other|127.0.0.1:1|replica|1\nshop|127.0.0.1:1|primary|1\n";
        assert_eq!(role_of(shown, "127.0.0.1:1"), Some("primary"));
        assert_eq!(role_of(shown, "127.0.0.1:2"), None);
    }
}
