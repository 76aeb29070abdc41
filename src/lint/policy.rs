//! stub
use super::rule::{Action, Rule};
/// e
#[derive(Debug, Default)]
pub struct Effective {}
impl Effective {
    /// a
    #[must_use]
    pub fn action(&self, _rule: &Rule, _kind: &str) -> Action {
        Action::Log
    }
    /// m
    #[must_use]
    pub fn max(&self) -> Action {
        Action::Log
    }
}
