//! Session parameters that differ from the server's own defaults, as values to compare and replay.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Parameters whose value is a list of names: a quoted string in SET would be one name, so these
/// go through `set_config`, which takes the list as text.
const LIST_OF_NAMES: &[&str] = &[
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// Explicit settings of a session, by lower-case name. What is not in the set has the server's
/// default. Values are compared exactly, at any length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamSet(BTreeMap<Box<str>, Box<str>>, Hidden);

/// Whether there may be settings that nobody knows the names of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Hidden(bool);

impl ParamSet {
    /// The value of `name` (lower case), if it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// Sets `name` (lower case).
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.into(), value.into());
    }

    /// Forgets `name` (lower case): it has the server's default again.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// There may be other settings, whose names no text showed and no list of the server shows
    /// (parameters with a prefix). They end with `RESET ALL`, before anything else is set.
    pub fn hide_some(&mut self) {
        self.1 = Hidden(true);
    }

    /// Names and values, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of settings.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// The SQL that takes a session from `self` to `target`, for one simple Query; `None` if there
    /// is nothing to do. Values are quoted so that they mean the same whatever
    /// `standard_conforming_strings` is.
    pub fn sql_to(&self, target: &ParamSet) -> Option<String> {
        let mut sql = String::new();
        let Hidden(from_nothing) = self.1;
        if from_nothing {
            sql.push_str("RESET ALL;");
        }
        for (name, value) in target.iter() {
            if from_nothing || self.get(name) != Some(value) {
                push_set(&mut sql, name, value);
            }
        }
        for (name, _) in self.iter() {
            // RESET ALL spares the role.
            let left = !from_nothing || name == "role";
            if left && target.get(name).is_none() {
                sql.push_str("RESET ");
                push_identifier(&mut sql, name);
                sql.push(';');
            }
        }
        (!sql.is_empty()).then_some(sql)
    }
}

fn push_set(sql: &mut String, name: &str, value: &str) {
    if LIST_OF_NAMES.contains(&name) {
        sql.push_str("SELECT pg_catalog.set_config(");
        push_literal(sql, name);
        sql.push(',');
        push_literal(sql, value);
        sql.push_str(",false);");
    } else {
        sql.push_str("SET ");
        push_identifier(sql, name);
        sql.push_str(" TO ");
        push_literal(sql, value);
        sql.push(';');
    }
}

/// Appends `text` as a string literal.
pub fn push_literal(sql: &mut String, text: &str) {
    if text.contains('\\') {
        sql.push_str(" E");
    }
    sql.push('\'');
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str("\\\\"),
            c => sql.push(c),
        }
    }
    sql.push('\'');
}

/// Appends a parameter's name, each part of a `prefix.name` quoted by itself.
fn push_identifier(sql: &mut String, name: &str) {
    for (i, part) in name.split('.').enumerate() {
        if i > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}

/// Makes equal sets share memory: ten thousand clients of one application start alike.
#[derive(Default)]
pub struct Interner(std::collections::BTreeSet<Rc<ParamSet>>);

impl Interner {
    /// The shared copy of `set`.
    pub fn intern(&mut self, set: ParamSet) -> Rc<ParamSet> {
        let set = Rc::new(set);
        if let Some(known) = self.0.get(&set) {
            return known.clone();
        }
        if self.0.len() >= 1024 {
            self.0.retain(|set| Rc::strong_count(set) > 1);
        }
        self.0.insert(set.clone());
        set
    }
}

/// What a pool's servers report when nobody has set anything: sent to clients when they log in.
#[derive(Clone, Debug, Default)]
pub struct BaseParams(Vec<(Box<str>, Box<str>)>);

impl BaseParams {
    /// Takes the parameters that a server reported at login, names as it spells them.
    pub fn new(reported: &[(String, String)]) -> Self {
        let mut base = Self::default();
        for (name, value) in reported {
            base.set(name, value);
        }
        base
    }

    /// Reported names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of a parameter, whatever the case of the name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Records that the server's default changed.
    pub fn set(&mut self, name: &str, value: &str) {
        match self
            .0
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> ParamSet {
        let mut set = ParamSet::default();
        for (name, value) in pairs {
            set.set(name, value);
        }
        set
    }

    #[test]
    fn only_what_differs_is_sent() {
        let from = set(&[
            ("application_name", "a"),
            ("timezone", "UTC"),
            ("my.x", "1"),
        ]);
        let to = set(&[
            ("application_name", "A"),
            ("timezone", "UTC"),
            ("search_path", "a, \"B\""),
        ]);
        assert_eq!(
            from.sql_to(&to).unwrap(),
            "SET \"application_name\" TO 'A';SELECT pg_catalog.set_config('search_path','a, \"B\"',false);RESET \"my\".\"x\";"
        );
        assert_eq!(to.sql_to(&to), None);
    }

    #[test]
    fn what_has_no_name_is_reset_first() {
        let mut from = set(&[("application_name", "a"), ("timezone", "UTC")]);
        from.hide_some();
        let to = set(&[("application_name", "a")]);
        assert_eq!(
            from.sql_to(&to).unwrap(),
            "RESET ALL;SET \"application_name\" TO 'a';"
        );
    }

    #[test]
    fn values_cannot_leave_their_quotes() {
        let to = set(&[
            ("application_name", "a'; DROP TABLE t; --"),
            ("x\"y", "\\'"),
        ]);
        assert_eq!(
            ParamSet::default().sql_to(&to).unwrap(),
            "SET \"application_name\" TO 'a''; DROP TABLE t; --';SET \"x\"\"y\" TO  E'\\\\''';"
        );
    }

    #[test]
    fn equal_sets_share_memory() {
        let mut interner = Interner::default();
        let a = interner.intern(set(&[("a", "1")]));
        assert!(Rc::ptr_eq(&a, &interner.intern(set(&[("a", "1")]))));
        assert!(!Rc::ptr_eq(&a, &interner.intern(set(&[("a", "2")]))));
    }
}
