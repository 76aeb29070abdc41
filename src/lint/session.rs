//! stub
use super::hit::Hit;
use super::profile::Profile;
/// s
#[derive(Debug, Default)]
pub struct SessionView {}
impl SessionView {
    /// c
    #[must_use]
    pub fn concerns(&self, _p: &Profile) -> bool {
        false
    }
    /// j
    pub fn judge(&mut self, _p: &Profile) -> (Vec<usize>, Vec<Hit>) {
        (Vec::new(), Vec::new())
    }
    /// c
    pub fn committed(&mut self, _in_transaction: bool) {}
}
