//! Results of the console: typed values and their two forms on the wire.

use std::borrow::Cow;

use crate::wire::write;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`.
    Text,
    /// `int4`.
    Int4,
    /// `int8`.
    Int8,
    /// `numeric`; only whole numbers.
    Numeric,
}

impl Kind {
    /// OID of the type. Source: PostgreSQL, `pg_type`.
    pub fn oid(self) -> u32 {
        match self {
            Kind::Text => 25,
            Kind::Int4 => 23,
            Kind::Int8 => 20,
            Kind::Numeric => 1700,
        }
    }
}

/// Name and type of a column.
pub type Column = (&'static str, Kind);

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// For a text column.
    Text(Cow<'static, str>),
    /// For the other columns. What does not fit the column's type is shown as the nearest that
    /// does.
    Int(i64),
}

/// The values of a row, as many as there are columns.
pub type Row = Vec<Value>;

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<&std::sync::Arc<str>> for Value {
    fn from(text: &std::sync::Arc<str>) -> Self {
        Value::Text(Cow::Owned(text.to_string()))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Int(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::from(number as u64)
    }
}

impl From<bool> for Value {
    /// 1 or 0, as PgBouncer prints it.
    fn from(yes: bool) -> Self {
        Value::Int(yes.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// As the wire carries it, without its length; `None` is NULL.
    pub fn encode(&self, kind: Kind, binary: bool) -> Option<Vec<u8>> {
        let number = match self {
            Value::Null => return None,
            // A number's column never holds text; were it to, text is what shows the mistake.
            Value::Text(text) => return Some(text.as_bytes().to_vec()),
            Value::Int(number) => *number,
        };
        let small = number.clamp(i32::MIN.into(), i32::MAX.into());
        Some(match (kind, binary) {
            (Kind::Int4, false) => small.to_string().into_bytes(),
            (Kind::Int4, true) => (small as i32).to_be_bytes().to_vec(),
            (Kind::Int8, true) => number.to_be_bytes().to_vec(),
            (Kind::Numeric, true) => numeric(number),
            _ => number.to_string().into_bytes(),
        })
    }
}

/// A whole number as a binary `numeric`: number of digits in base 10,000, weight of the first,
/// sign, digits behind the point, digits; two bytes each.
///
/// Source: PostgreSQL, `numeric_send`.
fn numeric(number: i64) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        digits.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let weight = digits.len().saturating_sub(1) as u16;
    let sign: u16 = if number < 0 { 0x4000 } else { 0 };
    let head = [digits.len() as u16, weight, sign, 0];
    head.into_iter()
        .chain(digits.into_iter().rev())
        .flat_map(u16::to_be_bytes)
        .collect()
}

/// Which columns a client wants in binary: none, all, or by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats(Vec<bool>);

impl Formats {
    /// From the format codes of a Bind, if they fit that many columns.
    pub fn new(codes: Vec<bool>, columns: usize) -> Option<Self> {
        let fits = codes.len() <= 1 || codes.len() == columns;
        fits.then_some(Self(codes))
    }

    /// Whether this column is wanted in binary.
    pub fn binary(&self, column: usize) -> bool {
        match &*self.0 {
            [] => false,
            [all] => *all,
            each => each.get(column).copied().unwrap_or(false),
        }
    }
}

/// Appends a RowDescription.
pub fn describe(out: &mut Vec<u8>, columns: &[Column], formats: &Formats) {
    let columns: Vec<write::Column> = columns.iter().map(|&(n, kind)| (n, kind.oid())).collect();
    write::row_description(out, &columns, |at| formats.binary(at));
}

/// Appends a DataRow.
pub fn row(out: &mut Vec<u8>, columns: &[Column], formats: &Formats, row: &Row) {
    let values: Vec<Option<Vec<u8>>> = columns
        .iter()
        .zip(row)
        .enumerate()
        .map(|(at, ((_, kind), value))| value.encode(*kind, formats.binary(at)))
        .collect();
    write::data_row(out, &values);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_shown_as_the_nearest() {
        let wide = Value::from(u64::MAX);
        assert_eq!(wide.encode(Kind::Int4, false), Some(b"2147483647".to_vec()));
        assert_eq!(
            wide.encode(Kind::Int4, true),
            Some(i32::MAX.to_be_bytes().to_vec())
        );
        assert_eq!(
            wide.encode(Kind::Numeric, false),
            Some(i64::MAX.to_string().into_bytes())
        );
        assert_eq!(Value::Null.encode(Kind::Int4, true), None);
        assert_eq!(
            Value::from(true).encode(Kind::Int4, false),
            Some(b"1".to_vec())
        );
    }

    #[test]
    fn binary_numerics() {
        assert_eq!(numeric(0), [0; 8]);
        assert_eq!(numeric(7), [0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(
            numeric(-120_000_003),
            [0, 3, 0, 2, 0x40, 0, 0, 0, 0, 1, 0x07, 0xd0, 0, 3]
        );
    }

    #[test]
    fn formats_fit_or_not() {
        assert!(Formats::new(vec![true, false], 3).is_none());
        let all = Formats::new(vec![true], 3).expect("one for all");
        assert!(all.binary(2));
        let each = Formats::new(vec![true, false], 2).expect("one each");
        assert!(each.binary(0) && !each.binary(1));
        assert!(!Formats::default().binary(0));
    }
}
