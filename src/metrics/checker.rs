//! A strict reader of what [`super::render`] writes, for tests: what it accepts, Prometheus does.

use std::collections::{BTreeMap, BTreeSet};

use super::exposition::Format;

/// Labels of a sample, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// One line with a value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// The exemplar's labels, value and time.
    pub(crate) exemplar: Option<(Labels, f64, f64)>,
}

/// What was said of the family that is being read.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    told: BTreeSet<String>,
    samples: Vec<Sample>,
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && (text.bytes()).all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `name="value",…}` up to the brace; what is behind it.
fn labels(mut text: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let (name, rest) = text.split_once("=\"").ok_or("a label without a value")?;
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().ok_or("a value without an end")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, '\\')) => '\\',
                    Some((_, '"')) => '"',
                    Some((_, 'n')) => '\n',
                    other => return Err(format!("escaped {other:?}")),
                }),
                (_, c) => value.push(c),
            }
        };
        if !is_name(name) || labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name:?}"));
        }
        let rest = &rest[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => text = more,
            None => {
                let rest = rest.strip_prefix('}').ok_or("labels without an end")?;
                return Ok((labels, rest));
            }
        }
    }
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (value, exemplar) = match value.split_once(" # {") {
        Some((value, rest)) => (value, Some(exemplar(rest)?)),
        None => (value, None),
    };
    let value: f64 = value.parse().map_err(|_| format!("value {value:?}"))?;
    let name = name.to_owned();
    match is_name(&name) && value.is_finite() {
        true => Ok(Sample {
            name,
            labels,
            value,
            exemplar,
        }),
        false => Err("name or value".to_owned()),
    }
}

/// Behind the brace that begins it.
fn exemplar(text: &str) -> Result<(Labels, f64, f64), String> {
    let (labels, rest) = labels(text)?;
    let long = (labels.iter()).map(|(name, value)| name.chars().count() + value.chars().count());
    if long.sum::<usize>() > 128 {
        return Err("an exemplar's labels are too long".to_owned());
    }
    let numbers: Vec<f64> = (rest.split(' ').skip(1))
        .map(|number| number.parse().map_err(|_| format!("exemplar {number:?}")))
        .collect::<Result<_, _>>()?;
    match numbers[..] {
        [value, at] => Ok((labels, value, at)),
        _ => Err("an exemplar is a value and a time".to_owned()),
    }
}

impl Family {
    /// Whether a sample belongs to it.
    fn has(&self, name: &str, format: Format) -> bool {
        let suffixes: &[&str] = match (&*self.kind, format) {
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("counter", Format::OpenMetrics) => &["_total"],
            ("counter" | "gauge", _) => &[""],
            _ => return false,
        };
        let suffix = name.strip_prefix(&*self.name);
        suffix.is_some_and(|suffix| suffixes.contains(&suffix))
    }

    fn finished(&self) -> Result<(), String> {
        let error = |what: &str| Err(format!("{}: {what}", self.name));
        if self.kind == "counter" && self.samples.iter().any(|sample| sample.value < 0.0) {
            return error("a counter below zero");
        }
        if self.kind != "histogram" {
            return Ok(());
        }
        let mut rest = &*self.samples;
        while let Some(first) = rest.first() {
            let mut series = first.labels.clone();
            series.remove("le");
            let buckets = (rest.iter())
                .take_while(|sample| sample.name.ends_with("_bucket"))
                .count();
            let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
            for bucket in &rest[..buckets] {
                let within = |value: f64, le: f64| bound < value && value <= le;
                let mut labels = bucket.labels.clone();
                let le = labels.remove("le").ok_or("a bucket without le")?;
                let le = match &*le {
                    "+Inf" => f64::INFINITY,
                    le => le.parse().map_err(|_| format!("le {le:?}"))?,
                };
                if let Some((_, value, _)) = bucket.exemplar
                    && !within(value, le)
                {
                    return error("an exemplar of another bucket");
                }
                if labels != series || le <= bound || bucket.value < below {
                    return error("buckets out of order");
                }
                (bound, below) = (le, bucket.value);
            }
            let [sum, count, ..] = &rest[buckets..] else {
                return error("no sum or count");
            };
            let named = sum.name.ends_with("_sum") && count.name.ends_with("_count");
            if !named || sum.labels != series || count.labels != series {
                return error("no sum or count");
            }
            if bound != f64::INFINITY || count.value != below || sum.value < 0.0 {
                return error("the last bucket is not +Inf, or not the count");
            }
            rest = &rest[buckets + 2..];
        }
        Ok(())
    }
}

