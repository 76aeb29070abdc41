//! Rules about attacks and secrets.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
