//! Passwords that PAM checks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::support::pgweir::{Pgweir, Setup};
use crate::support::postgres::{Postgres, each_postgres, unique};
use crate::support::scene;

/// The program that asks PAM, built beside pgweir's own.
fn helper() -> &'static Path {
    static HELPER: OnceLock<PathBuf> = OnceLock::new();
    HELPER.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_pgweir")).with_file_name("pgweir-pam");
        let profile = beside.parent().expect("a directory");
        let target = profile.parent().expect("a directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--locked", "--manifest-path"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("pam/Cargo.toml"))
            .arg("--target-dir")
            .arg(target);
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.output().expect("running cargo");
        assert!(built.status.success(), "scripts/setup test: {built:?}");
        beside
    })
}

/// A service of PAM; its file is gone with the value.
struct Service(String);

impl Service {
    /// `None` for somebody who may not make one.
    fn new(text: &str) -> Option<Self> {
        let name = format!("pgweir-test-{}-{}", std::process::id(), unique());
        match std::fs::write(Path::new("/etc/pam.d").join(&name), text) {
            Ok(()) => Some(Self(name)),
            Err(error) => {
                eprintln!("left out: only root can make a service of PAM: {error}");
                None
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new("/etc/pam.d").join(&self.0));
    }
}

fn setup(postgres: &Postgres) -> Setup {
    scene::setup(postgres, "transaction", 2)
        .0
        .database_set("app", "user", "postgres")
}

fn psql(pgweir: &Pgweir, postgres: &Postgres, user: &str, password: &str) -> Output {
    let mut psql = pgweir.client(postgres, "psql", user);
    psql.env("PGPASSWORD", password)
        .args(["-AtqX", "-d", "app", "-c", "SELECT 'in'"])
        .output()
        .expect("running psql")
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn pam_decides_who_gets_in() {
    for postgres in each_postgres() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = directory.path().join("check");
        // Sees what modules see: the name, where from, and the password with a zero byte.
        let text = "#!/bin/sh\n[ \"$(tr -d '\\000')\" = \"of $PAM_USER\" ] && [ \"$PAM_RHOST\" = 127.0.0.1 ]\n";
        std::fs::write(&script, text).expect("written");
        let (exec, sh) = ("pam_exec.so expose_authtok quiet", script.display());
        let account = "account required pam_permit.so";
        let (Some(by_script), Some(nobody), Some(expired)) = (
            Service::new(&format!("auth required {exec} /bin/sh {sh}\n{account}\n")),
            Service::new("auth required pam_deny.so\naccount required pam_permit.so\n"),
            Service::new("auth required pam_permit.so\naccount required pam_deny.so\n"),
        ) else {
            return;
        };
        let pgweir = setup(postgres)
            .set("auth_type", "pam")
            .set("auth_pam_helper", helper().display().to_string())
            .set("auth_pam_service", by_script.0.as_str())
            .start();
        for (user, password, works) in [
            ("ann", "of ann", true),
            ("bob", "of bob", true),
            ("ann", "of bob", false),
            ("ann", "of ann ", false),
        ] {
            let told = told(&psql(&pgweir, postgres, user, password));
            match works {
                true => assert_eq!(told, "in", "{user} {password}"),
                false => {
                    let refused = format!("PAM authentication failed for user \"{user}\"");
                    assert!(told.contains(&refused), "{told}");
                }
            }
        }
        assert!(!pgweir.log().contains("of ann"));
        // Lines may name another service; one that says no, and one whose accounts are closed.
        let file = directory.path().join("hba");
        let lines = format!(
            "host app nobody all pam pamservice={}\nhost app expired all pam pamservice={}\nhost app all all pam\n",
            nobody.0, expired.0
        );
        std::fs::write(&file, lines).expect("written");
        // Without a setting the program is beside pgweir's own.
        let pgweir = setup(postgres)
            .set("auth_type", "hba")
            .set("auth_hba_file", file.display().to_string())
            .set("auth_pam_service", by_script.0.as_str())
            .start();
        for (user, works) in [("nobody", false), ("expired", false), ("ann", true)] {
            let told = told(&psql(&pgweir, postgres, user, &format!("of {user}")));
            assert_eq!(told == "in", works, "{user}: {told}");
        }
    }
}

#[test]
fn a_program_that_is_not_there_is_a_mistake_of_the_file() {
    let Some(postgres) = each_postgres().next() else {
        return;
    };
    let output = setup(postgres)
        .set("auth_type", "pam")
        .set("auth_pam_helper", "/nowhere/pgweir-pam")
        .run_to_end();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        log.contains(
            "auth_type: pam needs the program that asks PAM, and /nowhere/pgweir-pam is not there"
        ),
        "{log}"
    );
}
