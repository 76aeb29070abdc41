//! What happens when a rule is hit: the action for a rule, its kind and a subject.

use std::sync::Arc;

use super::observe::Subject;
use super::registry;
use super::rule::{Action, Rule};
use super::sensitive::Sensitive;
use super::thresholds::Thresholds;
use crate::config::{Config, ConfigError, ConfigErrors, RuleAction};

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
        // What nobody asked for by its name stays off.
        let rule_wide = rule.kind_on(kind) != Some(false);
        find(kind)
            .or_else(|| rule_wide.then(|| find(""))?)
            .map(|(_, _, action)| *action)
    }
}

/// All scopes, those of everybody included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Action of rules that nothing names.
    pub default: Action,
    /// From how much on rules speak.
    pub thresholds: Thresholds,
    /// Which columns nobody should collect.
    pub sensitive: Arc<Sensitive>,
    /// In any order.
    pub scopes: Vec<Scope>,
    /// What is hardly ever meant is refused, unless something names its rule: `lint_profile`.
    pub strict: bool,
    /// What cannot be analysed is refused wherever a rule refuses statements: `lint_fail_closed`.
    pub fail_closed: bool,
    /// What SET RULE has changed since the configuration was read, a later change of the same last.
    pub changed: Vec<RuleAction>,
}

/// Changes of SET RULE that are remembered.
const MOST_CHANGED: usize = 1000;

/// Rules and kinds that a strict policy refuses. `injection-shape:tautology` is not among them: a
/// generated condition may look like one.
const STRICT: &[(&str, &[&str])] = &[
    (
        "missing-where",
        &["update", "delete", "update-trivial", "delete-trivial"],
    ),
    ("null-comparison", &["write"]),
    (
        "injection-shape",
        &["union-probe", "stacked", "comment-tail"],
    ),
    ("password-in-ddl", &[]),
    ("dangerous-function", &[]),
    ("insecure-connection", &[]),
];

fn is_strict(rule: &Rule, kind: &str) -> bool {
    (STRICT.iter()).any(|(id, kinds)| *id == rule.id && (kinds.is_empty() || kinds.contains(&kind)))
}

impl Default for Policy {
    /// Every rule that is on is logged.
    fn default() -> Self {
        Policy {
            default: Action::Log,
            thresholds: Thresholds::default(),
            sensitive: Arc::default(),
            scopes: Vec::new(),
            strict: false,
            fail_closed: false,
            changed: Vec::new(),
        }
    }
}

impl Policy {
    /// What a configuration says.
    ///
    /// # Errors
    /// Every name that is none, and every action that a rule cannot have, with its place.
    pub fn of(config: &Config) -> Result<Policy, ConfigErrors> {
        let settings = &config.settings;
        let mut wrong = Vec::new();
        let mut policy = Policy {
            default: Action::Off,
            ..Policy::default()
        };
        let at = |key: &str, message| ConfigError {
            file: (config.path.as_deref())
                .map_or_else(String::new, |path| path.display().to_string()),
            line: 0,
            column: None,
            key: format!("pgweir.{key}"),
            message,
        };
        match Action::parse(&settings.lint_default_action) {
            Some(action) => policy.default = action,
            None => wrong.push(at(
                "lint_default_action",
                no_action(&settings.lint_default_action),
            )),
        }
        match &*settings.lint_profile {
            "default" => {}
            "strict" => policy.strict = true,
            other => wrong.push(at(
                "lint_profile",
                format!("{other:?} is no profile; there are default and strict"),
            )),
        }
        policy.fail_closed = settings.lint_fail_closed;
        policy.thresholds.statement_bytes = settings.lint_max_statement_bytes as usize;
        match Sensitive::parse(settings.lint_sensitive_columns.iter().map(|word| &**word)) {
            Ok(sensitive) => policy.sensitive = Arc::new(sensitive),
            Err(all) => {
                wrong.extend((all.into_iter()).map(|why| at("lint_sensitive_columns", why)));
            }
        }
        for one in &config.lint.numbers {
            if let Err(message) = policy.thresholds.set(&one.rule, &one.name, one.value) {
                wrong.push(ConfigError {
                    message,
                    ..one.place.clone()
                });
            }
        }
        for one in &config.lint.actions {
            if let Err(message) = policy.set(one) {
                wrong.push(ConfigError {
                    message,
                    ..one.place.clone()
                });
            }
        }
        if !wrong.is_empty() {
            return Err(ConfigErrors(wrong));
        }
        match settings.lint {
            true => Ok(policy),
            false => Ok(Policy {
                default: Action::Off,
                ..Policy::default()
            }),
        }
    }

