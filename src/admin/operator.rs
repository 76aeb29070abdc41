//! What operators do, and who could not be one, for the audit trail.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::syntax::{Argument, Client};
use crate::audit::observer::Report;
use crate::config::document::Section;
use crate::config::reference;
use crate::lint::observe::{Event, Observation, Subject};
use crate::pool::process::Process;

/// What the audit trail calls the database of operators.
pub const DATABASE: &str = "pgweir";

/// Longest name of a command that is written down; there are none so long.
const LONGEST_COMMAND: usize = 64;

/// Who gives a command, and from where.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Number of the connection; 0 over HTTP.
    pub conn: u64,
    /// Login name.
    pub user: String,
    /// What the program calls itself; `http` over HTTP.
    pub app: String,
    /// Address without the port; empty for a unix socket.
    pub addr: String,
}

impl Operator {
    /// A line in the audit trail, if there is one: a command, what it was about, and why it was not
    /// carried out (empty if it was).
    pub fn commanded(&self, process: &Process, command: &str, asked: String, refused: String) {
        let command: String = command.chars().take(LONGEST_COMMAND).collect();
        self.write_down(
            process,
            Event::Commanded {
                command: command.into(),
                asked: asked.into(),
                refused: refused.into(),
            },
        );
    }

    /// A line in the audit trail, if there is one: somebody of this name could not log in.
    pub fn turned_away(&self, process: &Process, reason: &str) {
        self.write_down(
            process,
            Event::LoginFailed {
                reason: reason.into(),
            },
        );
    }

    fn write_down(&self, process: &Process, event: Event) {
        if !process.audits {
            return;
        }
        let now = process.observer.micros(Instant::now());
        let subject = Subject {
            database: DATABASE.into(),
            user: self.user.as_str().into(),
            app: self.app.as_str().into(),
            client: self.addr.as_str().into(),
            ..Subject::default()
        };
        let report = Report {
            seen: Observation {
                conn: self.conn,
                subject: Arc::new(subject),
                sent_us: now,
                done_us: now,
                event,
            },
            hits: None,
        };
        // What has no room is counted by the trail itself.
        process.observer.hand_over(&mut vec![report], false);
    }
}

/// What a command is about, as one JSON object with the names that the API uses. Without statements,
/// which may hold literals, and without values of settings that are not shown.
pub fn asked(argument: &Argument) -> String {
    let value = match argument {
        Argument::None | Argument::Subject(_) | Argument::Ignored | Argument::Plan(_) => json!({}),
        Argument::Findings(names) => json!({ "names": names }),
        Argument::Database(name) | Argument::Route(name, _) => json!({ "database": name }),
        Argument::Switchover(name, to) => json!({ "database": name, "to": to }),
        Argument::Client(Client::Id(id)) => json!({ "client": id }),
        Argument::Client(Client::Pointer(id)) => json!({ "client": format!("0x{id:x}") }),
        Argument::Shutdown(phase) => json!({ "phase": phase.as_str() }),
        Argument::Setting(key, value) => json!({ "key": key, "value": shown(key, value) }),
        Argument::Rule(rule) => json!({
            "rule": rule.rule, "kind": rule.kind, "action": rule.action,
            "database": rule.database, "user": rule.user, "app": rule.app,
        }),
        Argument::Finding(id) => json!({ "finding": id }),
        Argument::Allow(profile, shape) => {
            json!({ "profile": profile, "shape": format!("{shape:032x}") })
        }
        Argument::Firewall(profile, mode) => json!({ "profile": profile, "mode": mode.as_str() }),
        Argument::Acknowledge(id, time, reason) => {
            json!({ "finding": id, "seconds": time.as_secs(), "reason": reason })
        }
    };
    let Value::Object(mut fields) = value else {
        return String::new();
    };
    fields.retain(|_, value| !value.is_null() && value != "");
    Value::Object(fields as Map<String, Value>).to_string()
}

/// A setting's value, unless it is one that is not shown or none at all: it may be a secret then.
fn shown<'v>(key: &str, value: &'v str) -> &'v str {
    match reference::find(&Section::Process, key) {
        Some(known) if !known.is_hidden() => value,
        _ => "******",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn arguments_are_told_without_secrets_and_literals() {
        let setting = |key: &str| asked(&Argument::Setting(key.into(), "v a".into()));
        let shown = [
            (Argument::None, r#"{}"#),
            (Argument::Database("a".into()), r#"{"database":"a"}"#),
            (
                Argument::Route("a".into(), "SELECT 'secret'".into()),
                r#"{"database":"a"}"#,
            ),
            (
                Argument::Switchover("a".into(), None),
                r#"{"database":"a"}"#,
            ),
            (
                Argument::Client(Client::Pointer(31)),
                r#"{"client":"0x1f"}"#,
            ),
            (
                Argument::Acknowledge("f".into(), Duration::from_secs(5), String::new()),
                r#"{"finding":"f","seconds":5}"#,
            ),
        ];
        for (argument, text) in shown {
            assert_eq!(asked(&argument), text);
        }
        assert_eq!(setting("pool_mode"), r#"{"key":"pool_mode","value":"v a"}"#);
        for key in ["auth_ldap_options", "auth_ldap_optoins"] {
            assert_eq!(
                setting(key),
                format!(r#"{{"key":"{key}","value":"******"}}"#)
            );
        }
    }
}
