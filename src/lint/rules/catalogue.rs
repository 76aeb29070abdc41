//! Rules about the schema itself, found by asking the catalogue.

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[];
