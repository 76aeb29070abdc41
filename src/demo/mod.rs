//! `pgweir demo`: a throwaway PostgreSQL with two streaming replicas, pgweir in front, some load.
//!
//! Everything it starts and writes is below one temporary directory under a [`guard::Guard`], so
//! nothing is left however it ends. [`binaries`] and [`cluster`] also serve the tests.

pub mod binaries;
pub mod cluster;
mod failover;
pub mod guard;
mod load;
pub mod process;
mod shop;
mod table;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use binaries::Binaries;
use cluster::{Cluster, ClusterOptions};
use guard::Guard;

/// The login of the demo. It exists for as long as the demo runs, on loopback.
pub(crate) const USER: &str = "demo";
/// The database on the primary.
pub(crate) const DATABASE: &str = "shop";
/// The name under which pgweir offers the replicas alone.
const REPLICA: &str = "shop_ro";

/// How often the shop is run at most.
const SHOP_RUNS: u32 = 3;

/// Longest start of pgweir.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Anything that ends the demo early, ready to be shown.
type Failure = Box<dyn std::error::Error>;

/// pgweir as the demo runs it: its own executable in a process of its own.
struct Pooler {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        process::send_signal(self.child.id(), "TERM");
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(3) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs the demo until Ctrl-C, SIGTERM or SIGHUP and cleans up.
///
/// Prints what it does to standard output. Fails, with what to do about it on standard error, if
/// PostgreSQL's programs are missing or something does not start.
pub fn run() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgweir demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Directories in which `scripts/setup` may have put a private copy of PostgreSQL: `.cache` of
/// the working directory and of the checkout that this executable was built in.
fn cache_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
    if let Ok(exe) = std::env::current_exe() {
        dirs.extend(exe.ancestors().skip(1).take(4).map(Path::to_owned));
    }
    dirs.into_iter().map(|dir| dir.join(".cache")).collect()
}

fn play() -> Result<(), Failure> {
    let binaries = Binaries::find(None, &cache_dirs())?;
    let guard = Guard::new("demo")?;
    println!(
        "PostgreSQL {} from {}",
        binaries.major,
        binaries.bin.display()
    );

    println!("starting a primary …");
    let password = random_word()?;
    let options = ClusterOptions {
        password: Some(password.clone()),
        ..ClusterOptions::default()
    };
    let primary = Cluster::create(&binaries, guard.dir(), "primary", &options)?;
    primary.psql(
        "postgres",
        &format!("CREATE ROLE {USER} LOGIN PASSWORD '{password}'"),
    )?;
    primary.psql(
        "postgres",
        &format!("CREATE DATABASE {DATABASE} OWNER {USER}"),
    )?;
    // What the demo's user needs to be asked about servers and to promote one.
    primary.psql("postgres", &format!("GRANT pg_monitor TO {USER}"))?;
    let promote = format!("GRANT EXECUTE ON FUNCTION pg_promote TO {USER}");
    primary.psql(DATABASE, &promote)?;
    println!("starting two streaming replicas …");
    let replicas = [
        primary.replica(guard.dir(), "replica1")?,
        primary.replica(guard.dir(), "replica2")?,
    ];
    let [one, two] = &replicas;
    let servers = [&primary, one, two];

    let config = write_config(guard.dir(), &servers, &password)?;
    let mut pooler = start_pooler(&guard, &config.path, config.port)?;
    wait_ready(&mut pooler, &primary, &password)?;
    println!("pgweir is ready on 127.0.0.1:{}", pooler.port);

    let target = load::Target {
        binaries: primary.binaries(),
        port: pooler.port,
        password: &password,
        dir: guard.dir(),
    };
    println!("loading pgbench's tables through pgweir …");
    load::initialize(&target, DATABASE)?;
    let replayed = || {
        replicas
            .iter()
            .try_for_each(|replica| wait_replayed(&primary, replica))
    };
    replayed()?;

    println!("running pgbench through pgweir, a few seconds each …\n");
    let mut rows = Vec::new();
    for workload in load::workloads(DATABASE, REPLICA) {
        rows.push(load::run(&target, &workload)?);
    }
    println!("{}", table::render(&rows));

    println!("\nrunning a small shop with the usual mistakes …\n");
    shop::initialize(&target, DATABASE)?;
    // Another session than the one that wrote may read what a replica has not got yet.
    replayed()?;
    println!("{}", table::findings(&found_in_shop(&target)?));

    println!(
        "\nreading and writing under one name, and making a replica the primary meanwhile …\n"
    );
    println!("{}", table::failover(&failover::run(&target, &servers)?));

    let port = pooler.port;
    println!("\nIt stays up for you to try:");
    println!("  psql 'postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}'");
    println!(
        "  psql 'postgresql://{USER}:{password}@127.0.0.1:{port}/{REPLICA}'   (replicas alone)"
    );
    println!(
        "  psql 'postgresql://{USER}:{password}@127.0.0.1:{port}/pgweir' -c 'SHOW CLUSTER'   (the console; SHOW FINDINGS, SHOW HELP)"
    );
    println!(
        "  http://127.0.0.1:{}/   (the page, in a browser)",
        config.http
    );
    println!("  curl http://127.0.0.1:{}/metrics", config.http);
    println!("  configuration: {}", config.path.display());
    println!("  log:           {}", pooler.log.display());
    println!("Ctrl-C stops and removes everything.");

    let end = wait_for_end(&mut pooler);
    println!("\ncleaning up …");
    drop(pooler);
    drop(replicas);
    drop(primary);
    drop(guard);
    end
}