    /// Changes one action, as [`Config::lint`] gives them.
    ///
    /// # Errors
    /// What is wrong with the names, for people; nothing has changed then.
    pub fn set(&mut self, one: &RuleAction) -> Result<(), String> {
        let (rule, action) = judge(&one.rule, &one.kind, &one.action)?;
        let scope = self.scope(&one.database, &one.user, &one.app);
        (scope.actions).retain(|(known, kind, _)| **known != *rule || **kind != *one.kind);
        scope.actions.push((rule, one.kind.as_str().into(), action));
        Ok(())
    }

    /// SET RULE: as [`Self::set`], and remembers it in [`Self::changed`].
    ///
    /// # Errors
    /// As those of [`Self::set`], or too many changes; nothing has changed then.
    pub fn change(&mut self, one: &RuleAction) -> Result<(), String> {
        let of = |one: &RuleAction| {
            let scope = [&one.database, &one.user, &one.app].map(Clone::clone);
            (scope, one.rule.clone(), one.kind.clone())
        };
        let mut changed = self.changed.clone();
        changed.retain(|known| of(known) != of(one));
        if changed.len() >= MOST_CHANGED {
            return Err(format!(
                "SET RULE has changed {MOST_CHANGED} actions since the configuration was read, which is the most; write them into it and RELOAD"
            ));
        }
        self.set(one)?;
        changed.push(one.clone());
        self.changed = changed;
        Ok(())
    }

    /// How many scopes besides that of everybody say something about a rule.
    #[must_use]
    pub fn overrides(&self, rule: &Rule) -> usize {
        (self.scopes.iter())
            .filter(|scope| {
                (&scope.database, &scope.user, &scope.app) != (&None, &None, &None)
                    && scope.actions.iter().any(|(known, _, _)| **known == *rule)
            })
            .count()
    }

    /// The scope of exactly these names; a new one if there is none.
    fn scope(
        &mut self,
        database: &Option<String>,
        user: &Option<String>,
        app: &Option<String>,
    ) -> &mut Scope {
        let boxed = |name: &Option<String>| name.as_deref().map(Box::from);
        let wanted = Scope {
            database: boxed(database),
            user: boxed(user),
            app: boxed(app),
            actions: Vec::new(),
        };
        let same = |scope: &Scope| {
            (&scope.database, &scope.user, &scope.app)
                == (&wanted.database, &wanted.user, &wanted.app)
        };
        let at = self.scopes.iter().position(same).unwrap_or_else(|| {
            self.scopes.push(wanted);
            self.scopes.len() - 1
        });
        &mut self.scopes[at]
    }
}

fn no_action(word: &str) -> String {
    format!("{word:?} is no action; there are off, log, notice, annotate and block")
}

/// The rule and the action of these names.
///
/// # Errors
/// What is wrong with them, for people.
pub fn judge(rule: &str, kind: &str, action: &str) -> Result<(&'static Rule, Action), String> {
    let Some(rule) = registry::find(rule) else {
        return Err(format!(
            "there is no rule {rule:?}; `pgweir explain` lists them"
        ));
    };
    if !kind.is_empty() && !rule.kinds.iter().any(|known| known.name == kind) {
        return Err(format!("rule {} has no kind {kind:?}", rule.id));
    }
    match Action::parse(action) {
        None => Err(no_action(action)),
        Some(Action::Block) if !rule.enforce.may_block() => Err(format!(
            "rule {} is known only after the fact and cannot block; use notice",
            rule.id
        )),
        Some(Action::Annotate) if !rule.class.is_of_text() => Err(format!(
            "rule {} is known only after the fact, when its statement has been sent; use notice",
            rule.id
        )),
        Some(action) => Ok((rule, action)),
    }
}

