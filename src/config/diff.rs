//! What a reload changes.

use std::collections::BTreeSet;

use super::reference::{self, Slot};
use super::{Config, Database};

/// The difference between the configuration in force and a new one. Databases are named as in the
/// file, `*` being the fallback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// Databases that are new.
    pub added: BTreeSet<String>,
    /// Databases that are gone.
    pub removed: BTreeSet<String>,
    /// Databases whose servers must be replaced when they are free: host, port, database, user,
    /// password, `connect_query`, parameters or the TLS settings towards servers are others. If
    /// `*` is here, that holds for every database made from it.
    pub recycled: BTreeSet<String>,
    /// Databases of which only limits, timeouts or modes are others; they change in place.
    pub adjusted: BTreeSet<String>,
    /// Users whose overrides are others, new or gone.
    pub users: BTreeSet<String>,
    /// Whether the other processes on the port are others.
    pub peers: bool,
    /// Whether users or secrets of the users file are others.
    pub secrets: bool,
    /// Whether something else is done about rules.
    pub lint: bool,
    /// Whose statements are written to the audit trail.
    pub audit: bool,
    /// Process settings that the reload applies.
    pub applied: Vec<&'static str>,
    /// Process settings that need a restart; the running process keeps the old values.
    pub needs_restart: Vec<&'static str>,
}

impl ConfigDiff {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares the configuration in force with a new one.
pub fn diff(old: &Config, new: &Config) -> ConfigDiff {
    let mut diff = ConfigDiff::default();
    let tls_changed = old.settings.server_tls != new.settings.server_tls;
    for after in all(new) {
        match by_name(old, &after.name) {
            None => {
                diff.added.insert(after.name.clone());
            }
            Some(before) if tls_changed || recycles(before, after) => {
                diff.recycled.insert(after.name.clone());
            }
            Some(before) if before != after => {
                diff.adjusted.insert(after.name.clone());
            }
            Some(_) => {}
        }
    }
    for before in all(old) {
        if by_name(new, &before.name).is_none() {
            diff.removed.insert(before.name.clone());
        }
    }
    for name in old.users.keys().chain(new.users.keys()) {
        if old.users.get(name) != new.users.get(name) {
            diff.users.insert(name.clone());
        }
    }
    diff.peers = old.peers != new.peers;
    diff.secrets = old.secrets != new.secrets;
    diff.lint = !old.lint.same(&new.lint);
    diff.audit = old.audit.len() != new.audit.len()
        || (old.audit.iter().zip(&new.audit)).any(|(old, new)| !old.same(new));

    // Compared as shown: every setting has a row, so none can be forgotten here.
    let mut before = old.settings.clone();
    let mut after = new.settings.clone();
    for key in reference::keys() {
        let Slot::Process(field) = &key.slot else {
            continue;
        };
        if field.show(&mut before) != field.show(&mut after) {
            if key.reloadable {
                diff.applied.push(key.name);
            } else {
                diff.needs_restart.push(key.name);
            }
        }
    }
    diff
}

/// `new` with the values of `old` for all keys that only a restart applies: what is in force after
/// a reload.
pub fn in_force(old: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    let (to, from) = (&mut config.settings, &old.settings);
    to.listen_addr.clone_from(&from.listen_addr);
    to.listen_port = from.listen_port;
    to.listen_targets.clone_from(&from.listen_targets);
    to.listen_backlog = from.listen_backlog;
    to.so_reuseport = from.so_reuseport;
    to.peer_id = from.peer_id;
    to.unix_socket_dir.clone_from(&from.unix_socket_dir);
    to.unix_socket_mode = from.unix_socket_mode;
    to.unix_socket_group.clone_from(&from.unix_socket_group);
    to.user.clone_from(&from.user);
    to.http_listen = from.http_listen;
    to.http_login = from.http_login;
    to.http_tls = from.http_tls;
    to.workers = from.workers;
    to.log_json = from.log_json;
    to.pidfile.clone_from(&from.pidfile);
    to.lint_inline_suppress = from.lint_inline_suppress;
    to.lint_inline_suppress_security = from.lint_inline_suppress_security;
    to.findings_file.clone_from(&from.findings_file);
    to.audit_file.clone_from(&from.audit_file);
    to.audit_on_full.clone_from(&from.audit_on_full);
    to.audit_key_file.clone_from(&from.audit_key_file);
    to.audit_max_size = from.audit_max_size;
    to.audit_max_age = from.audit_max_age;
    config
}

fn all(config: &Config) -> impl Iterator<Item = &Database> {
    config
        .databases
        .values()
        .chain(&config.fallback)
        .map(|database| &**database)
}

fn by_name<'c>(config: &'c Config, name: &str) -> Option<&'c Database> {
    let found = if name == "*" {
        config.fallback.as_ref()
    } else {
        config.databases.get(name)
    };
    found.map(|database| &**database)
}

