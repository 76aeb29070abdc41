//! The commands that need no server: what they print, and their exit codes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(dir: &Path, line: &str, input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .args(line.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("running pgweir");
    // A command that does not read its input may be gone already.
    let _ = child
        .stdin
        .take()
        .expect("its input")
        .write_all(input.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("its output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        status.code().expect("an exit code"),
        text(stdout),
        text(stderr),
    )
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let write =
        |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write(
        "bad.sql",
        "\\set ON_ERROR_STOP 1\nSELEC 1;\nDELETE FROM sessions;\n",
    );
    write("good.sql", "DELETE FROM sessions WHERE id = 7;\n");
    write(
        "cases.jsonl",
        concat!(
            r#"{"id":"one","sql":"DELETE FROM t","expect":["missing-where"],"not":[]}"#,
            "\n\n",
            r#"{"id":"two","statements":[{"sql":"DELETE FROM t WHERE id = $1","params":[7],"rows":1,"at_ms":0,"conn":1,"tx":false}],"expect":[],"not":["missing-where"]}"#,
            "\n"
        ),
    );
    write(
        "wrong.jsonl",
        r#"{"id":"three","sql":"DELETE FROM t","expect":[],"not":["missing-where"]}"#,
    );
    dir
}

#[test]
fn files_are_linted() {
    let dir = directory();
    let run = |line: &str| run(dir.path(), line, "");
    let (code, out, err) = run("lint --rules missing-where bad.sql good.sql");
    assert_eq!(code, 1, "{err}");
    assert!(
        out.starts_with("bad.sql:3:13: critical missing-where: "),
        "{out}"
    );
    assert!(!out.contains("good.sql") && !out.contains('\x1b'), "{out}");
    assert_eq!(err, "bad.sql:2:1: skipped: the parser does not accept it\n");
    let (code, out, err) = run("lint --rules missing-where good.sql");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let (code, out, _) = run("lint --rules missing-where --format json bad.sql");
    let object: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((code, &object["line"]), (1, &3.into()));
    let (_, out, _) = run("lint --rules missing-where --format sarif bad.sql good.sql");
    let object: serde_json::Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(object["runs"][0]["results"][0]["ruleId"], "missing-where");
}

#[test]
fn standard_input_is_linted() {
    let dir = directory();
    let (code, out, _) = run(
        dir.path(),
        "lint --rules missing-where -",
        "UPDATE t SET a = 1",
    );
    assert_eq!(code, 1);
    assert!(out.starts_with("<stdin>:1:8: "), "{out}");
}

#[test]
fn mistakes_are_told() {
    let dir = directory();
    for (line, said) in [
        ("lint nowhere.sql", "nowhere.sql: No such file"),
        (
            "lint --rules mising-where good.sql",
            "did you mean missing-where?",
        ),
        ("lint --cases good.sql", "good.sql:1: "),
        ("explain mising-where", "did you mean missing-where?"),
        ("lint", "required"),
    ] {
        let (code, _, err) = run(dir.path(), line, "");
        assert_eq!(code, 2, "{line}: {err}");
        assert!(err.contains(said), "{line}: {err}");
    }
    // A file that cannot be read does not keep others from being looked at.
    let (code, out, _) = run(
        dir.path(),
        "lint --rules missing-where nowhere.sql bad.sql",
        "",
    );
    assert_eq!(code, 2);
    assert!(out.contains("missing-where"), "{out}");
}

#[test]
fn cases_are_judged() {
    let dir = directory();
    let run = |line: &str| run(dir.path(), line, "");
    let (code, out, err) = run("lint --rules missing-where --cases cases.jsonl");
    assert_eq!(code, 0, "{err}");
    let lines: Vec<serde_json::Value> = (out.lines())
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert_eq!(lines[0]["id"], "one");
    assert_eq!(lines[0]["rules"], serde_json::json!(["missing-where"]));
    assert_eq!(
        lines[0]["findings"][0]["span"],
        serde_json::json!({"start": 12, "end": 13})
    );
    assert_eq!(lines[1]["rules"], serde_json::json!([]));
    let (code, out, _) = run("lint --cases cases.jsonl --evaluate");
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("100.0 %"), "{out}");
    let (code, out, _) = run("lint --cases wrong.jsonl --evaluate");
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("false positives:\n  three: missing-where\n"),
        "{out}"
    );
}

