use super::*;
use crate::config::reference::default_settings;

fn settings(logfile: &Path) -> Settings {
    Settings {
        logfile: Some(logfile.to_owned()),
        ..default_settings(Dialect::Toml).expect("defaults")
    }
}

#[test]
fn lines_for_people() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let (subscriber, _) =
        subscriber(&settings(&path), &RunOptions::default(), Style::Fields).expect("set up");
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("client", id = 7);
        let _inside = span.enter();
        tracing::info!(user = "a", "said\nHELLO\r\u{1b}[1m");
        tracing::debug!("not this");
    });
    let log = std::fs::read_to_string(&path).expect("a log");
    let pid = std::process::id();
    let (time, rest) = log.split_at(23);
    assert_eq!(
        rest,
        format!(" UTC [{pid}] LOG client{{id=7}}: said\n\tHELLO\\r\\x1b[1m user=\"a\"\n")
    );
    assert!(
        time.starts_with("20") && time.as_bytes()[19] == b'.',
        "{time}"
    );
}

#[test]
fn lines_of_pgbouncer() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let style = Style::PgBouncer(6432);
    let (subscriber, _) =
        subscriber(&settings(&path), &RunOptions::default(), style).expect("set up");
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(client = 42u64, user = %"me", database = %"app", addr = %"127.0.0.1:5", "closing because: {} (age={}s)", "client close request", 3);
        tracing::warn!(server = 43u64, addr = %"unix", fault = "server", "x\ny");
        tracing::info!(database = "app", "PAUSE command issued");
        tracing::info!("stats: 1 xacts/s");
    });
    let log = std::fs::read_to_string(&path).expect("a log");
    let told: Vec<&str> = log
        .lines()
        .map(|line| line.split_once("] ").map_or(line, |(_, rest)| rest))
        .collect();
    assert_eq!(
        told,
        [
            "LOG C-0x2a: app/me@127.0.0.1:5 closing because: client close request (age=3s)",
            "WARNING S-0x2b: (nodb)/(nouser)@unix:6432 x",
            "\ty fault=server",
            "LOG PAUSE command issued database=app",
            "LOG stats: 1 xacts/s",
        ]
    );
    let config = Config::from_toml("").expect("valid");
    assert_eq!(Style::of(&config), Style::Fields);
}

#[test]
fn json_is_one_object_per_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let settings = Settings {
        log_json: true,
        ..settings(&path)
    };
    let (subscriber, _) =
        subscriber(&settings, &RunOptions::default(), Style::Fields).expect("set up");
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(user = "a", "two\nlines");
    });
    let log = std::fs::read_to_string(&path).expect("a log");
    let value: serde_json::Value = serde_json::from_str(log.trim_end()).expect("an object");
    assert_eq!(
        (&value["level"], &value["message"], &value["user"]),
        (&"WARN".into(), &"two\nlines".into(), &"a".into())
    );
    assert_eq!(log.lines().count(), 1);
}

#[test]
fn a_reload_opens_the_file_anew_and_takes_the_level_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let mut settings = settings(&path);
    let (subscriber, handle) =
        subscriber(&settings, &RunOptions::default(), Style::Fields).expect("set up");
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("before");
        std::fs::rename(&path, dir.path().join("old")).expect("renamed");
        tracing::info!("to the old one");
        settings.log_level = "debug".into();
        handle.apply(&settings).expect("applied");
        tracing::debug!("after");
        settings.log_level = "pgweir=nonsense".into();
        handle.apply(&settings).expect_err("no level");
        tracing::debug!("still");
    });
    let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("a log");
    let (old, new) = (read("old"), read("log"));
    assert!(
        old.contains("before") && old.contains("to the old one"),
        "{old}"
    );
    assert!(new.contains("after") && new.contains("still"), "{new}");
    assert_eq!(new.lines().count(), 2);
}

#[test]
fn repeats_are_counted_and_told_in_the_form_of_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    for json in [false, true] {
        let path = dir.path().join(format!("log-{json}"));
        let mut settings = Settings {
            log_json: json,
            log_repeats: 2,
            ..settings(&path)
        };
        let (subscriber, handle) =
            subscriber(&settings, &RunOptions::default(), Style::Fields).expect("set up");
        tracing::subscriber::with_default(subscriber, || {
            let say = |n: u32| tracing::warn!(target: "here", client = n, "no {n}");
            (0..5).for_each(say);
            handle.tell_all_repeats();
            settings.log_repeats = 0;
            handle.apply(&settings).expect("applied");
            (5..8).for_each(say);
            handle.tell_all_repeats();
        });
        let log = std::fs::read_to_string(&path).expect("a log");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 6, "{log}");
        let told = "no 4 (3 more like this in 1 s)";
        match json {
            true => {
                let line: serde_json::Value = serde_json::from_str(lines[2]).expect("JSON");
                assert_eq!(line["message"], told);
                assert_eq!(
                    (&line["level"], &line["target"]),
                    (&"WARN".into(), &"here".into())
                );
            }
            false => assert!(lines[2].ends_with(&format!("WARNING {told}")), "{log}"),
        }
    }
}

#[test]
fn what_cannot_be_used_is_an_error() {
    let missing = settings(Path::new("/nonexistent/log"));
    let error = subscriber(&missing, &RunOptions::default(), Style::Fields).err();
    assert!(
        matches!(error, Some(LoggingError::File { .. })),
        "{error:?}"
    );
    let loud = RunOptions {
        verbose: 1,
        ..RunOptions::default()
    };
    assert_eq!(
        filter(&missing, &loud).expect("a filter").to_string(),
        "debug"
    );
}
