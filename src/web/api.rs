//! Answers of the API: what the console shows, as JSON.

use std::time::SystemTime;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::access::Visitor;
use super::endpoints::{self, Endpoint, Source};
use super::history::{History, Point};
use super::overview::overview;
use super::query::{self, Query};
use super::tail::tail;
use super::tracks::Tracks;
use super::{openapi, query::path_part};
use crate::admin::execute::Env;
use crate::admin::show::{self, Show, View};
use crate::admin::table;
use crate::calendar::rfc3339;
use crate::config::reference;
use crate::control::Snapshot;

/// Why there is no answer: the status, and what is wrong, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub StatusCode, pub String);

impl Refused {
    fn not_found(text: String) -> Self {
        Self(StatusCode::NOT_FOUND, text)
    }

    /// The answer that tells it.
    pub fn json(&self) -> Value {
        json!({ "error": self.1 })
    }
}

fn value(value: table::Value) -> Value {
    match value {
        table::Value::Null => Value::Null,
        table::Value::Text(text) => Value::String(text.into_owned()),
        table::Value::Int(number) => number.into(),
    }
}

fn named(columns: &[table::Column], rows: Vec<table::Row>) -> Vec<Map<String, Value>> {
    let row = |row: table::Row| {
        let cells = columns.iter().zip(row);
        cells
            .map(|((name, _), cell)| ((*name).to_owned(), value(cell)))
            .collect()
    };
    rows.into_iter().map(row).collect()
}

/// The rows of a SHOW as objects.
pub fn objects(show: &Show, view: &View<'_>) -> Vec<Map<String, Value>> {
    named(show.columns, (show.rows)(view))
}

/// The rows of SHOW POOLS, without the console, with the size of each and how long things took there.
pub fn pools(view: &View<'_>, tracks: &Tracks) -> Vec<Map<String, Value>> {
    let Some(show) = endpoints::show("pools") else {
        return Vec::new();
    };
    let all = view.snapshot.whole_pools();
    let mut rows = objects(show, view);
    rows.retain(|row| {
        row.get("database")
            .is_some_and(|name| name != show::CONSOLE)
    });
    // Both are in the order of their keys; replicas of a pool follow it.
    for (row, pool) in rows.iter_mut().zip(&all) {
        row.insert("pool_size".to_owned(), pool.size.into());
        row.insert("paused".to_owned(), pool.paused.into());
        row.insert("replica".to_owned(), pool.key.replica.as_deref().into());
        tracks.quantiles(&pool.key).add_to(row);
    }
    rows
}

/// The rows of SHOW CONFIG, with what their numbers count.
fn settings(show: &Show, view: &View<'_>) -> Vec<Map<String, Value>> {
    let mut rows = objects(show, view);
    // Both are in the order of the keys.
    for (row, setting) in (rows.iter_mut()).zip(reference::show_config(view.config)) {
        row.insert("unit".to_owned(), setting.unit.into());
    }
    rows
}

fn list(total: usize, rows: Vec<Map<String, Value>>) -> Value {
    json!({ "at": rfc3339(SystemTime::now()), "total": total, "rows": rows })
}

/// With what the API reads.
pub struct Reader<'a> {
    /// The process and its console.
    pub env: &'a Env,
    /// The last minutes.
    pub history: &'a parking_lot::Mutex<History>,
}

