//! The ledger of replies that a server still owes. ◆
//!
//! PostgreSQL answers requests in the order they were sent. Every request that goes to a server,
//! ours or the client's, gets an [`Entry`] here, and every reply is matched with the entry at the
//! front: it is passed on, swallowed (we asked), or, where nothing was sent at all, made up at its
//! turn ([`Kind::Synthetic`]). All transitions are in this file; whoever relays asks
//! [`Ledger::reply`] what to do and never decides by itself.
//!
//! ```text
//!  request sent ──► [Parse][Bind][Execute][Sync] ◄── replies match the front
//!                      │ '1'   │ '2'    │ 'C'   │ 'Z'
//!  error: entries are dropped up to the next Sync; if none was sent yet, `skipping` holds until
//!  it is. Query and FunctionCall stay at the front until their own 'Z'.
//! ```
//!
//! A server may be given to somebody else only when [`Ledger::is_empty`]: nothing is owed and the
//! last batch has had its Sync. Until then PostgreSQL holds a transaction open, even if every reply
//! has come (Flush) and the last ReadyForQuery said idle.
//!
//! Source: PostgreSQL documentation, "Message Flow"; `PostgresMain` for what is skipped and which
//! Sync is ignored during COPY.

use std::collections::VecDeque;

use crate::wire::tag::backend;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Simple Query.
    Query,
    /// FunctionCall.
    Function,
    /// Parse.
    Parse,
    /// Bind.
    Bind,
    /// Describe of a statement: two replies.
    DescribeStatement,
    /// Describe of a portal.
    DescribePortal,
    /// Execute.
    Execute,
    /// Close.
    Close,
    /// Sync.
    Sync,
    /// Marker: the client's COPY data was sent here. No reply.
    CopyData,
    /// Marker: CopyDone or CopyFail was sent here. No reply.
    CopyEnd,
    /// Nothing was sent; the reply with this tag is made up when its turn comes.
    Synthetic(u8),
}

/// What becomes of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is the client's.
    Forward,
    /// We asked; the client must not see it.
    Swallow,
}

/// A request whose reply is owed. `E` is what has to be undone if the server skips the request.
#[derive(Debug)]
pub struct Entry<E> {
    /// What was asked.
    pub kind: Kind,
    /// Whose reply it is.
    pub reply: Reply,
    /// Number of the prepared statement concerned; 0 for none.
    pub statement: u32,
    /// What the request changed in our books when it was sent.
    pub effect: Option<E>,
}

/// What to do with a message of the server.
#[derive(Debug)]
pub enum Verdict<E> {
    /// The message belongs to the entry at the front, which stays there.
    Stay(Reply),
    /// The message completes this entry.
    Done(Entry<E>),
    /// An error: this entry failed and is gone, and what followed it up to Sync went to `dropped`.
    /// The message is the client's unless the entry was a swallowed Query.
    Failed(Entry<E>),
}

/// The server said something that nothing asked for; the connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected {} from the server while it owed {owed}", crate::wire::tag::show(*.tag))]
pub struct OutOfStep {
    /// Message type.
    pub tag: u8,
    /// What it owed.
    pub owed: &'static str,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger<E> {
    queue: VecDeque<Entry<E>>,
    skipping: bool,
    copy_in: bool,
    /// Messages of the extended protocol were sent and no Sync yet.
    open: bool,
    /// Among them one that does more than prepare or describe a statement.
    executes: bool,
}

impl<E> Default for Ledger<E> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            skipping: false,
            copy_in: false,
            open: false,
            executes: false,
        }
    }
}

