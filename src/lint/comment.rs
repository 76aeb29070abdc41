//! What the comments of a text say.

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Comments {}

/// Reads the comments of a text; `None` if it has none.
#[must_use]
pub fn read(_text: &[u8]) -> Option<Box<Comments>> {
    None
}
