//! What happens when a server has answered everything it was asked. ◆
//!
//! ```text
//!            request               replies all in, status I
//! Detached ─────────► Attached ───────────────────────────────► decide
//!    ▲                   ▲ status T or E: stay                     │
//!    │                   └──────────── pinned, session mode ◄──────┤
//!    │                                                             │ something in doubt
//!    │                                  Asking (a query of ours) ◄─┤
//!    └───────────────────────────────────────────────── free ◄─────┘
//! ```

use crate::config::PoolMode;
use crate::wire::TxStatus;

/// What is known at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Status of the last ReadyForQuery.
    pub status: TxStatus,
    /// Mode of the pool.
    pub mode: PoolMode,
    /// Whether a pin holds the server.
    pub pinned: bool,
    /// Whether the server has to be asked what the transaction left behind.
    pub doubt: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The client keeps its server.
    Stay,
    /// Ask the server what is left of the transaction.
    Ask,
    /// The server goes back.
    Detach,
    /// Statement mode: transactions of several statements are not allowed; both connections end.
    RefuseTransaction,
}

/// Decides. Source: PgBouncer, `handle_server_work` and `release_server`.
pub fn after_ready(moment: Moment) -> Next {
    match (moment.mode, moment.status) {
        (PoolMode::Session, TxStatus::Idle) if moment.doubt => Next::Ask,
        (PoolMode::Session, _) => Next::Stay,
        (PoolMode::Statement, TxStatus::InTransaction | TxStatus::Failed) => {
            Next::RefuseTransaction
        }
        (PoolMode::Transaction, TxStatus::InTransaction | TxStatus::Failed) => Next::Stay,
        (_, TxStatus::Idle) if moment.doubt => Next::Ask,
        (_, TxStatus::Idle) if moment.pinned => Next::Stay,
        (_, TxStatus::Idle) => Next::Detach,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_given_back_only_when_nothing_holds_it() {
        for mode in [
            PoolMode::Session,
            PoolMode::Transaction,
            PoolMode::Statement,
        ] {
            for status in [TxStatus::Idle, TxStatus::InTransaction, TxStatus::Failed] {
                for (pinned, doubt) in [(false, false), (true, false), (false, true), (true, true)]
                {
                    let next = after_ready(Moment {
                        status,
                        mode,
                        pinned,
                        doubt,
                    });
                    let free =
                        mode != PoolMode::Session && status == TxStatus::Idle && !pinned && !doubt;
                    assert_eq!(
                        next == Next::Detach,
                        free,
                        "{mode:?} {status:?} {pinned} {doubt}"
                    );
                }
            }
        }
    }
}
