//! Labelled cases, one JSON object per line: a statement (`sql`) or a sequence (`statements`).

use serde_json::{Map, Value as Json};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// What happens; one step without a time for a statement.
    pub steps: Vec<Step>,
    /// It is about the order and timing of its steps.
    pub sequence: bool,
    /// Rules that must be found.
    pub expect: Vec<String>,
    /// Rules that must not be found. A rule in neither list is not judged.
    pub not: Vec<String>,
}

/// One statement, or a client that comes or goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The text.
    pub sql: String,
    /// Bound values in their text format; `None` is NULL.
    pub params: Vec<Option<String>>,
    /// Rows that came back or were changed.
    pub rows: u64,
    /// Bytes that came back.
    pub bytes: u64,
    /// When it was sent, in microseconds.
    pub sent_us: u64,
    /// How long the server took, in microseconds.
    pub took_us: u64,
    /// Whose connection.
    pub conn: u64,
    /// It is inside an explicit transaction, whose BEGIN and COMMIT count as inside.
    pub tx: bool,
    /// SQLSTATE, if it failed.
    pub error: Option<[u8; 5]>,
    /// Statements with the same number were sent before one Sync.
    pub pipeline: Option<u32>,
    /// The row limit of Execute; 0 for none.
    pub fetch: u32,
    /// Database, user, application and client, as far as the case names them.
    pub db: Option<String>,
    /// See `db`.
    pub user: Option<String>,
    /// See `db`.
    pub app: Option<String>,
    /// See `db`.
    pub client: Option<String>,
    /// Names of the result's columns.
    pub columns: Option<Vec<String>>,
    /// Values of the result by column.
    pub result: Vec<(String, Vec<Option<String>>)>,
    /// A client that comes or goes.
    pub event: Option<Arrival>,
}

/// See [`Step::event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It logs in.
    Connect {
        /// Its connection is encrypted.
        secure: bool,
        /// It is a superuser.
        superuser: bool,
    },
    /// It leaves.
    Disconnect,
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(line: &[u8]) -> Result<Case, String> {
    let json: Json = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let object = json.as_object().ok_or("is no object")?;
    let id = string(object, "id").ok_or("has no id")?;
    let (steps, sequence) = match object.get("statements") {
        Some(list) => {
            let list = list.as_array().ok_or("statements is no list")?;
            let steps = list.iter().enumerate().map(|(number, one)| {
                let step = one.as_object().map_or(Err("is no object".to_owned()), step);
                step.map_err(|error| format!("statement {number} {error}"))
            });
            (steps.collect::<Result<_, _>>()?, true)
        }
        None => (vec![step(object)?], false),
    };
    Ok(Case {
        id,
        steps,
        sequence,
        expect: strings(object, "expect").unwrap_or_default(),
        not: strings(object, "not").unwrap_or_default(),
    })
}

fn step(object: &Map<String, Json>) -> Result<Step, String> {
    let event = match object.get("event").and_then(Json::as_str) {
        None => None,
        Some("connect") => Some(Arrival::Connect {
            secure: flag(object, "tls").unwrap_or(true),
            superuser: flag(object, "is_superuser").unwrap_or(false),
        }),
        Some("disconnect") => Some(Arrival::Disconnect),
        Some(other) => return Err(format!("has an unknown event \"{other}\"")),
    };
    let sql = string(object, "sql");
    if sql.is_none() && event.is_none() {
        return Err("has no sql".to_owned());
    }
    let error = match string(object, "error") {
        None => None,
        Some(code) => Some(
            code.as_bytes()
                .try_into()
                .map_err(|_| format!("has an error \"{code}\" that is no SQLSTATE"))?,
        ),
    };
    let whole = |name| object.get(name).and_then(Json::as_u64);
    let small = |name| whole(name).and_then(|n| u32::try_from(n).ok());
    let result = object.get("result").and_then(Json::as_object);
    Ok(Step {
        sql: sql.unwrap_or_default(),
        params: values(object.get("params")),
        rows: whole("rows").unwrap_or(0),
        bytes: whole("bytes").unwrap_or(0),
        sent_us: microseconds(object, "at_ms").unwrap_or(0),
        took_us: microseconds(object, "dur_ms").unwrap_or(if event.is_none() { 1000 } else { 0 }),
        conn: whole("conn").unwrap_or(1),
        tx: flag(object, "tx").unwrap_or(false),
        error,
        pipeline: small("pipeline"),
        fetch: small("fetch").unwrap_or(0),
        db: string(object, "db"),
        user: string(object, "user"),
        app: string(object, "app"),
        client: string(object, "client"),
        columns: strings(object, "columns"),
        result: result
            .map(|columns| {
                let column = |(name, list): (&String, &Json)| (name.clone(), values(Some(list)));
                columns.iter().map(column).collect()
            })
            .unwrap_or_default(),
        event,
    })
}

