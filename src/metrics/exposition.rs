//! The two formats that Prometheus and others read.
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4; OpenMetrics 1.0.0 (a draft of the
//! IETF, draft-richih-opsawg-openmetrics-00).

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use metrics::Unit;

use super::Kind;
use crate::pool::exemplars::{Buckets, Exemplar};
use crate::pool::histogram::{BOUNDS_TEXT, Histogram};

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a client wants that sends this `Accept`: OpenMetrics if it names it and does not like
    /// plain text better.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        let mut best = [None, None];
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let at = match kind.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => 0,
                "text/plain" | "text/*" => 1,
                _ => continue,
            };
            let mut like = 1.0_f32;
            // A version that does not exist yet is not what we write.
            let mut ours = true;
            for part in parts {
                match part.split_once('=') {
                    Some(("q", q)) => like = q.parse().unwrap_or(0.0),
                    Some(("version", version)) if at == 0 => {
                        ours = matches!(version.trim_matches('"'), "1.0.0" | "0.0.1");
                    }
                    _ => {}
                }
            }
            if ours && like > 0.0 && best[at].is_none_or(|before| like > before) {
                best[at] = Some(like);
            }
        }
        match best {
            [Some(open), text] if text.is_none_or(|text| open >= text) => Format::OpenMetrics,
            _ => Format::Text,
        }
    }

    /// The content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Below it each whole number is an `f64`.
const EXACT: u64 = 1 << 53;

/// Adds a label to others: `name="value"`, with commas between.
pub(super) fn label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            c => labels.push(c),
        }
    }
    labels.push('"');
}

/// A page of metrics as it is written, family by family.
pub(super) struct Page {
    format: Format,
    text: String,
    /// Name of the samples of the family, without what a histogram adds.
    name: &'static str,
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
            name: "",
        }
    }

    /// Begins a metric.
    pub(super) fn family(
        &mut self,
        name: &'static str,
        kind: Kind,
        unit: Option<Unit>,
        help: &str,
    ) {
        self.name = name;
        let kind = kind.as_str();
        // Writing to a string cannot fail.
        let _ = match self.format {
            Format::Text => write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n"),
            Format::OpenMetrics => {
                let family = name.strip_suffix("_total").unwrap_or(name);
                let _ = writeln!(self.text, "# TYPE {family} {kind}");
                if let Some(unit) = unit {
                    let _ = writeln!(self.text, "# UNIT {family} {}", unit.as_str());
                }
                writeln!(self.text, "# HELP {family} {help}")
            }
        };
    }

    /// A value of it; `labels` as [`label`] makes them.
    pub(super) fn value(&mut self, labels: &str, value: f64) {
        self.text.push_str(self.name);
        self.labels(labels, None);
        // Nearly all are counts, which are written much quicker as such.
        match value as u64 {
            count if count < EXACT && count as f64 == value => self.count(count),
            _ => {
                let _ = writeln!(self.text, "{value}");
            }
        }
    }

    /// A histogram of it, with exemplars, which only OpenMetrics has.
    pub(super) fn histogram(
        &mut self,
        labels: &str,
        times: &Histogram,
        exemplars: Option<&Buckets>,
    ) {
        let mut below = 0;
        let bounds = BOUNDS_TEXT.iter().chain(std::iter::once(&"+Inf"));
        for (at, (bound, count)) in bounds.zip(times.counts()).enumerate() {
            below += count;
            self.text.push_str(self.name);
            self.text.push_str("_bucket");
            self.labels(labels, Some(bound));
            self.count(below);
            let exemplar = exemplars.and_then(|all| all.get(at)?.as_ref());
            if let Some(exemplar) = exemplar {
                self.exemplar(exemplar);
            }
        }
        self.text.push_str(self.name);
        self.text.push_str("_sum");
        self.labels(labels, None);
        let _ = writeln!(self.text, "{}", times.sum_us() as f64 / 1e6);
        self.text.push_str(self.name);
        self.text.push_str("_count");
        self.labels(labels, None);
        self.count(below);
    }

    /// Behind the value that has just been written.
    fn exemplar(&mut self, exemplar: &Exemplar) {
        let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.text.pop();
        let _ = writeln!(
            self.text,
            " # {{trace_id=\"{:032x}\"}} {} {:.3}",
            exemplar.trace,
            exemplar.micros as f64 / 1e6,
            at.as_secs_f64()
        );
    }

    fn count(&mut self, count: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = count;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = digits[at..].iter().map(|digit| char::from(*digit));
        self.text.extend(digits);
        self.text.push('\n');
    }

    fn labels(&mut self, labels: &str, bound: Option<&str>) {
        if !labels.is_empty() || bound.is_some() {
            self.text.push('{');
            self.text.push_str(labels);
            if let Some(bound) = bound {
                if !labels.is_empty() {
                    self.text.push(',');
                }
                self.text.push_str("le=\"");
                self.text.push_str(bound);
                self.text.push('"');
            }
            self.text.push('}');
        }
        self.text.push(' ');
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are() {
        let cases = [
            (0.0, "0"),
            (-1.0, "-1"),
            (0.5, "0.5"),
            (7.0, "7"),
            (10.0, "10"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (1e20, "100000000000000000000"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            let mut page = Page::new(Format::Text);
            page.value("", value);
            assert_eq!(page.end(), format!(" {text}\n"));
        }
        let mut page = Page::new(Format::Text);
        page.count(u64::MAX);
        assert_eq!(page.end(), format!("{}\n", u64::MAX));
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let open = [
            prometheus,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; version=1.0.0; charset=utf-8",
            "text/plain;q=0.3, application/openmetrics-text;version=1.0.0;q=0.3",
        ];
        for accept in open {
            assert_eq!(Format::wanted(accept), Format::OpenMetrics, "{accept}");
        }
        let text = [
            "",
            "*/*",
            "text/plain",
            "application/json",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=x",
            "application/openmetrics-text;version=2.0.0,text/plain",
            "application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.5",
        ];
        for accept in text {
            assert_eq!(Format::wanted(accept), Format::Text, "{accept}");
        }
    }
}
