//! Every crate in Cargo.lock has a licence that `deny.toml` allows and comes from the registry.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Whether an SPDX expression can be satisfied with the licences in `allowed`.
///
/// `A/B` is an old way to write `A OR B`. What is not understood is not satisfied.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        words: &words,
        allowed,
    };
    parser.any() == Some(true) && parser.words.is_empty()
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl Parser<'_> {
    fn skip(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        self.words = &self.words[usize::from(found)..];
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.skip("OR") {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.skip("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.skip("(") {
            let value = self.any()?;
            return self.skip(")").then_some(value);
        }
        let (name, rest) = self.words.split_first()?;
        self.words = rest;
        let mut name = (*name).to_owned();
        if self.skip("WITH") {
            let (exception, rest) = self.words.split_first()?;
            self.words = rest;
            name = format!("{name} WITH {exception}");
        }
        Some(self.allowed.contains(&name))
    }
}

fn root() -> &'static str {
    env!("CARGO_MANIFEST_DIR")
}

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(format!("{}/deny.toml", root())).expect("deny.toml");
    text.parse().expect("deny.toml is TOML")
}

fn allowed() -> BTreeSet<String> {
    let rules = rules();
    let list = rules["licenses"]["allow"].as_array().expect("a list");
    let names = list.iter().filter_map(|name| name.as_str());
    names.map(str::to_owned).collect()
}

/// Every package that any feature or target of pgweir, or of the program that asks PAM, could pull in.
fn packages() -> Vec<Value> {
    [root().to_owned(), format!("{}/pam", root())]
        .iter()
        .flat_map(|directory| packages_of(directory))
        .collect()
}

fn packages_of(directory: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(directory)
        .output()
        .expect("running cargo metadata");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value["packages"].as_array().expect("a list").clone()
}

#[test]
fn expressions_are_judged_as_spdx_says() {
    let allowed =
        BTreeSet::from(["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned));
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/Apache-2.0",
        "MIT AND (Zlib OR LGPL-2.1-only)",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0-only",
        "AGPL-3.0-or-later",
        "LGPL-2.1-only AND MIT",
        "MIT AND GPL-2.0-only WITH Classpath-exception-2.0",
        "Apache-2.0",
        "MIT OR",
        "(MIT",
        "MIT Zlib",
        "UNKNOWN",
    ] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

#[test]
fn no_copyleft_licence_is_allowed() {
    for name in allowed() {
        assert!(!name.contains("GPL") && !name.contains("MPL"), "{name}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let packages = packages();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    let bad: Vec<String> = packages
        .iter()
        .filter(|package| {
            let licence = package["license"].as_str().unwrap_or_default();
            !satisfied(licence, &allowed)
        })
        .map(|package| {
            let (name, version) = (&package["name"], &package["version"]);
            format!("{name} {version}: {}", package["license"])
        })
        .collect();
    assert!(
        bad.is_empty(),
        "not allowed by deny.toml:\n{}",
        bad.join("\n")
    );
}

#[test]
fn dependencies_come_from_the_registry_and_none_is_banned() {
    let rules = rules();
    let bans = rules["bans"]["deny"].as_array().expect("a list");
    let banned: BTreeSet<&str> = bans.iter().filter_map(|ban| ban["name"].as_str()).collect();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        assert!(!banned.contains(name), "{name} is banned by deny.toml");
        let source = package["source"].as_str();
        let registry = source.is_some_and(|source| source.starts_with("registry+"));
        let own = matches!(name, "pgweir" | "pgweir-pam");
        assert!(registry || own, "{name} comes from {source:?}");
    }
}
