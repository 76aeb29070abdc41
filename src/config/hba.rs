//! Who may log in from where and how: a file in the form of `pg_hba.conf`.
//!
//! ```text
//! # type   database  user     address        method         options
//! local    all       all                     peer           map=mine
//! hostssl  pay       /^app_   10.0.0.0/8     cert
//! host     all       @staff   samenet        scram-sha-256
//! hostssl  all       admin    all            scram-sha-256  clientcert=verify-full
//! host     all       +sales   10.0.0.0/8     md5
//! host     all       all      0.0.0.0/0      reject
//! ```
//!
//! Lines are looked at in order, and the first that fits counts. PgBouncer leaves out a line that it
//! cannot read; a `reject` with a typing mistake then lets everybody in. Here such a file is refused.
//!
//! Source: PostgreSQL manual, "The pg_hba.conf File"; PgBouncer, "HBA File Format".

pub(super) mod address;
pub mod ident;
mod names;
mod options;
mod words;

pub use address::Network;
pub use options::ClientCert;
pub(in crate::config) use options::ldap_options;

use std::net::IpAddr;
use std::sync::Arc;

use self::address::Addresses;
use self::names::{Name, any, names};
use self::words::{Word, words};
use super::AuthType;
use super::ldap::Ldap;

/// How somebody is let in, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Reject,
    /// In this way.
    Auth(AuthType),
}

/// What a client is and wants.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Its address; `None` for a unix socket.
    pub from: Option<IpAddr>,
    /// The address that it connected to.
    pub to: Option<IpAddr>,
    /// Tells the networks that this machine is in; asked for lines with `samenet` only.
    pub networks: fn() -> Vec<Network>,
    /// Its connection is encrypted.
    pub tls: bool,
    /// The database's name.
    pub database: &'a str,
    /// Its name.
    pub user: &'a str,
    /// It wants to replicate whole servers: no database is meant.
    pub physical: bool,
    /// The roles that it is a member of, itself among them; `None` if nobody has asked yet.
    pub roles: Option<&'a [String]>,
}

