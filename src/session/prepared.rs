//! Prepared statements of a client that changes servers.
//!
//! Named statements are shared: a text with its parameter types has one number in the process, and
//! servers know it by a name made of that number. The client's names are translated on their way.
//! Whether a server has a statement is known at every position of the stream; what it lacks is put
//! in front of the message that needs it, and the reply to that is swallowed.
//!
//! The unnamed statement is kept per client and given to another server when a Bind needs it
//! there. It is never turned into a named one: PostgreSQL plans the two differently.

use std::rc::Rc;
use std::sync::Arc;

use super::from_client::{Frame, Step};
use super::gather::Gather;
use super::watch::annotate::annotated;
use super::{Named, RareState, Session, Stop};
use crate::error::SqlState;
use crate::server::inflight::{Entry, Kind, Ledger, Reply};
use crate::server::statements::{Effect, Refusal, Statement, Unnamed, WIRE_PREFIX, push_wire_name};
use crate::sql::{Analysis, Flags};
use crate::wire::tag::{backend, frontend};
use crate::wire::{FrameError, Header, TxStatus, limits, read, write};

/// Name of the statement that is sent to fail; see [`Session::refuse`].
const REFUSED: &[u8] = b"_pgweir_refused";

/// Name of a statement that is sent to see whether it may be prepared now.
const ASKED: &[u8] = b"_pgweir_asked";

/// How many names that are no more a client may still be told of in its own words.
const MOST_FORMER: usize = 4;

/// Definition of the statement that is sent to fail. It can be parsed, so that a failed transaction says that it is one.
const REFUSING: &[u8] = b"SELECT pgweir_refuses_this\0\0\0";

/// The definition of a statement with a comment behind its text.
fn with_comment(parse: &read::Parse<'_>, comment: &str) -> Vec<u8> {
    let mut definition = annotated(parse.text, comment);
    definition.push(0);
    let types = parse.definition.get(parse.text.len() + 1..);
    definition.extend_from_slice(types.unwrap_or_default());
    definition
}

fn entry(kind: Kind, reply: Reply, statement: u32, effect: Option<Effect>) -> Entry<Effect> {
    Entry {
        kind,
        reply,
        statement,
        effect,
    }
}

/// The statement that a message names; `None` if it names none.
fn statement_of(frame: Frame<'_>) -> Result<Option<&[u8]>, Stop> {
    let tag = frame.header.tag;
    Ok(match tag {
        frontend::PARSE if frame.is_whole() => Some(read::parse(frame.body)?.name),
        frontend::BIND => read::bind_names(frame.body).map(|names| names.statement),
        frontend::DESCRIBE | frontend::CLOSE => {
            let target = read::target(tag, frame.body)?;
            (target.kind == b'S').then_some(target.name)
        }
        _ => None,
    })
}

/// Whether a request replaces the client's unnamed statement.
fn is_unnamed(effect: &Effect) -> bool {
    matches!(effect, Effect::Unnamed(_))
}

impl Session {
    /// Whether named statements are translated.
    pub(super) fn renames(&self) -> bool {
        self.tracks() && self.pool.max_prepared() > 0
    }

