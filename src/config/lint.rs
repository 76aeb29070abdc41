//! What is to be done about rules: `[lint.rules.ID]`, `[[lint.override]]`, and the keys `lint_off`,
//! `lint_notice`, `lint_annotate` and `lint_block`.
//!
//! ```toml
//! [lint]
//! default_action = "log"
//!
//! [lint.rules.missing-where]
//! action = "block"
//! kinds = { select-for-update = "log" }
//!
//! [[lint.override]]
//! database = "shop"
//! user = "migrator"
//! rules = { breaking-ddl = "log", "ddl-without-lock-timeout" = "block" }
//! ```
//!
//! Which rules there are is nothing that this layer knows: names are kept with their places and
//! judged by whoever knows the rules.

use std::path::PathBuf;
use std::time::Duration;

use super::document::{Document, Place, Raw, Section};
use super::errors::ConfigError;
use super::units;

/// One rule's action for whoever all of the given names fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleAction {
    /// Only this database.
    pub database: Option<String>,
    /// Only this user.
    pub user: Option<String>,
    /// Only this `application_name`.
    pub app: Option<String>,
    /// The rule.
    pub rule: String,
    /// Its kind; empty for all.
    pub kind: String,
    /// The action's word.
    pub action: String,
    /// Where that is written, with an empty message.
    pub place: ConfigError,
}

/// A number of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleNumber {
    /// The rule.
    pub rule: String,
    /// What number.
    pub name: String,
    /// Its value.
    pub value: i64,
    /// Where that is written, with an empty message.
    pub place: ConfigError,
}

/// One profile of the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirewallSettings {
    /// Its name on the console and in findings.
    pub name: String,
    /// Only this database.
    pub database: Option<String>,
    /// Only this user.
    pub user: Option<String>,
    /// Only clients from there.
    pub network: Option<String>,
    /// What it does.
    pub mode: String,
    /// How long it learns; zero: until the mode is changed.
    pub learn_for: Duration,
    /// Where its list is kept; none: nowhere.
    pub file: Option<PathBuf>,
    /// Where that is written, with an empty message.
    pub place: ConfigError,
}

/// Everything that is said about single rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSettings {
    /// What is done.
    pub actions: Vec<RuleAction>,
    /// From how much on.
    pub numbers: Vec<RuleNumber>,
    /// The firewall's profiles.
    pub firewall: Vec<FirewallSettings>,
}

/// Places do not count: a file whose lines moved says the same.
impl RuleAction {
    /// What it says, without where.
    fn meaning(&self) -> [Option<&str>; 6] {
        [
            self.database.as_deref(),
            self.user.as_deref(),
            self.app.as_deref(),
            Some(&self.rule),
            Some(&self.kind),
            Some(&self.action),
        ]
    }
}

impl RuleSettings {
    /// Whether both say the same, wherever it is written.
    pub fn same(&self, other: &Self) -> bool {
        let number = |one: &RuleNumber| (one.rule.clone(), one.name.clone(), one.value);
        let wall = |one: &FirewallSettings| FirewallSettings {
            place: ConfigError::default(),
            ..one.clone()
        };
        (self.firewall.iter().map(wall)).eq(other.firewall.iter().map(wall))
            && (self.actions.iter().map(RuleAction::meaning))
                .eq(other.actions.iter().map(RuleAction::meaning))
            && (self.numbers.iter().map(number)).eq(other.numbers.iter().map(number))
    }
}

/// The keys of `[lint]` that are other names for keys of `[pgweir]`.
pub(super) fn alias(key: &str) -> String {
    match key {
        "enabled" => "lint".into(),
        _ => format!("lint_{key}"),
    }
}

/// Reads everything that names rules; mistakes of form are recorded in `errors`.
pub(super) fn read(document: &Document, errors: &mut Vec<ConfigError>) -> RuleSettings {
    let mut reader = Reader {
        document,
        errors,
        found: RuleSettings::default(),
    };
    for entry in &document.lint {
        match entry.key.as_str() {
            "rules" => reader.rules(&entry.value, entry.place),
            "firewall" => reader.firewall(&entry.value, entry.place),
            _ => reader.overrides(&entry.value, entry.place),
        }
    }
    for action in ["off", "notice", "annotate", "block"] {
        let key = format!("lint_{action}");
        // Of a key that an included file repeats, the last counts.
        let last = (document.entries.iter())
            .rfind(|entry| entry.section == Section::Process && entry.key == key);
        for name in last.map(|entry| names(&entry.value)).unwrap_or_default() {
            let place = last.map(|entry| entry.place).unwrap_or_default();
            let key = Section::Process.path(&key);
            reader.add(&Scope::default(), &name, "", action, place, key);
        }
    }
    reader.found
}

