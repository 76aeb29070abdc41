//! From a file to a [`Config`]: all mistakes are found and reported together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::document::{Dialect, Document, Entry, Place, Raw, Section};
use super::field::Reading;
use super::reference::{self, DatabaseDraft, PeerDraft, Slot};
use super::suggest::nearest;
use super::{
    Config, ConfigError, ConfigErrors, Database, Host, Member, Peer, RuleSettings, Settings, User,
    audit, checks, file, ini, lint, member, zero,
};

/// Longest configuration file that is read, in bytes.
const LONGEST_FILE: u64 = 16 << 20;
/// Longest users file that is read, in bytes.
pub(super) const LONGEST_USERS_FILE: u64 = 256 << 20;

impl Config {
    /// Reads a configuration: PgBouncer's format if the name ends with `.ini`, else TOML.
    ///
    /// Reads the files that it names too (`%include`, `auth_file`), looks names of `listen_addr`
    /// up, and looks at PGUSER, USER and PGPASSWORD where a TOML file leaves the login open.
    ///
    /// # Errors
    /// Every mistake of the file, with line and key. The operator's to mend; nothing was changed.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        Self::load_with(path, &|name| std::env::var(name).ok())
    }

    /// As [`Config::load`], with the environment given.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigErrors> {
        Self::read(path, Dialect::of(path), env)
    }

    /// As [`Config::load`], whatever the name of the file says about its language.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_as(path: &Path, dialect: Dialect) -> Result<Config, ConfigErrors> {
        Self::read(path, dialect, &|name| std::env::var(name).ok())
    }

    fn read(
        path: &Path,
        dialect: Dialect,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigErrors> {
        let name = path.display().to_string();
        let text =
            read_text(path, LONGEST_FILE).map_err(|why| ConfigErrors::of_file(&name, why))?;
        let document = match dialect {
            Dialect::Toml => file::parse(&name, &text),
            Dialect::Ini => ini::parse(&name, &text, &mut |wanted| {
                let all = ini::include_candidates(path, wanted);
                let found = all.iter().find(|candidate| candidate.exists());
                read_text(found.map_or(wanted, PathBuf::as_path), LONGEST_FILE)
            }),
        };
        compile(document, Some(path), env)
    }

    /// Compiles TOML that is at hand as text. Relative paths start at the working directory, and
    /// the environment is not looked at.
    ///
    /// # Errors
    /// As [`Config::load`]; the file is called `config`.
    pub fn from_toml(text: &str) -> Result<Config, ConfigErrors> {
        compile(file::parse("config", text), None, &|_| None)
    }
}

