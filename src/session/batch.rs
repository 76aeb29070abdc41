//! What a batch of requests is for a cluster, as far as its text tells: whether all of it only reads, and what
//! its client says of where it is to run.

use super::Session;
use super::from_client::Frame;
use super::route::ENDS;
use crate::config::cluster::ClusterPolicy;
use crate::pool::cluster::Cluster;
use crate::route::begin;
use crate::route::choice;
use crate::route::hint::Hint;
use crate::route::topology::end_of_records;
use crate::sql::{Analysis, Flags};
use crate::wire::tag::frontend;
use crate::wire::{Header, read};

/// Messages of one batch that are looked at; a longer one goes to the primary.
const MOST_MESSAGES: u16 = 4096;

/// Requests up to a Sync that only read.
pub(super) struct Batch {
    pub(super) messages: u16,
    /// It begins a transaction that only reads.
    pub(super) transaction: bool,
    /// It begins one plainly, and what follows in it reads.
    pub(super) begun: bool,
    /// Shape of the first statement that reads; 0 for none.
    pub(super) first: u64,
    /// The statement's shape, if there is only one; else 0.
    pub(super) shape: u64,
    pub(super) hint: Hint,
}

impl Session {
    /// What the client wants for this batch: what a comment of its first text says, else its session.
    fn hint(&self, text: &[u8]) -> Hint {
        Hint::of_text(text, self.lexing()).unwrap_or_else(|| self.hint_of_session())
    }

    /// The place in the log that the session wants to see, as somebody told it who wrote there. What
    /// cannot be read is beyond every replica, so that nobody gets less than was asked for.
    pub(super) fn min_lsn(&self) -> Option<u64> {
        let text = (self.vars.get("pgweir.min_lsn")).filter(|text| !text.is_empty())?;
        Some(choice::lsn(text).map_or(u64::MAX, end_of_records))
    }

    pub(super) fn hint_of_session(&self) -> Hint {
        self.vars
            .get("pgweir.route")
            .map(Hint::parse)
            .unwrap_or_default()
    }

    /// Whether a text only begins a transaction, and one that only reads.
    fn begins_reading(&self, known: &Analysis) -> bool {
        let begins =
            known.flags.contains(Flags::BEGIN) && !known.flags.intersects(ENDS.union(Flags::MULTI));
        let by_default = || {
            let default = self.vars.get("default_transaction_read_only");
            default == Some("on") && !known.flags.contains(Flags::BEGINS_WRITING)
        };
        begins && (known.flags.contains(Flags::BEGINS_READING) || by_default())
    }

    /// The batch that begins with `frame`, if it is there completely and only reads.
    pub(super) fn reads_only(
        &self,
        cluster: &Cluster,
        policy: &ClusterPolicy,
        frame: Frame<'_>,
        input: &[u8],
    ) -> Option<Batch> {
        // No replica can do that.
        let isolation = self.vars.get("default_transaction_isolation");
        if isolation.is_some_and(|level| level.eq_ignore_ascii_case("serializable")) {
            return None;
        }
        let (mut shape, mut statements, mut hint) = (0, 0, None);
        let mut transaction = false;
        let (mut begun, mut first) = (false, 0);
        let begins = |text: &[u8]| begin::begins(text).is_some() && self.may_defer(cluster, policy);
        // A transaction that only reads may hold whatever a server lets it, but its end.
        let reads = |known: &Analysis, first: bool, transaction: &mut bool| {
            if *transaction {
                return !known.flags.intersects(ENDS);
            }
            *transaction = first && self.begins_reading(known);
            *transaction || cluster.reads(known)
        };
        let mut rest = input.get(frame.at..)?;
        // The batch's own statements, all of which read: the unnamed one, and those with names.
        let (mut unnamed, mut parsed) = (false, Vec::new());
        for messages in 1..=MOST_MESSAGES {
            let header = Header::parse(rest, u32::MAX - 4).ok()??;
            let body = rest.get(Header::LEN..header.frame_len())?;
            match header.tag {
                frontend::QUERY if messages == 1 => {
                    let text = read::query(body).ok()?;
                    let known = self.analyse(text);
                    return reads(&known, true, &mut transaction).then(|| Batch {
                        messages: 1,
                        transaction,
                        begun: false,
                        first: known.fingerprint,
                        shape: known.fingerprint,
                        hint: self.hint(text),
                    });
                }
                frontend::PARSE => {
                    let parse = read::parse(body).ok()?;
                    // A name that is left alone lives on the server that got it.
                    let lost = !parse.name.is_empty() && !self.renames();
                    if lost {
                        return None;
                    }
                    if messages == 1 && begins(parse.text) {
                        begun = true;
                    } else {
                        let known = self.analyse(parse.text);
                        if !reads(&known, messages == 1, &mut transaction) {
                            return None;
                        }
                        shape = known.fingerprint;
                        first = if first == 0 { shape } else { first };
                    }
                    hint = hint.or_else(|| Hint::of_text(parse.text, self.lexing()));
                    match parse.name {
                        [] => unnamed = true,
                        name => parsed.push(name),
                    }
                }
                frontend::BIND => {
                    let bind = read::bind_names(body)?;
                    let known = match bind.statement {
                        [] if unnamed => None,
                        [] => Some(self.unnamed.as_ref().map(|known| known.analysis.clone())?),
                        name => match self.named(name) {
                            Some(known) => {
                                let text = known.definition.split(|byte| *byte == 0).next();
                                let text = text.unwrap_or_default();
                                hint = hint.or_else(|| Hint::of_text(text, self.lexing()));
                                begun |= messages == 1 && begins(text);
                                Some(known.analysis.clone())
                            }
                            None if parsed.contains(&name) => None,
                            None => return None,
                        },
                    };
                    statements += 1;
                    if let Some(known) = known.filter(|_| !(begun && messages == 1)) {
                        if !reads(&known, messages == 1, &mut transaction) {
                            return None;
                        }
                        shape = known.fingerprint;
                        first = if first == 0 { shape } else { first };
                    }
                }
                // What they mean was looked at when it was prepared, and to describe is to read.
                frontend::DESCRIBE | frontend::EXECUTE => {}
                frontend::SYNC => {
                    // A BEGIN alone goes where it always went.
                    if begun && first == 0 {
                        return None;
                    }
                    let shape = if statements == 1 { shape } else { 0 };
                    return Some(Batch {
                        messages,
                        transaction,
                        begun,
                        first,
                        shape,
                        hint: hint.unwrap_or_else(|| self.hint_of_session()),
                    });
                }
                _ => return None,
            }
            rest = rest.get(header.frame_len()..)?;
        }
        None
    }
}
