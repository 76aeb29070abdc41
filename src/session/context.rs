//! What all sessions of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::cancel::CancelKeys;
use crate::derivation::Derivation;
use crate::lint::texts::Texts;
use crate::pool::process::Process;
use crate::pool::registry::Pools;
use crate::server::params::Interner;
use crate::server::statements::Effect;
use crate::session::clients::Clients;
use crate::session::watch::Reports;
use crate::sql;

/// Bytes read from a socket at once.
pub const CHUNK: usize = 64 * 1024;

/// Scratch memory of a worker. It is taken at the start of a poll and given back at its end, so it
/// is never shared across a wait and idle connections hold none.
pub struct Buffers {
    /// What is read.
    pub input: Vec<u8>,
    /// What cannot pass as it came.
    pub built: Vec<u8>,
    /// Effects of requests that a server skipped.
    pub dropped: Vec<Effect>,
    /// The client's socket had nothing left in this poll: its waker is registered.
    pub client_dry: bool,
    /// Number of the server whose socket had nothing left in this poll.
    pub server_dry: u64,
}

impl Buffers {
    fn new() -> Box<Self> {
        Box::new(Self {
            input: vec![0; CHUNK],
            built: Vec::new(),
            dropped: Vec::new(),
            client_dry: false,
            server_dry: 0,
        })
    }
}

/// See the module.
pub struct Context {
    /// Number of the worker.
    pub worker: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Pools of this worker.
    pub pools: Rc<Pools>,
    /// Clients of this worker.
    pub clients: Rc<Clients>,
    /// Keys that clients of the process may cancel with.
    pub cancel_keys: Arc<CancelKeys>,
    /// What texts do.
    pub analyses: RefCell<sql::Cache>,
    /// What sessions tell the rules.
    pub reports: Reports,
    /// Sets of parameters that clients start with.
    pub interner: RefCell<Interner>,
    buffers: Cell<Option<Box<Buffers>>>,
    dice: Cell<u64>,
}

/// Texts whose analysis a worker keeps, and the memory they may take, in bytes.
const ANALYSES: (usize, usize) = (4096, 4 << 20);

/// Bytes that a worker keeps of texts for the rules.
const TEXTS: usize = 4 << 20;

impl Context {
    /// For worker number `worker`.
    pub fn new(
        worker: usize,
        process: Arc<Process>,
        cancel_keys: Arc<CancelKeys>,
        derivation: Arc<Derivation>,
    ) -> Rc<Self> {
        let mut texts = Texts::new(TEXTS, process.hashing.clone());
        let config = process.config.load();
        texts.inline_suppress = config.settings.lint_inline_suppress;
        texts.suppress_security = config.settings.lint_inline_suppress_security;
        texts.judge_by(&process.policy.load().thresholds);
        let reports = Reports::new(
            process.observer.clone(),
            texts,
            config.settings.audit_file.is_some() && config.settings.audit_on_full == "block",
        );
        Rc::new(Self {
            worker,
            pools: Pools::new(process.clone(), derivation),
            process,
            clients: Rc::default(),
            cancel_keys,
            analyses: RefCell::new(sql::Cache::new(ANALYSES.0, ANALYSES.1)),
            reports,
            interner: RefCell::default(),
            buffers: Cell::new(None),
            dice: Cell::new(0x9e37_79b9_7f4a_7c15 ^ worker as u64),
        })
    }

    /// A number by chance, good enough for choosing among equals.
    ///
    /// Source: Marsaglia, "Xorshift RNGs".
    pub fn dice(&self) -> u64 {
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        dice
    }

    /// Takes the scratch memory; a new one if it is in use.
    #[inline]
    pub fn take_buffers(&self) -> Box<Buffers> {
        self.buffers.take().unwrap_or_else(Buffers::new)
    }

    /// Gives it back.
    #[inline]
    pub fn return_buffers(&self, mut buffers: Box<Buffers>) {
        buffers.built.clear();
        buffers.dropped.clear();
        if buffers.built.capacity() > 4 * CHUNK {
            buffers.built.shrink_to(CHUNK);
        }
        if buffers.input.len() > CHUNK {
            buffers.input.truncate(CHUNK);
            buffers.input.shrink_to(CHUNK);
        }
        self.buffers.set(Some(buffers));
    }
}
