//! What happens when a rule is hit: the action for a rule, its kind and a subject.

use super::observe::Subject;
use super::registry;
use super::rule::{Action, Class, Rule};

/// Actions for whoever all of the given names fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this database.
    pub database: Option<Box<str>>,
    /// Only this user.
    pub user: Option<Box<str>>,
    /// Only this `application_name`.
    pub app: Option<Box<str>>,
    /// Rule, kind (empty: all of them), action.
    pub actions: Vec<(&'static Rule, Box<str>, Action)>,
}

impl Scope {
    /// The place in the order of resolution, best first; `None` if it does not fit.
    fn rank(&self, subject: &Subject) -> Option<u8> {
        let fits = |want: &Option<Box<str>>, is: &str| want.as_deref().is_none_or(|w| w == is);
        if !(fits(&self.database, &subject.database)
            && fits(&self.user, &subject.user)
            && fits(&self.app, &subject.app))
        {
            return None;
        }
        Some(match (&self.database, &self.user, &self.app) {
            (Some(_), Some(_), Some(_)) => 0,
            (Some(_), Some(_), None) => 1,
            (Some(_), None, Some(_)) => 2,
            (None, Some(_), _) => 3,
            (None, None, Some(_)) => 4,
            (Some(_), None, None) => 5,
            (None, None, None) => 6,
        })
    }

    fn action(&self, rule: &Rule, kind: &str) -> Option<Action> {
        let find = |kind: &str| {
            let mut all = self.actions.iter();
            all.find(|(r, k, _)| **r == *rule && **k == *kind)
        };
        find(kind)
            .or_else(|| find(""))
            .map(|(_, _, action)| *action)
    }
}

/// All scopes, those of everybody included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Action of rules that nothing names.
    pub default: Action,
    /// Whether comments may silence rules about security too.
    pub suppress_security: bool,
    /// Whether comments may silence rules at all.
    pub suppress: bool,
    /// In any order.
    pub scopes: Vec<Scope>,
}

impl Default for Policy {
    /// Every rule that is on is logged, and comments may silence all but those about security.
    fn default() -> Self {
        Policy {
            default: Action::Log,
            suppress_security: false,
            suppress: true,
            scopes: Vec::new(),
        }
    }
}

/// Compiles the rules that an operator names into a policy; see [`Policy::scopes`].
///
/// # Errors
/// What is wrong with each name, for people.
pub fn compile(named: &[(Action, &[String])]) -> Result<Policy, Vec<String>> {
    let mut actions = Vec::new();
    let mut wrong = Vec::new();
    for (action, names) in named {
        for name in *names {
            let (id, kind) = name.split_once(':').unwrap_or((name, ""));
            let Some(rule) = registry::find(id) else {
                wrong.push(format!(
                    "lint_{}: there is no rule {id:?}; `pgweir explain` lists them",
                    action.as_str()
                ));
                continue;
            };
            if !kind.is_empty() && !rule.kinds.iter().any(|known| known.name == kind) {
                wrong.push(format!(
                    "lint_{}: rule {id} has no kind {kind:?}",
                    action.as_str()
                ));
            } else if *action == Action::Block && !rule.enforce.may_block() {
                wrong.push(format!(
                    "lint_block: rule {id} is known only after the fact; use lint_notice"
                ));
            } else {
                actions.push((rule, kind.into(), *action));
            }
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let everybody = Scope {
        actions,
        ..Scope::default()
    };
    Ok(Policy {
        scopes: vec![everybody],
        ..Policy::default()
    })
}

impl Policy {
    /// Whether a comment in the statement may silence this rule.
    #[must_use]
    pub fn may_suppress(&self, rule: &Rule) -> bool {
        self.suppress && (rule.class != Class::Security || self.suppress_security)
    }

    /// What holds for one subject.
    #[must_use]
    pub fn for_subject(&self, subject: &Subject) -> Effective {
        let mut fitting: Vec<_> = (self.scopes.iter())
            .filter_map(|scope| Some((scope.rank(subject)?, scope)))
            .collect();
        fitting.sort_by_key(|(rank, _)| *rank);
        Effective {
            default: self.default,
            scopes: fitting.into_iter().map(|(_, s)| s.clone()).collect(),
        }
    }
}

/// The actions of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    default: Action,
    scopes: Vec<Scope>,
}

impl Effective {
    /// The action of a rule's kind.
    #[must_use]
    pub fn action(&self, rule: &Rule, kind: &str) -> Action {
        let named = self
            .scopes
            .iter()
            .find_map(|scope| scope.action(rule, kind));
        let action = named.unwrap_or(if rule.on { self.default } else { Action::Off });
        // Whoever compiles the policy refuses this; a default may still ask for it.
        match action {
            Action::Block if !rule.enforce.may_block() => Action::Notice,
            other => other,
        }
    }

    /// No action is stronger than this.
    #[must_use]
    pub fn max(&self) -> Action {
        let named = self.scopes.iter().flat_map(|scope| &scope.actions);
        named
            .map(|(_, _, action)| *action)
            .fold(self.default, Action::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::rules::filter::MISSING_WHERE;

    fn subject(database: &str, user: &str, app: &str) -> Subject {
        Subject {
            database: database.into(),
            user: user.into(),
            app: app.into(),
            client: "".into(),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn named_rules_get_their_action_and_mistakes_are_all_told() {
        let block = names(&["missing-where:delete"]);
        let policy = compile(&[(Action::Block, &block)]).expect("valid");
        let effective = policy.for_subject(&subject("a", "b", "c"));
        assert_eq!(effective.action(&MISSING_WHERE, "delete"), Action::Block);
        assert_eq!(effective.action(&MISSING_WHERE, "update"), Action::Log);
        assert_eq!(effective.max(), Action::Block);
        let wrong = names(&["missing-wear", "missing-where:insert"]);
        let told = compile(&[(Action::Off, &wrong)]).expect_err("two mistakes");
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn the_closest_scope_wins() {
        let scope = |database: Option<&str>, user: Option<&str>, app: Option<&str>, action| Scope {
            database: database.map(Into::into),
            user: user.map(Into::into),
            app: app.map(Into::into),
            actions: vec![(&MISSING_WHERE, "".into(), action)],
        };
        let policy = Policy {
            scopes: vec![
                scope(None, None, None, Action::Off),
                scope(Some("shop"), None, None, Action::Notice),
                scope(Some("shop"), Some("web"), None, Action::Block),
            ],
            ..Policy::default()
        };
        let action = |database, user| {
            let effective = policy.for_subject(&subject(database, user, "till"));
            effective.action(&MISSING_WHERE, "update")
        };
        assert_eq!(action("shop", "web"), Action::Block);
        assert_eq!(action("shop", "batch"), Action::Notice);
        assert_eq!(action("other", "web"), Action::Off);
    }
}
