//! Rules about the order and timing of statements.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