    pub(super) fn parse(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) -> Result<(), Stop> {
        let mut comment = None;
        if frame.body.len() == frame.header.body_len as usize {
            let parse = read::parse(frame.body)?;
            if self.visit.transaction
                && let Some(refusal) = self.visit_refuses(parse.text)
            {
                self.refuse_with(refusal, gather);
                return Ok(());
            }
            match self.watch_parse(parse.name, parse.text) {
                Ok(watched) => comment = watched.comment,
                Err(refusal) => {
                    self.refuse_with(refusal, gather);
                    return Ok(());
                }
            }
        } else if let Some(refusal) = self.watch_unread() {
            self.refuse_with(refusal, gather);
            self.body_left = frame.header.body_len - frame.body.len() as u32;
            self.body_forward = false;
            return Ok(());
        }
        if !self.tracks() {
            let whole = frame.body.len() == frame.header.body_len as usize;
            if whole && !self.startup.is_empty() {
                self.watch_resets(read::parse(frame.body)?.text);
            }
            match comment.filter(|_| whole) {
                Some(comment) => {
                    let parse = read::parse(frame.body)?;
                    let definition = with_comment(&parse, &comment);
                    write::parse(gather.put(), parse.name, &definition);
                    self.owe(entry(Kind::Parse, Reply::Forward, 0, None));
                }
                None => self.pass(frame, gather, Some(Kind::Parse)),
            }
            return Ok(());
        }
        if frame.body.len() < frame.header.body_len as usize {
            return self.parse_too_long(frame, gather);
        }
        let parse = read::parse(frame.body)?;
        if parse.name.is_empty()
            && comment.is_none()
            && let Some(same) = self.unnamed.clone()
            && *same.definition == *parse.definition
            // What a backslash means depends on a parameter that may have changed.
            && memchr::memchr(b'\\', parse.text).is_none()
        {
            // The same text again, as pipelines send it: nothing to find out, nothing to copy.
            self.replace_unnamed(Some(same));
            gather.keep(frame.at, frame.end());
            return Ok(());
        }
        let analysis = self.analyse(parse.text);
        if let Some(name) = &analysis.deallocate
            && let Some(text) = self.deallocate(name, gather)
        {
            self.rare.get_mut().deallocating = Some(name.clone());
            let analysis = self.analyse(&text);
            let mut definition = text;
            definition.push(0);
            definition.extend(&parse.definition[parse.text.len() + 1..]);
            if parse.name.is_empty() {
                self.remember_unnamed(&definition, analysis);
                write::parse(gather.put(), b"", &definition);
            } else {
                self.parse_named(parse.name, &definition, &analysis, gather);
            }
            return Ok(());
        }
        let changed = comment.map(|comment| with_comment(&parse, &comment));
        let definition = changed.as_deref().unwrap_or(parse.definition);
        if parse.name.is_empty() {
            self.remember_unnamed(definition, analysis);
            match &changed {
                Some(definition) => write::parse(gather.put(), b"", definition),
                None => gather.keep(frame.at, frame.end()),
            }
        } else if self.renames() {
            self.parse_named(parse.name, definition, &analysis, gather);
        } else if changed.is_some() {
            self.note(&analysis);
            write::parse(gather.put(), parse.name, definition);
            self.owe(entry(Kind::Parse, Reply::Forward, 0, None));
        } else {
            // Names are left alone: the statement stays on this server, and whoever uses it finds
            // out. What its text does is noted now, since Execute does not say.
            self.note(&analysis);
            self.pass(frame, gather, Some(Kind::Parse));
        }
        Ok(())
    }

    /// A statement too long to be kept can only be the unnamed one, used before anybody else gets
    /// this server.
    fn parse_too_long(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) -> Result<(), Stop> {
        if self.renames() && frame.body.first() != Some(&0) {
            return Err(Stop::fatal(
                SqlState::PROGRAM_LIMIT,
                format!(
                    "a named prepared statement of {} bytes is too long to follow the client in {} pooling (limit {}); use the unnamed statement or session pooling",
                    frame.header.body_len,
                    self.mode.as_str(),
                    limits::INSPECT
                ),
                crate::error::Fault::Client,
            ));
        }
        self.flags = self.flags.union(Flags::UNANALYSED);
        let unnamed = Rc::new(Unnamed {
            definition: Box::default(),
            analysis: Arc::new(crate::sql::analyse(b"", LEXING)),
        });
        self.replace_unnamed(Some(unnamed));
        gather.keep(frame.at, frame.end());
        self.rest_follows(frame);
        Ok(())
    }

