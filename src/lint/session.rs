//! What only the state of a session tells about a statement: which tables its transaction has
//! created, whether a `lock_timeout` is in force, and which rules it wants to hear nothing of
//! (`SET lint.ignore = 'select-star'`).

use std::sync::Arc;

use super::comment::Silence;

use super::extract::is_no_time;
use super::facts::{Change, Command, Facts};
use super::hit::Hit;
use super::profile::Profile;
use super::rule::Class;
use super::rules::ddl::DDL_WITHOUT_LOCK_TIMEOUT;

/// Tables remembered of a transaction or session; what is beyond is taken for an old one.
const MOST_TABLES: usize = 256;
/// Rules of one list.
const MOST_IGNORED: usize = 64;

/// What a session may silence by `SET lint.ignore`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silencing {
    /// Nothing: `lint_inline_suppress` is off.
    Nothing,
    /// Rules, those about security excepted.
    #[default]
    Rules,
    /// Those too, where they are named: `lint_inline_suppress_security`.
    Security,
}

/// A parameter of a session, as transactions and SET change it.
#[derive(Clone, Debug, Default)]
struct Setting<T> {
    /// It came with this: what RESET goes back to.
    initial: T,
    /// The session's.
    session: T,
    /// The session's when the transaction began: what ROLLBACK goes back to.
    before: T,
    /// What SET LOCAL made of it.
    local: Option<T>,
}

impl<T: Clone> Setting<T> {
    fn starting(value: T) -> Self {
        Self {
            initial: value.clone(),
            session: value.clone(),
            before: value,
            local: None,
        }
    }

    fn value(&self) -> &T {
        self.local.as_ref().unwrap_or(&self.session)
    }

    fn change(&mut self, change: Change<T>) {
        match change {
            Change::Session(value) => (self.session, self.local) = (value, None),
            Change::Local(value) => self.local = Some(value),
            Change::Reset => (self.session, self.local) = (self.initial.clone(), None),
        }
    }

    fn rolled_back(&mut self) {
        self.session = self.before.clone();
    }

    /// The transaction is over.
    fn end(&mut self) {
        self.local = None;
        self.before = self.session.clone();
    }
}

/// The state of one session.
#[derive(Debug, Default)]
pub struct SessionView {
    /// Whether there is a `lock_timeout`.
    timeout: Setting<bool>,
    /// `lint.ignore`.
    ignore: Setting<Option<Arc<Silence>>>,
    /// What `lint.ignore` may silence.
    may: Silencing,
    /// Tables that the transaction has created.
    created: Vec<Box<str>>,
    /// Temporary tables of the session.
    temporary: Vec<Box<str>>,
}

