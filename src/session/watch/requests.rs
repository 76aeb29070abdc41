//! What the client sends.

use std::rc::Rc;

use super::{Bound, MOST_NAMES, Parsed, Watched, annotate, joined};
use crate::lint::firewall::Mode;
use crate::lint::hit::Hit;
use crate::lint::judge;
use crate::lint::texts::Looked;
use crate::lint::value::Param;
use crate::server::statements::Refusal;
use crate::session::Session;
use crate::sql::Lexing;
use crate::wire::read;

/// Parameters of a Bind that are looked at.
const MOST_PARAMS: usize = 1024;

impl Parsed {
    fn is(&self, text: &[u8], lexing: Lexing) -> bool {
        self.lexing == lexing && self.looked.is(text)
    }
}

impl Session {
    fn look(&self, text: &[u8], lexing: Lexing) -> Rc<Looked> {
        self.context.reports.texts.borrow_mut().look(text, lexing)
    }

    /// [`Session::lexing`], which looks two parameters up by name, remembered until the client's
    /// parameters or its pool's are others.
    fn watch_lexing(&mut self) -> Lexing {
        let default = self.pool.lexing();
        if let Some(watch) = &self.watch
            && let Some((vars, of, lexing)) = &watch.lexing
            && Rc::ptr_eq(vars, &self.vars)
            && *of == default
        {
            return *lexing;
        }
        let lexing = self.lexing();
        if let Some(watch) = &mut self.watch {
            watch.lexing = Some((self.vars.clone(), default, lexing));
        }
        lexing
    }

    /// A simple Query is about to be sent. What is to be known of it, or why it is not sent.
    pub(in crate::session) fn watch_query(&mut self, text: &[u8]) -> Result<Watched, Refusal> {
        if self.watch.is_none() {
            return Ok(Watched::default());
        }
        let lexing = self.watch_lexing();
        let looked = self.look(text, lexing);
        let now = self.now();
        let Some(watch) = &mut self.watch else {
            return Ok(Watched::default());
        };
        let (mut hits, quiet) = watch.judge(&looked);
        if let Some((hit, refusal)) = watch.guarded(&looked) {
            hits = Some(joined(&looked, hits.as_deref(), hit));
            if let Some(refusal) = refusal {
                self.report_refusal(&looked, hits);
                return Err(refusal);
            }
        }
        let refusal = watch.refusal(hits.as_deref().unwrap_or(looked.hits()));
        if let Some(refusal) = refusal.or_else(|| watch.unread(&looked)) {
            self.report_refusal(&looked, hits);
            return Err(refusal);
        }
        let known = hits.as_deref().unwrap_or(looked.hits());
        let watched = Watched {
            plain: looked.plain,
            comment: annotate::comment(&watch.effective, known, text, lexing),
        };
        let bound = Bound {
            values: looked.literals,
            looked,
            params: 0,
            hits,
            quiet,
            parsed_now: true,
            binary: false,
        };
        watch.batch = watch.batch.wrapping_add(1);
        watch.unnamed = None;
        watch.send(bound, now, 0, true, &self.context.reports.observer);
        Ok(watched)
    }

    /// Whether the rules refuse a text, whatever its values.
    pub(in crate::session) fn would_refuse(&self, text: &[u8]) -> bool {
        (self.watch.as_ref()).is_some_and(|watch| {
            // A firewall has to see it at its turn.
            watch.guard.is_some() || {
                let looked = self.look(text, self.lexing());
                watch.refusing(looked.hits()).is_some() || watch.unread(&looked).is_some()
            }
        })
    }