    fn remember_unnamed(&mut self, definition: &[u8], analysis: Arc<Analysis>) {
        self.replace_unnamed(Some(Rc::new(Unnamed {
            definition: definition.into(),
            analysis,
        })));
    }

    /// The client's Parse replaces its unnamed statement, here and on the server.
    fn replace_unnamed(&mut self, unnamed: Option<Rc<Unnamed>>) {
        let before = std::mem::replace(&mut self.unnamed, unnamed.clone());
        if let Some(lease) = &mut self.lease {
            lease.unnamed = unnamed;
        }
        self.owe(entry(
            Kind::Parse,
            Reply::Forward,
            0,
            Some(Effect::Unnamed(before)),
        ));
    }

    /// Whether only the answers to earlier batches can tell what the name in this message means: one of
    /// them prepares it, unless it fails before.
    #[inline]
    pub(super) fn name_is_in_doubt(&self, frame: Frame<'_>) -> Result<bool, Stop> {
        let lease = (self.lease.as_ref()).filter(|lease| lease.ledger.is_coming_to_rest());
        match lease.filter(|_| self.tracks()) {
            Some(lease) => self.is_in_doubt(&lease.ledger, frame),
            None => Ok(false),
        }
    }

    fn is_in_doubt(&self, ledger: &Ledger<Effect>, frame: Frame<'_>) -> Result<bool, Stop> {
        Ok(match statement_of(frame)? {
            Some(b"") if matches!(frame.header.tag, frontend::BIND | frontend::DESCRIBE) => {
                ledger.is_before_sync(is_unnamed)
            }
            Some(name) => {
                let statements = self.rare.get().map(|rare| &rare.statements);
                let named = statements.and_then(|statements| statements.get(name));
                named.is_some_and(|named| named.pending)
            }
            None => false,
        })
    }

    fn parse_named(
        &mut self,
        name: &[u8],
        definition: &[u8],
        analysis: &Arc<Analysis>,
        gather: &mut Gather<'_>,
    ) {
        self.pool.stats.update(|totals| totals.client_parses += 1);
        let taken = self.named(name).is_some_and(|known| !known.is_refused());
        let limit = self.pool.prepared_memory();
        let interned = self
            .context
            .process
            .statements
            .intern(definition, analysis, limit);
        let statement = match interned {
            Ok(statement) => statement,
            Err(error) => {
                self.refuse(SqlState::OUT_OF_MEMORY, error.to_string(), gather);
                return;
            }
        };
        if taken {
            // PostgreSQL looks at the name last: a text that it cannot parse, or that names what
            // is not there, is told first, and in a failed transaction nothing else is.
            self.ensure(&statement, gather);
            let name = String::from_utf8_lossy(name);
            let text = format!("prepared statement \"{name}\" already exists");
            self.refuse(SqlState(*b"42P05"), text, gather);
            return;
        }
        let named = Named {
            statement: statement.clone(),
            pending: true,
            doubted: false,
        };
        let statements = &mut self.rare.get_mut().statements;
        statements.insert(name.into(), named);
        self.me.prepared.set(statements.len() as u32);
        let Some(lease) = &mut self.lease else { return };
        let id = statement.id;
        if lease.prepared.touch(id) {
            let failed = lease.status == TxStatus::Failed;
            let effect = Effect::Parse {
                sent: None,
                name: Some(name.into()),
            };
            let kind = match failed {
                true => Kind::Parse,
                false => Kind::Synthetic(backend::PARSE_COMPLETE),
            };
            self.owe(entry(kind, Reply::Forward, id, Some(effect)));
            if failed {
                // The server has it, but a failed transaction lets little be prepared: it is asked.
                write::parse(gather.put(), ASKED, definition);
                write::target(gather.put(), frontend::CLOSE, b'S', ASKED);
                self.owe(entry(Kind::Close, Reply::Swallow, 0, None));
            }
        } else {
            self.give_statement(&statement, Some(name.into()), gather);
        }
    }

