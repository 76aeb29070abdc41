//! Queries: `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, and what is inside them.

use super::super::classify::{self, Words};
use super::super::fact::{Flags, ParamOp};
use super::super::functions;
use super::{Facts, is_temporary_schema};
use pg_raw_parse::walk::{Recurse, walk_manual};
use pg_raw_parse::{ConstValue, Node, nodes};

/// Functions of one text that are looked up.
const MOST_FUNCTIONS: usize = 8;

impl Facts {
    /// Collects the facts of a query or an expression and everything below it. Returns true if it
    /// only reads.
    ///
    /// Visits one node at a time and keeps those still to visit in a list: the library's own walk
    /// recurses through C and Rust and would overflow the stack on long chains of operators.
    pub(super) fn query(&mut self, root: Node<'_>) -> bool {
        let mut reads = true;
        let mut waiting = vec![root];
        while let Some(node) = waiting.pop() {
            match node {
                // The walker must not be given an empty list, and these have nothing below them.
                Node::None
                | Node::ColumnRef(_)
                | Node::ParamRef(_)
                | Node::A_Const(_)
                | Node::A_Star(_)
                | Node::String(_)
                | Node::RangeVar(_) => continue,
                Node::NodeList(list) => {
                    waiting.extend(list.iter());
                    continue;
                }
                Node::SelectStmt(select) => reads &= self.select(select),
                Node::InsertStmt(_) | Node::DeleteStmt(_) | Node::MergeStmt(_) => reads = false,
                Node::UpdateStmt(update) => {
                    reads = false;
                    // A rule on this view turns the update into set_config().
                    if let Some(relation) = update.relation()
                        && relation.relname() == Some("pg_settings")
                    {
                        self.flags |= Flags::SETS_UNKNOWN;
                    }
                }
                Node::FuncCall(call) => self.call(call),
                _ => {}
            }
            walk_manual::<()>(node, |child| {
                waiting.push(child);
                Recurse::no()
            });
        }
        reads
    }

    fn select(&mut self, select: &nodes::SelectStmt) -> bool {
        let mut reads = select.locking_clause().is_empty();
        if let Some(into) = select.into_clause() {
            reads = false;
            self.into(into);
        }
        reads
    }

    /// The target of `SELECT INTO` or `CREATE TABLE AS`.
    pub(super) fn into(&mut self, into: &nodes::IntoClause) {
        if let Some(target) = into.rel() {
            self.creates(target, into.on_commit);
        }
    }

    /// Something is created under this name.
    pub(super) fn creates(
        &mut self,
        target: &nodes::RangeVar,
        on_commit: pg_raw_parse::raw::OnCommitAction::Type,
    ) {
        const TEMPORARY: u8 = b't';
        let temporary =
            target.relpersistence as u8 == TEMPORARY || is_temporary_schema(target.schemaname());
        if temporary && on_commit != pg_raw_parse::raw::OnCommitAction::ONCOMMIT_DROP {
            self.flags |= Flags::TEMP;
        }
    }

    fn call(&mut self, call: &nodes::FuncCall) {
        let mut parts = call.funcname().iter().map(|part| part.as_str());
        let (schema, name) = match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None) => (None, name),
            (Some(schema), Some(name), None) => (schema, name),
            _ => (Some(""), None),
        };
        let built_in = matches!(schema, None | Some("pg_catalog"));
        let Some(name) = name.filter(|_| built_in) else {
            self.flags |= Flags::CALLS_FUNCTION | Flags::CALLS_UNKNOWN;
            match (schema, name) {
                (Some(schema), Some(name)) if !schema.is_empty() => {
                    self.unknown(Some(schema), name)
                }
                _ => self.acts = true,
            }
            return;
        };
        if functions::is_read_only(name) {
            return;
        }
        self.flags |= Flags::CALLS_FUNCTION;
        let words = classify::telling_word(name.as_bytes());
        if words.contains(Words::SET_CONFIG) {
            self.acts = true;
            self.set_config(call);
        } else if !words.calls().is_empty() {
            self.acts = true;
            self.flags |= words.calls();
        } else if !functions::leaves_nothing(name) {
            self.flags |= Flags::CALLS_UNKNOWN;
            match schema {
                None => self.unknown(None, name),
                // A built-in that is not known to read.
                Some(_) => self.acts = true,
            }
        } else {
            self.acts = true;
        }
    }

    /// A function is called of which the catalogue may know whether it only reads.
    fn unknown(&mut self, schema: Option<&str>, name: &str) {
        let known: Box<str> = match schema {
            Some(schema) => format!("{schema}.{name}").into(),
            None => name.into(),
        };
        if self.functions.contains(&known) {
            return;
        }
        // Names in other encodings than UTF-8 cannot be looked up.
        let fits = self.functions.len() < MOST_FUNCTIONS && known.is_ascii() && known.len() < 128;
        match fits {
            true => self.functions.push(known),
            false => self.acts = true,
        }
    }

    /// `set_config(name, value, is_local)`.
    fn set_config(&mut self, call: &nodes::FuncCall) {
        let args = call.args();
        let (Some(name), Some(value), Some(local), None) =
            (args.get(0), args.get(1), args.get(2), args.get(3))
        else {
            self.flags |= Flags::SETS_UNKNOWN;
            return;
        };
        let named = [name, value, local]
            .iter()
            .any(|n| matches!(n, Node::NamedArgExpr(_)));
        let Some(Constant::Text(name)) = constant(name).filter(|_| !named && !call.func_variadic)
        else {
            self.flags |= Flags::SETS_UNKNOWN;
            return;
        };
        if is_true(local) {
            return;
        }
        let value = constant(value);
        if name.eq_ignore_ascii_case("search_path") {
            match &value {
                Some(Constant::Text(path)) => self.search_path(path),
                Some(Constant::Null) => {}
                // A path that the text does not show may start with the temporary schema.
                _ => self.flags |= Flags::SETS_UNKNOWN,
            }
        }
        let releases = matches!(&value, Some(Constant::Text(v)) if names_no_role(&name, v));
        self.param(&name, ParamOp::Set, releases);
    }

    /// A new search path: with the temporary schema in it, later `CREATE`s may go there.
    pub(super) fn search_path(&mut self, path: &str) {
        if path.to_ascii_lowercase().contains("pg_temp") {
            self.flags |= Flags::TEMP;
        }
    }
}

/// True if setting `name` to `value` gives the original role back.
pub(super) fn names_no_role(name: &str, value: &str) -> bool {
    name.eq_ignore_ascii_case("role") && value == "none"
}

/// A constant in the text.
pub(super) enum Constant {
    Null,
    Bool(bool),
    Text(String),
    Number,
}

/// The constant that `node` is, through casts.
pub(super) fn constant(node: Node<'_>) -> Option<Constant> {
    match node {
        Node::A_Const(literal) => Some(match literal.val() {
            None => Constant::Null,
            Some(ConstValue::Boolean(b)) => Constant::Bool(b),
            Some(ConstValue::String(s)) => Constant::Text(s.to_owned()),
            Some(_) => Constant::Number,
        }),
        // One level is enough: nobody casts twice, and it keeps this free of recursion.
        Node::TypeCast(cast) => match cast.arg() {
            Node::A_Const(_) => constant(cast.arg()),
            _ => None,
        },
        _ => None,
    }
}

fn is_true(node: Node<'_>) -> bool {
    match constant(node) {
        Some(Constant::Bool(b)) => b,
        Some(Constant::Text(s)) => matches!(s.as_str(), "t" | "true" | "on" | "yes" | "1"),
        _ => false,
    }
}
