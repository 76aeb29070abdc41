//! Statements, decided by their node: utilities are never walked, only the queries in them are.

use super::super::classify::{self, Words};
use super::super::fact::{Flags, Kind, ParamOp};
use super::query::{Constant, constant, names_no_role};
use super::{Facts, Verdict};
use pg_raw_parse::raw::{
    CURSOR_OPT_HOLD, DiscardMode, OnCommitAction, TransactionStmtKind, VariableSetKind,
};
use pg_raw_parse::{Node, nodes};

/// Whether a BEGIN says that its transaction reads only, or that it does not.
fn begins(statement: &nodes::TransactionStmt) -> Flags {
    let mut flags = Flags::NONE;
    for option in statement.options().iter() {
        let Node::DefElem(option) = option else {
            continue;
        };
        // Words of the grammar, not literals of the text: all texts of the shape have them.
        let yes = |node| match node {
            Node::A_Const(word) => {
                (word.val()).is_some_and(|word| word.numeric_value::<i64>() == Some(1))
            }
            _ => false,
        };
        flags |= match option.defname() {
            Some("transaction_read_only") if yes(option.arg()) => Flags::BEGINS_READING,
            Some("transaction_read_only") => Flags::BEGINS_WRITING,
            Some("transaction_isolation") => match constant(option.arg()) {
                Some(Constant::Text(level)) if level.eq_ignore_ascii_case("serializable") => {
                    Flags::BEGINS_WRITING
                }
                _ => Flags::NONE,
            },
            _ => Flags::NONE,
        };
    }
    match flags.contains(Flags::BEGINS_WRITING) {
        true => Flags::BEGINS_WRITING,
        false => flags,
    }
}

/// The server cuts names here, by its own encoding.
const NAME_LIMIT: usize = 63;
/// `EXPLAIN` of `EXPLAIN` and the like; the grammar allows fewer levels than this.
const MAX_INNER: u32 = 8;

impl Facts {
    /// Collects the facts of one statement.
    pub(super) fn statement(&mut self, node: Node<'_>) -> Verdict {
        self.nested(node, 0)
    }

    fn nested(&mut self, node: Node<'_>, level: u32) -> Verdict {
        if level > MAX_INNER {
            self.flags |= Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
            return Verdict::UTILITY;
        }
        match node {
            Node::SelectStmt(_) => return self.dml(node, Kind::Select),
            Node::InsertStmt(_) => return self.dml(node, Kind::Insert),
            Node::UpdateStmt(_) => return self.dml(node, Kind::Update),
            Node::DeleteStmt(_) => return self.dml(node, Kind::Delete),
            Node::MergeStmt(_) => return self.dml(node, Kind::Merge),
            // It asks about the server, as a driver does that wants one it may write to
            // (`SHOW transaction_read_only`); a replica's answer would be about the replica.
            Node::VariableShowStmt(_) => return Verdict::UTILITY,
            Node::ExplainStmt(explain) => {
                let inner = self.nested(explain.query(), level + 1);
                return Verdict {
                    reads: inner.reads,
                    kind: None,
                };
            }
            Node::CopyStmt(copy) => return self.copy(copy),
            Node::TransactionStmt(transaction) => {
                let kind = self.transaction(transaction);
                return Verdict {
                    reads: false,
                    kind: Some(kind),
                };
            }
            Node::VariableSetStmt(set) => self.set(set),
            Node::DiscardStmt(discard) => {
                self.flags |= Flags::RELEASES;
                self.flags |= match discard.target {
                    DiscardMode::DISCARD_ALL => Flags::DISCARD_ALL | Flags::DEALLOCATE_ALL,
                    DiscardMode::DISCARD_TEMP => Flags::DISCARD_TEMP,
                    _ => Flags::NONE,
                };
            }
            Node::DeallocateStmt(deallocate) => {
                self.flags |= Flags::RELEASES;
                match deallocate.name() {
                    Some(name) if name.len() < NAME_LIMIT => {
                        self.deallocate = Some(name.as_bytes().into());
                    }
                    Some(_) => {}
                    None => self.flags |= Flags::DEALLOCATE_ALL,
                }
            }
            Node::PrepareStmt(prepare) => {
                self.flags |= Flags::SQL_PREPARE;
                self.query(prepare.query());
            }
            Node::ExecuteStmt(execute) => {
                self.flags |= Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
                self.each(execute.params().iter());
            }
            Node::CallStmt(call) => {
                self.flags |= Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
                if let Some(call) = call.funccall() {
                    self.each(call.args().iter());
                }
            }
            Node::DoStmt(block) => self.block(block),
            Node::LoadStmt(_) => self.flags |= Flags::LOAD | Flags::SETS_UNKNOWN,
            Node::ListenStmt(_) => self.flags |= Flags::LISTEN,
            Node::UnlistenStmt(_)
            | Node::ClosePortalStmt(_)
            | Node::DropStmt(_)
            | Node::DropOwnedStmt(_) => self.flags |= Flags::RELEASES,
            Node::DeclareCursorStmt(cursor) => {
                if cursor.options & CURSOR_OPT_HOLD as i32 != 0 {
                    self.flags |= Flags::HOLD_CURSOR;
                }
                self.query(cursor.query());
            }
            Node::CreateTableAsStmt(create) => {
                if let Some(into) = create.into() {
                    self.into(into);
                }
                // The query may also be an EXECUTE.
                self.nested(create.query(), level + 1);
            }
            _ => self.definition(node),
        }
        Verdict::UTILITY
    }

