//! Where the secret of a user is asked for who is not in `auth_file`.

use std::sync::Arc;

use super::{Config, Database};

/// What to ask whom about a user.
///
/// Source: PgBouncer, `auth_query`, `auth_user`, `auth_dbname`.
#[derive(Clone, Debug)]
pub struct AuthLookup {
    /// Where the query runs.
    pub database: Arc<Database>,
    /// As whom.
    pub user: String,
    /// The query: `$1` is the name, the answer is one row with name and secret, or none.
    pub query: String,
}

impl Config {
    /// How secrets of users of this database are asked for; `None` if they are not, and on the
    /// console. What the database says counts before what is said for all.
    #[must_use]
    pub fn auth_lookup(&self, name: &str) -> Option<AuthLookup> {
        let own = self.database(name);
        let (own, all) = (own.as_deref(), &self.settings);
        // The console's users are in files, so that nobody who may write to a table can become one.
        if super::effective::is_console(name) {
            return None;
        }
        let of = |value: fn(&Database) -> &Option<String>, all: &Option<String>| {
            own.and_then(|own| value(own).clone())
                .or_else(|| all.clone())
        };
        let user = of(|one| &one.auth_user, &all.auth_user)?;
        let place = of(|one| &one.auth_dbname, &all.auth_dbname);
        let database = self.database(place.as_deref().unwrap_or(name))?;
        let query = own.and_then(|own| own.auth_query.clone());
        Some(AuthLookup {
            database,
            user,
            query: query.unwrap_or_else(|| all.auth_query.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_counts_before_all() {
        let text = "[pgweir]\nauth_user = \"asker\"\n[databases.a]\n[databases.b]\nauth_user = \"other\"\nauth_query = \"SELECT 1, $1\"\nauth_dbname = \"a\"\n";
        let config = Config::from_toml(text).expect("valid");
        let of = |name: &str| {
            let found = config.auth_lookup(name)?;
            Some((found.database.name.clone(), found.user, found.query))
        };
        let (place, user, query) = of("a").expect("asked");
        assert_eq!((&*place, &*user), ("a", "asker"));
        assert!(
            query.contains("pg_authid") && query.contains("rolvaliduntil"),
            "{query}"
        );
        assert_eq!(
            of("b"),
            Some((
                "a".to_owned(),
                "other".to_owned(),
                "SELECT 1, $1".to_owned()
            ))
        );
        assert_eq!(of("pgweir"), None, "never for the console");
        assert_eq!(of("nowhere"), None);
        let none = Config::from_toml("[databases.a]\n").expect("valid");
        assert!(none.auth_lookup("a").is_none(), "nobody to ask as");
    }
}
