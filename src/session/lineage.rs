//! Values of results, hashed, for the sequence engine to find out where later values came from.
//!
//! Only statements that the engine asked for are looked at, only their first rows and columns, and
//! of the values only hashes are kept.

use crate::lint::hashing::Hashing;
use crate::lint::observe::ResultColumn;
use crate::lint::value::Param;
use crate::wire::read;

/// Rows that are looked at.
const MOST_ROWS: usize = 256;
/// Columns that are looked at.
const MOST_COLUMNS: usize = 8;
/// Bytes of a value that may be a key.
const LONGEST: usize = 64;

/// The first values of a result.
#[derive(Debug, Default)]
pub(super) struct Capture {
    columns: Vec<ResultColumn>,
    /// Whether each column is in the binary format, if the server said.
    binary: Vec<bool>,
    /// What the client asked for.
    asked_binary: bool,
    rows: usize,
}

impl Capture {
    /// Nothing yet; `binary` tells how the client asked for its columns.
    pub(super) fn new(binary: bool) -> Box<Self> {
        Box::new(Self {
            asked_binary: binary,
            ..Self::default()
        })
    }

    /// Whether more rows are wanted.
    pub(super) fn wants_more(&self) -> bool {
        self.rows < MOST_ROWS
    }

    /// The result's columns.
    pub(super) fn described(&mut self, body: &[u8]) {
        let Some(fields) = read::row_description(body) else {
            return;
        };
        self.columns.clear();
        self.binary.clear();
        for (name, binary) in fields.into_iter().take(MOST_COLUMNS) {
            self.columns.push(ResultColumn {
                name: String::from_utf8_lossy(name).into(),
                values: Vec::new(),
            });
            self.binary.push(binary);
        }
    }

    /// One row.
    pub(super) fn row(&mut self, body: &[u8], hashing: &Hashing) {
        let Ok(values) = read::data_row(body) else {
            return;
        };
        self.rows += 1;
        for (at, value) in values.into_iter().take(MOST_COLUMNS).enumerate() {
            if self.columns.len() <= at {
                self.columns.push(ResultColumn::default());
            }
            let Some(bytes) = value.filter(|bytes| bytes.len() <= LONGEST) else {
                continue;
            };
            let binary = self.binary.get(at).copied().unwrap_or(self.asked_binary);
            let param = Param {
                bytes: Some(bytes),
                binary,
            };
            self.columns[at].values.push(hashing.param(param));
        }
    }

    /// What was seen; columns that the server did not name get the names that the text gives.
    pub(super) fn finish(self, names: Option<&[Box<str>]>) -> Vec<ResultColumn> {
        let mut columns = self.columns;
        for (at, column) in columns.iter_mut().enumerate() {
            if column.name.is_empty()
                && let Some(name) = names.and_then(|names| names.get(at))
            {
                column.name = name.clone();
            }
        }
        columns
    }
}
