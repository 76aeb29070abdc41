//! What the server answers.

use super::reports::Outcome;
use crate::audit::findings::may_tell;
use crate::error::SqlState;
use crate::lint::observe::{Block, Trouble};
use crate::lint::rule::Action;
use crate::route::choice::Reason;
use crate::session::Session;
use crate::session::gather::Gather;
use crate::wire::{TxStatus, read, write};

/// Rules and shapes that a client was told of and that are remembered.
const MOST_NOTICED: usize = 256;

/// Processes of a deadlock that are looked for.
const MOST_PROCESSES: usize = 16;

/// Rows that a command tag tells of: the number at its end.
fn rows(command: &[u8]) -> u64 {
    let mut rows = 0u64;
    let mut unit = 1u64;
    for digit in command.iter().rev().map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 {
            break;
        }
        rows = rows.wrapping_add(u64::from(digit).wrapping_mul(unit));
        unit = unit.wrapping_mul(10);
    }
    rows
}

/// What an error says besides its SQLSTATE, where a rule asks for it. Not by its words, which are in
/// the server's language.
fn trouble(state: &[u8; 5], error: &[u8]) -> Option<Trouble> {
    match state {
        // A line for each process: it is named first, and the one it waits for last.
        b"40P01" => {
            let detail = String::from_utf8_lossy(read::error_field(error, b'D')?).into_owned();
            let mut pids = Vec::new();
            for line in detail.lines().take(MOST_PROCESSES) {
                let mut numbers = (line.split(|c: char| !c.is_ascii_digit()))
                    .filter_map(|digits| digits.parse::<u32>().ok());
                for pid in [numbers.next(), numbers.next_back()].into_iter().flatten() {
                    if !pids.contains(&pid) {
                        pids.push(pid);
                    }
                }
            }
            Some(Trouble::Deadlock(pids.into()))
        }
        b"40001" => {
            let routine = read::error_field(error, b'R')?;
            let recovery = [
                &b"ProcessInterrupts"[..],
                b"ProcessRecoveryConflictInterrupt",
            ];
            (recovery.contains(&routine)).then_some(Trouble::Recovery)
        }
        _ => None,
    }
}