impl<E> Ledger<E> {
    /// Whether nothing is owed, nothing is being skipped and no batch waits for its Sync.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.skipping && !self.open
    }

    /// Whether every reply has come, no Sync has been sent yet, and all that was asked was to
    /// prepare, describe or close statements: PostgreSQL's transaction is open but has done
    /// nothing, and a Sync of ours would end it unseen.
    pub fn only_prepared(&self) -> bool {
        self.queue.is_empty() && !self.skipping && self.open && !self.executes
    }

    /// Whether every reply has come, whatever may still be skipped or wait for its Sync.
    pub fn owes_nothing(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether replies are owed, and all of them come without anything more being sent.
    pub fn is_coming_to_rest(&self) -> bool {
        !self.queue.is_empty() && !self.open && !self.copy_in
    }

    /// Number of requests and markers in the ledger.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the server ignores everything up to a Sync that has not been sent yet.
    #[inline]
    pub fn skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server takes COPY data.
    pub fn copy_in(&self) -> bool {
        self.copy_in
    }

    /// The entry whose reply comes next.
    pub fn front(&self) -> Option<&Entry<E>> {
        self.queue.front()
    }

    /// What the request whose reply comes next changes in our books.
    pub fn front_effect(&self) -> Option<&E> {
        self.queue.front()?.effect.as_ref()
    }

    /// Whether the last entry that `what` is true for was sent in an earlier batch than what is sent now.
    pub fn is_before_sync(&self, what: impl Fn(&E) -> bool) -> bool {
        let mut synced = false;
        for entry in self.queue.iter().rev() {
            synced |= entry.kind == Kind::Sync;
            if entry.effect.as_ref().is_some_and(&what) {
                return synced;
            }
        }
        false
    }

    /// What the requests that are owed a reply change in our books.
    pub fn effects_mut(&mut self) -> impl Iterator<Item = &mut E> {
        (self.queue.iter_mut()).filter_map(|entry| entry.effect.as_mut())
    }

    /// Whether a message that can come at any time (notice, notification, parameter) is meant for
    /// the client: it is not while the server works on something that we asked.
    #[inline]
    pub fn asynchronous_is_forwarded(&self) -> bool {
        !matches!(self.queue.front(), Some(entry) if entry.reply == Reply::Swallow)
    }

    /// Records a request that was (or is about to be) sent. While the server skips, a request has
    /// no reply and its effect comes straight back, to be undone; Sync ends the skipping.
    #[inline]
    pub fn sent(&mut self, entry: Entry<E>) -> Option<E> {
        if self.skipping {
            if entry.kind != Kind::Sync {
                return entry.effect;
            }
            self.skipping = false;
        }
        match entry.kind {
            Kind::Query | Kind::Function | Kind::Sync => {
                self.open = false;
                self.executes = false;
            }
            Kind::Parse | Kind::DescribeStatement | Kind::Close => self.open = true,
            Kind::CopyData | Kind::CopyEnd | Kind::Synthetic(_) => {}
            _ => {
                self.open = true;
                self.executes = true;
            }
        }
        // A marker is only needed behind a request that may still be reading COPY data; one per
        // run of data is enough.
        if let Kind::CopyData | Kind::CopyEnd = entry.kind {
            match self.queue.back() {
                None => return None,
                Some(last) if last.kind == Kind::CopyData && entry.kind == last.kind => {
                    return None;
                }
                Some(_) => {}
            }
        }
        self.queue.push_back(entry);
        None
    }

    /// Records a request of the client that changes nothing in our books.
    #[inline]
    pub fn forward(&mut self, kind: Kind) {
        self.sent(Entry {
            kind,
            reply: Reply::Forward,
            statement: 0,
            effect: None,
        });
    }

    /// Takes the made-up reply whose turn it is, if the front is one: its tag.
    #[inline]
    pub fn take_synthetic(&mut self) -> Option<Entry<E>> {
        self.skip_markers();
        match self.queue.front()?.kind {
            Kind::Synthetic(_) => self.queue.pop_front(),
            _ => None,
        }
    }

    /// Whether [`Self::take_synthetic`] has anything to do.
    #[inline]
    pub fn synthetic_may_be_next(&self) -> bool {
        matches!(
            self.queue.front().map(|entry| entry.kind),
            Some(Kind::Synthetic(_) | Kind::CopyData | Kind::CopyEnd)
        )
    }

    #[inline]
    fn skip_markers(&mut self) {
        while let Some(Kind::CopyData | Kind::CopyEnd) = self.queue.front().map(|e| e.kind) {
            self.queue.pop_front();
        }
    }

    /// What [`Self::reply`] does, for the many messages that concern nobody's books: whose the message
    /// is. `None`, and nothing has happened, if it has to be asked.
    #[inline]
    pub fn plain_reply(&mut self, tag: u8) -> Option<Reply> {
        let front = self.queue.front()?;
        let reply = front.reply;
        match (front.kind, tag) {
            (
                Kind::Query,
                backend::ROW_DESCRIPTION | backend::DATA_ROW | backend::COMMAND_COMPLETE,
            )
            | (Kind::Execute, backend::DATA_ROW) => return Some(reply),
            (Kind::Query | Kind::Sync, backend::READY_FOR_QUERY)
            | (Kind::Parse, backend::PARSE_COMPLETE)
            | (Kind::Bind, backend::BIND_COMPLETE)
            | (Kind::DescribePortal, backend::ROW_DESCRIPTION | backend::NO_DATA)
            | (Kind::Execute, backend::COMMAND_COMPLETE)
                if !self.copy_in && front.effect.is_none() => {}
            _ => return None,
        }
        self.queue.pop_front();
        self.skip_markers();
        Some(reply)
    }

    /// Matches a message with the entry at the front. Not for NoticeResponse, ParameterStatus and
    /// NotificationResponse, which belong to nothing.
    ///
    /// Effects of entries that the server skipped because of an error are appended to `dropped`,
    /// the latest first, the order in which they must be undone.
    ///
    /// # Errors
    ///
    /// [`OutOfStep`]: close the server.
    #[inline]
    pub fn reply(&mut self, tag: u8, dropped: &mut Vec<E>) -> Result<Verdict<E>, OutOfStep> {
        self.skip_markers();
        let Some(front) = self.queue.front() else {
            return Err(OutOfStep {
                tag,
                owed: "nothing",
            });
        };
        let reply = front.reply;
        match (front.kind, tag) {
            (Kind::Query | Kind::Function | Kind::Sync, backend::READY_FOR_QUERY) => {
                self.copy_in = false;
                Ok(self.done())
            }
            (Kind::Query | Kind::Execute, backend::COPY_IN | backend::COPY_BOTH) => {
                self.copy_in = true;
                Ok(Verdict::Stay(reply))
            }
            (Kind::Query | Kind::Function | Kind::Sync, backend::ERROR) => {
                self.copy_in = false;
                Ok(Verdict::Stay(reply))
            }
            (
                Kind::Query,
                backend::ROW_DESCRIPTION
                | backend::DATA_ROW
                | backend::COMMAND_COMPLETE
                | backend::EMPTY_QUERY
                | backend::COPY_OUT
                | backend::COPY_DATA
                | backend::COPY_DONE,
            )
            | (Kind::Function, backend::FUNCTION_RESULT)
            | (
                Kind::Execute,
                backend::DATA_ROW | backend::COPY_OUT | backend::COPY_DATA | backend::COPY_DONE,
            )
            | (Kind::DescribeStatement, backend::PARAMETER_DESCRIPTION) => Ok(Verdict::Stay(reply)),
            (Kind::Execute, backend::COMMAND_COMPLETE) => {
                if std::mem::take(&mut self.copy_in) {
                    self.drop_syncs_within_copy();
                }
                Ok(self.done())
            }
            (Kind::Execute, backend::EMPTY_QUERY | backend::PORTAL_SUSPENDED)
            | (Kind::Parse, backend::PARSE_COMPLETE)
            | (Kind::Bind, backend::BIND_COMPLETE)
            | (Kind::Close, backend::CLOSE_COMPLETE)
            | (
                Kind::DescribeStatement | Kind::DescribePortal,
                backend::ROW_DESCRIPTION | backend::NO_DATA,
            ) => Ok(self.done()),
            (
                Kind::Parse
                | Kind::Bind
                | Kind::DescribeStatement
                | Kind::DescribePortal
                | Kind::Execute
                | Kind::Close,
                backend::ERROR,
            ) => Ok(self.failed(dropped)),
            (kind, tag) => Err(OutOfStep {
                tag,
                owed: owed(kind),
            }),
        }
    }

    fn done(&mut self) -> Verdict<E> {
        match self.queue.pop_front() {
            Some(entry) => {
                self.skip_markers();
                Verdict::Done(entry)
            }
            None => unreachable!("only called with an entry at the front"),
        }
    }

    /// Everything after the failed entry up to the next Sync is ignored by the server.
    fn failed(&mut self, dropped: &mut Vec<E>) -> Verdict<E> {
        if std::mem::take(&mut self.copy_in) {
            self.drop_syncs_within_copy();
        }
        let Some(entry) = self.queue.pop_front() else {
            unreachable!("only called with an entry at the front")
        };
        let first = dropped.len();
        loop {
            match self.queue.front().map(|entry| entry.kind) {
                Some(Kind::Sync) => break,
                Some(_) => {
                    let skipped = self.queue.pop_front();
                    dropped.extend(skipped.and_then(|entry| entry.effect));
                }
                None => {
                    self.skipping = true;
                    break;
                }
            }
        }
        dropped[first..].reverse();
        Verdict::Failed(entry)
    }

    /// The server read on until the end of the COPY data and ignored every Sync on the way there.
    fn drop_syncs_within_copy(&mut self) {
        let end = self
            .queue
            .iter()
            .position(|entry| entry.kind == Kind::CopyEnd)
            .or_else(|| {
                self.queue
                    .iter()
                    .rposition(|entry| entry.kind == Kind::CopyData)
            });
        let Some(end) = end else { return };
        let mut at = 0;
        self.queue.retain(|entry| {
            let keep = at > end || entry.kind != Kind::Sync;
            at += 1;
            keep
        });
        // What was taken for the end of the batch was not: another Sync has to come.
        self.open = self
            .queue
            .iter()
            .rev()
            .find_map(|entry| match entry.kind {
                Kind::Query | Kind::Function | Kind::Sync => Some(false),
                Kind::CopyData | Kind::CopyEnd | Kind::Synthetic(_) => None,
                _ => Some(true),
            })
            .unwrap_or(true);
    }

    /// Gives memory back that a long pipeline took.
    pub fn shrink(&mut self) {
        if self.queue.capacity() > 256 {
            self.queue.shrink_to(16);
        }
    }
}

fn owed(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "replies to Query",
        Kind::Function => "a function's result",
        Kind::Parse => "ParseComplete",
        Kind::Bind => "BindComplete",
        Kind::DescribeStatement | Kind::DescribePortal => "a description",
        Kind::Execute => "rows",
        Kind::Close => "CloseComplete",
        Kind::Sync => "ReadyForQuery",
        Kind::CopyData | Kind::CopyEnd => "nothing for COPY data",
        Kind::Synthetic(_) => "nothing for what it was not asked",
    }
}

#[cfg(test)]
mod tests;