impl Reader<'_> {
    /// The end of the audit trail. Its file is for its owner alone, so it is not shown to anybody who
    /// happens to be on the machine.
    async fn audit(&self, visitor: &Visitor) -> Result<Vec<Map<String, Value>>, Refused> {
        if visitor.user.is_none() {
            let told = "the audit trail is for users who have logged in, at /login";
            return Err(Refused(StatusCode::UNAUTHORIZED, told.to_owned()));
        }
        let config = self.env.control.process().config.load_full();
        let Some(path) = config.settings.audit_file.clone() else {
            return Err(Refused::not_found(
                "there is no audit trail: audit_file is not set".to_owned(),
            ));
        };
        // Reads a file, which must not stop the thread.
        let read = tokio::task::spawn_blocking(move || tail(&path)).await;
        let lines = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        lines.map_err(|error| {
            let told = format!("the audit trail cannot be read: {error}");
            Refused(StatusCode::INTERNAL_SERVER_ERROR, told)
        })
    }

    /// Calls `read` with everything that rows are made from.
    pub fn view<T>(&self, snapshot: &Snapshot, read: impl FnOnce(&View<'_>) -> T) -> T {
        let config = self.env.control.process().config.load_full();
        read(&View {
            snapshot,
            process: self.env.control.process(),
            config: &config,
            console: &self.env.console,
            advice: &self.env.control.advice(),
        })
    }

    /// The overview of a snapshot.
    pub fn overview(&self, snapshot: &Snapshot) -> Value {
        let history = self.history.lock();
        self.view(snapshot, |view| overview(view, &history))
    }

    /// Answers a GET of `path` (below [`endpoints::BASE`]).
    ///
    /// # Errors
    /// The caller's mistakes.
    ///
    /// Cancel safe.
    pub async fn get(&self, path: &str, query: &str, visitor: &Visitor) -> Result<Value, Refused> {
        let unknown = || {
            let all = endpoints::BASE;
            Refused::not_found(format!(
                "there is no {path}; {all}/openapi.json lists what there is"
            ))
        };
        let (endpoint, id) = Endpoint::find(path).ok_or_else(unknown)?;
        let id = path_part(id).ok_or_else(unknown)?;
        let bad = |text: String| Refused(StatusCode::BAD_REQUEST, text);
        if !endpoint.takes_parameters() && !query.is_empty() {
            return Err(bad(format!("{path} takes no parameters")));
        }
        match endpoint.source {
            Source::Show { show, live, .. } => {
                let query = Query::parse(query, &endpoint.fields()).map_err(bad)?;
                let snapshot = match live {
                    true => self.env.control.snapshot().await,
                    false => Snapshot::default(),
                };
                let rows = self.view(&snapshot, |view| match (show, endpoints::show(show)) {
                    ("pools", _) => pools(view, &self.history.lock().pools),
                    ("config", Some(show)) => settings(show, view),
                    (_, Some(show)) => objects(show, view),
                    (_, None) => Vec::new(),
                });
                let (total, rows) = query.pick(rows);
                Ok(list(total, rows))
            }
            Source::Overview => {
                let snapshot = self.env.control.holders().await;
                Ok(self.overview(&snapshot))
            }
            Source::History => {
                let history = self.history.lock();
                let points: Vec<Value> = history.points().map(Point::json).collect();
                Ok(
                    json!({ "at": rfc3339(SystemTime::now()), "total": points.len(), "rows": points }),
                )
            }
            Source::PoolHistory => {
                let query = Query::parse(query, &endpoint.fields()).map_err(bad)?;
                let rows = self.history.lock().pools.rows(|name| query.may_fit(name));
                let (total, rows) = query.pick(rows);
                Ok(list(total, rows))
            }
            Source::Finding => {
                let findings = self.env.control.process().findings.lock();
                let found = findings.find(&id).map(|finding| finding.json());
                found.ok_or_else(|| Refused::not_found(format!("no such finding: {id}")))
            }
            Source::Plan => {
                let shape = u64::from_str_radix(&id, 16).unwrap_or(0);
                let usage = self.env.control.process().usage.lock();
                let mut rows = named(
                    show::statements::PLAN,
                    show::statements::plan(&usage.plans(shape)),
                );
                let total = rows.len();
                rows.truncate(query::MOST);
                match total {
                    0 => Err(Refused::not_found(format!(
                        "no plan is known of the shape {id}"
                    ))),
                    _ => Ok(list(total, rows)),
                }
            }
            Source::Histogram => {
                let shape = u64::from_str_radix(&id, 16).unwrap_or(0);
                let ranges = self.env.control.process().usage.lock().ranges(shape);
                let rows = ranges.iter().filter_map(|range| {
                    let row = json!({ "up_to_us": range.up_to_us, "server": range.server, "wait": range.wait });
                    row.as_object().cloned()
                });
                let rows: Vec<_> = rows.collect();
                match rows.len() {
                    0 => Err(Refused::not_found(format!(
                        "no statement is known of the shape {id}"
                    ))),
                    total => Ok(list(total, rows)),
                }
            }
            Source::Audit => {
                let query = Query::parse(query, &endpoint.fields()).map_err(bad)?;
                let (total, rows) = query.pick(self.audit(visitor).await?);
                Ok(list(total, rows))
            }
            Source::Session => {
                let config = self.env.control.process().config.load();
                Ok(json!({
                    "user": visitor.user,
                    "role": visitor.role(),
                    "audit": config.settings.audit_file.is_some(),
                }))
            }
            Source::Description => Ok(openapi::document()),
        }
    }
}