impl SessionView {
    /// A session that begins with the client's startup parameters (`options=-c lock_timeout=2s` too), as
    /// `param` has them by name.
    #[must_use]
    pub fn starting<'p>(param: impl Fn(&str) -> Option<&'p str>, may: Silencing) -> Self {
        let on = param("lock_timeout").is_some_and(|value| !is_no_time(value));
        let ignore = param("lint.ignore").and_then(|rules| silence(rules, may));
        Self {
            timeout: Setting::starting(on),
            ignore: Setting::starting(ignore),
            may,
            ..Self::default()
        }
    }

    /// The rules that the session wants to hear nothing of.
    #[must_use]
    pub fn silence(&self) -> Option<&Arc<Silence>> {
        self.ignore.value().as_ref()
    }

    /// Whether [`Self::judge`] has to see it.
    #[must_use]
    pub fn concerns(&self, profile: &Profile) -> bool {
        (profile.hits.iter()).any(|hit| hit.rule.class == Class::Ddl)
            || profile.facts.iter().any(|facts| {
                matches!(facts.command, Command::Commit | Command::Rollback)
                    || facts.resets_session
                    || facts.lock_timeout.is_some()
                    || facts.ignore.is_some()
                    || !facts.locks.is_empty()
                    || !facts.creates.is_empty()
            })
    }

    /// The text is about to be executed: which of its hits do not hold, by their index, and which
    /// are new.
    pub fn judge(&mut self, profile: &Profile) -> (Vec<usize>, Vec<Hit>) {
        let (mut dropped, mut added) = (Vec::new(), Vec::new());
        for (number, facts) in profile.facts.iter().enumerate() {
            let own = profile.hits.iter().enumerate().filter(|(_, hit)| {
                hit.rule.class == Class::Ddl
                    && usize::from(hit.statement) == number
                    && hit.object.as_deref().is_some_and(|name| self.knows(name))
            });
            dropped.extend(own.map(|(index, _)| index));
            if !self.timeout.value() {
                for table in facts.locks.iter().filter(|table| !self.knows(table)) {
                    let message = format!(
                        "A change of {table} may queue behind one long query and block all later ones: lock_timeout is not set."
                    );
                    let mut hit =
                        Hit::new(&DDL_WITHOUT_LOCK_TIMEOUT, "", message).object(table.clone());
                    hit.statement = u16::try_from(number).unwrap_or(u16::MAX);
                    added.push(hit);
                }
            }
            self.apply(facts);
        }
        (dropped, added)
    }

    /// The text is about to be executed: takes out of its hits what does not hold in this session,
    /// and adds what only the session shows.
    pub fn revise(&mut self, profile: &Profile, hits: &mut Vec<Hit>) {
        let (dropped, added) = self.judge(profile);
        hits.retain(|hit| !dropped.iter().any(|&at| profile.hits[at] == *hit));
        hits.extend(added);
    }

    /// A ReadyForQuery came.
    pub fn committed(&mut self, in_transaction: bool) {
        if !in_transaction {
            self.end();
        }
    }

    fn apply(&mut self, facts: &Facts) {
        match facts.command {
            Command::Commit => self.end(),
            Command::Rollback => {
                self.timeout.rolled_back();
                self.ignore.rolled_back();
                // Tables of the transaction are gone, temporary ones too.
                let created = std::mem::take(&mut self.created);
                self.temporary.retain(|table| !created.contains(table));
                self.end();
            }
            _ => {}
        }
        if let Some(change) = &facts.lock_timeout {
            self.timeout.change(change.clone());
        }
        if let Some(change) = &facts.ignore {
            self.ignore.change(match change {
                Change::Session(rules) => Change::Session(silence(rules, self.may)),
                Change::Local(rules) => Change::Local(silence(rules, self.may)),
                Change::Reset => Change::Reset,
            });
        }
        if facts.resets_session {
            self.timeout.change(Change::Reset);
            self.ignore.change(Change::Reset);
        }
        for (table, temporary) in &facts.creates {
            if self.created.len() < MOST_TABLES {
                self.created.push(table.clone());
            }
            if *temporary && self.temporary.len() < MOST_TABLES {
                self.temporary.push(table.clone());
            }
        }
    }

    fn end(&mut self) {
        self.created.clear();
        self.timeout.end();
        self.ignore.end();
    }

    fn knows(&self, name: &str) -> bool {
        (self.created.iter().chain(&self.temporary)).any(|table| **table == *name)
    }
}

