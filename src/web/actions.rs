//! What operators may do over HTTP: commands of the console, carried out by the console's own functions.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::api::Refused;
use crate::admin::Rights;
use crate::admin::command::COMMANDS;
use crate::admin::error::ConsoleError;
use crate::admin::execute::{Env, execute};
use crate::admin::syntax::{Argument, Client, Statement};

/// Longest time that somebody is kept waiting for what a command waits for, such as PAUSE.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing is logged about an acknowledged finding, as on the console.
const DAYS: u64 = 30;

/// What a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// `database`, or nothing for all.
    Database,
    /// `client`.
    Client,
    /// `finding`, `days` and `reason`.
    Finding,
    /// `profile` and `shape`.
    Shape,
}

impl Takes {
    /// Names of the fields of the body, whether each must be there, and what it is.
    pub fn fields(self) -> &'static [(&'static str, bool, &'static str)] {
        match self {
            Takes::Nothing => &[],
            Takes::Database => &[("database", false, "The database; all if it is not there.")],
            Takes::Client => &[("client", true, "`ptr` or `id` of `/clients`.")],
            Takes::Shape => &[
                ("profile", true, "The firewall's profile."),
                ("shape", true, "`shape` of `/firewall/unknown`."),
            ],
            Takes::Finding => &[
                ("finding", true, "Its `id`."),
                (
                    "days",
                    false,
                    "For how long, in days; 30 if it is not there.",
                ),
                ("reason", false, "Why it stays."),
            ],
        }
    }
}

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Its name, that of the console's command and the last part of its path.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it does.
    pub about: &'static str,
}

const fn action(name: &'static str, takes: Takes, about: &'static str) -> Action {
    Action { name, takes, about }
}

/// The table.
pub const ACTIONS: &[Action] = &[
    action(
        "pause",
        Takes::Database,
        "PAUSE. Answered after ten seconds at the latest; the pause stays until RESUME.",
    ),
    action("resume", Takes::Database, "RESUME."),
    action("reconnect", Takes::Database, "RECONNECT."),
    action("kill_client", Takes::Client, "KILL_CLIENT."),
    action("ack", Takes::Finding, "ACK of a finding."),
    action(
        "allow",
        Takes::Shape,
        "ALLOW of a statement that the firewall did not know.",
    ),
    action("reload", Takes::Nothing, "RELOAD."),
];

impl Action {
    /// The action of this name.
    pub fn find(name: &str) -> Option<&'static Action> {
        ACTIONS.iter().find(|action| action.name == name)
    }

    /// What the console is told, from the body of a request.
    ///
    /// # Errors
    /// What is wrong with the body; the caller's fault.
    pub fn argument(&self, body: &Map<String, Value>) -> Result<Argument, String> {
        let fields = self.takes.fields();
        if let Some(other) = body
            .keys()
            .find(|key| !fields.iter().any(|(name, ..)| name == key))
        {
            return Err(format!("{} takes no {other:?}", self.name));
        }
        for (name, needed, _) in fields {
            if *needed && body.get(*name).is_none_or(Value::is_null) {
                return Err(format!("{} takes a {name}", self.name));
            }
        }
        let text = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name} is a text")),
        };
        Ok(match self.takes {
            Takes::Nothing => Argument::None,
            Takes::Database => text("database")?.map_or(Argument::None, Argument::Database),
            Takes::Client => Argument::Client(client(body.get("client"))?),
            Takes::Shape => {
                let shape = text("shape")?.unwrap_or_default();
                let shape = u128::from_str_radix(&shape, 16);
                let shape = shape.map_err(|_| "shape is a hexadecimal number")?;
                Argument::Allow(text("profile")?.unwrap_or_default(), shape)
            }
            Takes::Finding => {
                let days = match body.get("days") {
                    None | Some(Value::Null) => DAYS,
                    Some(days) => (days.as_u64().filter(|days| (1..=3_650).contains(days)))
                        .ok_or("days is a number from 1 to 3650")?,
                };
                let time = Duration::from_secs(days * 86_400);
                Argument::Acknowledge(
                    text("finding")?.unwrap_or_default(),
                    time,
                    text("reason")?.unwrap_or_default(),
                )
            }
        })
    }
}

