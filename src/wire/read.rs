//! Bodies of the messages that are looked into, as borrowed views. Nothing is copied or decoded:
//! names and texts are bytes in whatever encoding the client uses.

use super::header::FrameError;
use super::startup::take_cstr;
use super::status::TxStatus;
use super::tag::{backend, frontend};

fn malformed(tag: u8, what: &'static str) -> FrameError {
    FrameError::Malformed { tag, what }
}

/// Text of a Query, without its NUL.
///
/// # Errors
///
/// [`FrameError::Malformed`] if the body does not end with its only NUL.
pub fn query(body: &[u8]) -> Result<&[u8], FrameError> {
    let mut rest = body;
    let text = take_cstr(&mut rest).ok_or(malformed(frontend::QUERY, "no terminator"))?;
    if !rest.is_empty() {
        return Err(malformed(frontend::QUERY, "bytes after the text"));
    }
    Ok(text)
}

/// A Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the statement; empty for the unnamed one.
    pub name: &'a [u8],
    /// Its text.
    pub text: &'a [u8],
    /// Text with its NUL, number and OIDs of parameter types: all that makes the statement what
    /// it is.
    pub definition: &'a [u8],
}

/// Reads a Parse.
///
/// # Errors
///
/// [`FrameError::Malformed`].
pub fn parse(body: &[u8]) -> Result<Parse<'_>, FrameError> {
    let bad = |what| malformed(frontend::PARSE, what);
    let mut rest = body;
    let name = take_cstr(&mut rest).ok_or(bad("no terminator after the name"))?;
    let definition = rest;
    let text = take_cstr(&mut rest).ok_or(bad("no terminator after the text"))?;
    let &[a, b, ref types @ ..] = rest else {
        return Err(bad("no number of types"));
    };
    if types.len() != usize::from(u16::from_be_bytes([a, b])) * 4 {
        return Err(bad("number of types does not fit the length"));
    }
    Ok(Parse {
        name,
        text,
        definition,
    })
}

/// Names in front of a Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// Portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// Bytes of the body in front of what follows the names.
    pub len: usize,
}

/// Reads the names at the front of a Bind's body, of which only the front need be there;
/// `None` if the names are not complete yet.
#[inline]
pub fn bind_names(body: &[u8]) -> Option<BindNames<'_>> {
    let mut rest = body;
    let portal = take_cstr(&mut rest)?;
    let statement = take_cstr(&mut rest)?;
    Some(BindNames {
        portal,
        statement,
        len: body.len() - rest.len(),
    })
}

/// The parameters of a Bind, read by nobody yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct BindParams<'a> {
    codes: &'a [u8],
    values: &'a [u8],
    count: usize,
    /// Whether the first column of the result is asked for in the binary format.
    pub binary_result: bool,
}

impl<'a> BindParams<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each as its bytes (`None` for NULL) and whether they are in the binary format.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&'a [u8]>, bool)> + use<'a> {
        let Self { codes, values, .. } = *self;
        let mut rest = values;
        (0..self.count).map_while(move |at| {
            let bytes = take_value(&mut rest)?;
            Some((bytes, is_binary(codes, at)?))
        })
    }
}

/// The value in front: its length and its bytes, `None` for NULL.
#[inline]
fn take_value<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let len = i32::from_be_bytes(rest.split_off(..4)?.try_into().ok()?);
    match usize::try_from(len) {
        Ok(len) => Some(Some(rest.split_off(..len)?)),
        Err(_) => Some(None),
    }
}

/// The format of value `at`: no code means text for all, one is for all.
#[inline]
fn is_binary(codes: &[u8], at: usize) -> Option<bool> {
    let at = match codes.len() / 2 {
        0 => return Some(false),
        1 => 0,
        _ => at,
    };
    Some(codes.get(2 * at + 1)? == &1)
}

/// The parameters of a Bind: the part of its body behind the names, all of it. `None` if it is not
/// well formed, or holds more than `most`; the server will say what is wrong with it.
pub fn bind_params(rest: &[u8], most: usize) -> Option<BindParams<'_>> {
    let mut rest = rest;
    let formats = usize::from(take_u16(&mut rest)?);
    let codes = rest.split_off(..formats * 2)?;
    let count = usize::from(take_u16(&mut rest)?);
    if count > most {
        return None;
    }
    let values = rest;
    for at in 0..count {
        take_value(&mut rest)?;
        is_binary(codes, at)?;
    }
    let results = take_u16(&mut rest)?;
    let binary_result = results > 0 && take_u16(&mut rest)? == 1;
    Some(BindParams {
        codes,
        values,
        count,
        binary_result,
    })
}

/// The columns of a RowDescription: name, and whether in the binary format. `None` if it is not
/// well formed.
pub fn row_description(body: &[u8]) -> Option<Vec<(&[u8], bool)>> {
    let mut rest = body;
    let count = take_u16(&mut rest)?;
    let mut fields = Vec::with_capacity(usize::from(count.min(64)));
    for _ in 0..count {
        let name = take_cstr(&mut rest)?;
        // Table, column number, type, its size and modifier.
        rest.split_off(..16)?;
        fields.push((name, take_u16(&mut rest)? == 1));
    }
    Some(fields)
}

fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    let bytes = rest.split_off(..2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The portal and the row limit of an Execute; 0 is no limit.
pub fn execute(body: &[u8]) -> Option<(&[u8], u32)> {
    let mut rest = body;
    let portal = take_cstr(&mut rest)?;
    let most = i32::from_be_bytes(rest.try_into().ok()?);
    Some((portal, u32::try_from(most).unwrap_or(0)))
}

/// What a Describe or Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `S` for a statement, `P` for a portal; others are the server's to refuse.
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
}

/// Reads a Describe or Close.
///
/// # Errors
///
/// [`FrameError::Malformed`].
pub fn target(tag: u8, body: &[u8]) -> Result<Target<'_>, FrameError> {
    let (&kind, mut rest) = body.split_first().ok_or(malformed(tag, "empty"))?;
    let name = take_cstr(&mut rest).ok_or(malformed(tag, "no terminator"))?;
    if !rest.is_empty() {
        return Err(malformed(tag, "bytes after the name"));
    }
    Ok(Target { kind, name })
}

/// Status byte of a ReadyForQuery.
///
/// # Errors
///
/// [`FrameError::Malformed`].
#[inline]
pub fn ready_for_query(body: &[u8]) -> Result<TxStatus, FrameError> {
    match body {
        [byte] => TxStatus::from_byte(*byte),
        _ => None,
    }
    .ok_or(malformed(
        backend::READY_FOR_QUERY,
        "bad transaction status",
    ))
}

/// Name and value of a ParameterStatus.
///
/// # Errors
///
/// [`FrameError::Malformed`].
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let mut rest = body;
    match (take_cstr(&mut rest), take_cstr(&mut rest)) {
        (Some(name), Some(value)) if rest.is_empty() => Ok((name, value)),
        _ => Err(malformed(backend::PARAMETER_STATUS, "not two strings")),
    }
}

/// Tag of a CommandComplete.
///
/// # Errors
///
/// [`FrameError::Malformed`].
#[inline]
pub fn command_tag(body: &[u8]) -> Result<&[u8], FrameError> {
    match body.split_last() {
        Some((0, tag)) => Ok(tag),
        _ => Err(malformed(backend::COMMAND_COMPLETE, "no terminator")),
    }
}

/// One field of an ErrorResponse or NoticeResponse, or `None` if it is not there. Works on
/// anything: a body without terminator or with no fields at all is not an error here.
pub fn error_field(body: &[u8], field: u8) -> Option<&[u8]> {
    let mut rest = body;
    while let Some((&code, tail)) = rest.split_first() {
        if code == 0 {
            return None;
        }
        rest = tail;
        let value = take_cstr(&mut rest)?;
        if code == field {
            return Some(value);
        }
    }
    None
}

/// Values of a DataRow; `None` is NULL.
///
/// # Errors
///
/// [`FrameError::Malformed`].
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, FrameError> {
    let bad = || malformed(backend::DATA_ROW, "lengths do not fit");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(bad)?;
    let count = u16::from_be_bytes(*count);
    let mut values = Vec::new();
    for _ in 0..count {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        rest = tail;
        match i32::from_be_bytes(*len) {
            -1 => values.push(None),
            len => {
                let len = usize::try_from(len).map_err(|_| bad())?;
                let (value, tail) = rest.split_at_checked(len).ok_or_else(bad)?;
                values.push(Some(value));
                rest = tail;
            }
        }
    }
    if rest.is_empty() {
        Ok(values)
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parse_views() {
        let body = b"s1\0SELECT $1\0\0\x01\0\0\0\x17";
        let view = parse(body).unwrap();
        assert_eq!(view.name, b"s1");
        assert_eq!(view.text, b"SELECT $1");
        assert_eq!(view.definition, &body[3..]);
        assert!(parse(b"s1\0SELECT $1\0\0\x02\0\0\0\x17").is_err());
        assert!(parse(b"s1\0SELECT $1\0\0").is_err());
        assert!(parse(b"s1\0SELECT $1").is_err());
    }

    #[test]
    fn error_fields_of_any_subset() {
        assert_eq!(
            error_field(b"SERROR\0C42601\0Mno\0\0", b'C'),
            Some(&b"42601"[..])
        );
        assert_eq!(error_field(b"SERROR\0Mno\0\0", b'C'), None);
        assert_eq!(error_field(b"", b'C'), None);
        assert_eq!(error_field(b"C4260", b'C'), None);
        assert_eq!(error_field(b"\0C42601\0", b'C'), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = query(&bytes);
            let _ = parse(&bytes);
            let _ = bind_names(&bytes);
            let _ = target(b'D', &bytes);
            let _ = ready_for_query(&bytes);
            let _ = parameter_status(&bytes);
            let _ = command_tag(&bytes);
            let _ = data_row(&bytes);
            let _ = error_field(&bytes, b'C');
        }
    }
}
