//! Runs the rules over a text: the way from bytes to a [`Profile`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use pg_raw_parse::{ConstValue, Node};

use super::hit::{Hit, Span};
use super::profile::{Check, From, Profile, Test};
use super::registry;
use super::rule::{self, Class};
use super::thresholds::Thresholds;
use super::tree::{self, Tree, Wrapper};
use super::{extract, value};

/// Why nothing can be said about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// The parser does not know it; the server may.
    #[error("the parser does not accept it")]
    Syntax,
    /// It is longer or nests deeper than is looked at.
    #[error("it is too large to be analysed")]
    TooLarge,
}

impl Skipped {
    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Skipped::Syntax => "parse_error",
            Skipped::TooLarge => "too_large",
        }
    }
}

/// How a rule's function sees the statement, and tells what it found.
///
/// A rule never reads a literal of the tree by itself but through [`Cx::int`], [`Cx::string`] and
/// their kin, or better through [`Cx::when`]: so it is known what other texts of the same shape
/// have in common with this one.
pub struct Cx<'c, 't> {
    /// The whole text.
    pub text: &'t str,
    /// The statement.
    pub tree: &'c Tree<'t>,
    /// All statements of the text.
    pub all: &'c [Tree<'t>],
    /// Which one this is.
    pub statement: u16,
    /// Places of literals in the text, by their number in the shape.
    literals: &'c [(u32, u32)],
    /// From how much on rules speak.
    pub thresholds: &'c Thresholds,
    profile: &'c mut Profile,
}

