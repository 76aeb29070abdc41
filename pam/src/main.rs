//! Asks PAM about one password and says by its exit code what came of it: 0 is yes, 1 is no, 2 is that
//! PAM could not be asked.
//!
//! pgweir starts it for each login with `auth_type = pam` and writes the question to its standard
//! input: service, user, the client's host (may be empty) and password, each with a zero byte behind
//! it. Modules of PAM run arbitrary code and may take their time: in a process of its own that can
//! be ended, and pgweir runs where libpam is not.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;

use nonstick::items::ItemsMut as _;
use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, PamShared as _, Transaction as _,
    TransactionBuilder,
};

/// Longest question, in bytes; passwords have at most 64 kB in PgBouncer.
const LONGEST: u64 = 256 << 10;

struct Question {
    service: OsString,
    user: OsString,
    host: OsString,
    password: OsString,
}

/// Gives the password where one is asked for without showing it; everything else cannot be answered.
struct Answers {
    password: OsString,
}

impl ConversationAdapter for Answers {
    fn prompt(&self, _: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
        Err(ErrorCode::ConversationError)
    }

    fn masked_prompt(&self, _: impl AsRef<OsStr>) -> nonstick::Result<OsString> {
        Ok(self.password.clone())
    }

    fn error_msg(&self, _: impl AsRef<OsStr>) {}

    fn info_msg(&self, _: impl AsRef<OsStr>) {}
}

fn main() -> ExitCode {
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().take(LONGEST).read_to_end(&mut bytes) {
        eprintln!("pgweir-pam: cannot read the question: {error}");
        return ExitCode::from(2);
    }
    let Some(question) = read(&bytes) else {
        eprintln!("pgweir-pam is started by pgweir, for auth_type = pam");
        return ExitCode::from(2);
    };
    match ask(question) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("pgweir-pam: {error}");
            ExitCode::from(2)
        }
    }
}

fn read(bytes: &[u8]) -> Option<Question> {
    let (last, bytes) = bytes.split_last()?;
    let mut parts = bytes.split(|&byte| byte == 0);
    let mut part = || Some(OsString::from_vec(parts.next()?.to_vec()));
    let question = Question {
        service: part()?,
        user: part()?,
        host: part()?,
        password: part()?,
    };
    (*last == 0 && parts.next().is_none()).then_some(question)
}

/// Whether the password is right, and the account may be used now. Modules have many words for no.
fn ask(question: Question) -> nonstick::Result<bool> {
    if question.password.is_empty() || question.user.is_empty() {
        return Ok(false);
    }
    let answers = Answers {
        password: question.password,
    };
    let mut pam = TransactionBuilder::new_with_service(&question.service)
        .username(&question.user)
        .build(answers.into_conversation())?;
    if !question.host.is_empty() {
        pam.items_mut().set_remote_host(Some(&question.host))?;
    }
    let flags = AuthnFlags::SILENT | AuthnFlags::DISALLOW_NULL_AUTHTOK;
    Ok(pam.authenticate(flags).is_ok() && pam.account_management(flags).is_ok())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn questions_have_four_parts() {
        let question = read(b"service\0ann\0\0pass word\0").expect("a question");
        assert_eq!(question.service, "service");
        assert_eq!(question.user, "ann");
        assert_eq!(question.host, "");
        assert_eq!(question.password, "pass word");
        for bad in [
            &b""[..],
            b"\0",
            b"service\0ann\0password\0",
            b"service\0ann\0\0pass",
            b"service\0ann\0\0pass\0word\0",
        ] {
            assert!(read(bad).is_none(), "{bad:?}");
        }
    }
}