    /// Answers a Parse of a statement that some server has accepted before: the client needs no
    /// server for that. `false` if it does.
    pub(super) fn parse_without_server(&mut self, frame: Frame<'_>) -> Result<bool, Stop> {
        let parse = read::parse(frame.body)?;
        if parse.name.is_empty() || !self.renames() || self.named(parse.name).is_some() {
            return Ok(false);
        }
        let known = self.context.process.statements.find(parse.definition);
        let Some(statement) = known.filter(|statement| statement.is_accepted()) else {
            return Ok(false);
        };
        if self.would_refuse(parse.text) {
            // A server has to fail for it.
            return Ok(false);
        }
        // Not refused: that was asked above.
        let _ = self.watch_parse(parse.name, parse.text);
        self.pool.stats.update(|totals| totals.client_parses += 1);
        let named = Named {
            statement,
            pending: false,
            doubted: false,
        };
        let statements = &mut self.rare.get_mut().statements;
        statements.insert(parse.name.into(), named);
        self.me.prepared.set(statements.len() as u32);
        write::empty(&mut self.output, backend::PARSE_COMPLETE);
        Ok(true)
    }

    /// Sends a Parse of a shared statement; for the client if `name` is the name it gave it.
    fn give_statement(
        &mut self,
        statement: &Arc<Statement>,
        name: Option<Box<[u8]>>,
        gather: &mut Gather<'_>,
    ) {
        let limit = self.pool.max_prepared() as usize;
        let Some(lease) = &mut self.lease else { return };
        let doubted = lease.prepared.is_doubted(statement.id);
        let evicted = lease.prepared.sent(statement, limit);
        let mut wire = Vec::with_capacity(24);
        push_wire_name(&mut wire, statement.id);
        if doubted {
            // To close what is not there is no error.
            write::target(gather.put(), frontend::CLOSE, b'S', &wire);
            self.owe(entry(Kind::Close, Reply::Swallow, 0, None));
        }
        write::parse(gather.put(), &wire, &statement.definition);
        self.pool.stats.update(|totals| totals.server_parses += 1);
        let reply = match name {
            Some(_) => Reply::Forward,
            None => Reply::Swallow,
        };
        let effect = Effect::Parse {
            sent: Some(statement.id),
            name,
        };
        self.owe(entry(Kind::Parse, reply, statement.id, Some(effect)));
        for evicted in evicted {
            wire.clear();
            push_wire_name(&mut wire, evicted.id);
            write::target(gather.put(), frontend::CLOSE, b'S', &wire);
            let effect = Effect::Evicted(evicted);
            self.owe(entry(Kind::Close, Reply::Swallow, 0, Some(effect)));
        }
    }

    /// Makes sure the server has a statement at this point of the stream.
    fn ensure(&mut self, statement: &Arc<Statement>, gather: &mut Gather<'_>) {
        let there = match &mut self.lease {
            Some(lease) => lease.prepared.touch(statement.id),
            None => return,
        };
        if !there {
            self.give_statement(statement, None, gather);
        }
    }

    /// Closes statements on the server whose plans became useless, so that they are prepared anew.
    #[inline]
    pub(super) fn close_stale(&mut self, gather: &mut Gather<'_>) {
        let Some(lease) = &mut self.lease else { return };
        if lease.stale.is_empty() || !lease.ledger.is_empty() {
            return;
        }
        let mut wire = Vec::with_capacity(24);
        for id in std::mem::take(&mut lease.stale) {
            wire.clear();
            push_wire_name(&mut wire, id);
            write::target(gather.put(), frontend::CLOSE, b'S', &wire);
            if let Some(lease) = &mut self.lease {
                lease.prepared.forget(id);
            }
            self.owe(entry(Kind::Close, Reply::Swallow, 0, None));
        }
    }