impl<'t> Cx<'_, 't> {
    /// Reports a hit.
    pub fn hit(&mut self, mut hit: Hit) {
        hit.statement = self.statement;
        // One rule, one kind, one place: say it once.
        let known = self.profile.hits.iter().any(|h| {
            h.rule == hit.rule && h.kind == hit.kind && h.span == hit.span && h.object == hit.object
        });
        if !known {
            self.profile.hits.push(hit);
        }
    }

    /// Reports `hit` if the value of `node` (a literal or a parameter, perhaps with casts around
    /// it) meets `test`; any other expression is not judged.
    pub fn when(&mut self, node: Node<'_>, test: Test, mut hit: Hit) {
        hit.statement = self.statement;
        let from = match tree::without_casts(node) {
            Node::ParamRef(param) => match u32::try_from(param.number) {
                Ok(number) => From::Param(number),
                Err(_) => return,
            },
            Node::A_Const(literal) => {
                let place = u32::try_from(literal.location).ok().and_then(|at| {
                    (self.literals.iter()).position(|&(start, end)| {
                        // A sign belongs to the number in the tree, but not in the text.
                        start >= at && start <= at + 2 && end > start
                    })
                });
                match place {
                    Some(number) => From::Literal(number as u32),
                    None => {
                        // A keyword (NULL, TRUE) is part of the shape; or no literal was found.
                        self.profile.sensitive = true;
                        if value::constant_meets(literal.val(), test) {
                            self.hit(hit);
                        }
                        return;
                    }
                }
            }
            _ => return,
        };
        self.profile.checks.push(Check { from, test, hit });
    }

    /// Reports `hit` if the longest list of the text meets `test`: how long a list of values is, is
    /// no part of the shape.
    pub fn when_list(&mut self, test: Test, mut hit: Hit) {
        hit.statement = self.statement;
        let from = From::List;
        self.profile.checks.push(Check { from, test, hit });
    }

    /// The constant that `node` is, through casts: `Some(None)` for NULL, which is part of the
    /// shape. Reading any other makes the result hold for this text only.
    pub fn constant<'n>(&mut self, node: Node<'n>) -> Option<Option<ConstValue<'n>>> {
        let found = tree::constant(node)?;
        if !matches!(found, None | Some(ConstValue::Boolean(_))) {
            self.profile.sensitive = true;
        }
        Some(found)
    }

    /// Whether `node` is NULL, through casts.
    pub fn is_null(&self, node: Node<'_>) -> bool {
        matches!(tree::constant(node), Some(None))
    }

    /// Whether `node` is a constant, through casts, whatever its value.
    pub fn is_constant(&self, node: Node<'_>) -> bool {
        tree::constant(node).is_some()
    }

    /// The integer that `node` is.
    pub fn int(&mut self, node: Node<'_>) -> Option<i64> {
        self.constant(node)??.numeric_value()
    }

    /// The string that `node` is.
    pub fn string(&mut self, node: Node<'_>) -> Option<String> {
        match self.constant(node)?? {
            ConstValue::String(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    /// The result holds for this text only: a rule looked at a literal by other means.
    pub fn mark_sensitive(&mut self) {
        self.profile.sensitive = true;
    }

    /// The bytes of an expression: from its first token to the end of its last, with the bracket
    /// that closes a call.
    pub fn span(&self, node: Node<'_>) -> Option<Span> {
        let (start, last) = tree::extent(node)?;
        let end = value::token_end(self.text, last as usize);
        let end = value::closed(self.text, start as usize, end, self.literals) as u32;
        Some(Span { start, end })
    }

    /// The bytes of the token at `location`, which may be -1.
    pub fn token(&self, location: i32) -> Option<Span> {
        let start = u32::try_from(location).ok()?;
        let end = value::token_end(self.text, start as usize) as u32;
        Some(Span { start, end })
    }

    /// An expression as text without its literals, for messages; shortened.
    pub fn show(&self, node: Node<'_>) -> String {
        let Some(span) = self.span(node) else {
            return String::new();
        };
        let (start, end) = (span.start as usize, span.end as usize);
        value::without_literals(self.text, start, end, self.literals)
    }
}

/// What the rules say about a text. `literals` are the places of its literals by their number in
/// the shape, as [`crate::sql::read`] gives them. The numbers in `thresholds` become part of the
/// result: it has to be made anew when they change.
///
/// # Errors
///
/// [`Skipped`]; the text may be perfectly good.
pub fn inspect(
    text: &str,
    literals: &[(u32, u32)],
    thresholds: &Thresholds,
) -> Result<Profile, Skipped> {
    // The parser's accessors panic on strings that are no UTF-8, which escapes can produce; nothing
    // of ours is shared with the closure, so no broken state can leak.
    catch_unwind(AssertUnwindSafe(|| run(text, literals, thresholds)))
        .unwrap_or(Err(Skipped::Syntax))
}

fn run(text: &str, literals: &[(u32, u32)], thresholds: &Thresholds) -> Result<Profile, Skipped> {
    let parsed = pg_raw_parse::parse(text).map_err(|_| Skipped::Syntax)?;
    let trees: Vec<Tree<'_>> = parsed.stmts().map(Tree::new).collect();
    let mut profile = Profile::default();
    for (number, tree) in trees.iter().enumerate() {
        let opaque = matches!(
            tree.statement,
            Node::DoStmt(_) | Node::CallStmt(_) | Node::ExecuteStmt(_)
        );
        profile.opaque += u16::from(opaque);
        let introspection = tree.is_introspection();
        let mut cx = Cx {
            text,
            tree,
            all: &trees,
            statement: u16::try_from(number).unwrap_or(u16::MAX),
            literals,
            thresholds,
            profile: &mut profile,
        };
        for rule in registry::all() {
            let rule::Check::Tree(check) = rule.check else {
                continue;
            };
            if rule.class == Class::Shape {
                let looks = match tree.wrapper {
                    Wrapper::Explain { analyze } => analyze && rule.id == "missing-where",
                    _ => true,
                };
                if introspection || !looks {
                    continue;
                }
            }
            check(&mut cx);
        }
        let facts = extract::facts(tree);
        // The value of a parameter is a literal, and another text of the shape has another one.
        profile.sensitive |= facts.lock_timeout.is_some() || facts.ignore.is_some();
        profile.facts.push(facts);
    }
    if let Some(tree) = trees.first() {
        let mut cx = Cx {
            text,
            tree,
            all: &trees,
            statement: 0,
            literals,
            thresholds,
            profile: &mut profile,
        };
        for rule in registry::all() {
            if let rule::Check::Text(check) = rule.check {
                check(&mut cx);
            }
        }
    }
    Ok(profile)
}
