//! Rules about the types of columns.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
