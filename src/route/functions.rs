//! Functions of a database that do not write, as its catalogue says.
//!
//! A function that is STABLE or IMMUTABLE must not change the database, and PostgreSQL holds it to that as far as
//! its own statements go. One that lies, by calling a function that writes, is refused by a replica, and the
//! primary is asked. What is VOLATILE, which is what a function is if nobody says otherwise, may write.
//!
//! Source: PostgreSQL manual, "Function Volatility Categories".

use std::collections::{HashMap, HashSet};

/// Most functions that are remembered; a database that has more has them all on the primary.
pub const MOST: usize = 20_000;

/// One row for each name in each schema: schema, name, whether none of its overloads is volatile.
pub const QUESTION: &str = "SELECT n.nspname, p.proname, pg_catalog.bool_and(p.provolatile OPERATOR(pg_catalog.<>) 'v') \
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
    WHERE n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' AND p.prokind OPERATOR(pg_catalog.<>) 'p' \
    GROUP BY 1, 2 LIMIT 20001";

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Functions(HashSet<Box<str>, foldhash::fast::RandomState>);

impl Functions {
    /// From the answer to [`QUESTION`]. A name counts as reading only if it does so in every schema that has it, for
    /// which of them a search path finds is not known here.
    #[must_use]
    pub fn read(rows: &[Vec<Option<String>>]) -> Self {
        if rows.len() > MOST {
            return Self::default();
        }
        let mut bare: HashMap<&str, bool> = HashMap::new();
        let mut known = HashSet::default();
        for row in rows {
            let [Some(schema), Some(name), Some(reads)] = &row[..] else {
                continue;
            };
            let reads = reads == "t";
            if reads {
                known.insert(format!("{schema}.{name}").into());
            }
            *bare.entry(name).or_insert(true) &= reads;
        }
        known.extend(
            bare.into_iter()
                .filter(|one| one.1)
                .map(|(name, _)| name.into()),
        );
        Self(known)
    }

    /// Whether all of these only read, as far as is known.
    #[must_use]
    pub fn all_read(&self, names: &[Box<str>]) -> bool {
        !names.is_empty() && names.iter().all(|name| self.0.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_if_all_that_have_it_do() {
        let rows: Vec<Vec<Option<String>>> = [
            ("a", "f", "t"),
            ("a", "g", "t"),
            ("b", "g", "f"),
            ("b", "h", "f"),
        ]
        .iter()
        .map(|(schema, name, reads)| {
            [schema, name, reads]
                .map(|part| Some((*part).to_owned()))
                .to_vec()
        })
        .collect();
        let known = Functions::read(&rows);
        let all_read = |names: &[&str]| {
            let names: Vec<Box<str>> = names.iter().map(|name| Box::from(*name)).collect();
            known.all_read(&names)
        };
        for names in [&["f"][..], &["a.f"], &["a.g"], &["f", "a.g"]] {
            assert!(all_read(names), "{names:?}");
        }
        for names in [
            &[][..],
            &["g"],
            &["b.g"],
            &["h"],
            &["f", "h"],
            &["b.f"],
            &["unheard"],
        ] {
            assert!(!all_read(names), "{names:?}");
        }
        let many = vec![rows[0].clone(); MOST + 1];
        assert_eq!(Functions::read(&many), Functions::default());
    }
}
