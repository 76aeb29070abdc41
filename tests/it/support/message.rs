//! Protocol messages as bytes, written from the manual and not with pgweir's own code, so that a
//! mistake there is not made here too.
//!
//! Source: PostgreSQL documentation, "Message Formats".

use std::fmt;

/// One message after the startup phase, as read from a peer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// The fields of an ErrorResponse or NoticeResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) fields: Vec<(char, String)>,
}

impl Report {
    /// The value of one field; empty if it is not there.
    pub(crate) fn field(&self, code: char) -> &str {
        self.fields
            .iter()
            .find(|(c, _)| *c == code)
            .map_or("", |(_, value)| value)
    }

    pub(crate) fn sqlstate(&self) -> &str {
        self.field('C')
    }

    pub(crate) fn message(&self) -> &str {
        self.field('M')
    }
}

impl Message {
    pub(crate) fn new(tag: u8, body: impl Into<Vec<u8>>) -> Self {
        Self {
            tag,
            body: body.into(),
        }
    }

    /// Tag, length and body as they are on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.tag];
        let length = u32::try_from(self.body.len() + 4).expect("a short message");
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The fields, if this is an ErrorResponse or NoticeResponse.
    pub(crate) fn report(&self) -> Report {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?} is no report");
        let mut fields = Vec::new();
        for field in self.body.split(|byte| *byte == 0) {
            if let [code, value @ ..] = field {
                let value = String::from_utf8_lossy(value).into_owned();
                fields.push((char::from(*code), value));
            }
        }
        Report { fields }
    }

    /// Texts of a DataRow's columns; `None` is NULL.
    pub(crate) fn columns(&self) -> Vec<Option<String>> {
        assert_eq!(self.tag, b'D', "{self:?} is no DataRow");
        let mut rest = &self.body[2..];
        let mut columns = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().expect("four bytes"));
            rest = &rest[4..];
            match usize::try_from(length) {
                Ok(length) => {
                    columns.push(Some(String::from_utf8_lossy(&rest[..length]).into_owned()));
                    rest = &rest[length..];
                }
                Err(_) => columns.push(None),
            }
        }
        columns
    }

    /// The two texts of a ParameterStatus.
    pub(crate) fn parameter(&self) -> (String, String) {
        assert_eq!(self.tag, b'S', "{self:?} is no ParameterStatus");
        let mut parts = self.body.split(|byte| *byte == 0);
        let mut next = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        (next(), next())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = char::from(self.tag);
        match self.tag {
            // An Execute has the same tag; its portals are not called S…
            b'E' | b'N' if self.body.starts_with(b"S") => {
                write!(f, "{tag}")?;
                for (code, value) in self.report().fields {
                    write!(f, " {code}={value:?}")?;
                }
                Ok(())
            }
            _ => {
                let shown = &self.body[..self.body.len().min(160)];
                write!(f, "{tag}({}) {}", self.body.len(), shown.escape_ascii())
            }
        }
    }
}

/// Sixteen bytes a line, with their text.
pub(crate) fn hex_dump(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut dump = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let _ = write!(dump, "{:06x} ", line * 16);
        for byte in chunk {
            let _ = write!(dump, " {byte:02x}");
        }
        for _ in chunk.len()..16 {
            dump.push_str("   ");
        }
        dump.push_str("  ");
        dump.extend(chunk.iter().map(|byte| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => '.',
        }));
        dump.push('\n');
    }
    dump
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.as_bytes());
    body.push(0);
}

fn int16(body: &mut Vec<u8>, value: usize) {
    body.extend(i16::try_from(value).expect("few").to_be_bytes());
}

fn int32(body: &mut Vec<u8>, value: usize) {
    body.extend(i32::try_from(value).expect("short").to_be_bytes());
}

/// A StartupMessage of the given protocol version (`0x0003_0000` for 3.0).
pub(crate) fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        text(&mut body, name);
        text(&mut body, value);
    }
    body.push(0);
    untagged(&body)
}

/// A CancelRequest.
pub(crate) fn cancel(pid: u32, key: &[u8]) -> Vec<u8> {
    let mut body = 80_877_102u32.to_be_bytes().to_vec();
    body.extend(pid.to_be_bytes());
    body.extend(key);
    untagged(&body)
}

/// A length and a body, as in the startup phase.
pub(crate) fn untagged(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    int32(&mut bytes, body.len() + 4);
    bytes.extend(body);
    bytes
}

pub(crate) fn query(sql: &str) -> Message {
    let mut body = Vec::new();
    text(&mut body, sql);
    Message::new(b'Q', body)
}

/// A Parse without parameter types.
pub(crate) fn parse(name: &str, sql: &str) -> Message {
    let mut body = Vec::new();
    text(&mut body, name);
    text(&mut body, sql);
    int16(&mut body, 0);
    Message::new(b'P', body)
}

