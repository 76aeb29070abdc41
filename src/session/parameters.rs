//! Session parameters that follow the client, and questions about what a transaction left behind.
//!
//! What the client wants is `vars`; what its server has is `applied`. While attached the two move
//! together: the server reports every change of the parameters that matter most, rolled back or
//! not, and for the others it is asked when the transaction is over. At the next checkout the
//! difference to the new server goes in front of the client's first request, in the same write.

use std::rc::Rc;

use super::gather::Gather;
use super::pin::{self, Doubts, Pins, TOO_MANY_SETTINGS};
use super::{Session, Signal, Stage, Stop};
use crate::error::{Fault, SqlState};
use crate::server::inflight::{Entry, Kind, Reply};
use crate::server::params::ParamSet;
use crate::sql::{self, Analysis, Flags, ParamOp};
use crate::wire::{TxStatus, read, write};

/// What in a text may change a parameter, for good or until the transaction ends.
const MAY_SET: Flags = Flags::SETS_PARAM
    .union(Flags::SETS_UNKNOWN)
    .union(Flags::RESET_ALL)
    .union(Flags::DISCARD_ALL)
    .union(Flags::CALLS_FUNCTION)
    .union(Flags::UNANALYSED)
    .union(Flags::ROLE)
    .union(Flags::MULTI);

/// Reported by the server but not settings that a client could be given on another server.
const NOT_SETTINGS: &[&str] = &[
    "is_superuser",
    "session_authorization",
    "in_hot_standby",
    "server_version",
    "server_encoding",
    "integer_datetimes",
];

/// Bytes of settings that follow a client; with more, it keeps its server instead.
const FOLLOW_LIMIT: usize = 64 * 1024;

impl Session {
    /// Notes what a text may do before it is carried out.
    #[inline]
    pub(super) fn note(&mut self, analysis: &Analysis) {
        self.flags = self.flags.union(analysis.flags);
        self.visit_noted(analysis.flags);
        if analysis.flags.contains(Flags::CALLS_UNKNOWN) && self.pool.checks_functions() {
            // It may do whatever a DO block may.
            self.flags = self.flags.union(Flags::SETS_UNKNOWN);
        }
        if analysis.flags.contains(Flags::DEALLOCATE_ALL) {
            self.doubt_all();
        }
        self.may_set |= analysis.flags.intersects(MAY_SET)
            || matches!(analysis.kind, sql::Kind::Set | sql::Kind::Reset);
        if !analysis.params.is_empty() {
            let touched = &mut self.rare.get_mut().touched;
            for change in &analysis.params {
                if matches!(&*change.name, "role" | "session_authorization") {
                    // Asked about as such; see `pin`.
                    continue;
                }
                let reset = matches!(change.op, ParamOp::Reset);
                if !touched
                    .iter()
                    .any(|known| *known.0 == *change.name && known.1 == reset)
                {
                    touched.push((change.name.clone(), reset));
                }
            }
        }
    }

    /// Session mode: everything a client sets stays on its own server, but what RESET returns to
    /// is the server's default, not the client's startup value. Such texts are noted, so that the
    /// startup values are given back afterwards.
    pub(super) fn watch_resets(&mut self, text: &[u8]) {
        let analysis = self.analyse(text);
        let resets = analysis
            .flags
            .intersects(Flags::RESET_ALL.union(Flags::DISCARD_ALL))
            || analysis
                .params
                .iter()
                .any(|change| matches!(change.op, ParamOp::Reset));
        if resets {
            self.note(&analysis);
        }
    }

