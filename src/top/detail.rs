//! Everything about one line: what did not fit on it.

use super::answer::{Answer, Row};
use super::format::one_line;
use super::state::State;

/// One paragraph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub title: String,
    /// Its lines.
    pub lines: Vec<String>,
}

/// What is told first, in this order, with its heading; all other columns follow in one paragraph.
const PROMINENT: &[(&str, &str)] = &[
    ("message", "what"),
    ("query", "statement"),
    ("parent_query", "after"),
    ("evidence", "evidence"),
    ("suggestion", "remedy"),
    ("suggested_sql", "better"),
    ("reason", "why it gets nothing"),
    ("pins", "why the client keeps its server"),
];

/// The paragraphs about the selected line.
pub fn parts(state: &State) -> Vec<Part> {
    let (Some(line), Some(now)) = (state.line(), &state.now) else {
        return Vec::new();
    };
    let Some(row) = now.screen.1.rows().nth(line.row) else {
        return Vec::new();
    };
    let mut parts = of(&row);
    if state.spec().name == "statements" {
        parts.insert(parts.len().min(1), plan(&row, now.plan.as_ref()));
    }
    parts
}

fn of(row: &Row<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    for (column, title) in PROMINENT {
        let text = row.text(column);
        if !matches!(text, "" | "{}") {
            parts.push(Part {
                title: (*title).to_owned(),
                lines: match *column {
                    "evidence" => evidence(text),
                    _ => lines(text),
                },
            });
        }
    }
    let rest = row.fields().filter(|(name, value)| {
        let told = PROMINENT.iter().any(|(column, _)| column == name);
        !told && !value.is_empty() && *name != "plan"
    });
    let rest: Vec<(&str, String)> = rest.map(|(name, value)| (name, one_line(value))).collect();
    let width = rest.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let rest = rest
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}"));
    parts.push(Part {
        title: "numbers".to_owned(),
        lines: rest.collect(),
    });
    parts
}

/// Lines of a text, without what a terminal would obey.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| one_line(&line.replace('\t', "    ")))
        .collect()
}

/// The values of an object, one in a line.
fn evidence(json: &str) -> Vec<String> {
    let Ok(serde_json::Value::Object(map)) = serde_json::from_str(json) else {
        return lines(json);
    };
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    };
    let width = map.keys().map(String::len).max().unwrap_or(0);
    let fields = map.iter();
    (fields.map(|(name, of)| format!("{name:width$}  {}", value(of)))).collect()
}

/// The whole plan, if the console has one of this database and user, else its first line.
fn plan(row: &Row<'_>, answer: Option<&Answer>) -> Part {
    let rows = answer.into_iter().flat_map(Answer::rows);
    let same = |line: &Row<'_>| {
        line.text("database") == row.text("database") && line.text("user") == row.text("user")
    };
    let mut found: Vec<String> = rows
        .filter(same)
        .flat_map(|line| {
            let text = line.text("plan");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| one_line(&line))
        .collect();
    if found.is_empty() {
        found = lines(row.text("plan"));
    }
    if found.is_empty() {
        found.push("not known: ADVISE asks for the plans of the costliest statements".to_owned());
    }
    Part {
        title: "plan".to_owned(),
        lines: found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str], rows: &[&[&str]]) -> Answer {
        Answer {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: (rows.iter())
                .map(|row| row.iter().map(|value| Some((*value).to_owned())).collect())
                .collect(),
        }
    }

    #[test]
    fn a_finding_tells_evidence_and_remedy() {
        let answer = answer(
            &["id", "message", "evidence", "query", "suggestion", "status"],
            &[&[
                "f1",
                "a\u{1b}loop",
                r#"{"loops":3,"text":"a\nb"}"#,
                "SELECT 1\n\tFROM t",
                "use ANY",
                "",
            ]],
        );
        let row = answer.rows().next().expect("a row");
        let parts = of(&row);
        let told: Vec<(&str, Vec<&str>)> = (parts.iter())
            .map(|part| {
                (
                    &*part.title,
                    part.lines.iter().map(String::as_str).collect(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("what", vec!["a loop"]),
                ("statement", vec!["SELECT 1", "    FROM t"]),
                ("evidence", vec!["loops  3", "text   a b"]),
                ("remedy", vec!["use ANY"]),
                ("numbers", vec!["id  f1"]),
            ]
        );
    }

    #[test]
    fn the_plan_of_the_same_database_and_user() {
        let statement = answer(
            &["database", "user", "plan"],
            &[&["a", "me", "Seq Scan"], &["b", "me", ""]],
        );
        let plans = answer(
            &["database", "user", "plan"],
            &[
                &["x", "me", "no"],
                &["a", "me", "Seq Scan on t"],
                &["a", "me", "  Filter"],
            ],
        );
        let rows: Vec<Row<'_>> = statement.rows().collect();
        assert_eq!(
            plan(&rows[0], Some(&plans)).lines,
            ["Seq Scan on t", "  Filter"]
        );
        assert_eq!(plan(&rows[0], None).lines, ["Seq Scan"]);
        assert!(plan(&rows[1], Some(&plans)).lines[0].starts_with("not known"));
    }
}
