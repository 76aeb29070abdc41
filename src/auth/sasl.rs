//! The envelope around SCRAM messages.

/// SCRAM that is bound to nothing.
pub const SCRAM_SHA_256: &[u8] = b"SCRAM-SHA-256";

/// SCRAM that is bound to the certificate of the TLS session it runs in.
pub const SCRAM_SHA_256_PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

/// A client's first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial<'a> {
    /// Mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// First data; `None` if the client wants an empty challenge first.
    pub data: Option<&'a [u8]>,
}

/// Reads the body of a SASLInitialResponse; `None` if its parts do not fit its length exactly.
pub fn parse_initial(body: &[u8]) -> Option<Initial<'_>> {
    let mut rest = body;
    let mechanism = take_cstr(&mut rest)?;
    let (len, data) = rest.split_first_chunk::<4>()?;
    let data = match i32::from_be_bytes(*len) {
        -1 if data.is_empty() => None,
        len if usize::try_from(len).ok()? == data.len() => Some(data),
        _ => return None,
    };
    Some(Initial { mechanism, data })
}

/// The body of a SASLInitialResponse with data.
pub fn write_initial(mechanism: &[u8], data: &[u8]) -> Vec<u8> {
    let mut body = mechanism.to_vec();
    body.push(0);
    body.extend((data.len() as u32).to_be_bytes());
    body.extend(data);
    body
}

/// Whether a server's list of mechanisms (strings, each with a NUL, and an empty one at the end)
/// holds `mechanism`. A list that is cut short counts as far as it goes.
pub fn offers(mut list: &[u8], mechanism: &[u8]) -> bool {
    while let Some(name) = take_cstr(&mut list).filter(|name| !name.is_empty()) {
        if name == mechanism {
            return true;
        }
    }
    false
}

/// Takes the bytes before the next NUL off the front, and the NUL.
fn take_cstr<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|&b| b == 0)?;
    let text = rest.get(..end)?;
    *rest = rest.get(end + 1..)?;
    Some(text)
}