    /// The statement that a name of the client means, if it is one that is translated.
    pub(super) fn named(&self, name: &[u8]) -> Option<Arc<Statement>> {
        let named = self.rare.get()?.statements.get(name)?;
        (!named.doubted).then(|| named.statement.clone())
    }

    /// Whether a name that means nothing to us must not reach the server, where it may mean
    /// something to others.
    fn is_foreign(&self, name: &[u8]) -> bool {
        self.renames() && name.starts_with(WIRE_PREFIX)
    }

    fn refuse_unknown(&mut self, name: &[u8], gather: &mut Gather<'_>) {
        let name = String::from_utf8_lossy(name);
        let text = format!("prepared statement \"{name}\" does not exist");
        self.refuse(SqlState::INVALID_STATEMENT_NAME, text, gather);
    }

    /// Makes the server fail at this point of the stream, so that it skips to Sync and aborts its
    /// transaction like after any error, and gives the client `text` for the server's words.
    fn refuse(&mut self, state: SqlState, text: String, gather: &mut Gather<'_>) {
        let hint = String::new();
        self.refuse_with(Refusal { state, text, hint }, gather);
    }

    /// The same with a hint.
    pub(super) fn refuse_with(&mut self, refusal: Refusal, gather: &mut Gather<'_>) {
        write::parse(gather.put(), REFUSED, REFUSING);
        let effect = Effect::FailAs(Box::new(refusal));
        self.owe(entry(Kind::Parse, Reply::Forward, 0, Some(effect)));
    }

    /// An Execute. If a DEALLOCATE has been parsed, it is taken to be this one: whether it is, the
    /// server's words tell.
    pub(super) fn execute(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) {
        self.watch_execute(frame.body);
        gather.keep(frame.at, frame.end());
        self.rest_follows(frame);
        let parsed = self.rare.0.as_mut();
        let name = parsed.and_then(|rare| rare.deallocating.take());
        let effect = name.and_then(|name| self.deallocates(&name, None));
        self.owe(entry(Kind::Execute, Reply::Forward, 0, effect));
    }

    pub(super) fn bind(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) -> Result<Step, Stop> {
        if self.watch.is_some()
            && let Some(names) = read::bind_names(frame.body)
        {
            let whole = frame.body.len() == frame.header.body_len as usize;
            let rest = frame.body.get(names.len..).filter(|_| whole);
            if let Some(refusal) = self.watch_bind(names.portal, names.statement, rest) {
                self.refuse_with(refusal, gather);
                self.body_left = frame.header.body_len - frame.body.len() as u32;
                self.body_forward = false;
                return Ok(Step::Done);
            }
        }
        if !self.tracks() {
            self.pass(frame, gather, Some(Kind::Bind));
            return Ok(Step::Done);
        }
        let Some(names) = read::bind_names(frame.body) else {
            let malformed = |what| FrameError::Malformed {
                tag: frontend::BIND,
                what,
            };
            if frame.body.len() == frame.header.body_len as usize {
                return Err(malformed("no terminator after a name").into());
            }
            if frame.body.len() > limits::NAME {
                return Err(malformed("a name is too long").into());
            }
            return Ok(Step::Incomplete);
        };
        if names.statement.is_empty() {
            self.ensure_unnamed(gather);
            if let Some(unnamed) = self.unnamed.clone() {
                self.note(&unnamed.analysis);
            }
            self.pass(frame, gather, Some(Kind::Bind));
        } else if let Some(statement) = self.named(names.statement) {
            self.pool.stats.update(|totals| totals.binds += 1);
            self.ensure(&statement, gather);
            self.note(&statement.analysis);
            let out = gather.put();
            let start = out.len();
            out.extend([frontend::BIND, 0, 0, 0, 0]);
            out.extend(names.portal);
            out.push(0);
            push_wire_name(out, statement.id);
            out.push(0);
            let rest = frame.header.body_len as usize - names.len;
            let len = (out.len() - start - 1 + rest) as u32;
            out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
            gather.keep(frame.at + Header::LEN + names.len, frame.end());
            self.rest_follows(frame);
            self.owe(entry(Kind::Bind, Reply::Forward, statement.id, None));
        } else if self.is_foreign(names.statement) {
            self.refuse_unknown(names.statement, gather);
            self.body_left = frame.header.body_len - frame.body.len() as u32;
            self.body_forward = false;
        } else {
            self.pass(frame, gather, Some(Kind::Bind));
        }
        Ok(Step::Done)
    }