/// The names of a list, also of one in a single text.
fn names(value: &Raw) -> Vec<String> {
    match value {
        Raw::Bare(text) | Raw::Text(text) => (text.split([',', ' ', '\n', '\t']))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        Raw::List(items) => items.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct Scope {
    database: Option<String>,
    user: Option<String>,
    app: Option<String>,
}

struct Reader<'d> {
    document: &'d Document,
    errors: &'d mut Vec<ConfigError>,
    found: RuleSettings,
}

impl Reader<'_> {
    fn fault(&mut self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.errors
            .push(self.document.error_at(place, key, message));
    }

    fn add(
        &mut self,
        scope: &Scope,
        name: &str,
        kind: &str,
        action: &str,
        place: Place,
        key: String,
    ) {
        let (rule, named) = name.split_once(':').unwrap_or((name, ""));
        self.found.actions.push(RuleAction {
            database: scope.database.clone(),
            user: scope.user.clone(),
            app: scope.app.clone(),
            rule: rule.to_owned(),
            kind: if kind.is_empty() { named } else { kind }.to_owned(),
            action: action.to_owned(),
            place: self.document.error_at(place, key, ""),
        });
    }

    /// `[lint.rules]`: a table for each rule, or its action alone.
    fn rules(&mut self, value: &Raw, place: Place) {
        let Raw::Table(rules) = value else {
            self.fault(place, "lint.rules", "is a section; write [lint.rules.ID]");
            return;
        };
        let scope = Scope::default();
        for (rule, value, place) in rules {
            let path = format!("lint.rules.{rule}");
            match value {
                Raw::Text(action) => self.add(&scope, rule, "", action, *place, path),
                Raw::Table(keys) => {
                    for (key, value, place) in keys {
                        let path = format!("{path}.{key}");
                        match (key.as_str(), value) {
                            ("action", Raw::Text(action)) => {
                                self.add(&scope, rule, "", action, *place, path);
                            }
                            ("kinds", Raw::Table(kinds)) => {
                                for (kind, value, place) in kinds {
                                    let path = format!("{path}.{kind}");
                                    self.action(&scope, rule, kind, value, *place, path);
                                }
                            }
                            (name, Raw::Int { value, .. }) if name != "action" && name != "kinds" => {
                                let place = self.document.error_at(*place, path, "");
                                self.found.numbers.push(RuleNumber {
                                    rule: rule.clone(),
                                    name: name.to_owned(),
                                    value: *value,
                                    place,
                                });
                            }
                            ("action", _) => self.fault(*place, path, WANTED),
                            ("kinds", _) => {
                                self.fault(*place, path, "is a table: { KIND = \"ACTION\" }");
                            }
                            _ => {
                                self.fault(*place, path, "unknown key, or not a whole number; there are action, kinds, and the numbers of the rule")
                            }
                        }
                    }
                }
                _ => self.fault(*place, path, WANTED),
            }
        }
    }

    fn action(
        &mut self,
        scope: &Scope,
        rule: &str,
        kind: &str,
        value: &Raw,
        place: Place,
        path: String,
    ) {
        match value {
            Raw::Text(action) => self.add(scope, rule, kind, action, place, path),
            _ => self.fault(place, path, WANTED),
        }
    }

    /// `[[lint.firewall]]`, as often as wanted.
    fn firewall(&mut self, value: &Raw, place: Place) {
        let Raw::List(all) = value else {
            self.fault(place, "lint.firewall", "is a list; write [[lint.firewall]]");
            return;
        };
        for one in all {
            let Raw::Table(keys) = one else {
                self.fault(
                    place,
                    "lint.firewall",
                    "is a list of tables; write [[lint.firewall]]",
                );
                continue;
            };
            let first = keys.first().map_or(place, |(_, _, place)| *place);
            let mut found = FirewallSettings {
                place: self.document.error_at(first, "lint.firewall", ""),
                ..FirewallSettings::default()
            };
            for (key, value, place) in keys {
                if let Err(message) = profile_key(&mut found, key, value) {
                    self.fault(*place, format!("lint.firewall.{key}"), message);
                }
            }
            for (key, value) in [("name", &found.name), ("mode", &found.mode)] {
                if value.is_empty() {
                    self.fault(first, "lint.firewall", format!("needs {key}"));
                }
            }
            self.found.firewall.push(found);
        }
    }

    /// `[[lint.override]]`, as often as wanted.
    fn overrides(&mut self, value: &Raw, place: Place) {
        let Raw::List(all) = value else {
            self.fault(place, "lint.override", "is a list; write [[lint.override]]");
            return;
        };
        for one in all {
            let Raw::Table(keys) = one else {
                self.fault(
                    place,
                    "lint.override",
                    "is a list of tables; write [[lint.override]]",
                );
                continue;
            };
            let mut scope = Scope::default();
            for (key, value, place) in keys {
                let path = format!("lint.override.{key}");
                let slot = match key.as_str() {
                    "database" => &mut scope.database,
                    "user" => &mut scope.user,
                    "app" => &mut scope.app,
                    "rules" => continue,
                    _ => {
                        let known = "unknown key; there are database, user, app and rules";
                        self.fault(*place, path, known);
                        continue;
                    }
                };
                match value {
                    Raw::Text(name) => *slot = Some(name.to_string()),
                    other => {
                        let message = format!("is {}; a name is wanted", other.kind());
                        self.fault(*place, path, message);
                    }
                }
            }
            let place = keys.first().map_or(place, |(_, _, place)| *place);
            if scope.database.is_none() && scope.user.is_none() && scope.app.is_none() {
                let message = "names nobody; give database, user or app, or use [lint.rules]";
                self.fault(place, "lint.override", message);
            }
            match keys.iter().find(|(key, _, _)| key == "rules") {
                Some((_, Raw::Table(rules), _)) => {
                    for (rule, value, place) in rules {
                        let path = format!("lint.override.rules.{rule}");
                        self.action(&scope, rule, "", value, *place, path);
                    }
                }
                Some((_, _, place)) => self.fault(
                    *place,
                    "lint.override.rules",
                    "is a table: { RULE = \"ACTION\" }",
                ),
                None => self.fault(
                    place,
                    "lint.override",
                    "needs rules = { RULE = \"ACTION\" }",
                ),
            }
        }
    }
}