/// A password nobody can guess: 32 hexadecimal digits.
fn random_word() -> Result<String, Failure> {
    use ring::rand::SecureRandom;
    let mut bytes = [0u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| "the system gives no random numbers")?;
    let mut word = String::new();
    for byte in bytes {
        write!(word, "{byte:02x}")?;
    }
    Ok(word)
}

/// A configuration file that was written.
struct Written {
    path: PathBuf,
    port: u16,
    http: u16,
}

/// Writes a configuration that sets what has no default (where PostgreSQL is, who may log in)
/// and leaves everything else as shipped.
fn write_config(dir: &Path, servers: &[&Cluster], password: &str) -> Result<Written, Failure> {
    let users = dir.join("userlist.txt");
    std::fs::write(&users, format!("\"{USER}\" \"{password}\"\n"))?;
    std::fs::set_permissions(&users, std::fs::Permissions::from_mode(0o600))?;
    // The ports everybody knows, unless somebody has them.
    let free = |usual| match TcpListener::bind((Ipv4Addr::LOCALHOST, usual)) {
        Ok(_) => Ok(usual),
        Err(_) => cluster::free_port(),
    };
    let (port, http) = (free(6432)?, free(6433)?);
    let path = dir.join("pgweir.toml");
    std::fs::write(
        &path,
        config_text(
            dir,
            port,
            http,
            &servers.iter().map(|one| one.port()).collect::<Vec<_>>(),
        ),
    )?;
    Ok(Written { path, port, http })
}

fn config_text(dir: &Path, port: u16, http: u16, servers: &[u16]) -> String {
    let dir = dir.display();
    let server = |port: &u16| format!("\"127.0.0.1:{port}\"");
    let servers = servers.iter().map(server).collect::<Vec<_>>().join(", ");
    format!(
        "# Written by pgweir demo. Every setting that is not here has its default.\n\
         [pgweir]\n\
         listen_addr = \"127.0.0.1\"\n\
         listen_port = {port}\n\
         http_listen = \"127.0.0.1:{http}\"\n\
         unix_socket_dir = \"{dir}\"\n\
         auth_type = \"scram-sha-256\"\n\
         auth_file = \"{dir}/userlist.txt\"\n\
         admin_users = \"{USER}\"\n\
         \n\
         [databases.{DATABASE}]\n\
         servers = [{servers}]\n\
         dbname = \"{DATABASE}\"\n\
         pool_mode = \"transaction\"\n\
         \n\
         [databases.{REPLICA}]\n\
         servers = [{servers}]\n\
         target_session_attrs = \"standby\"\n\
         dbname = \"{DATABASE}\"\n\
         pool_mode = \"transaction\"\n"
    )
}

