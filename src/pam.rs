//! Passwords that PAM checks.
//!
//! PAM's modules run arbitrary code, may take seconds and cannot be interrupted. So a program of its
//! own asks them, `pgweir-pam`: pgweir needs no libpam, and a question that takes too long is ended.
//! Beyond [`AT_ONCE`] questions logins wait for their turn; nobody else does.
//!
//! Source: PgBouncer, `auth_type = pam`; PostgreSQL, `CheckPAMAuth`.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::config::Secret;

/// Questions that may be under way in the process.
pub const AT_ONCE: usize = 16;

/// Longest time for one of them. Modules wait for some seconds after a wrong password.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Longest question, in bytes: what every pipe holds, so that writing it never waits. PAM itself takes
/// passwords of up to 511 bytes.
const LONGEST: usize = 4_096;

static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// PAM, asked for one service.
#[derive(Clone, Debug)]
pub struct Pam {
    /// The program that asks.
    pub helper: PathBuf,
    /// The service, which is the name of a file in `/etc/pam.d`.
    pub service: String,
}

/// The password could not be checked; the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The program cannot be run.
    #[error("cannot run {}: {reason}", helper.display())]
    Helper {
        /// The program.
        helper: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// It gave no verdict.
    #[error("PAM could not be asked for service \"{service}\": {reason}")]
    Pam {
        /// The service.
        service: String,
        /// What happened.
        reason: &'static str,
    },
}

impl Pam {
    /// Whether `password` is that of `user`, who comes from `host`. Runs on another thread. Cancel safe.
    ///
    /// Errors: [`Failed`].
    pub async fn verify(
        &self,
        user: &str,
        password: &Secret,
        host: Option<IpAddr>,
    ) -> Result<bool, Failed> {
        // A zero byte would end a part early; PAM could not take one anyhow.
        let parts = [&self.service, user, password.expose()];
        if password.expose().is_empty() || parts.iter().any(|part| part.contains('\0')) {
            return Ok(false);
        }
        let failed = |reason| Failed::Pam {
            service: self.service.clone(),
            reason,
        };
        let Ok(permit) = PERMITS.acquire().await else {
            return Err(failed("pgweir is ending"));
        };
        let host = host.map(|host| host.to_string()).unwrap_or_default();
        let question = question(&self.service, user, &host, password);
        if question.len() > LONGEST {
            return Ok(false);
        }
        let helper = self.helper.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // Held until the program has ended, whatever became of the login.
            let _permit = permit;
            ask(&helper, &question, PATIENCE)
        });
        match asked.await {
            Ok(Ok(Some(0))) => Ok(true),
            Ok(Ok(Some(1))) => Ok(false),
            Ok(Ok(Some(_))) => Err(failed("the system's log may say why")),
            Ok(Ok(None)) => Err(failed("no answer in time")),
            Ok(Err(reason)) => Err(Failed::Helper {
                helper: self.helper.clone(),
                reason,
            }),
            Err(_) => Err(failed("pgweir is ending")),
        }
    }
}

/// What the program reads: four parts, a zero byte behind each.
fn question(service: &str, user: &str, host: &str, password: &Secret) -> Zeroizing<Vec<u8>> {
    let parts = [service, user, host, password.expose()];
    let len = parts.iter().map(|part| part.len() + 1).sum();
    // Large enough at once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(len));
    for part in parts {
        out.extend_from_slice(part.as_bytes());
        out.push(0);
    }
    out
}

/// The program's exit code; `None` if it took too long, or was ended by somebody else.
fn ask(helper: &Path, question: &[u8], patience: Duration) -> io::Result<Option<i32>> {
    let begin = Instant::now();
    let mut child = Command::new(helper)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why by its code.
        let _ = stdin.write_all(question);
    }
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if begin.elapsed() >= patience {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// One at a time: a program that is being started by another test may still have the file open
    /// for writing, and then it cannot be run.
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// A program in place of the real one.
    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("helper");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn the_program_is_asked_and_its_code_counts() {
        let _one = ONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let heard = dir.path().join("heard");
        let path = script(
            dir.path(),
            &format!("/bin/cat > {}; exit 1", heard.display()),
        );
        let asked = question("svc", "ann", "db.example", &Secret::new("pass word"));
        let code = ask(&path, &asked, PATIENCE).unwrap();
        assert_eq!(code, Some(1));
        let heard = std::fs::read(heard).unwrap();
        assert_eq!(heard, b"svc\0ann\0db.example\0pass word\0");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let _one = ONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let path = script(dir.path(), "exec /bin/sleep 1000");
        assert_eq!(ask(&path, b"x", Duration::from_millis(20)).unwrap(), None);
    }

    #[tokio::test]
    async fn only_zero_is_yes() {
        let _one = ONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        for code in [0, 1, 2, 101] {
            let pam = Pam {
                helper: script(dir.path(), &format!("exit {code}")),
                service: "svc".to_owned(),
            };
            let verdict = pam.verify("ann", &Secret::new("p"), None).await;
            match code {
                0 => assert!(matches!(verdict, Ok(true)), "{verdict:?}"),
                1 => assert!(matches!(verdict, Ok(false)), "{verdict:?}"),
                _ => assert!(matches!(verdict, Err(Failed::Pam { .. })), "{verdict:?}"),
            }
            // Never asked at all.
            for (user, password) in [
                ("ann", ""),
                ("ann\0root", "p"),
                ("ann", "p\0q"),
                ("ann", &"x".repeat(LONGEST)),
            ] {
                let verdict = pam.verify(user, &Secret::new(password), None).await;
                assert!(matches!(verdict, Ok(false)), "{user:?} {verdict:?}");
            }
        }
        let pam = Pam {
            helper: dir.path().join("nowhere"),
            service: "svc".to_owned(),
        };
        let verdict = pam.verify("ann", &Secret::new("p"), None).await;
        assert!(matches!(verdict, Err(Failed::Helper { .. })));
    }
}
