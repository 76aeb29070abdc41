//! Lines as PgBouncer writes them, for what reads its logs.
//!
//! What is about a client or a server begins with
//! `C-0x2a: database/user@address:port` (or `S-`); the number is that of `ptr` in SHOW CLIENTS and
//! SHOW SERVERS. Everything that has no place there follows the message as `key=value`.
//!
//! Source: PgBouncer documentation, "Log settings"; the lines themselves, as pgBadger and others
//! take them apart.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

/// What an event says, sorted out.
#[derive(Debug, Default)]
pub(super) struct Line {
    who: Option<(char, u64)>,
    database: Option<String>,
    user: Option<String>,
    addr: Option<String>,
    message: String,
    rest: String,
}

impl Line {
    /// Writes it; `port` is what stands behind `unix`, which has no port of its own.
    pub(super) fn write(self, out: &mut impl Write, port: u16) -> fmt::Result {
        let named = |value: &Option<String>, none: &str| match value {
            Some(value) if !value.is_empty() => value.clone(),
            _ => none.to_owned(),
        };
        match self.who {
            Some((letter, id)) => {
                let database = named(&self.database, "(nodb)");
                let user = named(&self.user, "(nouser)");
                write!(out, "{letter}-0x{id:x}: {database}/{user}@")?;
                match self.addr.as_deref() {
                    Some("unix") => write!(out, "unix:{port} ")?,
                    Some(addr) => write!(out, "{addr} ")?,
                    None => out.write_str("unknown:0 ")?,
                }
                write!(out, "{}{}", self.message, self.rest)
            }
            None => {
                out.write_str(&self.message)?;
                let parts = [
                    ("database", self.database),
                    ("user", self.user),
                    ("addr", self.addr),
                ];
                for (key, value) in parts {
                    if let Some(value) = value {
                        write!(out, " {key}={value}")?;
                    }
                }
                out.write_str(&self.rest)
            }
        }
    }

    fn take(&mut self, name: &str, value: String) {
        match name {
            "message" => self.message = value,
            "database" => self.database = Some(value),
            "user" => self.user = Some(value),
            "addr" => self.addr = Some(value),
            name => {
                self.rest.push(' ');
                self.rest.push_str(name);
                self.rest.push('=');
                self.rest.push_str(&value);
            }
        }
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "client" => self.who = Some(('C', value)),
            "server" if self.who.is_none() => self.who = Some(('S', value)),
            name => self.take(name, value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), format!("{value:?}"));
    }
}
