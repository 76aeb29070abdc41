//! What only the state of a session tells about a statement: which tables its transaction has
//! created, and whether a `lock_timeout` is in force.

use super::extract::is_no_time;
use super::facts::{Command, Facts, LockTimeout};
use super::hit::Hit;
use super::profile::Profile;
use super::rule::Class;
use super::rules::ddl::DDL_WITHOUT_LOCK_TIMEOUT;

/// Tables remembered of a transaction or session; what is beyond is taken for an old one.
const MOST_TABLES: usize = 256;

/// The state of one session.
#[derive(Debug, Default)]
pub struct SessionView {
    /// It came with one: what RESET goes back to.
    initial: bool,
    /// The session has a `lock_timeout`.
    timeout: bool,
    /// It had one when the transaction began: what ROLLBACK goes back to.
    before: bool,
    /// What SET LOCAL made of it.
    local: Option<bool>,
    /// Tables that the transaction has created.
    created: Vec<Box<str>>,
    /// Temporary tables of the session.
    temporary: Vec<Box<str>>,
}

impl SessionView {
    /// A session that begins with this `lock_timeout`, as its client's startup parameters have it
    /// (`options=-c lock_timeout=2s` too); `None` if they do not mention it.
    #[must_use]
    pub fn starting(lock_timeout: Option<&str>) -> Self {
        let on = lock_timeout.is_some_and(|value| !is_no_time(value));
        Self {
            initial: on,
            timeout: on,
            before: on,
            ..Self::default()
        }
    }

    /// Whether [`Self::judge`] has to see it.
    #[must_use]
    pub fn concerns(&self, profile: &Profile) -> bool {
        (profile.hits.iter()).any(|hit| hit.rule.class == Class::Ddl)
            || profile.facts.iter().any(|facts| {
                matches!(facts.command, Command::Commit | Command::Rollback)
                    || facts.resets_session
                    || facts.lock_timeout.is_some()
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
            if !self.local.unwrap_or(self.timeout) {
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
                self.timeout = self.before;
                // Tables of the transaction are gone, temporary ones too.
                let created = std::mem::take(&mut self.created);
                self.temporary.retain(|table| !created.contains(table));
                self.end();
            }
            _ => {}
        }
        match facts.lock_timeout {
            Some(LockTimeout::Session(on)) => (self.timeout, self.local) = (on, None),
            Some(LockTimeout::Local(on)) => self.local = Some(on),
            Some(LockTimeout::Reset) => (self.timeout, self.local) = (self.initial, None),
            None => {}
        }
        if facts.resets_session {
            (self.timeout, self.local) = (self.initial, None);
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
        self.local = None;
        self.before = self.timeout;
    }

    fn knows(&self, name: &str) -> bool {
        (self.created.iter().chain(&self.temporary)).any(|table| **table == *name)
    }
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
            let mut view = SessionView::starting(given);
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
}