/// A Bind with parameters and results as text.
pub(crate) fn bind(portal: &str, statement: &str, values: &[Option<&str>]) -> Message {
    let mut body = Vec::new();
    text(&mut body, portal);
    text(&mut body, statement);
    int16(&mut body, 0);
    int16(&mut body, values.len());
    for value in values {
        match value {
            Some(value) => {
                int32(&mut body, value.len());
                body.extend(value.as_bytes());
            }
            None => body.extend((-1i32).to_be_bytes()),
        }
    }
    int16(&mut body, 0);
    Message::new(b'B', body)
}

/// A Describe or Close (`tag`) of a statement `S` or portal `P`.
fn named(tag: u8, kind: u8, name: &str) -> Message {
    let mut body = vec![kind];
    text(&mut body, name);
    Message::new(tag, body)
}

pub(crate) fn describe_statement(name: &str) -> Message {
    named(b'D', b'S', name)
}

pub(crate) fn describe_portal(name: &str) -> Message {
    named(b'D', b'P', name)
}

pub(crate) fn close_statement(name: &str) -> Message {
    named(b'C', b'S', name)
}

pub(crate) fn close_portal(name: &str) -> Message {
    named(b'C', b'P', name)
}

/// An Execute; 0 rows is all.
pub(crate) fn execute(portal: &str, rows: usize) -> Message {
    let mut body = Vec::new();
    text(&mut body, portal);
    int32(&mut body, rows);
    Message::new(b'E', body)
}

pub(crate) fn sync() -> Message {
    Message::new(b'S', [])
}

pub(crate) fn flush() -> Message {
    Message::new(b'H', [])
}

pub(crate) fn terminate() -> Message {
    Message::new(b'X', [])
}

pub(crate) fn copy_data(data: &str) -> Message {
    Message::new(b'd', data.as_bytes())
}

pub(crate) fn copy_done() -> Message {
    Message::new(b'c', [])
}

pub(crate) fn copy_fail(reason: &str) -> Message {
    let mut body = Vec::new();
    text(&mut body, reason);
    Message::new(b'f', body)
}

/// A FunctionCall with one argument, all as text.
pub(crate) fn function_call(oid: usize, argument: &str) -> Message {
    let mut body = Vec::new();
    int32(&mut body, oid);
    int16(&mut body, 0);
    int16(&mut body, 1);
    int32(&mut body, argument.len());
    body.extend(argument.as_bytes());
    int16(&mut body, 0);
    Message::new(b'F', body)
}

/// What a scripted server says.
pub(crate) mod from_server {
    use super::{Message, int16, int32, text};

    pub(crate) fn authentication_ok() -> Message {
        Message::new(b'R', [0, 0, 0, 0])
    }

    pub(crate) fn parameter_status(name: &str, value: &str) -> Message {
        let mut body = Vec::new();
        text(&mut body, name);
        text(&mut body, value);
        Message::new(b'S', body)
    }

    pub(crate) fn backend_key(pid: u32, key: &[u8]) -> Message {
        let mut body = pid.to_be_bytes().to_vec();
        body.extend(key);
        Message::new(b'K', body)
    }

    /// `I`, `T` or `E`.
    pub(crate) fn ready(status: u8) -> Message {
        Message::new(b'Z', [status])
    }

    pub(crate) fn complete(tag: &str) -> Message {
        let mut body = Vec::new();
        text(&mut body, tag);
        Message::new(b'C', body)
    }

    /// A row of text values.
    pub(crate) fn row(values: &[&str]) -> Message {
        let mut body = Vec::new();
        int16(&mut body, values.len());
        for value in values {
            int32(&mut body, value.len());
            body.extend(value.as_bytes());
        }
        Message::new(b'D', body)
    }

    /// A description of text columns.
    pub(crate) fn row_description(names: &[&str]) -> Message {
        let mut body = Vec::new();
        int16(&mut body, names.len());
        for name in names {
            text(&mut body, name);
            body.extend([0; 6]);
            int32(&mut body, 25);
            body.extend((-1i16).to_be_bytes());
            body.extend((-1i32).to_be_bytes());
            body.extend([0; 2]);
        }
        Message::new(b'T', body)
    }

    /// An ErrorResponse (`E`) or NoticeResponse (`N`).
    pub(crate) fn report(tag: u8, severity: &str, sqlstate: &str, message: &str) -> Message {
        let mut body = Vec::new();
        for (code, value) in [
            (b'S', severity),
            (b'V', severity),
            (b'C', sqlstate),
            (b'M', message),
        ] {
            body.push(code);
            text(&mut body, value);
        }
        body.push(0);
        Message::new(tag, body)
    }
}
