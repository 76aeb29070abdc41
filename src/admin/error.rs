//! Errors that a user of the console sees.

use std::borrow::Cow;

use super::Rights;
use crate::control::ControlError;
use crate::error::{ClientFacing, Fault, SqlState};

/// Why a command was not carried out. The session goes on. The texts are PgBouncer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// There is no such command, or it does not look like this.
    #[error("invalid command '{0}', use SHOW HELP;")]
    Invalid(String),
    /// More than one command in a message.
    #[error("only one command at a time; send them one by one")]
    Several,
    /// A stats user wants more than to look.
    #[error("admin access needed")]
    AdminNeeded,
    /// The configuration has no such database.
    #[error("no such database: {0}")]
    NoSuchDatabase(String),
    /// The command needs the name of a database.
    #[error("a database is required")]
    DatabaseRequired,
    /// The console has no servers and cannot be stopped.
    #[error("cannot {0} admin db: {1}")]
    AdminDatabase(&'static str, String),
    /// PAUSE while everything is paused.
    #[error("already suspended/paused")]
    AlreadyPaused,
    /// RESUME of what runs.
    #[error("pooler is not paused/suspended")]
    NotPaused,
    /// RESUME of a database that runs.
    #[error("database {0} is not paused")]
    DatabaseNotPaused(String),
    /// KILL_CLIENT of nobody.
    #[error("client not found")]
    ClientNotFound,
    /// KILL_CLIENT without a number.
    #[error("invalid client pointer supplied")]
    InvalidClient,
    /// The process is going down.
    #[error("pooler is shutting down")]
    ShuttingDown,
    /// RELOAD found mistakes; nothing has changed.
    #[error("{0}")]
    Reload(String),
    /// SET of a setting.
    #[error("{0}")]
    Set(String),
    /// SET RULE with a name or an action that is none.
    #[error("{0}")]
    Rule(String),
    /// There is no finding of this name.
    #[error("no such finding: {0}")]
    NoSuchFinding(String),
    /// No plan of this shape is known.
    #[error("no plan is known of the shape {0}; ADVISE has plans asked for")]
    NoSuchPlan(String),
    /// The firewall has no profile of this name.
    #[error("the firewall has no profile {0}")]
    NoSuchProfile(String),
    /// ALLOW of something that is not there.
    #[error("profile {0} has not seen a shape {1} that it does not know, or its list is full")]
    NotAllowed(String, String),
    /// ADVISE could not look.
    #[error("{0} could not be looked at: {1}")]
    Advice(String, String),
    /// EXPLAIN ROUTE of a database that has one server, or that nobody has used yet.
    #[error("{0} is no cluster (servers), or nobody has connected to it yet")]
    NoCluster(String),
    /// SWITCHOVER was not done.
    #[error("no switchover of {0}: {1}")]
    Switchover(String, String),
    /// The client cancelled what it was waiting for.
    #[error("canceling statement due to user request")]
    Canceled,
    /// Something of the protocol that the console does not have.
    #[error("{0}")]
    Unsupported(Cow<'static, str>),
    /// A message that does not fit those before it.
    #[error("{0}")]
    Protocol(Cow<'static, str>),
    /// Bind or Describe of a statement that is not there.
    #[error("prepared statement \"{0}\" does not exist")]
    NoStatement(String),
    /// Parse of a name that is taken.
    #[error("prepared statement \"{0}\" already exists")]
    StatementExists(String),
    /// Execute or Describe of a portal that is not there.
    #[error("portal \"{0}\" does not exist")]
    NoPortal(String),
    /// Bind of a name that is taken.
    #[error("portal \"{0}\" already exists")]
    PortalExists(String),
    /// The session holds as much as it may.
    #[error("too many {0} on the console (limit {1}); close some")]
    TooMany(&'static str, usize),
}

impl ConsoleError {
    /// The same to somebody with these rights: who may not give a command at all does not hear
    /// what is missing in it.
    pub fn for_those_with(self, rights: Rights) -> Self {
        match self {
            Self::DatabaseRequired | Self::InvalidClient if rights < Rights::Admin => {
                Self::AdminNeeded
            }
            other => other,
        }
    }
}

impl From<ControlError> for ConsoleError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::ShuttingDown => ConsoleError::ShuttingDown,
            ControlError::Setting(_) => ConsoleError::Set(error.to_string()),
            other => ConsoleError::Reload(other.to_string()),
        }
    }
}

impl ClientFacing for ConsoleError {
    fn sqlstate(&self) -> SqlState {
        use ConsoleError as E;
        match self {
            E::Invalid(_) | E::Several | E::DatabaseRequired => SqlState::SYNTAX_ERROR,
            E::AdminNeeded => SqlState::INSUFFICIENT_PRIVILEGE,
            E::NoSuchDatabase(_) => SqlState::INVALID_CATALOG,
            E::AdminDatabase(..) | E::Unsupported(_) => SqlState::FEATURE_NOT_SUPPORTED,
            E::AlreadyPaused
            | E::NotPaused
            | E::DatabaseNotPaused(_)
            | E::Advice(..)
            | E::NoCluster(_)
            | E::Switchover(..) => SqlState::NOT_IN_STATE,
            E::ClientNotFound
            | E::NoSuchFinding(_)
            | E::NoSuchPlan(_)
            | E::NoSuchProfile(_)
            | E::NotAllowed(..) => SqlState::UNDEFINED_OBJECT,
            E::InvalidClient | E::Rule(_) | E::Set(_) => SqlState::INVALID_PARAMETER_VALUE,
            E::ShuttingDown => SqlState::ADMIN_SHUTDOWN,
            E::Reload(_) => SqlState::CONFIG_FILE_ERROR,
            E::Canceled => SqlState::QUERY_CANCELED,
            E::Protocol(_) => SqlState::PROTOCOL_VIOLATION,
            E::NoStatement(_) => SqlState::INVALID_STATEMENT_NAME,
            E::StatementExists(_) => SqlState(*b"42P05"),
            E::NoPortal(_) => SqlState(*b"34000"),
            E::PortalExists(_) => SqlState(*b"42P03"),
            E::TooMany(..) => SqlState::PROGRAM_LIMIT,
        }
    }

    fn client_message(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}
