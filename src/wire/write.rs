//! Messages that are made here. Each function appends one whole message to `out`.
//!
//! What is shown to people (errors, notices, rows of the console) is encoded by `pgwire`; the
//! short messages that travel with queries are written directly.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::data::{DataRow, FieldDescription, RowDescription};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use super::status::TxStatus;
use super::tag::{backend, frontend};
use crate::error::SqlState;

/// Appends a message whose body `fill` writes; the length is put in afterwards.
pub fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([tag, 0, 0, 0, 0]);
    fill(out);
    let len = (out.len() - start - 1) as u32;
    out[start + 1..start + 5].copy_from_slice(&len.to_be_bytes());
}

fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(text);
    out.push(0);
}

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// ErrorResponse, with the `V` field that drivers rely on.
pub fn error(out: &mut Vec<u8>, severity: Severity, state: SqlState, text: &str) {
    error_with(out, severity, state, text, &[]);
}

/// ErrorResponse with further fields, such as `D` (detail) and `H` (hint).
pub fn error_with(
    out: &mut Vec<u8>,
    severity: Severity,
    state: SqlState,
    text: &str,
    more: &[(u8, &str)],
) {
    let mut fields = fields(severity.as_str(), state, text);
    fields.extend(
        more.iter()
            .map(|&(code, value)| (code, value.replace('\0', " "))),
    );
    encode(out, &ErrorResponse::new(fields));
}

/// NoticeResponse of severity NOTICE.
pub fn notice(out: &mut Vec<u8>, state: SqlState, text: &str) {
    encode(out, &NoticeResponse::new(fields("NOTICE", state, text)));
}

/// NoticeResponse of severity WARNING with further fields, such as `H` (hint).
pub fn warning_with(out: &mut Vec<u8>, state: SqlState, text: &str, more: &[(u8, &str)]) {
    let mut fields = fields("WARNING", state, text);
    fields.extend(
        more.iter()
            .map(|&(code, value)| (code, value.replace('\0', " "))),
    );
    encode(out, &NoticeResponse::new(fields));
}

fn fields(severity: &str, state: SqlState, text: &str) -> Vec<(u8, String)> {
    vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', state.as_str().to_owned()),
        (b'M', text.replace('\0', " ")),
    ]
}

fn encode(out: &mut Vec<u8>, message: &impl Message) {
    let mut buffer = BytesMut::new();
    // Encoding into memory has no way to fail; were it to, the message would be missing and the
    // peer would notice, which beats a panic.
    if message.encode(&mut buffer).is_ok() {
        out.extend_from_slice(&buffer);
    }
}

/// A column of a result of the console: name and type OID.
pub type Column = (&'static str, u32);

/// RowDescription; `binary` tells which columns come in the binary format.
pub fn row_description(out: &mut Vec<u8>, columns: &[Column], binary: impl Fn(usize) -> bool) {
    let fields = columns
        .iter()
        .enumerate()
        .map(|(at, &(name, oid))| {
            let size = match oid {
                23 => 4,
                20 => 8,
                16 => 1,
                _ => -1,
            };
            let format = i16::from(binary(at));
            FieldDescription::new(name.to_owned(), 0, 0, oid, size, -1, format)
        })
        .collect();
    encode(out, &RowDescription::new(fields));
}

/// DataRow of values that have their format already; `None` is NULL.
pub fn data_row(out: &mut Vec<u8>, values: &[Option<impl AsRef<[u8]>>]) {
    let mut data = BytesMut::new();
    for value in values {
        match value {
            None => data.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(value) => {
                let value = value.as_ref();
                data.extend_from_slice(&(value.len() as i32).to_be_bytes());
                data.extend_from_slice(value);
            }
        }
    }
    encode(out, &DataRow::new(data, values.len() as i16));
}

/// CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, backend::COMMAND_COMPLETE, |out| {
        cstr(out, tag.as_bytes())
    });
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut Vec<u8>, status: TxStatus) {
    out.extend([backend::READY_FOR_QUERY, 0, 0, 0, 5, status as u8]);
}

