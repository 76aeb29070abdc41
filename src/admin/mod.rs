//! The console: what psql sees in the database `pgweir` (or `pgbouncer`, its other name).
//!
//! Commands are the rows of [`command::COMMANDS`], what SHOW knows the rows of [`show::SHOWS`];
//! help, rights and tests come from these two tables. [`console::run`] is the session; it acts
//! through [`Control`](crate::control::Control) only. Texts, columns and types are PgBouncer's,
//! so that its exporters and scripts work; what is ours stands behind them.

pub mod averages;
pub mod command;
pub mod console;
pub mod error;
pub mod execute;
pub mod extended;
pub mod operator;
pub mod sessions;
pub mod show;
pub mod syntax;
pub mod table;

use std::sync::Arc;

use crate::config::{AuthType, Settings};
pub use averages::sample;
pub use console::{Ended, Welcome, run};

use averages::Averages;
use sessions::{Call, Sessions};

/// What a user of the console may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Look: SHOW.
    Stats,
    /// Everything.
    Admin,
}

/// What `user` may do on the console; `None`: it is not let in (FATAL [`NOT_ALLOWED`]).
///
/// With `auth_type = any`, where nobody proves who they are, those who are not listed may look.
///
/// Source: PgBouncer, `admin_users`, `stats_users`.
pub fn rights(settings: &Settings, user: &str) -> Option<Rights> {
    let among = |names: &[String]| names.iter().any(|name| name == user);
    if among(&settings.admin_users) {
        Some(Rights::Admin)
    } else if among(&settings.stats_users) || settings.auth_type == AuthType::Any {
        Some(Rights::Stats)
    } else {
        None
    }
}

/// Text of the FATAL error (SQLSTATE 42501) for a user without [`rights`].
pub const NOT_ALLOWED: &str = "not allowed: the user is neither in admin_users nor in stats_users";

/// What all sessions of the console and the task that [takes samples](sample) share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Statistics of the last two periods.
    pub averages: Averages,
    /// Who is on the console.
    pub sessions: Arc<Sessions>,
}

impl Shared {
    /// Has a session give up what it waits for. `false` if no session has this number.
    pub fn cancel(&self, id: u64) -> bool {
        self.sessions.call(id, Call::Cancel)
    }
}

#[cfg(test)]
pub(crate) mod tests;