/// Starts this very executable as `pgweir run -c CONFIG`.
fn start_pooler(guard: &Guard, config: &Path, port: u16) -> Result<Pooler, Failure> {
    let log = guard.dir().join("pgweir.log");
    let file = std::fs::File::create(&log)?;
    let child = Command::new(std::env::current_exe()?)
        .arg("run")
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()?;
    guard.watch("pgweir", child.id())?;
    Ok(Pooler { child, port, log })
}

/// Waits until a query comes back through pgweir.
fn wait_ready(pooler: &mut Pooler, primary: &Cluster, password: &str) -> Result<(), Failure> {
    let begin = Instant::now();
    loop {
        let mut psql = load::client(primary.binaries(), "psql", pooler.port, password);
        psql.args(["-AtqX", "-d", DATABASE, "-c", "SELECT 1"]);
        let answer = process::run(&mut psql);
        if answer.is_ok() {
            return Ok(());
        }
        let ended = pooler.child.try_wait()?;
        if ended.is_some() || begin.elapsed() > READY_TIMEOUT {
            return Err(format!(
                "pgweir does not answer{}: {}\nthe end of its log:\n{}",
                ended
                    .map(|s| format!(" (it ended with {s})"))
                    .unwrap_or_default(),
                answer.err().map(|e| e.to_string()).unwrap_or_default(),
                cluster::tail(&pooler.log, 20)
            )
            .into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs the shop and gives what is found in its statements. On a machine that is busy with something else its
/// statements may be too far apart to be one loop: then it is run again.
fn found_in_shop(target: &load::Target<'_>) -> Result<Vec<shop::Told>, Failure> {
    for _ in 0..SHOP_RUNS {
        shop::run(target, DATABASE)?;
        if let Some(found) = wait_findings(target)? {
            return Ok(found);
        }
    }
    Err("pgweir found no N+1 in the shop's statements".into())
}

/// Waits for what is found in the shop's statements, which is worked out after them; `None` if no loop is among it.
fn wait_findings(target: &load::Target<'_>) -> Result<Option<Vec<shop::Told>>, Failure> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        let found = shop::findings(target)?;
        if found.iter().any(|told| told.rule == "n-plus-one") {
            // The last statements are still being looked at.
            std::thread::sleep(Duration::from_millis(500));
            return shop::findings(target).map(Some);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(None)
}

/// Waits until the replica shows what the primary has now.
fn wait_replayed(primary: &Cluster, replica: &Cluster) -> Result<(), Failure> {
    let position = primary.psql("postgres", "SELECT pg_current_wal_lsn()")?;
    let question = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    let begin = Instant::now();
    while replica.psql("postgres", &question)? != "t" {
        if begin.elapsed() > Duration::from_secs(60) {
            return Err("the replica does not catch up with the primary".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits for a signal to stop, or for the unexpected end of pgweir.
fn wait_for_end(pooler: &mut Pooler) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let mut hangup = signal(SignalKind::hangup())?;
            let mut tick = tokio::time::interval(Duration::from_millis(500));
            loop {
                tokio::select! {
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    _ = hangup.recv() => return Ok(()),
                    _ = tick.tick() => {
                        if let Some(status) = pooler.child.try_wait()? {
                            let log = cluster::tail(&pooler.log, 20);
                            return Err(
                                format!("pgweir ended with {status}; its log:\n{log}").into()
                            );
                        }
                    }
                }
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_toml_with_all_servers() {
        let text = config_text(Path::new("/tmp/x"), 6432, 6433, &[5001, 5002]);
        let value: toml::Table = text.parse().expect("it parses");
        assert_eq!(value["pgweir"]["listen_port"].as_integer(), Some(6432));
        for name in [DATABASE, REPLICA] {
            let servers = value["databases"][name]["servers"]
                .as_array()
                .expect("a list");
            let servers: Vec<_> = servers.iter().filter_map(|one| one.as_str()).collect();
            assert_eq!(servers, ["127.0.0.1:5001", "127.0.0.1:5002"]);
        }
        crate::config::Config::from_toml(&text.replace("auth_file", "# "))
            .expect("pgweir takes it");
    }

    #[test]
    fn passwords_differ() {
        let (a, b) = (
            random_word().expect("random"),
            random_word().expect("random"),
        );
        assert_eq!(a.len(), 32);
        assert_ne!(a, b);
    }
}
