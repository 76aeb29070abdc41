//! What stands behind the `?` of an address: how many rows, in which order, which ones.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::fields::Field;

/// Rows of an answer if nobody says how many.
pub const USUAL: usize = 100;

/// Most rows of an answer.
pub const MOST: usize = 1_000;

/// Longest part behind the `?`, in bytes.
const LONGEST: usize = 4_096;

/// What rows are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// At most so many.
    pub limit: usize,
    /// By this field, and whether the greatest come first.
    pub sort: Option<(&'static str, bool)>,
    /// Only those with these values, compared as text without regard to case. A value with a `*` at its
    /// end is a beginning.
    pub only: Vec<(&'static str, String)>,
}

/// What a name or a value is: `%` and two digits are a byte, `+` is a space. `None` if it is not
/// UTF-8 or an escape is cut short.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = rest.get(2..)?;
                let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(digits, 16).ok().filter(|_| plain)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A part of a path, such as a finding's name.
pub fn path_part(text: &str) -> Option<String> {
    decoded(&text.replace('+', "%2B"))
}

/// Names and values of a query string. `None` if something is not escaped as it must be.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

impl Query {
    /// Reads a query string for rows with these fields.
    ///
    /// # Errors
    /// What is wrong with it, for people; the caller's fault.
    pub fn parse(text: &str, fields: &[Field]) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("the query is longer than {LONGEST} bytes"));
        }
        let pairs = pairs(text).ok_or("the query is not percent-encoded UTF-8")?;
        let mut query = Self {
            limit: USUAL,
            sort: None,
            only: Vec::new(),
        };
        let named = |name: &str| {
            let found = fields.iter().find(|field| field.name == name);
            found.map(|field| field.name).ok_or_else(|| {
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                format!("there is no field {name:?}; there are {}", names.join(", "))
            })
        };
        for (name, value) in pairs {
            match &*name {
                "limit" => {
                    let limit = value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit));
                    query.limit = limit.ok_or_else(|| {
                        format!("limit is a number from 1 to {MOST}, not {value:?}")
                    })?;
                }
                "sort" => {
                    let down = value.strip_prefix('-');
                    query.sort = Some((named(down.unwrap_or(&value))?, down.is_some()));
                }
                field => query.only.push((named(field)?, value)),
            }
        }
        Ok(query)
    }

    /// Whether rows that begin with these fields may be among those that are wanted, so that the others
    /// need not be made.
    pub fn may_fit(&self, part: &Map<String, Value>) -> bool {
        (self.only.iter()).all(|(name, wanted)| {
            part.get(*name)
                .is_none_or(|value| fits(Some(value), wanted))
        })
    }

    /// Picks and orders rows. How many fitted, and those that are wanted.
    pub fn pick(&self, mut rows: Vec<Map<String, Value>>) -> (usize, Vec<Map<String, Value>>) {
        rows.retain(|row| {
            self.only
                .iter()
                .all(|(name, wanted)| fits(row.get(*name), wanted))
        });
        let total = rows.len();
        if let Some((by, down)) = self.sort {
            let key = |row: &Map<String, Value>| row.get(by).cloned().unwrap_or(Value::Null);
            // Stable, so that rows that are equal stay in the order of SHOW.
            rows.sort_by(|one, other| match down {
                true => order(&key(other), &key(one)),
                false => order(&key(one), &key(other)),
            });
        }
        rows.truncate(self.limit);
        (total, rows)
    }
}

fn fits(value: Option<&Value>, wanted: &str) -> bool {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.to_lowercase(),
        Some(other) => other.to_string(),
    };
    let wanted = wanted.to_lowercase();
    match wanted.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == wanted,
    }
}

/// `null` before numbers before texts.
fn order(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        _ => 3,
    };
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a
                .as_f64()
                .unwrap_or(0.0)
                .total_cmp(&b.as_f64().unwrap_or(0.0)),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        _ => rank(one).cmp(&rank(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fields::Type;
    use serde_json::json;

    const FIELDS: [Field; 2] = [
        Field {
            name: "user",
            kind: Type::Text,
            about: "",
        },
        Field {
            name: "calls",
            kind: Type::Integer,
            about: "",
        },
    ];

    fn rows() -> Vec<Map<String, Value>> {
        [("bob", 3), ("Ann", 20), ("anna", 1)]
            .into_iter()
            .filter_map(|(user, calls)| json!({"user": user, "calls": calls}).as_object().cloned())
            .collect()
    }

    fn picked(query: &str) -> (usize, String) {
        let query = Query::parse(query, &FIELDS).expect("a good query");
        let (total, rows) = query.pick(rows());
        let users = rows.iter().filter_map(|row| row.get("user")?.as_str());
        (total, users.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn rows_are_picked_and_ordered() {
        assert_eq!(picked(""), (3, "bob Ann anna".to_owned()));
        assert_eq!(picked("sort=-calls&limit=2"), (3, "Ann bob".to_owned()));
        assert_eq!(picked("sort=calls"), (3, "anna bob Ann".to_owned()));
        assert_eq!(picked("user=ann"), (1, "Ann".to_owned()));
        assert_eq!(picked("user=%61nn*&sort=user"), (2, "Ann anna".to_owned()));
        assert_eq!(picked("calls=3"), (1, "bob".to_owned()));
        assert_eq!(picked("user=nobody"), (0, String::new()));
    }

    #[test]
    fn rows_need_not_be_made_to_know_that_they_do_not_fit() {
        let query = Query::parse("user=ann&calls=3", &FIELDS).expect("a good query");
        let part = |user: &str| Map::from_iter([("user".to_owned(), user.into())]);
        assert!(query.may_fit(&part("Ann")) && !query.may_fit(&part("bob")));
        assert!(query.may_fit(&Map::new()));
    }

    #[test]
    fn mistakes_are_told() {
        for (query, told) in [
            ("limit=0", "1 to 1000"),
            ("limit=1001", "1 to 1000"),
            ("limit=x", "1 to 1000"),
            ("sort=age", "there are user, calls"),
            ("age=3", "there are user, calls"),
            ("user=%f", "percent-encoded"),
            ("user=%ff", "percent-encoded"),
            ("user=%+1", "percent-encoded"),
        ] {
            let error = Query::parse(query, &FIELDS).expect_err("a mistake");
            assert!(error.contains(told), "{query}: {error}");
        }
        assert!(Query::parse(&"a".repeat(LONGEST + 1), &FIELDS).is_err());
        assert_eq!(path_part("a+b%20c").as_deref(), Some("a+b c"));
    }
}
