//! The table of the API: one row per address. The router, the OpenAPI description and the page in
//! `docs/` are made from it.

use super::fields::{
    AUDIT, FINDING, Field, HISTOGRAM, OVERVIEW, POINT, POOL, POOL_POINT, SESSION, SETTING, Type,
    field,
};
use super::quantiles;
use crate::admin::show::{self, SHOWS};
use crate::admin::table::Kind;

/// What every address of the API begins with. A change that breaks a reader gets another number.
pub const BASE: &str = "/api/v1";

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rows of a SHOW, by its name.
    Show {
        /// The word in [`SHOWS`].
        show: &'static str,
        /// Whether the workers are asked for it.
        live: bool,
        /// Fields of a row that the SHOW does not have.
        more: &'static [&'static [Field]],
    },
    /// What is going on, in one object.
    Overview,
    /// The last minutes, a point each second or ten.
    History,
    /// The last minutes of each pool, a point each ten seconds.
    PoolHistory,
    /// One finding, with everything that is known of it.
    Finding,
    /// The lines of a plan.
    Plan,
    /// How long a shape's executions took.
    Histogram,
    /// The end of the audit trail; for users who have logged in.
    Audit,
    /// Who asks.
    Session,
    /// The description of all this.
    Description,
}

/// One address.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Its path below [`BASE`]; `{id}` is the last part.
    pub path: &'static str,
    /// Where the answer comes from.
    pub source: Source,
    /// What it is, for the documentation.
    pub about: &'static str,
}

const fn table(
    path: &'static str,
    show: &'static str,
    live: bool,
    more: &'static [&'static [Field]],
    about: &'static str,
) -> Endpoint {
    Endpoint {
        path,
        source: Source::Show { show, live, more },
        about,
    }
}

/// The table, in the order of the documentation.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/overview",
        source: Source::Overview,
        about: "What is going on and what is wrong, in one object.",
    },
    Endpoint {
        path: "/history",
        source: Source::History,
        about: "The last minutes for plots, the oldest first: a point each second while somebody looks, else each ten seconds; at most 900.",
    },
    table(
        "/pools",
        "pools",
        true,
        &[POOL, quantiles::FIELDS],
        "Pools, as in `SHOW POOLS`, and how long things took in the last ten seconds.",
    ),
    Endpoint {
        path: "/pools/history",
        source: Source::PoolHistory,
        about: "The last minutes of pools for plots, the oldest of each first: a point each ten seconds, at most 90 of a pool.",
    },
    table(
        "/servers",
        "servers",
        true,
        &[],
        "Server connections, as in `SHOW SERVERS`.",
    ),
    table(
        "/cluster",
        "cluster",
        true,
        &[],
        "Primaries and replicas, as in `SHOW CLUSTER`.",
    ),
    table(
        "/databases",
        "databases",
        true,
        &[],
        "Databases, as in `SHOW DATABASES`.",
    ),
    table(
        "/clients",
        "clients",
        true,
        &[],
        "Client connections, as in `SHOW CLIENTS`.",
    ),
    table(
        "/locks",
        "locks",
        false,
        &[],
        "Clients that wait for a lock and who is in their way, as in `SHOW LOCKS`.",
    ),
    table(
        "/stats",
        "stats",
        true,
        &[],
        "Totals and averages by database, as in `SHOW STATS`.",
    ),
    table(
        "/statements",
        "statements",
        false,
        &[],
        "What statements cost, as in `SHOW STATEMENTS`.",
    ),
    Endpoint {
        path: "/statements/{id}/plan",
        source: Source::Plan,
        about: "The last plan of a statement, by its `shape`, as in `SHOW PLAN`.",
    },
    Endpoint {
        path: "/statements/{id}/histogram",
        source: Source::Histogram,
        about: "How long the executions of a shape took the server, and waited for one, all databases and users together: how many were in each range.",
    },
    table(
        "/findings",
        "findings",
        false,
        &[],
        "What the rules found, as in `SHOW FINDINGS`.",
    ),
    Endpoint {
        path: "/findings/{id}",
        source: Source::Finding,
        about: "One finding with everything that is known of it: the object of its log line.",
    },
    table(
        "/rules",
        "rules",
        false,
        &[],
        "The rules, as in `SHOW RULES`.",
    ),
    table(
        "/firewall",
        "firewall",
        false,
        &[],
        "The firewall's profiles, as in `SHOW FIREWALL`.",
    ),
    table(
        "/firewall/unknown",
        "firewall_unknown",
        false,
        &[],
        "Statements that the firewall did not know, as in `SHOW FIREWALL_UNKNOWN`.",
    ),
    table(
        "/mirrors",
        "mirrors",
        false,
        &[],
        "Databases that run what others ran, and how both compare, as in `SHOW MIRRORS`.",
    ),
    Endpoint {
        path: "/audit",
        source: Source::Audit,
        about: "The end of the audit trail (its last MiB), the newest first; only for users who have logged in, since its file is for its owner alone.",
    },
    table(
        "/config",
        "config",
        false,
        &[SETTING],
        "Settings in force, as in `SHOW CONFIG`.",
    ),
    Endpoint {
        path: "/session",
        source: Source::Session,
        about: "Who you are here, and what you may do.",
    },
    Endpoint {
        path: "/openapi.json",
        source: Source::Description,
        about: "This API as an OpenAPI 3.1 document.",
    },
];

