//! Asks servers for the secrets of users who are not in `auth_file` (`auth_query`), and who is a member
//! of a role that a line of `auth_hba_file` wants.
//!
//! Each worker keeps a few connections for that, which serve nothing else: what a client can set never
//! reaches them. Nothing is remembered between logins, so a password or a role that was changed counts
//! at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::client::secrets::{Found, Secrets};
use crate::config::lookup::AuthLookup;
use crate::config::{Config, Host, Secret};
use crate::derivation::Derivation;
use crate::pool::opening::side_spec;
use crate::pool::process::Process;
use crate::server::side::{Rows, Side, SideError};

/// Connections of one worker for this, over all databases.
const MOST: usize = 4;
/// A connection that was not used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// The roles that `$1` is a member of, itself among them, directly or by way of others. Not
/// `pg_has_role`, which makes superusers members of everything, as lines of `pg_hba.conf` do not.
const ROLES: &str = "WITH RECURSIVE member(oid) AS (\
    SELECT oid FROM pg_catalog.pg_roles \
    WHERE rolname::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.text \
    UNION \
    SELECT granted.roleid FROM pg_catalog.pg_auth_members granted \
    JOIN member ON granted.member OPERATOR(pg_catalog.=) member.oid) \
    SELECT rolname FROM pg_catalog.pg_roles roles \
    JOIN member ON roles.oid OPERATOR(pg_catalog.=) member.oid";

/// Which connection: where, in which database and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    hosts: Vec<Host>,
    database: String,
    user: String,
}

/// See the module.
pub(super) struct Lookups {
    process: Arc<Process>,
    derivation: Arc<Derivation>,
    idle: RefCell<Vec<(Key, Side, Instant)>>,
    /// The last secret that was found, for the form of those that are made up.
    last: RefCell<HashMap<String, Secret>>,
    places: Semaphore,
}

impl Lookups {
    pub(super) fn new(process: Arc<Process>, derivation: Arc<Derivation>) -> Rc<Self> {
        Rc::new(Self {
            process,
            derivation,
            idle: RefCell::default(),
            last: RefCell::default(),
            places: Semaphore::new(MOST),
        })
    }

    /// Closes connections that nobody needs.
    pub(super) fn tick(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain(|(_, _, since)| now.saturating_duration_since(*since) < IDLE);
    }

    /// Asks `query` about `user`.
    async fn ask(
        &self,
        config: &Config,
        lookup: &AuthLookup,
        query: &str,
        user: &str,
    ) -> Result<Rows, String> {
        // Closed with the worker only.
        let _place = self.places.acquire().await.map_err(|_| "shutting down")?;
        let key = Key {
            hosts: lookup.database.hosts.clone(),
            database: (lookup.database.dbname.clone())
                .unwrap_or_else(|| lookup.database.name.clone()),
            user: lookup.user.clone(),
        };
        let known = {
            let mut idle = self.idle.borrow_mut();
            let at = idle.iter().position(|(of, _, _)| *of == key);
            at.map(|at| idle.swap_remove(at).1)
        };
        if let Some(mut side) = known {
            match side.ask_about(query, user).await {
                Ok(rows) => return Ok(self.keep(key, side, rows)),
                Err(SideError::Server(error)) => return Err(error),
                // It may have broken long ago: a new one is tried.
                Err(_) => {}
            }
        }
        let mut side = self.connect(config, lookup).await?;
        match side.ask_about(query, user).await {
            Ok(rows) => Ok(self.keep(key, side, rows)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn keep(&self, key: Key, side: Side, rows: Rows) -> Rows {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MOST {
            idle.push((key, side, Instant::now()));
        }
        rows
    }

    async fn connect(&self, config: &Config, lookup: &AuthLookup) -> Result<Side, String> {
        let mut why = "there is no server".to_owned();
        for host in &lookup.database.hosts {
            let spec = side_spec(&self.process, config, &lookup.database, &lookup.user, host);
            match Side::connect(&spec, &self.derivation, "pgweir auth_query").await {
                Ok(side) => return Ok(side),
                Err(error) => why = format!("{host}: {error}"),
            }
        }
        Err(why)
    }
}

impl Secrets for Lookups {
    async fn secret(&self, config: &Config, database: &str, user: &str) -> Found {
        let Some(lookup) = config.auth_lookup(database) else {
            return Found::NotAsked;
        };
        let place = lookup.database.name.clone();
        let rows = match self.ask(config, &lookup, &lookup.query, user).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(database, user, place, "auth_query failed: {error}");
                return Found::Failed("auth_query failed, see the log of the pooler".to_owned());
            }
        };
        match answer(rows, user) {
            Ok(Some(secret)) => {
                let secret = Secret::new(secret);
                self.last.borrow_mut().insert(place, secret.clone());
                Found::Secret(secret)
            }
            Ok(None) => Found::Nobody(self.last.borrow().get(&place).cloned()),
            Err(why) => {
                tracing::error!(database, user, place, "auth_query: {why}");
                Found::Failed("bouncer config error".to_owned())
            }
        }
    }

    async fn roles(
        &self,
        config: &Config,
        database: &str,
        user: &str,
    ) -> Result<Vec<String>, String> {
        let rows = match config.auth_lookup(database) {
            Some(lookup) => self.ask(config, &lookup, ROLES, user).await,
            None => Err("there is no server to ask for this database".to_owned()),
        };
        match rows {
            Ok(rows) => Ok(rows.into_iter().flatten().flatten().collect()),
            Err(error) => {
                tracing::warn!(database, user, "asking for roles failed: {error}");
                Err("asking for roles failed, see the log of the pooler".to_owned())
            }
        }
    }
}

/// The secret in an answer; `None` if there is no such user, or none who may log in.
fn answer(rows: Rows, user: &str) -> Result<Option<String>, String> {
    let mut rows = rows.into_iter();
    let (Some(row), more) = (rows.next(), rows.next()) else {
        return Ok(None);
    };
    if more.is_some() {
        return Err("the query gives more than one row".to_owned());
    }
    let count = row.len();
    let [name, secret]: [Option<String>; 2] = row
        .try_into()
        .map_err(|_| format!("the query gives {count} columns; a name and a secret are wanted"))?;
    match name {
        Some(name) if name == user => Ok(secret),
        Some(_) => Err("the query gives another user than was asked for".to_owned()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn an_answer_is_one_row_of_a_name_and_a_secret() {
        let row = |columns: &[Option<&str>]| -> Vec<Option<String>> {
            columns
                .iter()
                .map(|column| column.map(str::to_owned))
                .collect()
        };
        let (ann, secret) = (Some("ann"), Some("SCRAM…"));
        assert_eq!(
            answer(vec![row(&[ann, secret])], "ann"),
            Ok(Some("SCRAM…".to_owned()))
        );
        assert_eq!(answer(vec![], "ann"), Ok(None));
        assert_eq!(answer(vec![row(&[ann, None])], "ann"), Ok(None), "expired");
        assert_eq!(answer(vec![row(&[None, None])], "ann"), Ok(None));
        for wrong in [
            vec![row(&[ann])],
            vec![row(&[ann, secret, secret])],
            vec![row(&[Some("bob"), secret])],
            vec![row(&[ann, secret]), row(&[ann, secret])],
        ] {
            assert!(answer(wrong, "ann").is_err());
        }
    }
}
