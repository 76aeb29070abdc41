//! Which value holds for a client: the user's, else the database's, else the global one.

use std::sync::Arc;
use std::time::Duration;

use super::{AuthType, Config, Database, Member, PoolMode, User};

/// Databases that are the console, never a server's.
pub const CONSOLE_NAMES: [&str; 2] = ["pgbouncer", "pgweir"];

/// The value of `load_balance_hosts` with which connections stay on a host.
pub const STAY: &str = "disable";

impl Database {
    /// New connections go to the same host as the last one until connecting fails there.
    pub fn stays_on_host(&self) -> bool {
        self.load_balance_hosts == Some(STAY)
    }
}

/// Whether a name is the console's.
pub(super) fn is_console(name: &str) -> bool {
    CONSOLE_NAMES.contains(&name)
}

impl Config {
    /// The database that clients reach by `name`: its own section, else the `*` section under that
    /// name. `None` if there is neither, and for the console.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if CONSOLE_NAMES.contains(&name) {
            return None;
        }
        if let Some(database) = self.databases.get(name) {
            return Some(Arc::clone(database));
        }
        let fallback = self.fallback.as_ref()?;
        Some(Arc::new(Database {
            name: name.to_owned(),
            ..Database::clone(fallback)
        }))
    }

    /// See [`Settings::peer_id`](super::Settings::peer_id).
    pub fn peer_id(&self) -> u16 {
        u16::try_from(self.settings.peer_id).unwrap_or(0)
    }

    fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Server connections of a pool.
    pub fn pool_size(&self, database: &Database, user: &str) -> u32 {
        self.user(user)
            .and_then(|u| u.pool_size)
            .or(database.pool_size)
            .unwrap_or(self.settings.default_pool_size)
    }

    /// Pool mode of a pool.
    pub fn pool_mode(&self, database: &Database, user: &str) -> PoolMode {
        self.user(user)
            .and_then(|u| u.pool_mode)
            .or(database.pool_mode)
            .unwrap_or(self.settings.pool_mode)
    }

    /// Server connections that a pool keeps open; never more than its [`Config::pool_size`], which
    /// a user's override can make smaller.
    pub fn min_pool_size(&self, database: &Database, user: &str) -> u32 {
        database
            .min_pool_size
            .unwrap_or(self.settings.min_pool_size)
            .min(self.pool_size(database, user))
    }

    /// Server connections that a pool may open beyond its size.
    pub fn reserve_pool_size(&self, database: &Database, user: &str) -> u32 {
        self.user(user)
            .and_then(|u| u.reserve_pool_size)
            .or(database.reserve_pool_size)
            .unwrap_or(self.settings.reserve_pool_size)
    }

    /// Longest query; zero is no limit.
    pub fn query_timeout(&self, user: &str) -> Duration {
        self.user(user)
            .and_then(|u| u.query_timeout)
            .unwrap_or(self.settings.query_timeout)
    }

    /// Longest wait for a server; zero is no limit.
    pub fn query_wait_timeout(&self, database: &Database, user: &str) -> Duration {
        self.user(user)
            .and_then(|u| u.query_wait_timeout)
            .or(database.query_wait_timeout)
            .unwrap_or(self.settings.query_wait_timeout)
    }

    /// Longest time idle in a transaction; zero is no limit.
    pub fn idle_transaction_timeout(&self, user: &str) -> Duration {
        self.user(user)
            .and_then(|u| u.idle_transaction_timeout)
            .unwrap_or(self.settings.idle_transaction_timeout)
    }

    /// Longest transaction; zero is no limit.
    pub fn transaction_timeout(&self, user: &str) -> Duration {
        self.user(user)
            .and_then(|u| u.transaction_timeout)
            .unwrap_or(self.settings.transaction_timeout)
    }

    /// Longest time a client may be idle outside a transaction; zero is no limit.
    pub fn client_idle_timeout(&self, user: &str) -> Duration {
        self.user(user)
            .and_then(|u| u.client_idle_timeout)
            .unwrap_or(self.settings.client_idle_timeout)
    }

    /// Server connections of all pools of a user; 0 is no limit.
    pub fn max_user_connections(&self, user: &str) -> u32 {
        self.user(user)
            .and_then(|u| u.max_user_connections)
            .unwrap_or(self.settings.max_user_connections)
    }

    /// Client connections of a user; 0 is no limit.
    pub fn max_user_client_connections(&self, user: &str) -> u32 {
        self.user(user)
            .and_then(|u| u.max_user_client_connections)
            .unwrap_or(self.settings.max_user_client_connections)
    }

    /// Server connections of all pools of a database; 0 is no limit.
    pub fn max_db_connections(&self, database: &Database) -> u32 {
        database
            .max_db_connections
            .unwrap_or(self.settings.max_db_connections)
    }

    /// Takes over which servers a database has, if it has them from Patroni.
    pub fn take_members(&mut self, database: &str, members: &[Member]) {
        let Some(known) = self.databases.get_mut(database) else {
            return;
        };
        if known.patroni.is_empty() || members.is_empty() {
            return;
        }
        let mut taken = (**known).clone();
        taken.hosts = members.iter().map(|member| member.host.clone()).collect();
        taken.members = members.to_vec();
        *known = Arc::new(taken);
    }

    /// Server connections of one user's pool to the replica of that name.
    pub fn replica_pool_size(&self, database: &Database, user: &str, server: &str) -> u32 {
        let member = (database.members.iter()).find(|member| member.host.to_string() == server);
        (self.user(user).and_then(|user| user.pool_size))
            .or_else(|| member.and_then(|member| member.pool_size))
            .or(database.replica_pool_size)
            .unwrap_or_else(|| self.pool_size(database, user))
    }

    /// Client connections to a database; 0 is no limit.
    pub fn max_db_client_connections(&self, database: &Database) -> u32 {
        database
            .max_db_client_connections
            .unwrap_or(self.settings.max_db_client_connections)
    }

    /// Age at which a server connection is closed; zero is after its first use.
    pub fn server_lifetime(&self, database: &Database) -> Duration {
        database
            .server_lifetime
            .unwrap_or(self.settings.server_lifetime)
    }

    /// What an operator should know about a configuration that is valid but perhaps not meant so;
    /// one line each, for the log and `pgweir check`.
    pub fn warnings(&self) -> Vec<String> {
        let mut all = self.notes.clone();
        let settings = &self.settings;
        match settings.auth_type {
            AuthType::Any => all.push(
                "auth_type is any: every user name is let in without a password and the server decides; set auth_type and auth_file to check logins here".to_owned(),
            ),
            AuthType::Plain | AuthType::Md5 | AuthType::ScramSha256 | AuthType::Trust
                if self.secrets.is_empty() && settings.auth_user.is_none() =>
            {
                all.push(format!(
                    "auth_type is {} but no user is known, so nobody can log in; set auth_file",
                    settings.auth_type.as_str()
                ));
            }
            _ => {}
        }
        if self.databases.is_empty() && self.fallback.is_none() {
            all.push(
                "no database is configured; add [databases.NAME] or [databases.\"*\"]".to_owned(),
            );
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_beats_database_beats_global() {
        let config = Config::from_toml(
            r#"
            [pgweir]
            default_pool_size = 1
            query_wait_timeout = 1
            min_pool_size = 1
            [databases.plain]
            [databases.app]
            pool_size = 2
            pool_mode = "session"
            query_wait_timeout = 2
            server_lifetime = 2
            [users.boss]
            pool_size = 3
            pool_mode = "statement"
            query_wait_timeout = 0
            query_timeout = 3
            "#,
        )
        .expect("valid");
        let plain = config.database("plain").expect("there");
        let app = config.database("app").expect("there");
        let sizes = |user: &str| (config.pool_size(&plain, user), config.pool_size(&app, user));
        assert_eq!(sizes("any"), (1, 2));
        assert_eq!(sizes("boss"), (3, 3));
        assert_eq!(config.pool_mode(&plain, "any"), PoolMode::Transaction);
        assert_eq!(config.pool_mode(&app, "any"), PoolMode::Session);
        assert_eq!(config.pool_mode(&app, "boss"), PoolMode::Statement);
        let wait = |db, user| config.query_wait_timeout(db, user).as_secs();
        assert_eq!(
            (wait(&plain, "any"), wait(&app, "any"), wait(&app, "boss")),
            (1, 2, 0)
        );
        assert_eq!(config.query_timeout("boss").as_secs(), 3);
        assert_eq!(config.query_timeout("any").as_secs(), 0);
        assert_eq!(config.server_lifetime(&app).as_secs(), 2);
        assert_eq!(config.server_lifetime(&plain).as_secs(), 3600);
        assert_eq!(config.min_pool_size(&app, "any"), 1);
    }

    #[test]
    fn pools_of_replicas_have_sizes_of_their_own() {
        let config = Config::from_toml(
            "[databases.a]\npool_size = 20\nreplica_pool_size = 10\n\
             servers = [\"db1\", \"db2 pool_size=5\"]\n\
             [databases.b]\npool_size = 20\nservers = [\"db1\"]\n[users.boss]\npool_size = 3\n",
        )
        .expect("valid");
        let (a, b) = (config.database("a"), config.database("b"));
        let (a, b) = (a.expect("there"), b.expect("there"));
        assert_eq!(config.pool_size(&a, "any"), 20);
        assert_eq!(config.replica_pool_size(&a, "any", "db1:5432"), 10);
        assert_eq!(config.replica_pool_size(&a, "any", "db2:5432"), 5);
        assert_eq!(config.replica_pool_size(&a, "boss", "db2:5432"), 3);
        assert_eq!(config.replica_pool_size(&b, "any", "db1:5432"), 20);
    }

    #[test]
    fn the_fallback_takes_the_name_that_was_asked_for() {
        let config =
            Config::from_toml("[databases.\"*\"]\nhost = \"h\"\n[databases.a]\n").expect("valid");
        let other = config.database("other").expect("fallback");
        assert_eq!(other.name, "other");
        assert_eq!(other.hosts[0].host(), "h");
        assert_eq!(
            config.database("a").expect("own").hosts[0].host(),
            "127.0.0.1"
        );
        assert_eq!(config.database("pgbouncer"), None);
        let none = Config::from_toml("[databases.a]\n").expect("valid");
        assert_eq!(none.database("b"), None);
    }

    #[test]
    fn warns_when_nobody_or_everybody_can_log_in() {
        let open = Config::from_toml("[databases.a]\n").expect("valid");
        assert!(open.warnings()[0].contains("auth_type is any"));
        let shut = Config::from_toml("[pgweir]\nauth_type = \"scram-sha-256\"\n").expect("valid");
        assert_eq!(shut.warnings().len(), 2);
    }
}