/// A client, by what SHOW CLIENTS calls `ptr` or `id`.
fn client(value: Option<&Value>) -> Result<Client, String> {
    let found = match value {
        Some(Value::Number(id)) => id.as_u64().map(Client::Id),
        Some(Value::String(text)) => match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(Client::Pointer),
            None => text.parse().ok().map(Client::Id),
        },
        _ => None,
    };
    found.ok_or_else(|| "client is the ptr or the id of /clients".to_owned())
}

fn status(error: &ConsoleError) -> StatusCode {
    use ConsoleError as E;
    match error {
        E::AdminNeeded => StatusCode::FORBIDDEN,
        E::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        E::NoSuchDatabase(_) | E::ClientNotFound | E::NoSuchFinding(_) | E::NoSuchProfile(_) => {
            StatusCode::NOT_FOUND
        }
        E::AlreadyPaused | E::NotPaused | E::DatabaseNotPaused(_) => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// Carries an action out.
///
/// # Errors
/// The operator's mistakes, and what the configuration is to blame for; nothing has changed then.
///
/// Dropping the future gives up the waiting, not what was done.
pub async fn act(env: &Env, action: &Action, body: &Map<String, Value>) -> Result<Value, Refused> {
    let bad = |text: String| Refused(StatusCode::BAD_REQUEST, text);
    let argument = action.argument(body).map_err(bad)?;
    let command = COMMANDS.iter().find(|command| command.name == action.name);
    let command = command.ok_or_else(|| bad(format!("the console has no {}", action.name)))?;
    let statement = Statement::Command(command, argument);
    let done = crate::timer::timeout(PATIENCE, execute(env, Rights::Admin, &statement)).await;
    match done {
        Ok(Ok(answer)) => Ok(json!({ "done": answer.tag, "notices": answer.notices })),
        Ok(Err(error)) => Err(Refused(status(&error), error.to_string())),
        Err(_) => {
            let notice = "servers are still in use; it goes on until they have come back";
            Ok(json!({ "done": action.name.to_uppercase(), "notices": [notice] }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_become_arguments() {
        let read = |name: &str, body: Value| {
            let action = Action::find(name).expect("known");
            action.argument(body.as_object().expect("an object"))
        };
        assert_eq!(read("pause", json!({})), Ok(Argument::None));
        assert_eq!(
            read("pause", json!({"database": "a"})),
            Ok(Argument::Database("a".to_owned()))
        );
        assert_eq!(
            read("kill_client", json!({"client": "0x1f"})),
            Ok(Argument::Client(Client::Pointer(31)))
        );
        assert_eq!(
            read("kill_client", json!({"client": 7})),
            Ok(Argument::Client(Client::Id(7)))
        );
        assert_eq!(
            read("allow", json!({"profile": "web", "shape": "1f"})),
            Ok(Argument::Allow("web".to_owned(), 31))
        );
        let month = Duration::from_secs(30 * 86_400);
        assert_eq!(
            read("ack", json!({"finding": "x", "reason": "known"})),
            Ok(Argument::Acknowledge(
                "x".to_owned(),
                month,
                "known".to_owned()
            ))
        );
        for (name, body) in [
            ("reload", json!({"database": "a"})),
            ("pause", json!({"database": 3})),
            ("kill_client", json!({})),
            ("kill_client", json!({"client": "all"})),
            ("allow", json!({"profile": "web"})),
            ("allow", json!({"profile": "web", "shape": "x"})),
            ("ack", json!({"finding": null})),
            ("ack", json!({"finding": "x", "days": 0})),
        ] {
            assert!(read(name, body.clone()).is_err(), "{name} {body}");
        }
        for action in ACTIONS {
            assert!(COMMANDS.iter().any(|command| command.name == action.name));
        }
    }
}