impl Policy {
    /// What holds for one subject.
    #[must_use]
    pub fn for_subject(&self, subject: &Subject) -> Effective {
        let mut fitting: Vec<_> = (self.scopes.iter())
            .filter_map(|scope| Some((scope.rank(subject)?, scope)))
            .collect();
        fitting.sort_by_key(|(rank, _)| *rank);
        Effective {
            default: self.default,
            strict: self.strict,
            fail_closed: self.fail_closed,
            scopes: fitting.into_iter().map(|(_, s)| s.clone()).collect(),
        }
    }
}

/// The actions of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    default: Action,
    strict: bool,
    fail_closed: bool,
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
        let action = named.unwrap_or(match rule.speaks(kind) {
            true if self.strict && is_strict(rule, kind) => Action::Block,
            true => self.default,
            false => Action::Off,
        });
        // Whoever compiles the policy refuses this; a default may still ask for it.
        match action {
            Action::Block if !rule.enforce.may_block() => Action::Notice,
            Action::Annotate if !rule.class.is_of_text() => Action::Log,
            other => other,
        }
    }

    /// No action is stronger than this.
    #[must_use]
    pub fn max(&self) -> Action {
        let named = self.scopes.iter().flat_map(|scope| &scope.actions);
        let default = match self.strict {
            true => Action::Block,
            false => self.default,
        };
        named
            .map(|(_, _, action)| *action)
            .fold(default, Action::max)
    }

    /// Whether a text that cannot be analysed is refused.
    #[must_use]
    pub fn refuses_unread(&self) -> bool {
        self.fail_closed && self.max() == Action::Block
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
            ..Subject::default()
        }
    }

    fn policy(text: &str) -> Result<Policy, ConfigErrors> {
        Policy::of(&Config::from_toml(text).expect("well-formed"))
    }

    #[test]
    fn named_rules_get_their_action_and_mistakes_are_all_told() {
        let policy = policy("[pgweir]\nlint_block = [\"missing-where:delete\"]").expect("valid");
        let effective = policy.for_subject(&subject("a", "b", "c"));
        assert_eq!(effective.action(&MISSING_WHERE, "delete"), Action::Block);
        assert_eq!(effective.action(&MISSING_WHERE, "update"), Action::Log);
        assert_eq!(effective.max(), Action::Block);
    }

    #[test]
    fn mistakes_are_all_told_with_their_lines() {
        let text = "[pgweir]\nlint_off = \"missing-wear\"\n[lint]\ndefault_action = \"shout\"\n[lint.rules]\nn-plus-one = \"block\"\nmissing-where = { kinds = { insert = \"off\" } }\n";
        let told = policy(text).expect_err("four mistakes").to_string();
        for wanted in [
            "lint_default_action: \"shout\" is no action",
            "config:2: pgweir.lint_off: there is no rule \"missing-wear\"",
            "config:6: lint.rules.n-plus-one: rule n-plus-one is known only after",
            "config:7: lint.rules.missing-where.kinds.insert: rule missing-where has no kind",
        ] {
            assert!(told.contains(wanted), "{wanted} in\n{told}");
        }
    }

    #[test]
    fn a_strict_policy_refuses_what_nothing_names() {
        let effective = |text: &str| {
            let policy = policy(text).expect("valid");
            policy.for_subject(&subject("a", "b", "c"))
        };
        let injection = registry::find("injection-shape").expect("a rule");
        let strict = effective("[lint]\nprofile = \"strict\"");
        assert_eq!(strict.action(&MISSING_WHERE, "delete"), Action::Block);
        let lock = strict.action(&MISSING_WHERE, "select-for-update");
        assert_eq!(lock, Action::Log);
        assert_eq!(strict.action(injection, "stacked"), Action::Block);
        assert_eq!(strict.action(injection, "tautology"), Action::Log);
        assert_eq!(strict.max(), Action::Block);
        assert!(!strict.refuses_unread());
        let named = "[lint]\nprofile = \"strict\"\nnotice = \"missing-where\"\nfail_closed = true";
        let named = effective(named);
        assert_eq!(named.action(&MISSING_WHERE, "delete"), Action::Notice);
        assert!(named.refuses_unread());
        assert!(!effective("[lint]\nfail_closed = true").refuses_unread());
        let told = policy("[lint]\nprofile = \"lax\"").expect_err("no profile");
        assert!(
            told.to_string()
                .contains("lint_profile: \"lax\" is no profile")
        );
        for (id, kinds) in STRICT {
            let rule = registry::find(id).expect("a rule");
            assert!(rule.enforce.may_block(), "{id}");
            for kind in *kinds {
                assert!(
                    rule.kinds.iter().any(|known| known.name == *kind),
                    "{id}:{kind}"
                );
            }
        }
    }

    #[test]
    fn kinds_may_differ_from_their_rule() {
        let union = registry::find("union-without-all").expect("a rule");
        let loops = registry::find("n-plus-one").expect("a rule");
        let action = |text: &str, rule, kind| {
            let effective = policy(text).expect("valid");
            effective
                .for_subject(&subject("a", "b", "c"))
                .action(rule, kind)
        };
        assert_eq!(action("", union, "plain"), Action::Off);
        assert_eq!(action("", union, "disjoint"), Action::Log);
        assert_eq!(action("", loops, "lookup-loop"), Action::Off);
        let noticed = "[lint]\nnotice = \"n-plus-one, union-without-all\"";
        assert_eq!(action(noticed, union, "plain"), Action::Notice);
        assert_eq!(action(noticed, loops, "lookup-loop"), Action::Off);
        let named = "[lint]\nnotice = \"n-plus-one:lookup-loop\"";
        assert_eq!(action(named, loops, "lookup-loop"), Action::Notice);
    }

    #[test]
    fn an_action_can_be_changed_and_a_mistake_changes_nothing() {
        let mut policy = policy("[lint]\nblock = \"missing-where\"").expect("valid");
        let mut one = RuleAction {
            rule: "missing-where".to_owned(),
            action: "notice".to_owned(),
            ..RuleAction::default()
        };
        let action = |policy: &Policy, user| {
            let effective = policy.for_subject(&subject("shop", user, ""));
            effective.action(&MISSING_WHERE, "delete")
        };
        assert_eq!(policy.set(&one), Ok(()));
        assert_eq!(action(&policy, "web"), Action::Notice);
        one.user = Some("web".to_owned());
        one.action = "off".to_owned();
        assert_eq!(policy.set(&one), Ok(()));
        assert_eq!(
            (action(&policy, "web"), action(&policy, "x")),
            (Action::Off, Action::Notice)
        );
        assert_eq!(policy.overrides(&MISSING_WHERE), 1);
        one.action = "shout".to_owned();
        let before = policy.clone();
        assert!(policy.set(&one).is_err() && policy.change(&one).is_err());
        assert_eq!(policy, before);
    }

    #[test]
    fn changes_are_remembered_each_once_and_no_more_than_a_thousand() {
        let mut policy = policy("").expect("valid");
        let one = |app: usize, action: &str| RuleAction {
            rule: "missing-where".to_owned(),
            action: action.to_owned(),
            app: Some(format!("app{app}")),
            ..RuleAction::default()
        };
        assert_eq!(policy.change(&one(1, "off")), Ok(()));
        assert_eq!(policy.change(&one(2, "off")), Ok(()));
        assert_eq!(policy.change(&one(1, "block")), Ok(()));
        assert_eq!(policy.changed, [one(2, "off"), one(1, "block")]);
        let most = (0..MOST_CHANGED + 5).filter(|n| policy.change(&one(*n, "log")).is_ok());
        assert_eq!(most.count(), MOST_CHANGED);
        assert_eq!(policy.changed.len(), MOST_CHANGED);
    }

    #[test]
    fn numbers_of_rules_are_checked() {
        let policy = policy("[lint.rules.n-plus-one]\nmin_children = 8\n").expect("valid");
        assert_eq!(policy.thresholds.children, 8);
        let text = "[lint.rules.n-plus-one]\nmin_kids = 8\nmax_gap_ms = 0\n";
        let told = self::policy(text).expect_err("two mistakes").to_string();
        assert!(
            told.contains("config:2: lint.rules.n-plus-one.min_kids: unknown key; there are"),
            "{told}"
        );
        assert!(
            told.contains("config:3: lint.rules.n-plus-one.max_gap_ms: 0 is not between"),
            "{told}"
        );
    }

    #[test]
    fn nothing_is_done_where_rules_are_off() {
        let policy = policy("[lint]\nenabled = false\n[lint.rules]\nmissing-where = \"block\"\n");
        let effective = policy.expect("valid").for_subject(&subject("a", "b", "c"));
        assert_eq!(effective.max(), Action::Off);
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
