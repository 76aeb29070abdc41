//! Rules about schema changes: what they lock, rewrite or break.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