/// What [`Hba::find`] comes to.
#[derive(Clone, Copy, Debug)]
pub enum Search<'a> {
    /// This line says what is done.
    Line(&'a Line),
    /// Whether this line fits depends on [`Asking::roles`], and no line before it does.
    Roles(&'a Line),
    /// No line fits.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Local,
    Host,
    HostSsl,
    HostNoSsl,
    /// GSSAPI encryption, which there is none of here.
    Never,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: u32,
    kind: Kind,
    databases: Vec<Name>,
    users: Vec<Name>,
    addresses: Addresses,
    /// What is done.
    pub method: Method,
    /// The map of names to use, for methods that learn a name from elsewhere.
    pub map: Option<String>,
    /// What the client's certificate must show beside the method.
    pub client_cert: Option<ClientCert>,
    /// Who checks passwords, for method ldap.
    pub ldap: Option<Arc<Ldap>>,
    /// Which service is asked, for method pam; `None` for that of the settings.
    pub pam_service: Option<String>,
}

/// A file that was read.
#[derive(Clone, Debug, Default)]
pub struct Hba {
    lines: Vec<Line>,
    /// What the operator should know, with its line.
    pub notes: Vec<(u32, String)>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

/// Two files are the same if they were written the same; see [`Hba::parse`].
impl PartialEq for Hba {
    fn eq(&self, other: &Self) -> bool {
        format!("{:?}", self.lines) == format!("{:?}", other.lines)
    }
}

impl Eq for Hba {}

impl Hba {
    /// Reads a file's text; `names` reads the names of a file that is written as `@file`.
    ///
    /// # Errors
    /// Every line that cannot be used.
    pub fn parse(
        text: &str,
        names: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, Vec<Fault>> {
        let (mut hba, mut faults) = (Self::default(), Vec::new());
        for (number, words) in words(text) {
            let fault = |message| Fault {
                line: number,
                message,
            };
            let read = words.and_then(|words| line(number, words, names));
            match read {
                Ok(Some(line)) => {
                    if line.kind == Kind::Never {
                        let note = "never fits: there is no GSSAPI encryption here";
                        hba.notes.push((number, note.to_owned()));
                    }
                    hba.lines.push(line);
                }
                Ok(None) => {}
                Err(message) => faults.push(fault(message)),
            }
        }
        match faults.is_empty() {
            true => Ok(hba),
            false => Err(faults),
        }
    }

    /// The line that says what is done. Roles are asked for by [`Search::Roles`] only if it depends
    /// on them; if they are given, it is never the answer.
    #[must_use]
    pub fn find(&self, asking: &Asking<'_>) -> Search<'_> {
        for line in &self.lines {
            match line.fits(asking) {
                Some(true) => return Search::Line(line),
                Some(false) => {}
                None => return Search::Roles(line),
            }
        }
        Search::Nothing
    }

    /// All lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

impl Line {
    /// Whether it is meant; `None` if that depends on roles that nobody has asked for.
    fn fits(&self, asking: &Asking<'_>) -> Option<bool> {
        let here = match (self.kind, asking.from) {
            (Kind::Local, None) => true,
            (Kind::Host, Some(_)) => true,
            (Kind::HostSsl, Some(_)) => asking.tls,
            (Kind::HostNoSsl, Some(_)) => !asking.tls,
            _ => false,
        };
        let from = || {
            asking
                .from
                .is_none_or(|from| (self.addresses).hold(from, asking.to, asking.networks))
        };
        if !(here && from()) {
            return Some(false);
        }
        let database = any(&self.databases, |name| name.database(asking));
        let user = any(&self.users, |name| name.user(asking));
        match (database, user) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// Whether it asks who is a member of what.
    #[must_use]
    pub fn asks_for_roles(&self) -> bool {
        (self.databases.iter().chain(&self.users)).any(Name::asks_for_roles)
    }

    /// Whether a client of this database can be meant, whoever it is.
    #[must_use]
    pub fn may_mean(&self, database: &str) -> bool {
        self.databases.iter().any(|name| name.may_mean(database))
    }

    /// Databases that it names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().filter_map(Name::named)
    }
}

/// Reads a line's words; `None` for a line that is empty.
fn line(
    number: u32,
    words: Vec<Vec<Word>>,
    files: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Option<Line>, String> {
    let mut fields = words.into_iter();
    let Some(kind) = fields.next() else {
        return Ok(None);
    };
    let one = |field: Vec<Word>, what: &str| -> Result<Word, String> {
        let [word]: [Word; 1] =
            (field.try_into()).map_err(|_| format!("{what}: one word is wanted, not a list"))?;
        Ok(word)
    };
    let kind = one(kind, "type")?.text;
    let kind = match kind.as_str() {
        "local" => Kind::Local,
        "host" | "hostnogssenc" => Kind::Host,
        "hostssl" => Kind::HostSsl,
        "hostnossl" => Kind::HostNoSsl,
        "hostgssenc" => Kind::Never,
        other => {
            return Err(format!(
                "type {other:?} is none of local, host, hostssl, hostnossl, hostgssenc, hostnogssenc"
            ));
        }
    };
    let databases = fields.next().ok_or("the database is missing")?;
    let databases = names(databases, true, files)?;
    let users = fields.next().ok_or("the user is missing")?;
    let users = names(users, false, files)?;
    let addresses = match kind {
        Kind::Local => Addresses::All,
        _ => {
            let address = one(fields.next().ok_or("the address is missing")?, "address")?;
            let rest: Vec<Vec<Word>> = fields.collect();
            let mask = (rest.first().and_then(|field| field.first()))
                .and_then(|word| word.text.parse::<IpAddr>().ok());
            let read = address::read(&address.text, mask)?;
            fields = rest.into_iter();
            if mask.is_some() {
                fields.next();
            }
            read
        }
    };
    let method = one(fields.next().ok_or("the method is missing")?, "method")?.text;
    let method = method_of(&method, kind)?;
    let options = fields.map(|field| one(field, "option"));
    let options = options::read(options, method, kind)?;
    Ok(Some(Line {
        number,
        kind,
        databases,
        users,
        addresses,
        method,
        map: options.map,
        client_cert: options.client_cert,
        ldap: options.ldap,
        pam_service: options.pam_service,
    }))
}

fn method_of(method: &str, kind: Kind) -> Result<Method, String> {
    let auth = match method {
        "reject" => return Ok(Method::Reject),
        "trust" => AuthType::Trust,
        "password" => AuthType::Plain,
        "md5" => AuthType::Md5,
        "scram-sha-256" => AuthType::ScramSha256,
        "peer" if kind == Kind::Local => AuthType::Peer,
        "peer" => return Err("method peer works with local lines only".to_owned()),
        "cert" if kind == Kind::HostSsl => AuthType::Cert,
        "cert" => return Err("method cert works with hostssl lines only".to_owned()),
        "ldap" => AuthType::Ldap,
        "pam" => AuthType::Pam,
        "gss" | "sspi" | "ident" | "radius" | "bsd" | "oauth" => {
            return Err(format!(
                "method {method} is not supported; there are trust, reject, password, md5, scram-sha-256, peer, cert, ldap and pam"
            ));
        }
        other => {
            return Err(format!(
                "method {other:?} is not known; there are trust, reject, password, md5, scram-sha-256, peer, cert, ldap and pam"
            ));
        }
    };
    Ok(Method::Auth(auth))
}

#[cfg(test)]
mod tests;
