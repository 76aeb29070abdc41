//! What the rules found out about a text: once per shape, with what is left to look at per text and
//! per execution.

use super::facts::Facts;
use super::hit::Hit;

/// Where a value that decides a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A literal of the text: its number among the `?` of the shape.
    Literal(u32),
    /// A bound parameter: its number, from 1.
    Param(u32),
    /// The length of the longest list in the text: texts of one shape differ in it.
    List,
}

/// What is asked of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// An integer of at least this.
    AtLeast(i64),
    /// Exactly this integer.
    Exactly(i64),
    /// A limit that leaves the choice of rows to chance: above 1 and not Django's 21.
    OpenLimit,
    /// A LIKE pattern that begins with `%` or `_`.
    LeadingWildcard,
    /// A password that is neither empty nor hashed in a known way.
    ClearPassword,
    /// An array of at least so many elements.
    ElementsAtLeast(u32),
    /// A list of at least so many elements, and fewer than the second.
    ListWithin(u32, u32),
}

/// A value to look at, and the hit if the test holds.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which value.
    pub from: From,
    /// What is asked of it.
    pub test: Test,
    /// What is true then.
    pub hit: Hit,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Hits that hold for every text of the shape; if [`Self::sensitive`], for this text only.
    pub hits: Vec<Hit>,
    /// Hits that depend on a value.
    pub checks: Vec<Check>,
    /// Some rule looked at the value of a literal in a way that no check describes: another text of
    /// the shape has to be looked at anew.
    pub sensitive: bool,
    /// What the sequence engine needs, for each statement.
    pub facts: Vec<Facts>,
    /// Statements of which nothing can be said: `DO`, `CALL`, `EXECUTE`.
    pub opaque: u16,
    /// The text was not parsed: nothing is known of it.
    pub unread: bool,
}

impl Profile {
    /// Of a text that was not parsed: one statement of which nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Profile {
            facts: vec![Facts::default()],
            unread: true,
            ..Profile::default()
        }
    }
}