fn string(object: &Map<String, Json>, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn flag(object: &Map<String, Json>, name: &str) -> Option<bool> {
    object.get(name)?.as_bool()
}

fn strings(object: &Map<String, Json>, name: &str) -> Option<Vec<String>> {
    let list = object.get(name)?.as_array()?;
    let names = list.iter().filter_map(Json::as_str);
    Some(names.map(str::to_owned).collect())
}

fn microseconds(object: &Map<String, Json>, name: &str) -> Option<u64> {
    let milliseconds = object.get(name)?.as_f64()?;
    // Negative and absurd numbers end at the type's limits.
    Some((milliseconds * 1000.0) as u64)
}

fn values(list: Option<&Json>) -> Vec<Option<String>> {
    let list = list.and_then(Json::as_array);
    list.map_or_else(Vec::new, |list| list.iter().map(value).collect())
}

/// A value as PostgreSQL writes it in its text format.
fn value(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::Bool(true) => Some("t".to_owned()),
        Json::Bool(false) => Some("f".to_owned()),
        Json::String(text) => Some(text.clone()),
        Json::Array(list) => {
            let element = |element: &Json| match element {
                Json::String(text) => {
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                }
                other => value(other).unwrap_or_else(|| "NULL".to_owned()),
            };
            let list: Vec<_> = list.iter().map(element).collect();
            Some(format!("{{{}}}", list.join(",")))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(line: &str) -> Case {
        read(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn a_statement() {
        let case = case(
            r#"{"id":"a","sql":"SELECT $1","params":[7,"x",null,[1,"a\"b"],true,1.5],"expect":["r"],"not":["s"],"why":""}"#,
        );
        assert!(!case.sequence);
        assert_eq!(
            (case.expect, case.not),
            (vec!["r".to_owned()], vec!["s".to_owned()])
        );
        let params: Vec<_> = case.steps[0].params.iter().map(Option::as_deref).collect();
        assert_eq!(
            params,
            [
                Some("7"),
                Some("x"),
                None,
                Some(r#"{1,"a\"b"}"#),
                Some("t"),
                Some("1.5")
            ]
        );
    }

    #[test]
    fn a_sequence() {
        let case = case(
            r#"{"id":"a","statements":[
                {"event":"connect","at_ms":0,"conn":3,"tls":false,"is_superuser":true},
                {"sql":"SELECT id FROM t","rows":2,"at_ms":1.5,"dur_ms":20,"conn":3,"tx":true,"error":"40P01",
                 "pipeline":4,"fetch":10,"user":"u","columns":["id"],"result":{"id":[1,null]}},
                {"event":"disconnect","conn":3}],"expect":[],"not":[]}"#
                .replace('\n', " ")
                .as_str(),
        );
        assert!(case.sequence);
        let [come, step, go] = case.steps.as_slice() else {
            panic!("{:?}", case.steps);
        };
        assert_eq!(
            come.event,
            Some(Arrival::Connect {
                secure: false,
                superuser: true
            })
        );
        assert_eq!(go.event, Some(Arrival::Disconnect));
        assert_eq!(
            (step.sent_us, step.took_us, step.conn, step.tx),
            (1500, 20_000, 3, true)
        );
        assert_eq!(
            (step.error, step.pipeline, step.fetch),
            (Some(*b"40P01"), Some(4), 10)
        );
        assert_eq!(
            step.result,
            [("id".to_owned(), vec![Some("1".to_owned()), None])]
        );
    }

    #[test]
    fn mistakes_are_told() {
        for (line, said) in [
            ("[]", "is no object"),
            ("{}", "has no id"),
            (r#"{"id":"a"}"#, "has no sql"),
            (r#"{"id":"a","statements":[{}]}"#, "statement 0 has no sql"),
            (r#"{"id":"a","sql":"","error":"4"}"#, "no SQLSTATE"),
            (r#"{"id":"a","sql":"","event":"x"}"#, "unknown event"),
            ("{", "EOF"),
        ] {
            let error = read(line.as_bytes()).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
