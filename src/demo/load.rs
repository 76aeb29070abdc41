//! The demo's workload: pgbench through pgweir, and what the console says meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::binaries::Binaries;
use super::{Failure, USER, process};

/// Length of one run of pgbench, in seconds.
const SECONDS: u32 = 4;

/// Where the load goes.
pub(super) struct Target<'a> {
    pub(super) binaries: &'a Binaries,
    pub(super) port: u16,
    pub(super) password: &'a str,
    pub(super) dir: &'a Path,
}

/// One run of pgbench.
pub(super) struct Workload {
    name: &'static str,
    database: String,
    clients: u32,
    arguments: &'static [&'static str],
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) clients: u32,
    /// Most server connections that the console showed at one time; `None`: it did not answer.
    pub(super) servers: Option<u64>,
    pub(super) transactions: u64,
    /// Per second.
    pub(super) tps: f64,
    /// Microseconds.
    pub(super) p50: u64,
    /// Microseconds.
    pub(super) p99: u64,
}

/// The runs of the demo, in order.
pub(super) fn workloads(primary: &str, replica: &str) -> Vec<Workload> {
    let run = |name, database: &str, clients, arguments| Workload {
        name,
        database: database.to_owned(),
        clients,
        arguments,
    };
    vec![
        run(
            "read and write, simple",
            primary,
            20,
            &["-N", "-M", "simple"],
        ),
        run(
            "read and write, prepared",
            primary,
            20,
            &["-N", "-M", "prepared"],
        ),
        run(
            "read, prepared, crowded",
            primary,
            200,
            &["-S", "-M", "prepared"],
        ),
        run(
            "read on replicas alone, prepared",
            replica,
            20,
            &["-S", "-M", "prepared"],
        ),
    ]
}

/// One of PostgreSQL's client programs, set to talk to pgweir.
pub(super) fn client(binaries: &Binaries, program: &str, port: u16, password: &str) -> Command {
    let mut command = Command::new(binaries.program(program));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", USER)
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    command
}

/// Makes pgbench's tables.
pub(super) fn initialize(target: &Target<'_>, database: &str) -> Result<(), Failure> {
    let mut command = client(target.binaries, "pgbench", target.port, target.password);
    command.args(["-i", "-q", "-s", "5", database]);
    process::run(&mut command)?;
    Ok(())
}

/// Runs one workload to its end.
pub(super) fn run(target: &Target<'_>, workload: &Workload) -> Result<Outcome, Failure> {
    let logs = target.dir.join("pgbench");
    // Each run has the directory for itself, for pgbench names its files after its process.
    if logs.exists() {
        std::fs::remove_dir_all(&logs)?;
    }
    std::fs::create_dir(&logs)?;
    let output = std::fs::File::create(logs.join("output"))?;
    let mut command = client(target.binaries, "pgbench", target.port, target.password);
    let mut child = command
        .args(workload.arguments)
        .args(["-n", "-l", "-T", &SECONDS.to_string()])
        .args(["-c", &workload.clients.to_string(), &workload.database])
        .current_dir(&logs)
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let mut servers = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        servers = servers.max(servers_in_use(target, &workload.database));
        std::thread::sleep(Duration::from_millis(200));
    };
    let printed = std::fs::read_to_string(logs.join("output"))?;
    if !status.success() {
        return Err(format!("pgbench ({}) failed ({status}):\n{printed}", workload.name).into());
    }
    let mut times = Vec::new();
    for entry in std::fs::read_dir(&logs)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("pgbench_log"))
        {
            collect_times(&std::fs::read_to_string(path)?, &mut times);
        }
    }
    times.sort_unstable();
    Ok(Outcome {
        name: workload.name,
        clients: workload.clients,
        servers,
        transactions: times.len() as u64,
        tps: tps(&printed).ok_or("pgbench printed no transactions per second")?,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
    })
}

/// Server connections that `SHOW POOLS` counts for one database.
fn servers_in_use(target: &Target<'_>, database: &str) -> Option<u64> {
    let mut command = client(target.binaries, "psql", target.port, target.password);
    command.args([
        "-AqX",
        "-F",
        "\t",
        "-P",
        "footer=off",
        "-d",
        "pgweir",
        "-c",
        "SHOW POOLS",
    ]);
    servers_of(&process::run(&mut command).ok()?, database)
}

/// Sums the columns of server connections in the rows of `database`. The columns are found by
/// their names, so that further ones do no harm.
fn servers_of(table: &str, database: &str) -> Option<u64> {
    const COLUMNS: [&str; 5] = ["sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"];
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next()?.split('\t').collect();
    let mut sum = 0;
    for line in lines {
        let row: BTreeMap<&str, &str> = names.iter().copied().zip(line.split('\t')).collect();
        if row.get("database") == Some(&database) {
            sum += COLUMNS
                .iter()
                .filter_map(|name| row.get(name)?.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    Some(sum)
}

/// Adds the third column (microseconds) of each line of a log of pgbench.
fn collect_times(log: &str, times: &mut Vec<u64>) {
    times.extend(
        log.lines()
            .filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()),
    );
}

/// The number in pgbench's line `tps = …`.
fn tps(printed: &str) -> Option<f64> {
    let rest = printed
        .lines()
        .find_map(|line| line.strip_prefix("tps = "))?;
    rest.split(' ').next()?.parse().ok()
}

/// The nearest-rank percentile of sorted values; 0 of none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_counted_by_column_names() {
        let table = "database\tuser\tcl_active\tsv_active\tnew\tsv_idle\n\
                     shop\tdemo\t9\t3\tx\t4\nshop\tother\t1\t1\tx\t0\npgweir\tp\t1\t7\tx\t7";
        assert_eq!(servers_of(table, "shop"), Some(8));
        assert_eq!(servers_of(table, "none"), Some(0));
        assert_eq!(servers_of("", "shop"), None);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(
            (percentile(&values, 50), percentile(&values, 99)),
            (100, 198)
        );
        assert_eq!(percentile(&[7], 50), 7);
        assert_eq!(percentile(&[], 99), 0);
    }

    #[test]
    fn what_pgbench_writes_is_read() {
        let mut times = Vec::new();
        collect_times(
            "0 1 1503 0 1700000000 1\n1 1 97 0 1700000000 2\nodd line\n",
            &mut times,
        );
        assert_eq!(times, [1503, 97]);
        assert_eq!(
            tps("x\ntps = 1234.5 (without initial connection time)\n"),
            Some(1234.5)
        );
        assert_eq!(tps("nothing"), None);
    }
}