    /// The server reported a parameter. `forward`: while working for the client.
    pub(super) fn parameter_reported(&mut self, name: &[u8], value: &[u8], forward: bool) {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            // A value in another encoding cannot be replayed by name; the client keeps its server.
            self.set_pins(Pins(self.pins.0 | TOO_MANY_SETTINGS));
            return;
        };
        if self.stage == Stage::Login {
            self.login_reported(name, value);
            return;
        }
        if !forward || !self.tracks() {
            return;
        }
        if !self.may_set {
            // Nobody asked: the server's own default changed.
            self.pool.base_changed(name, value);
            return;
        }
        let key = name.to_ascii_lowercase();
        if NOT_SETTINGS.contains(&key.as_str()) {
            return;
        }
        if key == "application_name" {
            self.me.application_name.replace(value.into());
            self.rename_watch(value);
        }
        let is_default = self
            .pool
            .base()
            .is_some_and(|base| base.get(name) == Some(value))
            && self.startup.get(&key).is_none();
        let Some(lease) = &mut self.lease else { return };
        let mut vars = (*self.vars).clone();
        if is_default {
            vars.unset(&key);
        } else {
            vars.set(&key, value);
        }
        self.vars = Rc::new(vars);
        lease.applied = self.vars.clone();
    }

    /// Puts the SET of what this server lacks in front of the client's first request.
    #[inline]
    pub(super) fn put_replay(&mut self, gather: &mut Gather<'_>) {
        let Some(lease) = &mut self.lease else { return };
        if Rc::ptr_eq(&lease.applied, &self.vars)
            || !lease.ledger.is_empty()
            || lease.status != TxStatus::Idle
        {
            return;
        }
        let sql = lease.applied.sql_to(&self.vars);
        lease.applied = self.vars.clone();
        if let Some(sql) = sql {
            lease.unnamed = None;
            // A cancel request is for the client's query, not for this one: it waits.
            self.me.server.replace(None);
            write::query(gather.put(), sql.as_bytes());
            self.owe(OURS);
        }
    }

    /// The SETs in front of the client's request were carried out.
    pub(super) fn parameters_replayed(&mut self) -> Result<(), Stop> {
        if let Some(lease) = &self.lease {
            self.me.server.replace(Some(lease.shared.clone()));
            if self.me.take(Signal::CANCEL) {
                let cancel = super::cancel::cancel(self.context.clone(), self.me.id);
                tokio::task::spawn_local(cancel);
            }
        }
        if self.rare.get().is_none_or(|rare| rare.refusal.is_none()) {
            return Ok(());
        }
        let Some(refused) = self.rare.get_mut().refusal.take() else {
            return Ok(());
        };
        if let Some(lease) = &mut self.lease {
            lease.broken = true;
        }
        Err(Stop::fatal(
            refused.state,
            format!("invalid server parameter: {}", refused.text),
            Fault::Server,
        ))
    }

    /// What the server must be asked now that the transaction is over, if anything.
    pub(super) fn question(&self) -> Option<(pin::Question, String)> {
        let may_be = pin::ASK.union(Flags::SETS_PARAM);
        let release = self.flags.contains(Flags::RELEASES) && !self.pins.is_empty();
        if !self.flags.intersects(may_be) && !release {
            return None;
        }
        let touched = self
            .rare
            .get()
            .map(|rare| &rare.touched[..])
            .unwrap_or_default();
        let base = self.pool.base();
        let unreported = touched.iter().any(|(name, reset)| {
            let reported = base.as_ref().is_some_and(|base| base.get(name).is_some());
            !reported || (*reset && self.startup.get(name).is_some())
        });
        let mut custom: Vec<Box<str>> = touched
            .iter()
            .map(|(name, _)| name.clone())
            .chain(self.vars.iter().map(|(name, _)| name.into()))
            .filter(|name| str::contains(name, '.'))
            .collect();
        custom.sort_unstable();
        custom.dedup();
        pin::question(Doubts {
            flags: self.flags,
            pins: self.pins,
            unreported,
            user: &self.pool.key.user,
            custom: &custom,
        })
    }

    /// Asks. Until the answer is complete the client's next messages wait, and no cancel request
    /// of it reaches this server.
    pub(super) fn ask(&mut self, question: pin::Question, sql: &str) {
        self.stage = Stage::Asking;
        self.me.server.replace(None);
        let rare = self.rare.get_mut();
        rare.question = question;
        rare.answer = pin::Answer::default();
        let Some(lease) = &mut self.lease else { return };
        rare.cancel_under_way = lease.shared.cancels.get() > 0;
        lease.unnamed = None;
        write::query(&mut lease.unsent, sql.as_bytes());
        self.owe(OURS);
        self.me.query_since.set(None);
    }

    /// A row of the answer.
    pub(super) fn answer_row(&mut self, body: &[u8]) -> Result<(), Stop> {
        let row = read::data_row(body).map_err(|error| Stop::ServerFrame(error.to_string()))?;
        self.rare.get_mut().answer.row(&row);
        Ok(())
    }

    /// The answer is complete.
    pub(super) fn answered(&mut self) -> Result<(), Stop> {
        self.stage = Stage::Ready;
        let rare = self.rare.get_mut();
        let question = std::mem::take(&mut rare.question);
        let answer = std::mem::take(&mut rare.answer);
        let finished = match rare.refusal.take() {
            Some(refused) if refused.state == SqlState::QUERY_CANCELED && rare.cancel_under_way => {
                // It was meant for the client's query and came late: it is asked once more. No new
                // request can be on its way, so this ends.
                return Ok(());
            }
            Some(refused) => Err(refused.text),
            None => answer
                .finish(&question)
                .ok_or("the answer makes no sense".to_owned()),
        };
        let (mut pins, settings) = finished.map_err(|text| {
            if let Some(lease) = &mut self.lease {
                lease.broken = true;
            }
            Stop::fatal(
                SqlState::CONNECTION_FAILURE,
                format!("could not find out what the transaction left behind: {text}"),
                Fault::Server,
            )
        })?;
        if question.settings {
            let mut has = ParamSet::default();
            for (name, value) in &settings {
                has.set(name, value);
            }
            let mut wants = has.clone();
            for (name, value) in self.startup.iter() {
                if wants.get(name).is_none() {
                    wants.set(name, value);
                }
            }
            if wants.bytes() > FOLLOW_LIMIT {
                pins.0 |= TOO_MANY_SETTINGS;
            }
            self.vars = Rc::new(wants);
            if let Some(lease) = &mut self.lease {
                lease.applied = match has == *self.vars {
                    true => self.vars.clone(),
                    false => Rc::new(has),
                };
            }
        }
        self.set_pins(pins);
        let unknown = Flags::SETS_UNKNOWN.union(Flags::UNANALYSED);
        self.hides_settings |= self.tracks() && self.flags.intersects(unknown);
        self.transaction_over();
        if let Some(lease) = &self.lease {
            self.me.server.replace(Some(lease.shared.clone()));
        }
        Ok(())
    }

    fn set_pins(&mut self, pins: Pins) {
        self.pins = pins;
        self.me.pins.set(pins.0);
    }
}

/// A query of ours.
const OURS: Entry<crate::server::statements::Effect> = Entry {
    kind: Kind::Query,
    reply: Reply::Swallow,
    statement: 0,
    effect: None,
};

impl Session {
    /// Sends a query of ours whose reply the client does not see.
    pub(super) fn send_ours(&mut self, sql: &str) {
        if let Some(lease) = &mut self.lease {
            lease.unnamed = None;
            write::query(&mut lease.unsent, sql.as_bytes());
            self.owe(OURS);
            self.me.query_since.set(None);
        }
    }
}
