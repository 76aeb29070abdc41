//! The end of a login: the client's startup parameters are tried on a server unless one has
//! accepted them before, then the client is told what a server would tell it.

use std::rc::Rc;
use std::task::Context as TaskContext;

use super::{Session, Stage, Stop};
use crate::error::{Fault, SqlState};
use crate::server::params::{BaseParams, ParamSet};
use crate::wire::{TxStatus, write};

/// What a session knows only until it is welcomed.
#[derive(Debug)]
pub(super) struct Login {
    /// Startup parameters, names as given.
    pub(super) params: Vec<(String, String)>,
    /// Bytes to send before AuthenticationOk.
    pub(super) prelude: Vec<u8>,
    /// How many servers were lost while they were asked for this client.
    pub(super) lost: u8,
}

/// Servers that may be lost during one login before the client is told.
const LOST: u8 = 3;

/// How a server spells a value that needs no server to be checked.
fn obvious<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    // PostgreSQL cuts names at 63 bytes and replaces what is not printable ASCII.
    let plain = value.len() < 64 && value.bytes().all(|b| (b' '..=b'~').contains(&b));
    (name == "application_name" && plain).then_some(value)
}

impl Session {
    /// Welcomes the client at once if nothing has to be asked of a server, else checks one out.
    pub(super) fn begin_login(&mut self, cx: &mut TaskContext<'_>) -> Result<(), Stop> {
        let pool = self.login_pool();
        match pool.base().zip(self.known_parameters()) {
            Some((base, vars)) => self.welcome(vars, &base),
            None => {
                self.checkout(&pool, cx)?;
                Ok(())
            }
        }
    }

    /// The client's parameters as a server spells them; `None` if a server has to be asked.
    fn known_parameters(&self) -> Option<ParamSet> {
        let mut vars = ParamSet::default();
        let login = self.rare.get().and_then(|rare| rare.login.as_ref());
        for (name, value) in login.iter().flat_map(|login| &login.params) {
            let key = name.to_ascii_lowercase();
            let spelled = match obvious(&key, value) {
                Some(value) => value.into(),
                None => self.pool.accepted(&key, value)?,
            };
            vars.set(&key, &spelled);
        }
        Some(vars)
    }

    /// A server was lost while it was asked whether it accepts the client's parameters. Nothing was
    /// done for the client yet, so another one is asked; after a few, the client gets the server's
    /// own words if there were any. `None` if the login goes on.
    pub(super) fn lost_in_login(&mut self, stop: Stop) -> Option<Stop> {
        let lost = matches!(stop, Stop::ServerIo(_) | Stop::ServerSaidWhy);
        if !lost || self.stage != Stage::Login {
            return Some(stop);
        }
        let rare = self.rare.get_mut();
        let refused = rare.refusal.take();
        if let Some(login) = rare.login.as_mut().filter(|login| login.lost < LOST) {
            login.lost += 1;
            if let Some(mut lease) = self.leave_server() {
                lease.broken = true;
                lease.close();
            }
            return None;
        }
        Some(match refused {
            Some(refused) => Stop::fatal(refused.state, refused.text, Fault::Server),
            None => stop,
        })
    }

    /// A server is there: it is given the client's parameters. If nothing has to be asked of it any more it goes
    /// on at once to the next, who may have waited for the same: whoever came while there was no server yet.
    ///
    /// # Errors
    /// A rule refuses the login.
    pub(super) fn try_parameters(&mut self) -> Result<(), Stop> {
        let base = (self.lease.as_ref()).and_then(|lease| lease.pool().base());
        if let Some((base, vars)) = base.zip(self.known_parameters()) {
            self.welcome(vars, &base)?;
            if let Some(lease) = self.take_leave(self.now()) {
                lease.give_back();
            }
            return Ok(());
        }
        let mut wanted = ParamSet::default();
        if let Some(login) = self.rare.get().and_then(|rare| rare.login.as_ref()) {
            for (name, value) in &login.params {
                wanted.set(&name.to_ascii_lowercase(), value);
            }
        }
        self.vars = Rc::new(wanted);
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        // An empty query if there is nothing to set: the answer comes through the same door.
        let sql = lease.applied.sql_to(&self.vars).unwrap_or_default();
        self.send_ours(&sql);
        Ok(())
    }

    /// The server reported how it spells a value.
    pub(super) fn login_reported(&mut self, name: &str, value: &str) {
        let key = name.to_ascii_lowercase();
        if let Some(given) = self.vars.get(&key) {
            self.pool.accept(&key, given, value);
        }
    }

    /// The server has answered: welcome, or the server's own refusal.
    pub(super) fn parameters_tried(&mut self) -> Result<(), Stop> {
        if let Some(refused) = self.rare.get_mut().refusal.take() {
            return Err(Stop::fatal(refused.state, refused.text, Fault::Client));
        }
        let pool = self.lease.as_ref().map(|lease| lease.pool().clone());
        let Some(base) = pool.and_then(|pool| pool.base()) else {
            let text = "the server is gone again";
            return Err(Stop::fatal(
                SqlState::CANNOT_CONNECT_NOW,
                text,
                Fault::Server,
            ));
        };
        let Some(lease) = &mut self.lease else {
            return Ok(());
        };
        let mut vars = ParamSet::default();
        for (name, value) in self.vars.iter() {
            let spelled = match self.pool.accepted(name, value) {
                Some(spelled) => spelled,
                None => {
                    // Not reported: either the server had this value already, however it spells
                    // it, or it never reports this parameter.
                    let had = lease.applied.get(name).or_else(|| base.get(name));
                    let reported = base.get(name).is_some();
                    let spelled: Box<str> = had.filter(|_| reported).unwrap_or(value).into();
                    self.pool.accept(name, value, &spelled);
                    spelled
                }
            };
            vars.set(name, &spelled);
        }
        self.welcome(vars, &base)?;
        if let Some(lease) = &mut self.lease {
            lease.applied = self.vars.clone();
        }
        if let Some(lease) = self.take_leave(self.now()) {
            lease.give_back();
        }
        Ok(())
    }

    /// AuthenticationOk, what servers report with the client's own values, the key, ReadyForQuery.
    ///
    /// # Errors
    /// A rule refuses the login; nothing was sent.
    fn welcome(&mut self, vars: ParamSet, base: &BaseParams) -> Result<(), Stop> {
        if let Some(name) = vars.get("application_name") {
            self.me.application_name.replace(name.into());
        }
        self.vars = self.context.interner.borrow_mut().intern(vars);
        self.startup = self.vars.clone();
        if let Some(refused) = self.begin_watch(base.get("is_superuser") == Some("on")) {
            return Err(Stop::fatal(refused.state, refused.text, Fault::Client));
        }
        let prelude = match self.rare.0.take().and_then(|rare| rare.login) {
            Some(login) => login.prelude,
            None => Vec::new(),
        };
        let out = &mut self.output;
        out.extend(prelude);
        write::authentication_ok(out);
        for (name, value) in base.iter() {
            let value = self.vars.get(&name.to_ascii_lowercase()).unwrap_or(value);
            write::parameter_status(out, name.as_bytes(), value.as_bytes());
        }
        let (pid, key) = self._guards.2.show();
        write::backend_key_data(out, pid, &key);
        let config = self.context.process.config.load();
        let message = &config.settings.login_notify_message;
        if !message.is_empty() {
            write::notice(out, SqlState(*b"00000"), message);
        }
        write::ready_for_query(out, TxStatus::Idle);
        self.me.logging_in.set(false);
        self.me.xact_since.set(None);
        self.stage = Stage::Ready;
        Ok(())
    }
}
