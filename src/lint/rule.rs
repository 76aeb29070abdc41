//! What a rule is.

use super::inspect::Cx;

/// Where a rule gets its facts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The text of one statement.
    Shape,
    /// The order and timing of statements.
    Sequence,
    /// What the server answered.
    Runtime,
    /// The catalogue, looked at through a connection of our own.
    Catalogue,
    /// The text of a schema change, and the state of the session that sends it.
    Ddl,
    /// The text or the connection, judged as an attacker would use it.
    Security,
}

impl Class {
    /// Whether its rules are hit before the statement is sent.
    #[must_use]
    pub const fn is_of_text(self) -> bool {
        matches!(self, Class::Shape | Class::Ddl | Class::Security)
    }

    /// The word in documentation, findings and SHOW.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Shape => "shape",
            Class::Sequence => "sequence",
            Class::Runtime => "runtime",
            Class::Catalogue => "catalogue",
            Class::Ddl => "ddl",
            Class::Security => "security",
        }
    }
}

/// How bad it is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth changing.
    Warn,
    /// Loses data, blocks others or lets somebody in.
    Critical,
}

impl Severity {
    /// The word in findings and SHOW.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Critical => "critical",
        }
    }
}

/// How sure we are that it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Something that the text does not show could excuse it.
    Suspected,
    /// Everything that can be seen says so.
    Likely,
    /// It was observed.
    Confirmed,
}

impl Confidence {
    /// The word in findings and SHOW.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Confidence::Suspected => "suspected",
            Confidence::Likely => "likely",
            Confidence::Confirmed => "confirmed",
        }
    }
}

/// What can be done about it at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforce {
    /// Known from the text: the statement can be refused.
    Block,
    /// Some kinds need the bound values: the statement can be refused at Bind.
    AtBind,
    /// The harm is a duration or a size, which a timeout or limit can cap.
    Guard,
    /// Known only afterwards.
    Observe,
}

impl Enforce {
    /// The word in documentation.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Enforce::Block => "block",
            Enforce::AtBind => "block (some kinds at Bind)",
            Enforce::Guard => "guard",
            Enforce::Observe => "observe",
        }
    }

    /// Whether the action `block` makes sense.
    #[must_use]
    pub const fn may_block(self) -> bool {
        matches!(self, Enforce::Block | Enforce::AtBind)
    }
}

/// What happens when a rule is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Nothing, not even counting.
    Off,
    /// A finding is recorded and logged.
    Log,
    /// Also, the client gets a NoticeResponse.
    Notice,
    /// Also, the server gets the statement with the rule's name in a comment behind it.
    Annotate,
    /// The statement is refused.
    Block,
}

impl Action {
    /// All of them, weakest first.
    pub const ALL: [Action; 5] = [
        Action::Off,
        Action::Log,
        Action::Notice,
        Action::Annotate,
        Action::Block,
    ];

    /// The word in configuration, findings and SHOW.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Off => "off",
            Action::Log => "log",
            Action::Notice => "notice",
            Action::Annotate => "annotate",
            Action::Block => "block",
        }
    }

    /// The action of this name, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Action> {
        Action::ALL
            .into_iter()
            .find(|action| action.as_str().eq_ignore_ascii_case(word))
    }
}

/// A variant of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in findings and configuration.
    pub name: &'static str,
    /// What it is, a few words.
    pub doc: &'static str,
    /// Whether it is on, if that is not as for its rule. One that is off by itself is turned on by
    /// its name only, not by its rule's.
    pub on: Option<bool>,
}

/// A statement that shows a rule, and what to write instead.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// Hits the rule. Checked by a test for rules about one statement.
    pub bad: &'static str,
    /// Does not hit it; empty if the remedy is no statement.
    pub good: &'static str,
}

/// Who finds it.
#[derive(Clone, Copy)]
pub enum Check {
    /// This function, called once for each statement with its tree.
    Tree(fn(&mut Cx<'_, '_>)),
    /// This function, called once for each text that holds several statements or comments.
    Text(fn(&mut Cx<'_, '_>)),
    /// The sequence engine, from what it observes.
    Engine,
    /// The catalogue advisor.
    Catalogue,
}

/// One rule. The statics are made by `rule!`.
pub struct Rule {
    /// Its name: in configuration, findings, comments.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its number, from 1: the last digits of its SQLSTATE.
    pub number: u8,
    /// Where it gets its facts from.
    pub class: Class,
    /// How bad it usually is; a finding may differ.
    pub severity: Severity,
    /// What can be done about it.
    pub enforce: Enforce,
    /// Whether it is on unless configuration says otherwise.
    pub on: bool,
    /// Its variants; empty if it has one only.
    pub kinds: &'static [Kind],
    /// Statements that show it.
    pub examples: &'static [Example],
    /// What to do about it, in one sentence.
    pub remedy: &'static str,
    /// Where to read more.
    pub sources: &'static [&'static str],
    /// Its documentation: the doc comment, a line each.
    pub doc: &'static [&'static str],
    /// Who finds it.
    pub check: Check,
}

impl Rule {
    /// Whether a kind is on or off by itself, whatever its rule is.
    #[must_use]
    pub fn kind_on(&self, kind: &str) -> Option<bool> {
        self.kinds.iter().find(|known| known.name == kind)?.on
    }

    /// Whether a hit of this kind is told if nothing is configured.
    #[must_use]
    pub fn speaks(&self, kind: &str) -> bool {
        self.kind_on(kind).unwrap_or(self.on)
    }

    /// The SQLSTATE of a refusal: `QL` and the rule's number.
    #[must_use]
    pub fn sqlstate(&self) -> [u8; 5] {
        let n = self.number;
        [
            b'Q',
            b'L',
            b'0' + n / 100,
            b'0' + n / 10 % 10,
            b'0' + n % 10,
        ]
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Rule {}

/// Declares a rule. Its doc comment becomes [`Rule::doc`], the text of `pgweir explain` and of
/// docs/rules.md: what it does, why it hurts, and its limits, in paragraphs.
#[macro_export]
macro_rules! rule {
    (
        $(#[doc = $doc:literal])+
        $vis:vis static $name:ident = {
            id: $id:literal,
            title: $title:literal,
            number: $number:literal,
            class: $class:ident,
            severity: $severity:ident,
            enforce: $enforce:ident,
            on: $on:literal,
            $(kinds: [$(($kind:literal, $kind_doc:literal $(, on: $kind_on:literal)?)),* $(,)?],)?
            examples: [$(($bad:literal, $good:literal)),* $(,)?],
            remedy: $remedy:literal,
            sources: [$($source:literal),* $(,)?],
            check: $check:expr $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        $vis static $name: $crate::lint::rule::Rule = $crate::lint::rule::Rule {
            id: $id,
            title: $title,
            number: $number,
            class: $crate::lint::rule::Class::$class,
            severity: $crate::lint::rule::Severity::$severity,
            enforce: $crate::lint::rule::Enforce::$enforce,
            on: $on,
            kinds: &[$($($crate::lint::rule::Kind {
                name: $kind,
                doc: $kind_doc,
                on: $crate::rule!(@on $($kind_on)?),
            }),*)?],
            examples: &[$($crate::lint::rule::Example { bad: $bad, good: $good }),*],
            remedy: $remedy,
            sources: &[$($source),*],
            doc: &[$($doc),+],
            check: $check,
        };
    };
    (@on) => { None };
    (@on $on:literal) => { Some($on) };
}
