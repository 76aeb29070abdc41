//! Rules about what a statement asks of a shared session.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