/// Reads a whole file as text.
///
/// # Errors
/// A fragment that says what is wrong: not there, not readable, too long, not UTF-8.
pub(super) fn read_text(path: &Path, longest: u64) -> Result<Zeroizing<String>, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    // Room for all of it, so that growing leaves no copy of a password behind.
    let expected = file.metadata().map_or(0, |meta| meta.len()).min(longest);
    let capacity = usize::try_from(expected).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(longest + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > longest {
        return Err(format!("is longer than {longest} bytes"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("is not UTF-8 in line {line}")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Where the keys of the file are, for checks that concern several of them.
#[derive(Default)]
pub(super) struct Places {
    seen: BTreeMap<(Section, &'static str), Place>,
    sections: BTreeMap<Section, Place>,
}

impl Places {
    /// Whether the file has the key.
    pub(super) fn has(&self, section: &Section, key: &str) -> bool {
        self.seen.keys().any(|(s, k)| s == section && *k == key)
    }

    /// Where the key is, or else its section, or else nowhere.
    pub(super) fn of(&self, section: &Section, key: &str) -> Place {
        self.seen
            .iter()
            .find(|((s, k), _)| s == section && *k == key)
            .map(|(_, place)| *place)
            .or_else(|| self.sections.get(section).copied())
            .unwrap_or_default()
    }
}

/// Judges a document.
///
/// # Errors
/// Every mistake, those of form included, sorted by place.
pub fn compile(
    mut document: Document,
    path: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigErrors> {
    let mut errors = std::mem::take(&mut document.errors);
    let settings = match reference::default_settings(document.dialect) {
        Ok(settings) => settings,
        Err(why) => return Err(ConfigErrors::of_file("pgweir", why)),
    };
    let mut build = Build {
        base: base_of(document.dialect, path),
        document: &document,
        settings,
        databases: BTreeMap::new(),
        users: BTreeMap::new(),
        peers: BTreeMap::new(),
        places: Places::default(),
        errors: Vec::new(),
        accepted: BTreeMap::new(),
        notes: Vec::new(),
    };
    build.declare();
    for entry in &document.entries {
        build.entry(entry);
    }
    let (mut config, places, found) = build.finish(path);
    errors.extend(found);
    config.lint = lint::read(&document, &mut errors);
    config.audit = audit::read(&document, &mut errors);
    zero::open_login(&mut config, &places, &document, env, &mut errors);
    checks::check(&mut config, &places, &document, &mut errors);

    if errors.is_empty() {
        return Ok(config);
    }
    let order = |error: &ConfigError| {
        let file = document.files.iter().position(|name| *name == error.file);
        (file.unwrap_or(usize::MAX), error.line)
    };
    errors.sort_by_key(order);
    let mut known = BTreeSet::new();
    errors.retain(|error| known.insert(error.to_string()));
    Err(ConfigErrors(errors))
}

/// Where relative paths start: a TOML file's own directory, so that a configuration can be moved
/// as a whole; PgBouncer's files keep PgBouncer's rule, the working directory.
pub(super) fn base_of(dialect: Dialect, path: Option<&Path>) -> PathBuf {
    match (dialect, path.and_then(Path::parent)) {
        (Dialect::Toml, Some(dir)) => dir.to_path_buf(),
        _ => PathBuf::new(),
    }
}

struct Build<'d> {
    document: &'d Document,
    base: PathBuf,
    settings: Settings,
    databases: BTreeMap<String, DatabaseDraft>,
    users: BTreeMap<String, User>,
    peers: BTreeMap<String, PeerDraft>,
    places: Places,
    errors: Vec<ConfigError>,
    accepted: BTreeMap<&'static str, String>,
    notes: Vec<String>,
}

impl Build<'_> {
    fn fault(&mut self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.errors
            .push(self.document.error_at(place, key, message));
    }

    fn declare(&mut self) {
        for (section, place) in &self.document.declared {
            let first = self.places.sections.insert(section.clone(), *place);
            // A later file may repeat a name, which is how an include is overridden.
            if let Some(first) = first.filter(|first| first.file == place.file) {
                let message = format!("is there twice; the first is in line {}", first.line);
                self.fault(*place, section.path(""), message);
            }
            match section {
                Section::Process => {}
                Section::Database(name) => {
                    self.databases.insert(name.clone(), draft(name));
                    if let Some(why) = checks::database_name(name) {
                        self.fault(*place, section.path(""), why);
                    }
                }
                Section::User(name) => {
                    self.users.insert(name.clone(), User::default());
                    if name.is_empty() || name.contains('\0') {
                        self.fault(*place, section.path(""), "is not the name of a user");
                    }
                }
                Section::Peer(name) => {
                    self.peers.insert(name.clone(), peer_draft());
                    if peer_number(name).is_none() {
                        let why = "is not the number of a peer, 1 to 16383";
                        self.fault(*place, section.path(""), why);
                    }
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        let Entry {
            section,
            key: name,
            value,
            place,
        } = entry;
        let Some(key) = reference::find(section, name) else {
            if self.accepts(entry) {
                return;
            }
            if let Some(why) = unknown_key(section, name, value) {
                self.fault(*place, section.path(name), why);
            }
            return;
        };
        let first = self.places.seen.insert((section.clone(), key.name), *place);
        // The sections themselves are compared above; a repeated one repeats its keys.
        let same_section = |first: &Place| match section {
            Section::Process => first.file == place.file,
            _ => first.line == place.line && first.file == place.file,
        };
        if let Some(first) = first.filter(same_section) {
            let message = format!("is there twice; the first is in line {}", first.line);
            self.fault(*place, section.path(name), message);
            return;
        }
        let how = Reading {
            dialect: self.document.dialect,
            whole_seconds: self.document.dialect == Dialect::Ini && *section != Section::Process,
            base: &self.base,
        };
        // A line of an ini that a later file repeats is replaced as a whole, as PgBouncer does it;
        // it is still read, so that its mistakes are told.
        let replaced = self.document.dialect == Dialect::Ini
            && self
                .places
                .sections
                .get(section)
                .is_some_and(|last| last != place);
        let done = match (&key.slot, section) {
            (Slot::Process(field), _) => field.read(&mut self.settings, value, how),
            (Slot::Database(field), Section::Database(name)) => {
                let kept = self.databases.get_mut(name).filter(|_| !replaced);
                field.read(kept.unwrap_or(&mut draft(name)), value, how)
            }
            (Slot::User(field), Section::User(name)) => {
                let kept = self.users.get_mut(name).filter(|_| !replaced);
                field.read(kept.unwrap_or(&mut User::default()), value, how)
            }
            (Slot::Peer(field), Section::Peer(name)) => {
                let kept = self.peers.get_mut(name).filter(|_| !replaced);
                field.read(kept.unwrap_or(&mut peer_draft()), value, how)
            }
            _ => Ok(()),
        };
        if let Err(why) = done {
            self.fault(*place, section.path(name), why);
        }
    }

    /// Whether the entry is a key of PgBouncer that has nothing to do here. Only a `pgbouncer.ini`
    /// may have it.
    fn accepts(&mut self, entry: &Entry) -> bool {
        let (Section::Process, Raw::Bare(value)) = (&entry.section, &entry.value) else {
            return false;
        };
        let Some(key) = reference::accepted(&entry.key) else {
            return false;
        };
        match key.check(value) {
            Err(why) => self.fault(entry.place, entry.section.path(key.name), why),
            Ok(warn) => {
                let path = entry.section.path(key.name);
                let note = self.document.error_at(entry.place, path, key.why);
                // A later line replaces an earlier one, as its value does.
                self.accepted.insert(key.name, value.as_str().to_owned());
                if warn {
                    self.notes.push(note.to_string());
                }
            }
        }
        true
    }

    fn finish(self, path: Option<&Path>) -> (Config, Places, Vec<ConfigError>) {
        let mut databases = BTreeMap::new();
        let mut fallback = None;
        let mut errors = self.errors;
        for (name, draft) in self.databases {
            let (database, wrong) = with_hosts(draft, &self.settings, self.document.dialect);
            let section = Section::Database(name.clone());
            errors.extend(wrong.into_iter().map(|(key, message)| {
                let place = self.places.of(&section, key);
                self.document.error_at(place, section.path(key), message)
            }));
            let database = Arc::new(database);
            if name == "*" {
                fallback = Some(database);
            } else {
                databases.insert(name, database);
            }
        }
        let mut peers = BTreeMap::new();
        for (name, draft) in self.peers {
            let section = Section::Peer(name.clone());
            match draft.host {
                None => {
                    let place = self.places.of(&section, "host");
                    let why = "must be set; it is where that process alone can be reached";
                    errors.push(self.document.error_at(place, section.path("host"), why));
                }
                Some(host) => {
                    let peer = Peer {
                        host: Host::parse(host, draft.port),
                        pool_size: draft.pool_size,
                    };
                    peers.extend(peer_number(&name).map(|number| (number, peer)));
                }
            }
        }
        let config = Config {
            path: path.map(Path::to_path_buf),
            dialect: self.document.dialect,
            settings: self.settings,
            databases,
            fallback,
            users: self.users,
            peers,
            secrets: BTreeMap::new(),
            lint: RuleSettings::default(),
            accepted: self.accepted,
            notes: self.notes,
            hba: Arc::default(),
            ldap: None,
            ident: Arc::default(),
            audit: Vec::new(),
        };
        (config, self.places, errors)
    }
}

/// Why a key without a row is wrong, or `None` if it may be left away.
fn unknown_key(section: &Section, name: &str, value: &Raw) -> Option<String> {
    if let (Section::Process, Some(key)) = (section, reference::accepted(name)) {
        return Some(format!("{}; remove it", key.why));
    }
    let here = reference::keys().filter(|key| key.is_in(section));
    let accepted = (reference::ACCEPTED.iter())
        .filter(|_| matches!((section, value), (Section::Process, Raw::Bare(_))));
    let known = here.map(|key| key.name).chain(accepted.map(|key| key.name));
    if let Some(near) = nearest(name, known) {
        return Some(format!("unknown key; did you mean {near}?"));
    }
    match reference::keys().find(|key| key.name == name) {
        Some(key) => Some(format!(
            "unknown key here; it belongs to [{}]",
            key.section()
        )),
        None => Some("unknown key".into()),
    }
}

/// A peer with nothing set.
fn peer_draft() -> PeerDraft {
    PeerDraft {
        host: None,
        port: 6432,
        pool_size: None,
    }
}

/// The number of a peer, as `peer_id` has it.
fn peer_number(name: &str) -> Option<u16> {
    let number = name.parse::<u16>().ok();
    number.filter(|number| (1..=16_383).contains(number))
}

/// A database with nothing set.
fn draft(name: &str) -> DatabaseDraft {
    DatabaseDraft {
        host: Vec::new(),
        servers: Vec::new(),
        patroni: Vec::new(),
        port: 5432,
        database: Database {
            name: name.to_owned(),
            ..Database::default()
        },
    }
}

/// Puts the servers of a database together. Also what is wrong with them: key and message.
fn with_hosts(
    draft: DatabaseDraft,
    settings: &Settings,
    dialect: Dialect,
) -> (Database, Vec<(&'static str, String)>) {
    if !draft.servers.is_empty() {
        return with_servers(draft);
    }
    let mut wrong = Vec::new();
    for (key, set) in [
        ("patroni", !draft.patroni.is_empty()),
        ("primary_reads", draft.database.primary_reads.is_some()),
        (
            "read_your_writes",
            draft.database.read_your_writes.is_some(),
        ),
        (
            "read_only_transactions",
            draft.database.read_only_transactions.is_some(),
        ),
        ("defer_begin", draft.database.defer_begin),
        ("max_replica_lag", draft.database.max_replica_lag.is_some()),
        ("replica_wait", draft.database.replica_wait.is_some()),
        (
            "target_session_attrs",
            draft.database.target_session_attrs.is_some(),
        ),
        ("balance", draft.database.balance.is_some()),
        ("slow_start", draft.database.slow_start.is_some()),
        (
            "replica_pool_size",
            draft.database.replica_pool_size.is_some(),
        ),
    ] {
        if set {
            wrong.push((
                key,
                "needs servers, the primary and its replicas".to_owned(),
            ));
        }
    }
    let mut host = draft.host;
    if host.is_empty() {
        host.push(match dialect {
            Dialect::Toml => "127.0.0.1".into(),
            Dialect::Ini if settings.unix_socket_dir.is_empty() => "/tmp".into(),
            Dialect::Ini => settings.unix_socket_dir.clone(),
        });
    }
    let mut database = draft.database;
    database.hosts = host
        .into_iter()
        .map(|host| Host::parse(host, draft.port))
        .collect();
    (database, wrong)
}

fn with_servers(draft: DatabaseDraft) -> (Database, Vec<(&'static str, String)>) {
    let mut wrong = Vec::new();
    let mut database = draft.database;
    if !draft.host.is_empty() {
        wrong.push(("servers", "host is set too; one of them".to_owned()));
    }
    if draft.servers.len() > member::MOST_SERVERS {
        wrong.push((
            "servers",
            format!("more than {} servers", member::MOST_SERVERS),
        ));
    }
    for text in &draft.servers {
        match Member::parse(text, draft.port) {
            Ok(member) if database.hosts.contains(&member.host) => {
                wrong.push(("servers", format!("{} is there twice", member.host)));
            }
            Ok(member) => {
                database.hosts.push(member.host.clone());
                database.members.push(member);
            }
            Err(message) => wrong.push(("servers", message)),
        }
    }
    database.seeds.clone_from(&database.members);
    for text in &draft.patroni {
        match member::patroni(text) {
            Ok(url) => database.patroni.push(url.into()),
            Err(message) => wrong.push(("patroni", message)),
        }
    }
    (database, wrong)
}

impl Host {
    /// A host as the configuration writes it: text that starts with `/` or `@` is the directory of
    /// a unix socket, all else a name or address, an IPv6 address with or without brackets.
    ///
    /// Source: PostgreSQL documentation, "Parameter Key Words", `host`.
    pub fn parse(host: String, port: u16) -> Self {
        if host.starts_with(['/', '@']) {
            return Host::Unix { dir: host, port };
        }
        let inside = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        Host::Tcp {
            host: inside.map(str::to_owned).unwrap_or(host),
            port,
        }
    }
}

#[cfg(test)]
mod tests;
