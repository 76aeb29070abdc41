//! The sequence engine: what can only be seen over several statements.

use super::observe::{Detection, Observation};

/// See the module.
#[derive(Default)]
pub struct Engine {
    armed: std::collections::HashSet<u64>,
}

impl Engine {
    /// Takes one observation; what it proves is appended to `found`.
    pub fn observe(&mut self, _seen: &Observation, _found: &mut Vec<Detection>) {}

    /// Time has passed: what depends on nothing happening is appended to `found`.
    pub fn tick(&mut self, _now_us: u64, _found: &mut Vec<Detection>) {}

    /// Whether result values of statements of this shape are wanted, see
    /// [`super::observe::Execution::result`].
    #[must_use]
    pub fn armed(&self, _shape: u64) -> bool {
        false
    }

    /// Whether the shapes that are armed changed since the last call.
    pub fn armed_changed(&mut self) -> bool {
        false
    }

    /// Shapes that are armed.
    #[must_use]
    pub fn armed_shapes(&self) -> &std::collections::HashSet<u64> {
        &self.armed
    }
}