impl Session {
    /// The server completed a command of the client's.
    #[inline]
    pub(in crate::session) fn watch_completed(&mut self, command: &[u8]) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some(front) = watch.sent.next_mut() else {
            return;
        };
        front.rows += rows(command);
        // A simple Query may hold several commands; it is through at its ReadyForQuery.
        if !front.simple {
            watch.sent.complete(now);
        }
    }

    /// A portal gave as many rows as it was asked for, or a text was empty.
    pub(in crate::session) fn watch_suspended(&mut self) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        if let Some(front) = watch.sent.next_mut()
            && !front.simple
        {
            front.rows += u64::from(front.fetch);
            watch.sent.complete(now);
        }
    }

    /// Whether the rows that come are looked at, so that they have to be seen whole.
    #[inline]
    pub(in crate::session) fn captures(&self) -> bool {
        (self.watch.as_ref())
            .and_then(|watch| watch.sent.next()?.capture.as_ref())
            .is_some_and(|capture| capture.wants_more())
    }

    /// A row of the client's of so many bytes. `body` is what is there of it.
    #[inline]
    pub(in crate::session) fn watch_row(&mut self, bytes: usize, body: &[u8]) {
        if let Some(watch) = &mut self.watch
            && let Some(front) = watch.sent.next_mut()
        {
            front.bytes += bytes as u64;
            if let Some(capture) = &mut front.capture
                && capture.wants_more()
            {
                capture.row(body, self.context.reports.texts.borrow().hashing());
            }
        }
    }

    /// The columns of a result of the client's.
    pub(in crate::session) fn watch_described(&mut self, body: &[u8]) {
        let Some(watch) = &mut self.watch else { return };
        let Some(front) = watch.sent.next_mut() else {
            return;
        };
        if let Some(capture) = &mut front.capture {
            capture.described(body);
        }
        front.bound.looked.described(body);
    }

    /// The client's request failed: what it sent before the next Sync is skipped.
    pub(in crate::session) fn watch_failed(&mut self, error: &[u8]) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        let Some(front) = watch.sent.next_mut() else {
            return;
        };
        let state = read::error_field(error, b'C')
            .and_then(|state| state.try_into().ok())
            .unwrap_or(*b"XX000");
        front.error = Some(state);
        front.trouble = trouble(&state, error);
        if front.simple {
            return;
        }
        let batch = front.batch;
        watch.sent.complete(now);
        watch.sent.skip(batch);
    }

    /// The batch is about to be played again: it will be noted anew.
    pub(in crate::session) fn watch_healed(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.sent.clear();
        }
    }

    /// A ReadyForQuery of the client's: hands over what is complete.
    #[inline]
    pub(in crate::session) fn watch_ready(&mut self, status: TxStatus, quiet: bool) {
        let now = self.now();
        let Some(watch) = &mut self.watch else { return };
        if watch.sent.next().is_some_and(|front| front.simple) {
            watch.sent.complete(now);
        }
        if quiet {
            // Whatever is left was skipped.
            watch.sent.forget_rest();
        }
        watch.view.committed(status != TxStatus::Idle);
        if status == TxStatus::Idle {
            // Portals end with the transaction.
            watch.portal = None;
            watch.portals.clear();
        }
        if !watch.sent.has_done() {
            return;
        }
        let block = match status {
            TxStatus::Idle => Block::None,
            TxStatus::InTransaction => Block::Open,
            TxStatus::Failed => Block::Failed,
        };
        // The server is known here only: behind this it may be somebody else's.
        let lease = self.lease.as_ref();
        let backend = lease.map_or(0, |lease| lease.shared.pid);
        let lease = lease.filter(|_| self.context.process.audits);
        let outcome = Outcome {
            conn: self.me.id,
            block,
            backend,
            wait_us: std::mem::take(&mut watch.wait_us),
            server: lease.map(|lease| {
                let reason = self.visit.reason.map_or("", Reason::as_str);
                (lease.shared.name.clone(), reason)
            }),
        };
        let reports = &self.context.reports;
        for done in watch.sent.done() {
            reports.push(reports.of(&watch.subject, done, &outcome));
        }
    }

    /// A request of the client's was refused in the place of a server.
    pub(in crate::session) fn watch_refused(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        // What was refused was never noted; what follows it up to Sync is skipped.
        if let Some(batch) = watch.sent.next().map(|next| next.batch) {
            watch.sent.skip(batch);
        }
    }

    /// Tells the client what the rules say of the request whose reply is about to pass, where it
    /// asked for that: once for each rule and shape. What was found later about statements before it,
    /// as what only several of them show, is told with it.
    pub(in crate::session) fn put_notices(&mut self, gather: &mut Gather<'_>) {
        let Some(watch) = &mut self.watch else { return };
        if watch.effective.max() < Action::Notice {
            return;
        }
        if let Some(inbox) = &watch.inbox {
            for letter in inbox.take() {
                let more = [(b'H', &*letter.hint), (b'R', letter.rule)];
                let state = SqlState(letter.state);
                write::warning_with(gather.put(), state, &letter.message, &more);
            }
        }
        let Some(front) = watch.sent.next() else {
            return;
        };
        let bound = &front.bound;
        let hits = bound.hits.as_deref().unwrap_or(bound.looked.hits());
        for hit in hits {
            let notice = watch.effective.action(hit.rule, hit.kind) == Action::Notice;
            let key = (hit.rule.number, bound.looked.shape);
            if !notice || !may_tell(hit) || watch.noticed.contains(&key) {
                continue;
            }
            if watch.noticed.len() >= MOST_NOTICED {
                watch.noticed.clear();
            }
            watch.noticed.push(key);
            let more = [(b'H', &*hit.suggestion.text), (b'R', hit.rule.id)];
            let state = SqlState(hit.rule.sqlstate());
            write::warning_with(gather.put(), state, &hit.message, &more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn tags_tell_how_many() {
        for (tag, count) in [
            ("SELECT 0", 0),
            ("SELECT 1", 1),
            ("INSERT 0 120", 120),
            ("COPY 18446744073709551615", u64::MAX),
            ("BEGIN", 0),
            ("", 0),
        ] {
            assert_eq!(rows(tag.as_bytes()), count, "{tag}");
        }
        // A server that lies does no harm.
        rows(b"SELECT 99999999999999999999999999999999999999999");
    }
}
