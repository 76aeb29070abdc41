//! Lines of the log on their way to whoever collects them.

use std::time::SystemTime;

/// Bytes of lines that may wait.
pub const MOST: usize = 4 << 20;
/// What a line costs beyond its texts, roughly, in bytes.
const OVERHEAD: usize = 160;

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When.
    pub at: SystemTime,
    /// How grave, as OpenTelemetry counts (`SeverityNumber`): 1 is trace, 17 an error.
    pub severity: i32,
    /// The word of the log for it.
    pub word: &'static str,
    /// The module that tells it.
    pub target: &'static str,
    /// The message.
    pub text: String,
    /// What is said besides, by name.
    pub fields: Vec<(&'static str, Value)>,
}

/// What a field says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Another number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
}

impl Line {
    /// Bytes that it takes, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| {
            size_of::<(&str, Value)>()
                + match value {
                    Value::Text(text) => text.len(),
                    Value::Number(_) | Value::Float(_) | Value::Flag(_) => 0,
                }
        });
        OVERHEAD + self.text.len() + fields.sum::<usize>()
    }
}
