//! The list of all rules.

use std::sync::LazyLock;

use super::rule::Rule;
use super::rules::{access, catalogue, ddl, filter, result, runtime, security, sequence, types};

static RULES: LazyLock<Vec<&'static Rule>> = LazyLock::new(|| {
    let families = [
        access::RULES,
        catalogue::RULES,
        ddl::RULES,
        filter::RULES,
        result::RULES,
        runtime::RULES,
        security::RULES,
        sequence::RULES,
        types::RULES,
    ];
    let mut rules: Vec<_> = families.into_iter().flatten().copied().collect();
    rules.sort_by_key(|rule| rule.number);
    rules
});

/// Every rule, in the order of their numbers.
#[must_use]
pub fn all() -> &'static [&'static Rule] {
    &RULES
}

/// The rule of this name.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    all().iter().copied().find(|rule| rule.id == id)
}