    fn dml(&mut self, node: Node<'_>, kind: Kind) -> Verdict {
        let reads = self.query(node);
        Verdict {
            reads,
            kind: Some(kind),
        }
    }

    fn each<'a>(&mut self, nodes: impl Iterator<Item = Node<'a>>) {
        for node in nodes {
            self.query(node);
        }
    }

    fn copy(&mut self, copy: &nodes::CopyStmt) -> Verdict {
        self.flags |= Flags::COPY;
        let mut reads = !copy.is_from && copy.filename().is_none() && !copy.is_program;
        match copy.query() {
            Node::None => {}
            query => reads &= self.query(query),
        }
        self.query(copy.where_clause());
        Verdict { reads, kind: None }
    }

    fn transaction(&mut self, statement: &nodes::TransactionStmt) -> Kind {
        use TransactionStmtKind as T;
        let (flags, kind) = match statement.kind {
            T::TRANS_STMT_BEGIN | T::TRANS_STMT_START => (Flags::BEGIN, Kind::Begin),
            T::TRANS_STMT_COMMIT => (Flags::COMMIT, Kind::Commit),
            T::TRANS_STMT_ROLLBACK => (Flags::ROLLBACK | Flags::RELEASES, Kind::Rollback),
            T::TRANS_STMT_ROLLBACK_TO => (Flags::SAVEPOINT | Flags::RELEASES, Kind::Savepoint),
            T::TRANS_STMT_SAVEPOINT | T::TRANS_STMT_RELEASE => (Flags::SAVEPOINT, Kind::Savepoint),
            T::TRANS_STMT_PREPARE => (Flags::COMMIT, Kind::TwoPhase),
            _ => (Flags::NONE, Kind::TwoPhase),
        };
        self.flags |= flags;
        if kind == Kind::Begin {
            self.flags |= begins(statement);
        }
        if statement.chain {
            self.flags |= Flags::BEGIN;
        }
        kind
    }

    fn set(&mut self, set: &nodes::VariableSetStmt) {
        use VariableSetKind as V;
        if set.kind == V::VAR_RESET_ALL {
            self.flags |= Flags::RESET_ALL | Flags::RELEASES;
            return;
        }
        let name = set.name().unwrap_or_default();
        if set.is_local && set.kind != V::VAR_RESET {
            return;
        }
        match set.kind {
            V::VAR_SET_MULTI => {
                // SET TRANSACTION ends with the transaction; the other form is for the session.
                if name == "SESSION CHARACTERISTICS" {
                    for option in set.args().iter() {
                        if let Node::DefElem(option) = option
                            && let Some(option) = option.defname()
                        {
                            self.param(&format!("default_{option}"), ParamOp::Set, false);
                        }
                    }
                }
            }
            V::VAR_SET_DEFAULT | V::VAR_RESET => self.param(name, ParamOp::Reset, false),
            _ => {
                let mut releases = false;
                for value in set.args().iter() {
                    if let Some(Constant::Text(value)) = constant(value) {
                        releases |= names_no_role(name, &value);
                        if name.eq_ignore_ascii_case("search_path") {
                            self.search_path(&value);
                        }
                    }
                }
                self.param(name, ParamOp::Set, releases);
            }
        }
    }

    fn block(&mut self, block: &nodes::DoStmt) {
        self.flags |= Flags::SETS_UNKNOWN | Flags::CALLS_FUNCTION;
        for option in block.args().iter() {
            if option.defname() == Some("as")
                && let Some(body) = option.arg().as_str()
            {
                self.flags |= classify::program(body.as_bytes());
            }
        }
    }

    /// `CREATE`, `ALTER` and all that is left.
    fn definition(&mut self, node: Node<'_>) {
        match node {
            Node::CreateStmt(create) => {
                if let Some(target) = create.relation() {
                    self.creates(target, create.oncommit);
                }
            }
            Node::ViewStmt(view) => {
                if let Some(target) = view.view() {
                    self.creates(target, OnCommitAction::ONCOMMIT_NOOP);
                }
            }
            Node::CreateSeqStmt(create) => {
                if let Some(target) = create.sequence() {
                    self.creates(target, OnCommitAction::ONCOMMIT_NOOP);
                }
            }
            // Functions, types and the like can be made in the temporary schema too, and
            // expressions in them may run at once (an index, a column's default).
            _ => {
                if self.words.intersects(Words::PG_TEMP) {
                    self.flags |= Flags::TEMP;
                }
            }
        }
        self.flags |= self.words.calls();
    }
}