fn of_column(&(name, kind): &(&'static str, Kind)) -> Field {
    let kind = match kind {
        Kind::Text => Type::Text,
        Kind::Int4 | Kind::Int8 | Kind::Numeric => Type::Integer,
    };
    field(name, kind, "")
}

/// The SHOW of this name.
pub fn show(name: &str) -> Option<&'static show::Show> {
    SHOWS.iter().find(|show| show.name == name)
}

impl Endpoint {
    /// Fields of the answer, or of each of its rows if it is a [list](Self::lists).
    pub fn fields(&self) -> Vec<Field> {
        match self.source {
            Source::Show {
                show: name, more, ..
            } => {
                let columns = show(name).map_or(&[][..], |show| show.columns);
                columns
                    .iter()
                    .map(of_column)
                    .chain(more.iter().copied().flatten().copied())
                    .collect()
            }
            Source::Overview => OVERVIEW.to_vec(),
            Source::History => [POINT, quantiles::FIELDS].concat(),
            Source::PoolHistory => [POOL_POINT, quantiles::FIELDS].concat(),
            Source::Finding => FINDING.to_vec(),
            Source::Plan => show::statements::PLAN.iter().map(of_column).collect(),
            Source::Histogram => HISTOGRAM.to_vec(),
            Source::Audit => AUDIT.to_vec(),
            Source::Session => SESSION.to_vec(),
            Source::Description => Vec::new(),
        }
    }

    /// Whether the answer is `at`, `total` and `rows`.
    pub fn lists(&self) -> bool {
        matches!(
            self.source,
            Source::Show { .. }
                | Source::History
                | Source::PoolHistory
                | Source::Histogram
                | Source::Plan
                | Source::Audit
        )
    }

    /// Whether `limit`, `sort` and filters are understood.
    pub fn takes_parameters(&self) -> bool {
        matches!(
            self.source,
            Source::Show { .. } | Source::PoolHistory | Source::Audit
        )
    }

    /// What stands for `{id}` if `path` (below [`BASE`]) is this address; empty if it has none.
    fn matched<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once("{id}") {
            None => (path == self.path).then_some(""),
            Some((before, after)) => {
                let id = path.strip_prefix(before)?.strip_suffix(after)?;
                (!id.is_empty() && !id.contains('/')).then_some(id)
            }
        }
    }

    /// The address that `path` (below [`BASE`]) is, and what stands for `{id}`.
    pub fn find(path: &str) -> Option<(&'static Endpoint, &str)> {
        // Plain ones first: `/firewall/unknown` is no `/firewall/{id}`.
        let plain = ENDPOINTS.iter().filter(|one| !one.path.contains('{'));
        let others = ENDPOINTS.iter().filter(|one| one.path.contains('{'));
        plain
            .chain(others)
            .find_map(|one| one.matched(path).map(|id| (one, id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_a_show_and_every_path_finds_itself() {
        for endpoint in ENDPOINTS {
            if let Source::Show { show: name, .. } = endpoint.source {
                assert!(show(name).is_some(), "{name}");
            }
            let path = endpoint.path.replace("{id}", "x-1");
            let (found, id) = Endpoint::find(&path).expect("found");
            assert_eq!(found.path, endpoint.path);
            assert_eq!(id == "x-1", endpoint.path.contains("{id}"));
            let mut names: Vec<_> = endpoint.fields().iter().map(|field| field.name).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{path} has a field twice");
        }
        for stray in ["", "/", "/pool", "/pools/", "/findings/", "/findings/a/b"] {
            assert!(Endpoint::find(stray).is_none(), "{stray}");
        }
    }
}
