//! Rules about what a statement returns, and in which order.

mod columns;
mod duplicates;
mod existence;
mod order;
mod page;
mod reads;
#[cfg(test)]
mod tests;

pub(in crate::lint) use columns::behind_star;

use crate::lint::rule::Rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &columns::SELECT_STAR,
    &columns::INSERT_WITHOUT_COLUMNS,
    &columns::TOO_MANY_JOINS,
    &page::DEEP_OFFSET,
    &page::NONDETERMINISTIC_ORDER,
    &order::ORDER_BY_RANDOM,
    &existence::COUNT_FOR_EXISTENCE,
    &duplicates::DISTINCT_HIDES_JOIN,
    &duplicates::UNION_WITHOUT_ALL,
];