    /// A message that is about to be sent destroys the unnamed statement. What has to be undone if
    /// the server skips it, if there is one.
    pub(super) fn unnamed_destroyed(&mut self) -> Option<Effect> {
        let mine = self.unnamed.take();
        let there = self.lease.as_mut().and_then(|lease| lease.unnamed.take());
        (mine.is_some() || there.is_some()).then_some(Effect::Unnamed(mine))
    }

    /// Makes sure that the server's unnamed statement is the client's, or that there is none.
    fn ensure_unnamed(&mut self, gather: &mut Gather<'_>) {
        let Some(lease) = &mut self.lease else { return };
        // If the batch that made it there failed before, another client's may be there instead.
        let doubted = lease.ledger.is_before_sync(is_unnamed);
        match (&self.unnamed, &lease.unnamed) {
            (Some(mine), Some(there)) if Rc::ptr_eq(mine, there) && !doubted => {}
            (None, None) if !doubted => {}
            (Some(mine), _) if !mine.definition.is_empty() => {
                let mine = mine.clone();
                write::parse(gather.put(), b"", &mine.definition);
                lease.unnamed = Some(mine.clone());
                let effect = Effect::Unnamed(Some(mine));
                self.owe(entry(Kind::Parse, Reply::Swallow, 0, Some(effect)));
            }
            (mine, _) => {
                let effect = Effect::Unnamed(mine.clone());
                write::target(gather.put(), frontend::CLOSE, b'S', b"");
                lease.unnamed = None;
                self.owe(entry(Kind::Close, Reply::Swallow, 0, Some(effect)));
            }
        }
    }

    pub(super) fn describe(
        &mut self,
        frame: Frame<'_>,
        gather: &mut Gather<'_>,
    ) -> Result<(), Stop> {
        let target = read::target(frontend::DESCRIBE, frame.body)?;
        if target.kind != b'S' {
            self.pass(frame, gather, Some(Kind::DescribePortal));
            return Ok(());
        }
        if !self.tracks() {
            self.pass(frame, gather, Some(Kind::DescribeStatement));
        } else if target.name.is_empty() {
            self.ensure_unnamed(gather);
            self.pass(frame, gather, Some(Kind::DescribeStatement));
        } else if let Some(statement) = self.named(target.name) {
            self.ensure(&statement, gather);
            let mut wire = Vec::with_capacity(24);
            push_wire_name(&mut wire, statement.id);
            write::target(gather.put(), frontend::DESCRIBE, b'S', &wire);
            self.owe(entry(
                Kind::DescribeStatement,
                Reply::Forward,
                statement.id,
                None,
            ));
        } else if self.is_foreign(target.name) {
            self.refuse_unknown(target.name, gather);
        } else {
            self.pass(frame, gather, Some(Kind::DescribeStatement));
        }
        Ok(())
    }

