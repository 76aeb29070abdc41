//! What the console answered: values by the name of their column, so that a pgweir of another version
//! with more columns or fewer can be looked at too.

/// The answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Values as text, by row and column.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }

    /// The value of a row in an answer of names and values, such as SHOW TOTALS; 0 if there is none.
    pub fn named(&self, name: &str) -> u64 {
        let found = self.rows().find(|row| row.at(0) == name);
        found.and_then(|row| row.at(1).parse().ok()).unwrap_or(0)
    }
}

/// One row of an [`Answer`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// A value; empty for NULL and for a column that the answer does not have.
    pub fn text(&self, column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        at.map_or("", |at| self.at(at))
    }

    /// A value by its place.
    pub fn at(&self, at: usize) -> &'a str {
        let value = self.values.get(at);
        value.and_then(|value| value.as_deref()).unwrap_or("")
    }

    /// A number, if the value is one.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }

    /// Seconds and microseconds of two columns, in microseconds.
    pub fn micros(&self, seconds: &str, micros: &str) -> Option<f64> {
        Some(self.number(seconds)? * 1e6 + self.number(micros).unwrap_or(0.0))
    }

    /// Names and values of all columns.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = self.values.iter().map(|value| value.as_deref());
        let names = self.columns.iter().map(String::as_str);
        names.zip(values.map(Option::unwrap_or_default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_by_name_and_what_is_missing_is_empty() {
        let answer = Answer {
            columns: vec!["name".into(), "value".into()],
            rows: vec![
                vec![Some("a".into()), Some("7".into())],
                vec![Some("b".into()), None],
            ],
        };
        assert_eq!(
            (answer.named("a"), answer.named("b"), answer.named("c")),
            (7, 0, 0)
        );
        let row = answer.rows().next().expect("a row");
        assert_eq!((row.text("value"), row.text("other")), ("7", ""));
        assert_eq!((row.number("value"), row.number("name")), (Some(7.0), None));
        assert_eq!(row.micros("value", "other"), Some(7e6));
    }
}
