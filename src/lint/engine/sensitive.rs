//! Many rows with columns that nobody should collect.

use super::super::facts::Facts;
use super::super::hit::Hit;
use super::super::observe::Execution;
use super::super::registry;

const ENOUGH: u64 = 100;

/// The hit of `bulk-sensitive-read`.
pub(super) fn read(run: &Execution, facts: &Facts) -> Option<Hit> {
    if run.rows < ENOUGH {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    let sent = run
        .result_columns()
        .into_iter()
        .flat_map(|columns| columns.iter());
    // An alias does not hide a column: the text tells what it is.
    let text = facts.outputs.iter().map(|output| &output.column);
    for name in sent.chain(text) {
        if is_sensitive(name) && !names.contains(&&**name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let rule = registry::find("bulk-sensitive-read")?;
    let columns = names.join(", ");
    let text = format!("{} rows with {columns} were sent.", run.rows);
    let hit = Hit::new(rule, "", text)
        .evidence("rows", run.rows)
        .evidence("columns", columns);
    Some(hit)
}

fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let bare: String = name.chars().filter(|&c| c != '_').collect();
    let about = name.ends_with("_at") || name.ends_with("_on") || name.ends_with("_count");
    let plain = [
        "ssn",
        "cardnumber",
        "cvv",
        "iban",
        "secret",
        "apikey",
        "privatekey",
        "totpsecret",
    ];
    let suffixes = [
        "_hash",
        "_secret",
        "_ssn",
        "_iban",
        "_api_key",
        "_private_key",
    ];
    (name.contains("password") && !about)
        || plain.contains(&bare.as_str())
        || suffixes.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::is_sensitive;

    #[test]
    fn names_tell() {
        for name in [
            "password",
            "encrypted_password",
            "passwordHash",
            "pin_hash",
            "apiKey",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["id", "password_changed_at", "hash_tag", "secretary", "key"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }
}