    pub(super) fn close(&mut self, frame: Frame<'_>, gather: &mut Gather<'_>) -> Result<(), Stop> {
        let target = read::target(frontend::CLOSE, frame.body)?;
        if target.kind != b'S' || !self.tracks() {
            self.pass(frame, gather, Some(Kind::Close));
            return Ok(());
        }
        if target.name.is_empty() {
            let effect = self.unnamed_destroyed();
            gather.keep(frame.at, frame.end());
            self.owe(entry(Kind::Close, Reply::Forward, 0, effect));
            return Ok(());
        }
        let statements = self.rare.get().map(|rare| &rare.statements);
        let known = statements.is_some_and(|statements| statements.contains_key(target.name));
        if !known && !self.is_foreign(target.name) {
            self.pass(frame, gather, Some(Kind::Close));
            return Ok(());
        }
        let named = self.forget_name(target.name);
        if named.as_ref().is_some_and(|named| named.pending) {
            self.rare.get_mut().closing += 1;
        }
        let effect = named.map(|named| Effect::Closed {
            name: target.name.into(),
            statement: named.statement,
            pending: named.pending,
        });
        let made_up = Kind::Synthetic(backend::CLOSE_COMPLETE);
        self.owe(entry(made_up, Reply::Forward, 0, effect));
        Ok(())
    }

    /// The client's name means nothing any more.
    pub(super) fn forget_name(&mut self, name: &[u8]) -> Option<Named> {
        self.rare.get()?;
        let in_flight = (self.lease.as_ref()).is_some_and(|lease| !lease.ledger.is_empty());
        let RareState {
            statements, former, ..
        } = self.rare.get_mut();
        let (name, named) = statements.remove_entry(name)?;
        self.me.prepared.set(statements.len() as u32);
        if in_flight {
            former.truncate(MOST_FORMER - 1);
            former.insert(0, (named.statement.id, name));
        }
        Some(named)
    }

    /// The text of a `DEALLOCATE` with the server's name for a statement of the client, which the
    /// server is given if it lacks it. `None` if the name is not one that is translated.
    pub(super) fn deallocate(&mut self, name: &[u8], gather: &mut Gather<'_>) -> Option<Vec<u8>> {
        let statement = self.named(name)?;
        self.ensure(&statement, gather);
        let mut text = b"DEALLOCATE ".to_vec();
        push_wire_name(&mut text, statement.id);
        Some(text)
    }

    /// A DEALLOCATE of the client's `name` is being sent to be carried out.
    /// `and` is what else the request changes.
    pub(super) fn deallocates(&mut self, name: &[u8], and: Option<Effect>) -> Option<Effect> {
        let Some(statement) = self.named(name) else {
            return and;
        };
        if let Some(lease) = &mut self.lease {
            lease.prepared.doubt(statement.id);
            self.rare.get_mut().doubting = true;
        }
        Some(Effect::Deallocates {
            name: name.into(),
            and: and.map(Box::new),
        })
    }

    /// A DEALLOCATE was carried out.
    pub(super) fn deallocated(&mut self) {
        let front = self.lease.as_ref().map(|lease| &lease.ledger);
        if let Some(Effect::Deallocates { name, .. }) =
            front.and_then(|ledger| ledger.front_effect())
        {
            let name = name.clone();
            if let Some(named) = self.forget_name(&name)
                && let Some(lease) = &mut self.lease
            {
                lease.prepared.deallocated(named.statement.id);
            }
        }
    }