/// A message without a body, such as ParseComplete or Sync.
#[inline]
pub fn empty(out: &mut Vec<u8>, tag: u8) {
    out.extend([tag, 0, 0, 0, 4]);
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    out.extend([backend::AUTHENTICATION, 0, 0, 0, 8, 0, 0, 0, 0]);
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    message(out, backend::PARAMETER_STATUS, |out| {
        cstr(out, name);
        cstr(out, value);
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, pid: u32, key: &[u8]) {
    message(out, backend::BACKEND_KEY_DATA, |out| {
        out.extend(pid.to_be_bytes());
        out.extend(key);
    });
}

/// Query.
pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    message(out, frontend::QUERY, |out| cstr(out, text));
}

/// Parse of a statement whose `definition` is text, NUL and parameter types.
pub fn parse(out: &mut Vec<u8>, name: &[u8], definition: &[u8]) {
    message(out, frontend::PARSE, |out| {
        cstr(out, name);
        out.extend(definition);
    });
}

/// Describe or Close (`tag`) of a statement or portal (`kind`).
pub fn target(out: &mut Vec<u8>, tag: u8, kind: u8, name: &[u8]) {
    message(out, tag, |out| {
        out.push(kind);
        cstr(out, name);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header::take_frame;
    use crate::wire::read;
    use proptest::prelude::*;

    #[test]
    fn errors_carry_severity_twice_and_the_code() {
        let mut out = Vec::new();
        error(
            &mut out,
            Severity::Fatal,
            SqlState::INVALID_PASSWORD,
            "no\0pe",
        );
        let (header, body) = take_frame(&out, 1000).unwrap().unwrap();
        assert_eq!((header.tag, header.frame_len()), (b'E', out.len()));
        assert_eq!(read::error_field(body, b'V'), Some(&b"FATAL"[..]));
        assert_eq!(read::error_field(body, b'C'), Some(&b"28P01"[..]));
        assert_eq!(read::error_field(body, b'M'), Some(&b"no pe"[..]));
    }

    proptest! {
        /// What is written here reads back, by our views and by `pgwire` as an independent oracle.
        #[test]
        fn parse_round_trip(name in "[a-z_]{0,20}", text in "[ -~]{0,60}", types in proptest::collection::vec(any::<u32>(), 0..5)) {
            let mut definition = text.clone().into_bytes();
            definition.push(0);
            definition.extend((types.len() as u16).to_be_bytes());
            for t in &types { definition.extend(t.to_be_bytes()); }
            let mut out = Vec::new();
            parse(&mut out, name.as_bytes(), &definition);
            let (_, body) = take_frame(&out, 1 << 20).unwrap().unwrap();
            let view = read::parse(body).unwrap();
            prop_assert_eq!(view.name, name.as_bytes());
            prop_assert_eq!(view.text, text.as_bytes());
            let mut bytes = BytesMut::from(&out[..]);
            let context = pgwire::messages::DecodeContext::default();
            let oracle = pgwire::messages::extendedquery::Parse::decode(&mut bytes, &context).unwrap().unwrap();
            prop_assert!(bytes.is_empty());
            prop_assert_eq!(oracle.name.unwrap_or_default(), name);
            prop_assert_eq!(oracle.query, text);
            prop_assert_eq!(oracle.type_oids, types);
        }

        #[test]
        fn rows_read_back(values in proptest::collection::vec(proptest::option::of("[ -~]{0,30}"), 0..8)) {
            let mut out = Vec::new();
            data_row(&mut out, &values);
            let (_, body) = take_frame(&out, 1 << 20).unwrap().unwrap();
            let back: Vec<Option<String>> = read::data_row(body).unwrap().into_iter()
                .map(|v| v.map(|v| String::from_utf8(v.to_vec()).unwrap())).collect();
            prop_assert_eq!(back, values);
        }
    }
}
