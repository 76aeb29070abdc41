//! Which columns hold what nobody should collect: secrets and personal data, known by their names.

use std::sync::LazyLock;

/// Patterns that may be configured, and bytes of one.
const MOST: usize = 256;
const LONGEST: usize = 256;

/// Names without underscores that are sensitive as they are.
const WHOLE: &[&str] = &[
    "ssn",
    "cardnumber",
    "cvv",
    "iban",
    "secret",
    "apikey",
    "privatekey",
    "totpsecret",
];

/// Ends of names that are.
const ENDS: &[&str] = &[
    "_hash",
    "_secret",
    "_ssn",
    "_iban",
    "_api_key",
    "_private_key",
];

/// Columns that are sensitive: those whose names tell, those that the configuration adds, without those that it
/// takes off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sensitive {
    added: Vec<Pattern>,
    taken: Vec<Pattern>,
}

/// `column` or `table.column`, each with `*` for any number of any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    table: Option<Box<str>>,
    column: Box<str>,
}

impl Sensitive {
    /// Those whose names tell.
    pub fn known() -> &'static Self {
        static KNOWN: LazyLock<Sensitive> = LazyLock::new(Sensitive::default);
        &KNOWN
    }

    /// What `lint_sensitive_columns` says.
    ///
    /// # Errors
    /// What is wrong with each word that is no pattern, for people.
    pub fn parse<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, Vec<String>> {
        let (mut found, mut wrong) = (Self::default(), Vec::new());
        for (number, word) in words.into_iter().enumerate() {
            if number == MOST {
                wrong.push(format!("more than {MOST} patterns"));
                break;
            }
            let (list, text) = match word.strip_prefix('!') {
                Some(rest) => (&mut found.taken, rest),
                None => (&mut found.added, word),
            };
            match Pattern::parse(text) {
                Ok(pattern) => list.push(pattern),
                Err(why) => wrong.push(format!("{word:?}: {why}")),
            }
        }
        match wrong.is_empty() {
            true => Ok(found),
            false => Err(wrong),
        }
    }

    /// Whether a column is sensitive that is of one of these tables.
    #[must_use]
    pub fn covers<'t>(
        &self,
        tables: impl IntoIterator<Item = &'t str> + Clone,
        column: &str,
    ) -> bool {
        let column = column.to_ascii_lowercase();
        let any = |patterns: &[Pattern]| {
            (patterns.iter()).any(|pattern| pattern.fits(tables.clone(), &column))
        };
        (tells(&column) || any(&self.added)) && !any(&self.taken)
    }
}

/// Whether a name tells by itself, in lower case.
fn tells(name: &str) -> bool {
    let about = name.ends_with("_at") || name.ends_with("_on") || name.ends_with("_count");
    let bare = || name.bytes().filter(|&byte| byte != b'_');
    (name.contains("password") && !about)
        || WHOLE.iter().any(|whole| bare().eq(whole.bytes()))
        || ENDS.iter().any(|end| name.ends_with(end))
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("too long for the name of a column");
        }
        let lower = text.to_ascii_lowercase();
        let (table, column) = match lower.rsplit_once('.') {
            // What is before the table is its schema, which statements hardly ever name.
            Some((table, column)) => {
                let table = table.rsplit('.').next().unwrap_or(table);
                (Some(table), column)
            }
            None => (None, &*lower),
        };
        if column.is_empty() || table == Some("") {
            return Err("not a column, as `salary`, `*_tax_id` or `patient.diagnosis`");
        }
        if column.bytes().all(|byte| byte == b'*') && table.is_none() {
            return Err("this is every column");
        }
        Ok(Self {
            table: table.map(Box::from),
            column: column.into(),
        })
    }

    fn fits<'t>(&self, tables: impl IntoIterator<Item = &'t str>, column: &str) -> bool {
        is_like(&self.column, column)
            && self.table.as_deref().is_none_or(|wanted| {
                (tables.into_iter()).any(|table| {
                    let table = table.rsplit('.').next().unwrap_or(table);
                    is_like(wanted, &table.to_ascii_lowercase())
                })
            })
    }
}

/// Whether a name is like a pattern with `*`. Takes time in the product of their lengths at most.
fn is_like(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(words: &[&str]) -> Sensitive {
        Sensitive::parse(words.iter().copied()).expect("patterns")
    }

    #[test]
    fn names_tell() {
        let known = Sensitive::known();
        for name in [
            "password",
            "encrypted_password",
            "passwordHash",
            "pin_hash",
            "apiKey",
            "card_number",
        ] {
            assert!(known.covers([], name), "{name}");
        }
        for name in ["id", "password_changed_at", "hash_tag", "secretary", "key"] {
            assert!(!known.covers([], name), "{name}");
        }
    }

    #[test]
    fn more_and_fewer_can_be_named() {
        let own = of(&[
            "Salary",
            "*_tax_id",
            "patient.diagnosis",
            "hr.pay*.*",
            "!git_hash",
        ]);
        let covers = |table: &str, column: &str| own.covers([table], column);
        assert!(covers("t", "salary") && covers("t", "SALARY") && !covers("t", "salary_id"));
        assert!(covers("t", "us_tax_id") && !covers("t", "tax_id"));
        assert!(covers("patient", "diagnosis") && covers("public.patient", "diagnosis"));
        assert!(!covers("visit", "diagnosis"));
        assert!(covers("payroll", "amount") && !covers("roll", "amount"));
        assert!(covers("t", "pin_hash") && !covers("t", "git_hash"));
        assert!(!own.covers([], "diagnosis"));
        assert!(own.covers(["visit", "patient"], "diagnosis"));
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        let long = "x".repeat(LONGEST + 1);
        let words = ["ok", "", "*", "!**", "t.", ".c", &long, "t.*"];
        let wrong = Sensitive::parse(words).expect_err("most of them");
        assert_eq!(wrong.len(), 6, "{wrong:?}");
        let many = vec!["a"; MOST + 1];
        assert_eq!(Sensitive::parse(many).expect_err("too many").len(), 1);
    }

    /// The same, letter by letter.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slowly(rest, name) || !name.is_empty() && slowly(pattern, &name[1..])
            }
            (Some((a, rest)), Some((b, more))) => a == b && slowly(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_star_is_anything(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(
                is_like(&pattern, &name),
                slowly(pattern.as_bytes(), name.as_bytes()),
            );
        }
    }
}
