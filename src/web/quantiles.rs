//! How long things took in the last interval, as the API and the page have it.

use serde_json::{Map, Value};

use super::fields::{Field, Type, field};
use crate::pool::histogram::Spread;
use crate::pool::stats::Times;

/// Median, 95 % and 99 % of what there are histograms of; `None` where nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Of queries.
    pub query: Option<Spread>,
    /// Of transactions.
    pub xact: Option<Spread>,
    /// Of waits for a server.
    pub wait: Option<Spread>,
    /// Of connections to servers.
    pub connect: Option<Spread>,
}

macro_rules! fields {
    ($($name:literal, $of:literal;)*) => {
        &[$(
            field(
                concat!($name, "_p50_us"),
                Type::Integer,
                concat!("Microseconds that half of the ", $of, " took at most; `null` if there were none."),
            ),
            field(concat!($name, "_p95_us"), Type::Integer, concat!("The same of 95 % of the ", $of, ".")),
            field(concat!($name, "_p99_us"), Type::Integer, concat!("The same of 99 % of the ", $of, ".")),
        )*]
    };
}

/// Their fields in answers, in the order of [`Quantiles::add_to`].
pub const FIELDS: &[Field] = fields! {
    "query", "queries";
    "xact", "transactions";
    "wait", "waits for a server (those of no time included)";
    "connect", "connections made to servers";
};

impl Quantiles {
    /// Reads them off histograms.
    pub fn of(times: &Times) -> Self {
        Self {
            query: times.query.spread(),
            xact: times.xact.spread(),
            wait: times.wait.spread(),
            connect: times.connect.spread(),
        }
    }

    /// Adds them to an object.
    pub fn add_to(&self, object: &mut Map<String, Value>) {
        let all = [self.query, self.xact, self.wait, self.connect];
        let values = all.into_iter().flat_map(|spread| match spread {
            Some(spread) => [Some(spread.p50), Some(spread.p95), Some(spread.p99)],
            None => [None; 3],
        });
        for (field, value) in FIELDS.iter().zip(values) {
            object.insert(field.name.to_owned(), value.into());
        }
    }
}