/// The rules of a list such as `select-star, deep-offset`.
fn silence(rules: &str, may: Silencing) -> Option<Arc<Silence>> {
    let rules: Vec<Box<str>> = (rules.split([',', ' ']))
        .filter(|rule| !rule.is_empty())
        .take(MOST_IGNORED)
        .map(Into::into)
        .collect();
    (may != Silencing::Nothing && !rules.is_empty()).then(|| {
        Arc::new(Silence {
            rules,
            reason: "SET lint.ignore".into(),
            security: may == Silencing::Security,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::inspect::inspect;

    fn added(view: &mut SessionView, text: &str) -> usize {
        let profile = inspect(text, &[], &Default::default()).unwrap();
        view.judge(&profile).1.len()
    }

    #[test]
    fn a_timeout_set_locally_ends_with_the_transaction() {
        let mut view = SessionView::default();
        assert_eq!(added(&mut view, "BEGIN"), 0);
        view.committed(true);
        assert_eq!(added(&mut view, "SET LOCAL lock_timeout = '2s'"), 0);
        assert_eq!(added(&mut view, "ALTER TABLE a DROP COLUMN b"), 0);
        assert_eq!(added(&mut view, "COMMIT"), 0);
        view.committed(false);
        assert_eq!(added(&mut view, "ALTER TABLE a DROP COLUMN b"), 1);
    }

    #[test]
    fn a_timeout_of_the_login_holds_and_is_what_reset_goes_back_to() {
        let change = "ALTER TABLE a DROP COLUMN b";
        for (given, expected) in [(Some("2s"), 0), (Some("0"), 1), (Some("0ms"), 1), (None, 1)] {
            let param = |name: &str| given.filter(|_| name == "lock_timeout");
            let mut view = SessionView::starting(param, Silencing::default());
            assert_eq!(added(&mut view, change), expected, "{given:?}");
            for back in ["RESET lock_timeout", "RESET ALL", "DISCARD ALL"] {
                let other = ["SET lock_timeout = 0", "SET lock_timeout = '1s'"][expected];
                added(&mut view, other);
                assert_eq!(added(&mut view, change), 1 - expected, "{given:?}");
                added(&mut view, back);
                assert_eq!(added(&mut view, change), expected, "{given:?} {back}");
            }
        }
    }

    #[test]
    fn a_rollback_takes_a_set_back() {
        let mut view = SessionView::default();
        added(&mut view, "BEGIN");
        added(&mut view, "SET lock_timeout = '2s'");
        added(&mut view, "ROLLBACK");
        assert_eq!(added(&mut view, "ALTER TABLE a DROP COLUMN b"), 1);
    }

    #[test]
    fn tables_of_the_transaction_are_nobody_elses() {
        let mut view = SessionView::default();
        added(&mut view, "BEGIN");
        added(&mut view, "CREATE TABLE a (id int)");
        let profile = inspect("CREATE INDEX i ON a (id)", &[], &Default::default()).unwrap();
        assert_eq!(view.judge(&profile).0.len(), profile.hits.len());
        view.committed(false);
        assert_eq!(view.judge(&profile).0.len(), 0);
    }

    #[test]
    fn a_session_silences_rules_until_it_takes_that_back() {
        let mut view = SessionView::default();
        let silent = |view: &SessionView, rule: &str| {
            let rule = crate::lint::registry::find(rule).expect("a rule");
            view.silence().is_some_and(|silence| silence.covers(rule))
        };
        let said = |view: &mut SessionView, text: &str| {
            added(view, text);
        };
        said(&mut view, "SET lint.ignore = 'select-star, n-plus-one'");
        view.committed(false);
        assert!(silent(&view, "select-star") && silent(&view, "n-plus-one"));
        assert!(!silent(&view, "deep-offset"));
        said(&mut view, "BEGIN");
        said(&mut view, "SET LOCAL lint.ignore = '*'");
        view.committed(true);
        assert!(silent(&view, "deep-offset") && !silent(&view, "injection-shape"));
        said(&mut view, "COMMIT");
        view.committed(false);
        assert!(silent(&view, "select-star") && !silent(&view, "deep-offset"));
        for back in [
            "RESET lint.ignore",
            "SET lint.ignore TO DEFAULT",
            "DISCARD ALL",
            "SET lint.ignore = ''",
        ] {
            said(
                &mut view,
                "SELECT set_config('lint.ignore', 'select-star', false)",
            );
            assert!(silent(&view, "select-star"), "before {back}");
            said(&mut view, back);
            assert!(!silent(&view, "select-star"), "{back}");
            view.committed(false);
        }
        said(&mut view, "BEGIN");
        said(&mut view, "SET lint.ignore = 'select-star'");
        said(&mut view, "ROLLBACK");
        assert!(!silent(&view, "select-star"), "rolled back");
        let param = |name: &str| (name == "lint.ignore").then_some("injection-shape");
        let of = |may| SessionView::starting(param, may);
        assert!(of(Silencing::Nothing).silence().is_none());
        assert!(!silent(&of(Silencing::Rules), "injection-shape"));
        assert!(silent(&of(Silencing::Security), "injection-shape"));
    }
}
