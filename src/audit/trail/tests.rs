use super::*;
use crate::lint::known::Known;
use crate::lint::observe::Observation;
use std::os::unix::fs::PermissionsExt;

fn report(text: &str) -> Report {
    Report {
        seen: Observation {
            conn: 4,
            subject: Arc::new(Subject {
                database: "shop".into(),
                user: "web".into(),
                app: "till".into(),
                client: "10.0.0.5".into(),
                ..Subject::default()
            }),
            sent_us: 10,
            done_us: 510,
            event: Event::Executed(Execution {
                known: Arc::new(Known {
                    text: text.as_bytes().into(),
                    shape: 7,
                    ..Known::default()
                }),
                error: Some(*b"23505"),
                ..Execution::default()
            }),
        },
        hits: None,
    }
}

fn settings(path: PathBuf) -> TrailSettings {
    TrailSettings {
        path,
        max_bytes: 0,
        max_age: Duration::ZERO,
        key: None,
        wait: false,
    }
}

#[test]
fn a_statement_is_written_down_without_its_literals() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let mut trail = Trail::open(settings(path.clone()), Policy::everything()).expect("open");
    trail.record(
        &report("INSERT INTO users (ssn) VALUES ('123-45-6789')"),
        600,
    );
    trail.flush().expect("flush");
    let text = std::fs::read_to_string(&path).expect("readable");
    // With its dash: hashes of the chain have any four digits at times.
    assert!(!text.contains("45-6789"), "{text}");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["sqlstate"], "23505");
    assert_eq!(last["server_us"], 500);
    assert_eq!(last["query"], "insert into users(ssn) values (?)");
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(verify(&[path], None).is_ok());
}

#[test]
fn files_go_on_where_the_last_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let full = TrailSettings {
        max_bytes: 100,
        ..settings(path.clone())
    };
    let mut trail = Trail::open(full.clone(), Policy::everything()).expect("open");
    trail.record(&report("SELECT 1"), 600);
    trail.flush().expect("rotated");
    trail.record(&report("SELECT 2"), 600);
    drop(trail);
    // As after a restart.
    let again = TrailSettings {
        max_bytes: 0,
        ..full
    };
    let mut trail = Trail::open(again, Policy::everything()).expect("open again");
    trail.record(&report("SELECT 3"), 600);
    trail.flush().expect("flush");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| *file != path)
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.push(path.clone());
    let checked = verify(&files, None).expect("intact");
    assert_eq!(checked[1].1.lines, 3);
    // Without its first file the second still holds by itself, but a cut one does not.
    let text = std::fs::read_to_string(&path).expect("readable");
    let cut: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 1)
        .map(|(_, l)| l)
        .collect();
    std::fs::write(&path, cut.join("\n") + "\n").expect("written");
    assert!(verify(std::slice::from_ref(&path), None).is_err());
    assert!(Trail::open(settings(path), Policy::everything()).is_err());
}

#[test]
fn a_sample_says_what_it_stands_for_and_keeps_failures() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let text = "[audit]\npolicy = \"off\"\n[[audit.override]]\nuser = \"web\"\npolicy = \"all\"\nsample = 10\n";
    let config = crate::config::Config::from_toml(text).expect("valid");
    let policy = Policy::of(&config).expect("valid");
    let mut trail = Trail::open(settings(path.clone()), policy).expect("opened");
    let ran = |error: Option<[u8; 5]>| {
        let mut report = report("SELECT 1");
        if let Event::Executed(execution) = &mut report.seen.event {
            execution.error = error;
        }
        report
    };
    for _ in 0..30 {
        trail.record(&ran(None), 600);
    }
    trail.record(&ran(Some(*b"22012")), 600);
    trail.cover(
        Policy::of(
            &crate::config::Config::from_toml("[audit]\npolicy = \"off\"\n").expect("valid"),
        )
        .expect("valid"),
    );
    trail.record(&ran(Some(*b"22012")), 600);
    trail.flush().expect("written");
    let text = std::fs::read_to_string(&path).expect("readable");
    let lines: Vec<Value> = (text.lines().skip(1))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let samples: Vec<_> = lines.iter().map(|line| line["sample"].as_u64()).collect();
    assert_eq!(samples, [Some(10), Some(10), Some(10), None]);
    assert_eq!(lines[3]["sqlstate"], "22012");
}

#[test]
fn a_torn_line_is_kept_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let mut trail = Trail::open(settings(path.clone()), Policy::everything()).expect("opened");
    trail.record(&report("SELECT 1"), 600);
    trail.record(&report("SELECT 2"), 600);
    trail.flush().expect("written");
    drop(trail);
    let text = std::fs::read_to_string(&path).expect("readable");
    let cut = text.len() - 20;
    std::fs::write(&path, &text[..cut]).expect("written");
    assert!(verify(std::slice::from_ref(&path), None).is_err());
    let mut trail = Trail::open(settings(path.clone()), Policy::everything()).expect("opened");
    trail.record(&report("SELECT 3"), 600);
    trail.flush().expect("written");
    let text = std::fs::read_to_string(&path).expect("readable");
    let torn: Value = serde_json::from_str(text.lines().nth(2).expect("a line")).expect("JSON");
    assert_eq!(torn["event"], "torn");
    assert!(
        torn["line"]
            .as_str()
            .is_some_and(|line| line.contains("select ?"))
    );
    assert_eq!(verify(&[path], None).expect("intact")[0].1.lines, 4);
}

#[test]
fn what_is_lost_is_told_in_the_trail() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let mut trail = Trail::open(settings(path.clone()), Policy::everything()).expect("opened");
    // A device that is always full.
    let good = std::mem::replace(
        &mut trail.file,
        OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux"),
    );
    let mut kept = 0;
    while trail.failed() < 3 {
        trail.record(&report("SELECT 1"), 600);
        kept += 1;
    }
    assert!(
        trail.pending.len() < MOST_PENDING + 8192,
        "{}",
        trail.pending.len()
    );
    assert!(trail.flush().is_err());
    trail.file = good;
    trail.flush().expect("room again");
    let text = std::fs::read_to_string(&path).expect("readable");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (last["event"].as_str(), last["lines"].as_u64()),
        (Some("lost"), Some(3))
    );
    // The opening line and the last one, and all that was not lost.
    assert_eq!(
        verify(&[path], None).expect("intact")[0].1.lines,
        kept - 3 + 2
    );
}

#[test]
fn a_trail_that_loses_nothing_waits_for_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.jsonl");
    let waits = TrailSettings {
        wait: true,
        ..settings(path.clone())
    };
    let mut trail = Trail::open(waits, Policy::everything()).expect("opened");
    let good = trail.file.try_clone().expect("a file");
    // A socket that nobody reads is full soon.
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    writer.set_nonblocking(true).expect("non-blocking");
    trail.file = std::os::fd::OwnedFd::from(writer).into();
    let drain = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("read");
        read
    });
    let mut lines = 0;
    while lines < 40_000 {
        trail.record(&report("SELECT 1"), 600);
        lines += 1;
        assert!(trail.pending.len() < MOST_PENDING + 8192);
    }
    while trail.write().is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    trail.file = good;
    let read = drain.join().expect("read");
    assert_eq!(trail.failed(), 0);
    assert_eq!(read.iter().filter(|&&byte| byte == b'\n').count(), lines);
}

#[test]
fn files_of_one_moment_do_not_replace_each_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut trail = Trail::open(
        settings(dir.path().join("audit.jsonl")),
        Policy::everything(),
    )
    .expect("opened");
    for _ in 0..20 {
        trail.rotate().expect("a new file");
    }
    trail.flush().expect("written");
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 21);
}
