use std::os::unix::fs::PermissionsExt;

use super::super::findings::{Cost, Seen};
use super::*;
use crate::config::RuleAction;
use crate::lint::hit::Hit;
use crate::lint::observe::Subject;
use crate::lint::rule::Action;
use crate::lint::rules::filter::MISSING_WHERE;

fn findings(apps: &[&str]) -> Mutex<Findings> {
    let mut findings = Findings::new(10);
    for app in apps {
        add(&mut findings, app);
    }
    Mutex::new(findings)
}

fn add(findings: &mut Findings, app: &str) {
    let hit = Hit::new(&MISSING_WHERE, "delete", "This DELETE touches every row.");
    let subject = Subject {
        app: app.into(),
        ..Subject::default()
    };
    let seen = Seen {
        hit: &hit,
        subject: &subject,
        action: Action::Log,
        shape: 7,
        text: b"DELETE FROM t",
        parent: (0, b""),
        scope: 1,
        suppressed: None,
        count: 1,
        cost: Cost::default(),
    };
    findings.record(&seen, std::time::SystemTime::now());
}

fn known(path: &Path) -> usize {
    FindingsFile::open(path).1.findings.len()
}

#[test]
fn it_is_written_when_it_is_time_and_at_once_after_a_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("findings");
    let (mut file, kept) = FindingsFile::open(&path);
    assert!(kept.findings.is_empty() && kept.rules.is_empty());
    let (policy, findings) = (Arc::new(Policy::default()), findings(&["till"]));
    file.save(&findings, &policy, true);
    assert_eq!(known(&path), 1);
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    add(&mut findings.lock(), "web");
    file.save(&findings, &policy, false);
    assert_eq!(known(&path), 1, "it is not time");
    file.tried = Instant::now().checked_sub(EVERY).expect("long ago");
    file.save(&findings, &policy, false);
    assert_eq!(known(&path), 2);

    std::fs::remove_file(&path).expect("removed");
    file.save(&findings, &policy, true);
    assert!(!path.exists(), "nothing has changed");

    let mut changed = Policy::default();
    let one = RuleAction {
        rule: "missing-where".to_owned(),
        action: "block".to_owned(),
        ..RuleAction::default()
    };
    assert_eq!(changed.change(&one), Ok(()));
    file.save(&findings, &Arc::new(changed), false);
    let (_, kept) = FindingsFile::open(&path);
    assert_eq!((kept.findings.len(), kept.rules), (2, vec![one]));

    // A reload.
    file.save(&findings, &policy, false);
    assert!(FindingsFile::open(&path).1.rules.is_empty());
    findings.lock().reset();
    file.save(&findings, &policy, false);
    assert_eq!(known(&path), 0);
    assert!(path.exists());
}

#[test]
fn what_is_damaged_is_put_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("findings");
    let bad = |n: &str| dir.path().join(format!("findings.bad{n}"));
    std::fs::write(&path, "nonsense").expect("written");
    assert_eq!(known(&path), 0);
    assert!(!path.exists());
    assert_eq!(std::fs::read(bad("")).expect("there"), b"nonsense");
    std::fs::write(&path, b"\xff").expect("written");
    let (mut file, _) = FindingsFile::open(&path);
    assert_eq!(std::fs::read(bad("")).expect("there"), b"nonsense");
    assert_eq!(std::fs::read(bad(".1")).expect("there"), b"\xff");
    file.save(&findings(&["till"]), &Arc::default(), true);
    assert_eq!(known(&path), 1);
    let long = std::fs::File::create(&path).expect("made");
    long.set_len(LONGEST as u64 + 1).expect("sparse");
    assert_eq!(known(&path), 0);
    assert!(bad(".2").exists() && !path.exists());
}

#[test]
fn what_can_neither_be_read_nor_put_aside_is_not_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("findings");
    for n in 0..MOST_BAD {
        std::fs::write(&path, "nonsense").expect("written");
        assert_eq!(known(&path), 0, "{n}");
    }
    std::fs::write(&path, "nonsense").expect("written");
    let (mut file, _) = FindingsFile::open(&path);
    file.save(&findings(&["till"]), &Arc::default(), true);
    assert_eq!(std::fs::read(&path).expect("there"), b"nonsense");

    let directory = dir.path().join("directory");
    std::fs::create_dir(&directory).expect("made");
    let (mut file, _) = FindingsFile::open(&directory);
    file.save(&findings(&["till"]), &Arc::default(), true);
    assert!(directory.is_dir());
}

#[test]
fn a_file_that_cannot_be_written_is_tried_again_later() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("none").join("findings");
    let (mut file, _) = FindingsFile::open(&path);
    let (policy, findings) = (Arc::new(Policy::default()), findings(&["till"]));
    file.save(&findings, &policy, false);
    assert!(file.failed);
    std::fs::create_dir(dir.path().join("none")).expect("made");
    file.save(&findings, &policy, false);
    assert!(!path.exists(), "not four times a second");
    file.tried = Instant::now().checked_sub(EVERY).expect("long ago");
    file.save(&findings, &policy, false);
    assert_eq!(known(&path), 1);
}
