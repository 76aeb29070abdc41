//! Prepared statements shared by text and parameter types across clients, and which of them a
//! server knows.

use std::collections::HashMap;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use dashmap::DashMap;

use crate::error::SqlState;
use crate::sql::Analysis;
use crate::wire::read;

/// First bytes of the names under which servers know shared statements. A client's own names with
/// this prefix never reach a server as they are.
pub const WIRE_PREFIX: &[u8] = b"_pgweir_";

/// A statement that some client prepared.
#[derive(Debug)]
pub struct Statement {
    /// Number, unique in the process; never 0.
    pub id: u32,
    /// Text, NUL, number and OIDs of parameter types.
    pub definition: Arc<[u8]>,
    /// What the text does.
    pub analysis: Arc<Analysis>,
    /// Whether some server has accepted it.
    accepted: AtomicBool,
    /// Whether the last server that was given it refused it.
    refused: AtomicBool,
}

impl Statement {
    /// A server refused it (a table is gone, say): it has to be tried again, and a name for it is
    /// free.
    pub fn refuse(&self) {
        self.accepted.store(false, Ordering::Relaxed);
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the last server that was given it refused it.
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether some server has accepted it: then a client that prepares it needs no server.
    pub fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Appends the name under which servers know statement `id`.
pub fn push_wire_name(out: &mut Vec<u8>, id: u32) {
    out.extend(WIRE_PREFIX);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{id:x}");
}

/// The unnamed statement of a client, kept so that another server can be given it too.
#[derive(Debug)]
pub struct Unnamed {
    /// Text, NUL, number and OIDs of parameter types; empty if it was too long to keep.
    pub definition: Box<[u8]>,
    /// What the text does.
    pub analysis: Arc<Analysis>,
}

/// All statements that clients of this process have prepared, each once.
///
/// Looked at when a client sends Parse, never for Bind or Execute.
#[derive(Default)]
pub struct Registry {
    by_definition: DashMap<Arc<[u8]>, Arc<Statement>, foldhash::fast::RandomState>,
    bytes: AtomicU64,
    next: AtomicU32,
}

/// Memory for prepared statements (`prepared_statements_memory`) is used up by clients that are
/// still connected.
#[derive(Debug, thiserror::Error)]
#[error("memory for prepared statements is used up (prepared_statements_memory)")]
pub struct RegistryFull;

/// Bytes a statement costs beside its text.
const OVERHEAD: u64 = 200;

impl Registry {
    /// The shared statement of this definition, if there is one.
    pub fn find(&self, definition: &[u8]) -> Option<Arc<Statement>> {
        self.by_definition
            .get(definition)
            .map(|entry| entry.clone())
    }

    /// The shared statement of this definition. `limit` is in bytes.
    ///
    /// # Errors
    ///
    /// [`RegistryFull`] if statements in use leave no room; those that no client knows any more
    /// are forgotten first.
    pub fn intern(
        &self,
        definition: &[u8],
        analysis: &Arc<Analysis>,
        limit: u64,
    ) -> Result<Arc<Statement>, RegistryFull> {
        if let Some(known) = self.by_definition.get(definition) {
            return Ok(known.clone());
        }
        let cost = definition.len() as u64 + OVERHEAD;
        if self.bytes.load(Ordering::Relaxed) + cost > limit {
            self.sweep();
            if self.bytes.load(Ordering::Relaxed) + cost > limit {
                return Err(RegistryFull);
            }
        }
        let definition: Arc<[u8]> = definition.into();
        let entry = self
            .by_definition
            .entry(definition.clone())
            .or_insert_with(|| {
                self.bytes.fetch_add(cost, Ordering::Relaxed);
                let id = self
                    .next
                    .fetch_add(1, Ordering::Relaxed)
                    .wrapping_add(1)
                    .max(1);
                Arc::new(Statement {
                    id,
                    definition,
                    analysis: analysis.clone(),
                    accepted: AtomicBool::new(false),
                    refused: AtomicBool::new(false),
                })
            });
        Ok(entry.clone())
    }

    fn sweep(&self) {
        self.by_definition.retain(|definition, statement| {
            let keep = Arc::strong_count(statement) > 1;
            if !keep {
                self.bytes
                    .fetch_sub(definition.len() as u64 + OVERHEAD, Ordering::Relaxed);
            }
            keep
        });
    }

    /// Statements known.
    pub fn len(&self) -> usize {
        self.by_definition.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_definition.is_empty()
    }

    /// Bytes they take.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Which shared statements one server has, the least recently used first out.
///
/// A statement is *pending* from Parse to ParseComplete: what follows it in the stream may use it,
/// but DEALLOCATE ALL before it does not forget it, and a failed Parse does. It is *doubted* from
/// the moment DEALLOCATE ALL is sent until the answer: what follows that in the stream cannot use
/// it, but it is still there if DEALLOCATE ALL fails.
#[derive(Debug, Default)]
pub struct Prepared {
    known: HashMap<u32, Slot, foldhash::fast::RandomState>,
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    /// Parse messages that have not been answered.
    pending: u32,
    doubted: bool,
    used: u64,
    statement: Arc<Statement>,
}

impl Prepared {
    /// Whether the server has (or is about to have) this statement; counts as a use.
    #[inline]
    pub fn touch(&mut self, id: u32) -> bool {
        self.clock += 1;
        match self.known.get_mut(&id) {
            Some(slot) if !slot.doubted => {
                slot.used = self.clock;
                true
            }
            _ => false,
        }
    }

    /// DEALLOCATE ALL or DISCARD ALL is being sent.
    pub fn doubt_all(&mut self) {
        self.known.values_mut().for_each(|slot| slot.doubted = true);
    }

    /// DEALLOCATE of this statement is being sent.
    pub fn doubt(&mut self, id: u32) {
        if let Some(slot) = self.known.get_mut(&id) {
            slot.doubted = true;
        }
    }

    /// DEALLOCATE of this statement was carried out; it may have been sent again behind it.
    pub fn deallocated(&mut self, id: u32) {
        if self.is_doubted(id) {
            self.known.remove(&id);
        }
    }

    /// Whether the server may or may not have this statement.
    pub fn is_doubted(&self, id: u32) -> bool {
        self.known.get(&id).is_some_and(|slot| slot.doubted)
    }

    /// Everything is answered: what is still known is there.
    pub fn trust_all(&mut self) {
        self.known
            .values_mut()
            .for_each(|slot| slot.doubted = false);
    }

    /// A Parse of it is being sent. What must be closed to come back under `limit` is given; what
    /// has not been answered yet stays, so a long batch may exceed the limit until the next Parse.
    pub fn sent(&mut self, statement: &Arc<Statement>, limit: usize) -> Vec<Arc<Statement>> {
        let before = self.known.remove(&statement.id);
        let mut evicted = Vec::new();
        while self.known.len() >= limit.max(1) {
            let oldest = self
                .known
                .iter()
                .filter(|(_, slot)| slot.pending == 0)
                .min_by_key(|(_, slot)| slot.used)
                .map(|(&id, _)| id);
            let Some(slot) = oldest.and_then(|id| self.known.remove(&id)) else {
                break;
            };
            evicted.push(slot.statement);
        }
        self.clock += 1;
        let slot = Slot {
            pending: before.map_or(0, |slot| slot.pending) + 1,
            doubted: false,
            used: self.clock,
            statement: statement.clone(),
        };
        self.known.insert(statement.id, slot);
        evicted
    }

    /// ParseComplete came.
    #[inline]
    pub fn confirmed(&mut self, id: u32) {
        if let Some(slot) = self.known.get_mut(&id) {
            slot.pending = slot.pending.saturating_sub(1);
            slot.statement.accepted.store(true, Ordering::Relaxed);
            slot.statement.refused.store(false, Ordering::Relaxed);
        }
    }

    /// The Parse failed or was skipped, or the statement was closed.
    pub fn forget(&mut self, id: u32) {
        self.known.remove(&id);
    }

    /// The server refused the statement it was given.
    pub fn refused(&self, id: u32) {
        if let Some(slot) = self.known.get(&id) {
            slot.statement.refuse();
        }
    }

    /// A Close was skipped: the statement is still there.
    pub fn restore(&mut self, statement: Arc<Statement>) {
        let slot = Slot {
            pending: 0,
            doubted: false,
            used: self.clock,
            statement,
        };
        self.known.entry(slot.statement.id).or_insert(slot);
    }

    /// DEALLOCATE ALL or DISCARD ALL was carried out.
    pub fn deallocated_all(&mut self) {
        self.known.retain(|_, slot| slot.pending > 0);
    }

    /// Number of statements.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// What a request changed in our books when it was sent; see [`super::inflight`].
#[derive(Debug)]
pub enum Effect {
    /// A Parse of a shared statement; `name` is the client's if the client sent it.
    Parse {
        /// Number of the statement if the server is being given it now.
        sent: Option<u32>,
        /// Name that the client's Parse took.
        name: Option<Box<[u8]>>,
    },
    /// The client closed a name.
    Closed {
        /// The name.
        name: Box<[u8]>,
        /// What it meant.
        statement: Arc<Statement>,
        /// Its Parse has not been answered: if the Close is skipped, nobody knows whether it means it.
        pending: bool,
    },
    /// We closed a statement on the server to make room.
    Evicted(Arc<Statement>),
    /// The client's unnamed statement was replaced; this is what it was.
    Unnamed(Option<Rc<Unnamed>>),
    /// A DEALLOCATE of a client's name, which nobody counts on before the server says it is done.
    Deallocates {
        /// The name.
        name: Box<[u8]>,
        /// What else the request changed.
        and: Option<Box<Effect>>,
    },
    /// The request is there to fail: its error is replaced by this one.
    FailAs(Box<Refusal>),
}

/// An error of ours that must happen at its place in the stream and abort the server's
/// transaction like one of the server's.
#[derive(Debug)]
pub struct Refusal {
    /// SQLSTATE.
    pub state: SqlState,
    /// Text.
    pub text: String,
    /// What to do about it; empty for nothing.
    pub hint: String,
}

impl Refusal {
    /// Whether the server's own error is what PostgreSQL would say here too: that the transaction
    /// has failed. It looks for a statement's name before that.
    pub fn yields_to(&self, error: &[u8]) -> bool {
        self.state != SqlState::INVALID_STATEMENT_NAME
            && read::error_field(error, b'C') == Some(b"25P02")
    }
}