    /// A Parse is about to be sent or answered.
    pub(in crate::session) fn watch_parse(
        &mut self,
        name: &[u8],
        text: &[u8],
    ) -> Result<Watched, Refusal> {
        if self.watch.is_none() {
            return Ok(Watched::default());
        }
        let lexing = self.watch_lexing();
        // Drivers that prepare nothing parse the same text again and again.
        let again = (self.watch.as_mut())
            .filter(|watch| (watch.last_parsed.as_ref()).is_some_and(|last| last.is(text, lexing)));
        let looked = match again {
            Some(watch) => {
                self.context.reports.texts.borrow_mut().stats.hits += 1;
                if name.is_empty()
                    && watch.guard.is_none()
                    && let Some(last) = &watch.last_parsed
                    && last.passes
                {
                    let unnamed = watch.unnamed.get_or_insert_with(|| last.looked.clone());
                    debug_assert!(Rc::ptr_eq(unnamed, &last.looked));
                    watch.fresh = true;
                    return Ok(Watched {
                        plain: last.looked.plain,
                        comment: None,
                    });
                }
                watch.last_parsed.as_ref().map(|last| last.looked.clone())
            }
            None => None,
        };
        let looked = looked.unwrap_or_else(|| self.look(text, lexing));
        let Some(watch) = &mut self.watch else {
            return Ok(Watched::default());
        };
        // Elsewhere it is seen when it is bound.
        let protects = (watch.guard.as_ref())
            .is_some_and(|guard| guard.with(|profile| profile.mode == Mode::Protect));
        if protects && let Some((hit, Some(refusal))) = watch.guarded(&looked) {
            let hits = joined(&looked, None, hit);
            self.report_refusal(&looked, Some(hits));
            return Err(refusal);
        }
        // What depends on the session's state is decided at Bind.
        let refusal = watch.refusal(looked.hits());
        if let Some(refusal) = refusal.or_else(|| watch.unread(&looked)) {
            self.report_refusal(&looked, None);
            return Err(refusal);
        }
        let watched = Watched {
            plain: looked.plain,
            comment: annotate::comment(&watch.effective, &watch.heard(looked.hits()), text, lexing),
        };
        if name.is_empty() {
            watch.last_parsed = Some(Parsed {
                passes: watch.passes(&looked),
                looked: looked.clone(),
                lexing,
            });
            watch.unnamed = Some(looked);
            watch.fresh = true;
        } else if watch.named.len() < MOST_NAMES || watch.named.contains_key(name) {
            watch.named.insert(name.into(), looked);
        }
        Ok(watched)
    }

    /// A Bind is about to be sent. `rest` is its body behind the names, if all of it is there.
    pub(in crate::session) fn watch_bind(
        &mut self,
        portal: &[u8],
        statement: &[u8],
        rest: Option<&[u8]>,
    ) -> Option<Refusal> {
        let watch = self.watch.as_mut()?;
        let (looked, parsed_now) = match statement {
            b"" => (watch.unnamed.clone(), std::mem::take(&mut watch.fresh)),
            name => (watch.named.get(name).cloned(), false),
        };
        let Some(looked) = looked else {
            watch.portal = None;
            return None;
        };
        let params = rest
            .and_then(|rest| read::bind_params(rest, MOST_PARAMS))
            .unwrap_or_default();
        let mut values = looked.literals;
        if !params.is_empty() {
            let texts = self.context.reports.texts.borrow();
            let hashing = texts.hashing();
            for (bytes, binary) in params.iter() {
                hashing.add(&mut values, hashing.param(Param { bytes, binary }));
            }
        }
        let (mut hits, quiet) = watch.judge(&looked);
        if looked.binds {
            let params: Vec<Param<'_>> = (params.iter())
                .map(|(bytes, binary)| Param { bytes, binary })
                .collect();
            let silence = watch.view.silence();
            let bound: Vec<Hit> = judge::bound_hits(&looked.profile, &params)
                .filter(|hit| !silence.is_some_and(|silence| silence.covers(hit.rule)))
                .cloned()
                .collect();
            if !bound.is_empty() {
                let known = hits.as_deref().unwrap_or(looked.hits());
                hits = Some(known.iter().cloned().chain(bound).collect());
            }
        }
        // What was parsed before the firewall's mode changed is seen here; a finding is made of what
        // is executed, not of what is parsed.
        if let Some((hit, refusal)) = watch.guarded(&looked) {
            hits = Some(joined(&looked, hits.as_deref(), hit));
            if refusal.is_some() {
                self.report_refusal(&looked, hits);
                return refusal;
            }
        }
        if let Some(refusal) = hits.as_deref().and_then(|hits| watch.refusal(hits)) {
            self.report_refusal(&looked, hits);
            return Some(refusal);
        }
        let bound = Bound {
            looked,
            values,
            params: params.len() as u16,
            hits,
            quiet,
            parsed_now,
            binary: params.binary_result,
        };
        if portal.is_empty() {
            watch.portal = Some(bound);
        } else if watch.portals.len() < MOST_NAMES {
            watch.portals.insert(portal.into(), bound);
        }
        None
    }

    /// An Execute is about to be sent.
    pub(in crate::session) fn watch_execute(&mut self, body: &[u8]) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some((portal, fetch)) = read::execute(body) else {
            return;
        };
        let bound = match portal {
            b"" => watch.portal.as_ref(),
            name => watch.portals.get(name),
        };
        let Some(bound) = bound.cloned() else { return };
        watch.send(bound, now, fetch, false, &self.context.reports.observer);
    }

    /// A Sync is about to be sent.
    pub(in crate::session) fn watch_sync(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.batch = watch.batch.wrapping_add(1);
        }
    }
}