/// All samples of a page, if there is nothing wrong with it.
pub(crate) fn read(page: &str, format: Format) -> Result<Vec<Sample>, String> {
    let page = match format {
        Format::Text => page,
        Format::OpenMetrics => page.strip_suffix("# EOF\n").ok_or("no EOF at the end")?,
    };
    let lines = page.strip_suffix('\n').ok_or("no line feed at the end")?;
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = Family::default();
    let mut all = Vec::new();
    for line in lines.split('\n') {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (what, name) = (words.next(), words.next());
            let (Some(what), Some(name), Some(text)) = (what, name, words.next()) else {
                return wrong("not a line of a family");
            };
            if name != family.name || !family.samples.is_empty() {
                family.finished()?;
                all.append(&mut family.samples);
                family = Family {
                    name: name.to_owned(),
                    ..Family::default()
                };
                if !is_name(name) || !families.insert(name.to_owned()) {
                    return wrong("a family twice");
                }
            }
            if !family.told.insert(what.to_owned()) {
                return wrong("told twice");
            }
            match what {
                "HELP" if !text.contains(['\\', '"']) => {}
                "TYPE" if matches!(text, "counter" | "gauge" | "histogram") => {
                    family.kind = text.to_owned();
                }
                "UNIT" if format == Format::OpenMetrics => {
                    if !name.ends_with(&format!("_{text}")) {
                        return wrong("a unit that the name does not end with");
                    }
                }
                _ => return wrong("not a line of a family"),
            }
            continue;
        }
        let sample = sample(line).map_err(|what| format!("{what}: {line}"))?;
        if !family.has(&sample.name, format) || !family.told.contains("HELP") {
            return wrong("not of the family");
        }
        let may = format == Format::OpenMetrics && sample.name.ends_with("_bucket");
        if sample.exemplar.is_some() && !may {
            return wrong("an exemplar where there is none");
        }
        if !series.insert((sample.name.clone(), sample.labels.clone())) {
            return wrong("a series twice");
        }
        family.samples.push(sample);
    }
    family.finished()?;
    all.append(&mut family.samples);
    Ok(all)
}

#[test]
fn it_accepts_what_is_right_and_refuses_what_is_not() {
    let head = "# HELP h x\n# TYPE h histogram\n";
    let right = "h_bucket{a=\"\\\\\",le=\"0.1\"} 1\nh_bucket{a=\"\\\\\",le=\"+Inf\"} 2\nh_sum{a=\"\\\\\"} 3\nh_count{a=\"\\\\\"} 2\n";
    let samples = read(&format!("{head}{right}"), Format::Text).expect("right");
    assert_eq!((samples.len(), &*samples[0].labels["a"]), (4, "\\"));
    let wrong = [
        "h_bucket{le=\"0.1\"} 1\nh_sum 3\nh_count 1\n",
        "h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 1\n",
        "h_bucket{le=\"2\"} 0\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0\n",
        "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 0\nh_count 1\n",
        "h 1\n",
        "h_sum{a=\"x} 1\n",
        "h_sum{a=\"\\x\"} 1\n",
        "h_sum{a=\"x\",a=\"y\"} 1\n",
        "h_sum 1",
        "# HELP h x\n",
    ];
    for page in wrong {
        let page = format!("{head}{page}");
        assert!(read(&page, Format::Text).is_err(), "{page}");
    }
    let twice = "# HELP g x\n# TYPE g gauge\ng 1\ng 1\n";
    assert!(read(twice, Format::Text).is_err());
    let traced = format!("{head}{right}").replace("} 1\n", "} 1 # {trace_id=\"ab\"} 0.05 17.5\n");
    let open = format!("{traced}# EOF\n");
    let samples = read(&open, Format::OpenMetrics).expect("right");
    let (labels, value, _) = samples[0].exemplar.clone().expect("an exemplar");
    assert_eq!((&*labels["trace_id"], value), ("ab", 0.05));
    assert!(read(&traced, Format::Text).is_err());
    for (right, wrong) in [("0.05", "0.5"), (" 17.5", ""), ("ab", &"a".repeat(128))] {
        let page = open.replace(right, wrong);
        assert!(read(&page, Format::OpenMetrics).is_err(), "{page}");
    }
    let counter = "# TYPE c counter\n# HELP c x\nc_total 1\n# EOF\n";
    assert!(read(counter, Format::OpenMetrics).is_ok());
    assert!(read(&counter.replace("_total", ""), Format::OpenMetrics).is_err());
    assert!(read(&counter.replace("# EOF\n", ""), Format::OpenMetrics).is_err());
}