/// Whether servers opened for `before` are wrong for `after`.
fn recycles(before: &Database, after: &Database) -> bool {
    // Of a cluster only the connections to servers that are none of it any more go.
    let moved = before.hosts != after.hosts && !(before.is_cluster() && after.is_cluster());
    moved
        || before.dbname != after.dbname
        || before.user != after.user
        || before.password != after.password
        || before.connect_query != after.connect_query
        || before.params != after.params
        || before.load_balance_hosts != after.load_balance_hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::from_toml(&format!("[pgweir]\nauth_type = \"trust\"\n{text}")).expect("valid")
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_same_is_no_difference() {
        let one = config("[databases.a]\n[users.b]\npool_size = 1\n");
        assert!(diff(&one, &one.clone()).is_empty());
    }

    #[test]
    fn databases_are_added_removed_recycled_or_adjusted() {
        let old = config(
            "[databases.gone]\n[databases.same]\n[databases.small]\n[databases.moved]\nport = 1\n[databases.\"*\"]\n",
        );
        let new = config(
            "[databases.new]\n[databases.same]\n[databases.small]\npool_size = 2\n[databases.moved]\nport = 2\n[databases.\"*\"]\npassword = \"x\"\n",
        );
        let diff = diff(&old, &new);
        assert_eq!(diff.added, set(&["new"]));
        assert_eq!(diff.removed, set(&["gone"]));
        assert_eq!(diff.adjusted, set(&["small"]));
        assert_eq!(diff.recycled, set(&["moved", "*"]));
    }

    #[test]
    fn a_server_more_is_no_reason_to_leave_the_others() {
        let old = config("[databases.a]\nservers = [\"db1\"]\n");
        let new = config("[databases.a]\nservers = [\"db1\", \"db2\"]\n");
        assert_eq!(diff(&old, &new).recycled, set(&[]));
        assert_eq!(diff(&old, &new).adjusted, set(&["a"]));
    }

    #[test]
    fn each_part_of_a_server_recycles() {
        let old = config("[databases.a]\n");
        for change in [
            "host = \"x\"",
            "port = 1",
            "dbname = \"x\"",
            "user = \"x\"",
            "password = \"x\"",
            "connect_query = \"x\"",
            "timezone = \"x\"",
        ] {
            let new = config(&format!("[databases.a]\n{change}\n"));
            assert_eq!(diff(&old, &new).recycled, set(&["a"]), "{change}");
        }
        let tls = config("server_tls_sslmode = \"require\"\n[databases.a]\n");
        assert_eq!(diff(&old, &tls).recycled, set(&["a"]));
    }

    #[test]
    fn settings_say_whether_a_restart_is_needed() {
        let old = config("");
        let new = config("listen_port = 7000\ndefault_pool_size = 3\n");
        let found = diff(&old, &new);
        assert_eq!(found.applied, ["default_pool_size"]);
        assert_eq!(found.needs_restart, ["listen_port"]);
        let kept = in_force(&old, &new);
        assert_eq!(kept.settings.listen_port, 6432);
        assert_eq!(kept.settings.default_pool_size, 3);
    }

    #[test]
    fn in_force_keeps_exactly_the_keys_that_need_a_restart() {
        const TLS: &str = "client_tls_sslmode = \"allow\"\nclient_tls_cert_file = \"/dev/null\"\nclient_tls_key_file = \"/dev/null\"\n";
        let old = config(TLS);
        let new = config(&format!(
            "{TLS}listen_addr = \"127.0.0.2\"\nlisten_port = 7000\nlisten_targets = [\"7001=any\"]\nlisten_backlog = 5\nso_reuseport = true\npeer_id = 3\nunix_socket_dir = \"/x\"\nunix_socket_mode = \"0700\"\nunix_socket_group = \"1\"\nuser = \"x\"\nhttp_listen = \"\"\nhttp_login = true\nhttp_tls = true\nworkers = 3\nlog_json = true\npidfile = \"/x/p\"\nlint_inline_suppress = false\nlint_inline_suppress_security = true\nfindings_file = \"/x/f\"\naudit_file = \"/x/a\"\naudit_on_full = \"block\"\naudit_key_file = \"/x/k\"\naudit_max_size = 1\naudit_max_age = 1\nlog_stats = false\n",
        ));
        let asked: BTreeSet<_> = diff(&old, &new).needs_restart.into_iter().collect();
        let all: BTreeSet<_> = reference::keys()
            .filter(|key| !key.reloadable)
            .map(|key| key.name)
            .collect();
        assert_eq!(
            asked, all,
            "a key that needs a restart is missing in this test"
        );
        let kept = diff(&old, &in_force(&old, &new));
        assert_eq!(kept.needs_restart, Vec::<&str>::new());
        assert_eq!(kept.applied, ["log_stats"]);
    }

    #[test]
    fn users_and_secrets() {
        let mut old = config("[users.a]\npool_size = 1\n[users.b]\n");
        let new = config("[users.a]\npool_size = 2\n[users.c]\n");
        old.secrets
            .insert("x".into(), super::super::Secret::new("y"));
        let found = diff(&old, &new);
        assert_eq!(found.users, set(&["a", "b", "c"]));
        assert!(found.secrets);
    }
}