    /// DEALLOCATE ALL or DISCARD ALL is about to be sent: what follows in the stream finds nothing
    /// of what was prepared before.
    pub(super) fn doubt_all(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.prepared.doubt_all();
        }
        let rare = self.rare.get_mut();
        rare.doubting = true;
        for named in rare.statements.values_mut() {
            named.doubted = true;
        }
    }

    /// Everything is answered: what a DEALLOCATE ALL has left is there.
    #[inline]
    pub(super) fn trust_all(&mut self) {
        if self.rare.get().is_none_or(|rare| !rare.doubting) {
            return;
        }
        if let Some(lease) = &mut self.lease {
            lease.prepared.trust_all();
        }
        let rare = self.rare.get_mut();
        rare.doubting = false;
        for named in rare.statements.values_mut() {
            named.doubted = false;
        }
    }

    /// DEALLOCATE ALL or DISCARD ALL was carried out: what was prepared before is gone; what was
    /// sent after it is not.
    pub(super) fn deallocated_all(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.prepared.deallocated_all();
        }
        if self.rare.get().is_some() {
            let statements = &mut self.rare.get_mut().statements;
            statements.retain(|_, named| named.pending);
            self.me.prepared.set(statements.len() as u32);
        }
    }

    /// A request was carried out: what it changed in our books stands.
    pub(super) fn confirm(&mut self, effect: Effect) {
        match effect {
            Effect::Parse { sent, name } => {
                if let (Some(id), Some(lease)) = (sent, &mut self.lease) {
                    lease.prepared.confirmed(id);
                }
                if let Some(name) = name
                    && !self.closed_was_prepared(&name)
                    && let Some(named) = self.rare.get_mut().statements.get_mut(&name)
                {
                    named.pending = false;
                }
            }
            Effect::Closed { pending: true, .. } => self.closing_less(),
            _ => {}
        }
    }

    fn closing_less(&mut self) {
        let rare = self.rare.get_mut();
        rare.closing = rare.closing.saturating_sub(1);
    }

    /// A name was prepared. `true` if that is the one that a Close under way has taken out of our books,
    /// not one that was prepared again behind it.
    fn closed_was_prepared(&mut self, name: &[u8]) -> bool {
        let Some(lease) = &mut self.lease else {
            return false;
        };
        if self.rare.get().is_none_or(|rare| rare.closing == 0) {
            return false;
        }
        let pending = lease.ledger.effects_mut().find_map(|effect| match effect {
            Effect::Closed {
                name: closed,
                pending,
                ..
            } if *pending && **closed == *name => Some(pending),
            _ => None,
        });
        let Some(pending) = pending else {
            return false;
        };
        *pending = false;
        self.closing_less();
        true
    }

    /// A request failed or was skipped: what it changed in our books is taken back.
    pub(super) fn undo(&mut self, effect: Effect) {
        match effect {
            Effect::Parse { sent, name } => {
                if let (Some(id), Some(lease)) = (sent, &mut self.lease) {
                    lease.prepared.forget(id);
                }
                if let Some(name) = name {
                    self.forget_name(&name);
                }
            }
            Effect::Closed { pending: true, .. } => self.closing_less(),
            Effect::Closed {
                name,
                statement,
                pending: _,
            } => {
                let named = Named {
                    statement,
                    pending: false,
                    doubted: false,
                };
                let statements = &mut self.rare.get_mut().statements;
                statements.insert(name, named);
                self.me.prepared.set(statements.len() as u32);
            }
            Effect::Evicted(statement) => {
                if let Some(lease) = &mut self.lease {
                    lease.prepared.restore(statement);
                }
            }
            Effect::Unnamed(before) => {
                self.unnamed = before;
                if let Some(lease) = &mut self.lease {
                    // Something is there, but not what the books say: nobody's, until replaced.
                    lease.unnamed = Some(Rc::new(Unnamed {
                        definition: Box::default(),
                        analysis: Arc::new(crate::sql::analyse(b"", LEXING)),
                    }));
                }
            }
            Effect::Deallocates { and, .. } => {
                if let Some(effect) = and {
                    self.undo(*effect);
                }
            }
            Effect::FailAs(_) => {}
        }
    }
}

const LEXING: crate::sql::Lexing = crate::sql::Lexing {
    standard_conforming_strings: true,
    ascii_safe_encoding: true,
};

impl Session {
    /// The client's own words for statement `id`, to put its name where the server said ours.
    pub(super) fn name_of(&self, id: u32) -> Option<&[u8]> {
        let rare = self.rare.get()?;
        let mut named = rare.statements.iter();
        let known = named.find(|(_, named)| named.statement.id == id);
        let former = || rare.former.iter().find(|(former, _)| *former == id);
        known
            .map(|(name, _)| name.as_ref())
            .or_else(|| former().map(|(_, name)| name.as_ref()))
    }
}