#[test]
fn rules_are_explained() {
    let dir = directory();
    let (code, out, _) = run(dir.path(), "explain missing-where", "");
    assert_eq!(code, 0);
    assert!(out.starts_with("missing-where: "), "{out}");
    let (code, out, _) = run(dir.path(), "explain", "");
    assert_eq!(code, 0);
    assert!(out.contains("QL002"), "{out}");
}

/// Cases written from the definitions of the rules, not from their code.
#[test]
fn every_statement_case_is_judged_rightly() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, out, err) = run(
        root,
        "lint --cases tests/cases/statements.jsonl --evaluate",
        "",
    );
    let table: Vec<&str> = (out.lines())
        .filter(|line| !line.starts_with('{'))
        .collect();
    assert_eq!(code, 0, "{}\n{err}", table.join("\n"));
    assert!(
        out.lines().filter(|line| line.starts_with('{')).count() > 700,
        "cases are gone"
    );
}

/// What eight ORMs sent, with and without mistakes: all mistakes are found, and nothing else of severity
/// warn or critical is said.
#[test]
fn recorded_orms_are_judged_as_they_should() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The last one has no words for one of the mistakes.
    for (orm, mistakes) in [
        ("activerecord", "12"),
        ("django", "12"),
        ("hibernate", "12"),
        ("peewee", "12"),
        ("sequelize", "12"),
        ("sqlalchemy", "12"),
        ("typeorm", "12"),
        ("prisma", "11"),
    ] {
        let line = format!("lint --cases tests/cases/orm/{orm}.jsonl --evaluate");
        let (code, out, err) = run(root, &line, "");
        let total = out.lines().find(|line| line.contains("total ("));
        let total = total.unwrap_or_else(|| panic!("{orm}: {out}{err}"));
        let words: Vec<&str> = total.split_whitespace().collect();
        assert!(
            words.contains(&mistakes) && words.contains(&"100.0"),
            "{orm}: {total}"
        );
        assert_eq!(code, 0, "{orm}:\n{out}{err}");
    }
}

#[test]
fn a_file_is_changed_where_that_is_safe() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("migration.sql");
    let text = "SET lock_timeout = '2s';\nCREATE INDEX i ON t (a);\nDELETE FROM old;\n";
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let lint = |arguments: &[&str], input: &str| {
        use std::io::Write;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_pgweir"))
            .arg("lint")
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("pgweir");
        let mut stdin = child.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("written");
        drop(stdin);
        let output = child.wait_with_output().expect("its end");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let file = path.display().to_string();
    let (_, sarif, _) = lint(&["--format", "sarif", &file], "");
    let sarif: serde_json::Value = serde_json::from_str(&sarif).expect("JSON");
    let inserted = sarif["runs"][0]["results"]
        .as_array()
        .expect("results")
        .iter()
        .find_map(|one| {
            one["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"]
                .as_str()
        });
    assert_eq!(inserted, Some("CREATE INDEX CONCURRENTLY i ON t (a)"));
    let (code, told, changes) = lint(&["--fix", &file], "");
    let fixed = text.replace("INDEX i", "INDEX CONCURRENTLY i");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), fixed);
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(
        changes.contains("migration.sql:2:1: fixed: index-not-concurrent"),
        "{changes}"
    );
    assert_eq!(code, Some(1), "the DELETE is for people");
    assert!(
        told.contains("missing-where") && !told.contains("index-not-concurrent"),
        "{told}"
    );
    assert_eq!(
        std::fs::read_dir(directory.path()).expect("listed").count(),
        1
    );
    let (code, out, _) = lint(&["--fix", "-"], "CREATE INDEX i ON t (a);\n");
    assert_eq!(
        (code, &*out),
        (Some(0), "CREATE INDEX CONCURRENTLY i ON t (a);\n")
    );
}
