//! From the tree of a statement to the [`Facts`] about it.

use super::facts::Facts;
use super::tree::Tree;

/// What the sequence engine needs to know about the statement.
#[must_use]
pub fn facts(tree: &Tree<'_>) -> Facts {
    Facts {
        introspection: tree.is_introspection(),
        ..Facts::default()
    }
}
