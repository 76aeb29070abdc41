//! What PgBouncer misreads and is a mistake here.

use std::process::Command;

use super::{first, ini};
use crate::support::pgweir::write_ini;

/// What `pgweir check` says of a file.
fn checked(text: &str) -> (bool, String) {
    let directory = tempfile::tempdir().expect("a directory");
    write_ini(directory.path(), 6432, text);
    let output = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .arg("check")
        .arg(directory.path().join("pgbouncer.ini"))
        .output()
        .expect("pgweir check");
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), told)
}

#[test]
fn values_that_are_misread_are_refused() {
    let Some(postgres) = first() else { return };
    let text = |entry: &str, more: &str| ini(postgres, "any", entry, more);
    let (good, told) = checked(&text("pool_size=10", "[users]\nt_trust = query_timeout=5"));
    assert!(good, "{told}");
    for (entry, more, says) in [
        (
            "",
            "[users]\nt_trust = query_timeout=500ms",
            "query_timeout",
        ),
        ("pool_size=abc", "", "pool_size"),
        ("pool_size=1.5", "", "pool_size"),
        ("pool_size=010", "", "pool_size"),
        ("", "query_timeoutt = 5", "did you mean query_timeout?"),
        ("", "[user]\nt_trust = pool_size=1", "did you mean [users]?"),
    ] {
        let (good, told) = checked(&text(entry, more));
        let what = format!("{entry}{more}: {told}");
        assert!(!good && told.contains("pgbouncer.ini:"), "{what}");
        assert!(told.contains(says), "{what}");
    }
}