fn profile_key(found: &mut FirewallSettings, key: &str, value: &Raw) -> Result<(), String> {
    let known = [
        "name",
        "database",
        "user",
        "network",
        "mode",
        "learn_for",
        "file",
    ];
    if !known.contains(&key) {
        return Err(format!("unknown key; there are {}", known.join(", ")));
    }
    let Raw::Text(text) = value else {
        return Err(format!("is {}; text is wanted", value.kind()));
    };
    let text = text.to_string();
    match key {
        "name" => found.name = text,
        "database" => found.database = Some(text),
        "user" => found.user = Some(text),
        "network" => found.network = Some(text),
        "mode" => found.mode = text,
        "file" => found.file = Some(text.into()),
        _ => found.learn_for = units::duration(&text).map_err(|error| error.to_string())?,
    }
    Ok(())
}

/// What a rule is given.
const WANTED: &str = "wants an action: \"off\", \"log\", \"notice\", \"annotate\" or \"block\"";

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn said(text: &str) -> Vec<String> {
        let config = Config::from_toml(text).expect("valid");
        (config.lint.actions.iter())
            .map(|one| {
                let scope =
                    [&one.database, &one.user, &one.app].map(|n| n.as_deref().unwrap_or("*"));
                let line = one.place.line;
                format!(
                    "{} {}:{} {} @{line}",
                    scope.join("/"),
                    one.rule,
                    one.kind,
                    one.action
                )
            })
            .collect()
    }

    #[test]
    fn tables_overrides_and_lists_say_the_same_thing() {
        let text = "[pgweir]\nlint_off = [\"select-star\"]\n[lint]\nblock = \"missing-where:delete\"\n[lint.rules.deep-offset]\naction = \"notice\"\nkinds = { keyset = \"off\" }\n[[lint.override]]\ndatabase = \"shop\"\nuser = \"migrator\"\nrules = { breaking-ddl = \"log\" }\n[[lint.override]]\napp = \"metabase\"\nrules = { \"select-star\" = \"off\" }\n";
        let mut said = said(text);
        said.sort();
        assert_eq!(
            said,
            [
                "*/*/* deep-offset: notice @6",
                "*/*/* deep-offset:keyset off @7",
                "*/*/* missing-where:delete block @4",
                "*/*/* select-star: off @2",
                "*/*/metabase select-star: off @14",
                "shop/migrator/* breaking-ddl: log @11",
            ]
        );
    }

    #[test]
    fn the_section_is_another_name_for_the_keys() {
        let config = Config::from_toml("[lint]\nenabled = false\ninline_suppress = false\n");
        let config = config.expect("valid");
        assert!(!config.settings.lint && !config.settings.lint_inline_suppress);
    }

    #[test]
    fn every_mistake_of_form_is_told_with_its_line() {
        let text = "[lint]\nenabeld = 1\nrules = 5\n[[lint.override]]\nrules = { x = 1 }\n[[lint.override]]\nuser = 5\ncolour = \"x\"\n";
        let told = Config::from_toml(text).expect_err("mistakes").to_string();
        for wanted in [
            "config:2: ",
            "config:3: lint.rules: is a section",
            "config:5: lint.override: names nobody",
            "config:5: lint.override.rules.x: wants an action",
            "config:7: lint.override.user: is a whole number",
            "config:8: lint.override.colour: unknown key",
        ] {
            assert!(told.contains(wanted), "{wanted} in\n{told}");
        }
    }
}
