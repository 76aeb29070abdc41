//! Values that decide a rule: literals of a text, bound parameters.

use pg_raw_parse::ConstValue;

use super::profile::Test;

/// A bound parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param<'a> {
    /// Its bytes; `None` for NULL.
    pub bytes: Option<&'a [u8]>,
    /// Whether they are in the binary format.
    pub binary: bool,
}

/// Whether a constant of the tree meets `test`.
pub(super) fn constant_meets(value: Option<ConstValue<'_>>, test: Test) -> bool {
    match value {
        None | Some(ConstValue::Boolean(_)) => false,
        Some(ConstValue::String(text)) => text_meets(text.as_bytes(), test),
        Some(number) => (number.numeric_value::<i64>()).is_some_and(|n| number_meets(n, test)),
    }
}

/// Whether a literal as it stands in the text meets `test`.
#[must_use]
pub fn literal_meets(literal: &[u8], test: Test) -> bool {
    match test {
        Test::AtLeast(_) | Test::Exactly(_) | Test::OpenLimit => {
            let digits = unquote(literal);
            std::str::from_utf8(&digits)
                .ok()
                .and_then(|text| text.replace('_', "").trim().parse().ok())
                .is_some_and(|n| number_meets(n, test))
        }
        _ => text_meets(&unquote(literal), test),
    }
}

/// Whether a bound parameter meets `test`.
#[must_use]
pub fn param_meets(param: Param<'_>, test: Test) -> bool {
    let Some(bytes) = param.bytes else {
        return false;
    };
    match test {
        Test::AtLeast(_) | Test::Exactly(_) | Test::OpenLimit => {
            integer(param).is_some_and(|n| number_meets(n, test))
        }
        Test::ListWithin(..) => false,
        Test::ElementsAtLeast(n) => elements(param).is_some_and(|found| found >= u64::from(n)),
        // Text is the same in both formats.
        Test::LeadingWildcard | Test::ClearPassword => text_meets(bytes, test),
    }
}

/// Whether a list of so many elements meets `test`.
#[must_use]
pub fn list_meets(elements: u32, test: Test) -> bool {
    matches!(test, Test::ListWithin(least, below) if (least..below).contains(&elements))
}

fn number_meets(n: i64, test: Test) -> bool {
    match test {
        Test::AtLeast(least) => n >= least,
        Test::Exactly(wanted) => n == wanted,
        // Django's get() asks for 21 rows to be able to say "more than 20".
        Test::OpenLimit => n > 1 && n != 21,
        _ => false,
    }
}

fn text_meets(text: &[u8], test: Test) -> bool {
    match test {
        Test::LeadingWildcard => matches!(text.first(), Some(b'%' | b'_')),
        Test::ClearPassword => !text.is_empty() && !is_hashed(text),
        Test::ElementsAtLeast(n) => text_elements(text) >= u64::from(n),
        Test::ListWithin(..) => false,
        Test::AtLeast(_) | Test::Exactly(_) | Test::OpenLimit => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .is_some_and(|n| number_meets(n, test)),
    }
}

/// The integer that a parameter is: text, or int2, int4 or int8 in binary.
#[must_use]
pub fn integer(param: Param<'_>) -> Option<i64> {
    let bytes = param.bytes?;
    if !param.binary {
        return std::str::from_utf8(bytes).ok()?.trim().parse().ok();
    }
    match *bytes {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        _ => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
    }
}

/// Number of elements of an array parameter; binary arrays are read by their header alone.
fn elements(param: Param<'_>) -> Option<u64> {
    let bytes = param.bytes?;
    if !param.binary {
        return Some(text_elements(bytes));
    }
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let dimensions = word(0)?;
    let mut count = u64::from(dimensions > 0);
    // PostgreSQL's MAXDIM.
    for dimension in 0..dimensions.min(6) as usize {
        count = count.saturating_mul(u64::from(word(12 + 8 * dimension)?));
    }
    Some(count)
}

/// Elements of `{a,b,c}`, roughly: commas outside quotes and one.
fn text_elements(text: &[u8]) -> u64 {
    if !text.starts_with(b"{") || text.len() <= 2 {
        return 0;
    }
    let (mut quoted, mut escaped, mut commas) = (false, false, 0);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            _ => {}
        }
    }
    commas + 1
}

/// Whether a stored password looks hashed.
#[must_use]
pub fn is_hashed(text: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 14] = [
        b"$1$",
        b"$2a$",
        b"$2b$",
        b"$2x$",
        b"$2y$",
        b"$5$",
        b"$6$",
        b"$7$",
        b"$y$",
        b"$argon2",
        b"$scrypt$",
        b"$pbkdf2",
        b"SCRAM-SHA-256$",
        b"sha256$",
    ];
    const NAMES: [&[u8]; 9] = [
        b"pbkdf2",
        b"bcrypt",
        b"argon2",
        b"scrypt",
        b"sha1$",
        b"md5$",
        b"unusable$",
        b"crypt$",
        b"hmac",
    ];
    let hex = |text: &[u8]| text.len() >= 32 && text.iter().all(u8::is_ascii_hexdigit);
    if PREFIXES
        .iter()
        .chain(&NAMES)
        .any(|prefix| text.starts_with(prefix))
        || hex(text)
    {
        return true;
    }
    // Django's unusable password, LDAP's {SSHA}, PostgreSQL's md5.
    text.starts_with(b"!")
        || (text.starts_with(b"{") && text.contains(&b'}'))
        || text.strip_prefix(b"md5").is_some_and(hex)
        || text.strip_prefix(b"\\x").is_some_and(hex)
}

/// The text inside a string literal, of any spelling; a number as it is.
#[must_use]
pub fn unquote(literal: &[u8]) -> Vec<u8> {
    if literal.starts_with(b"$") {
        let tag = literal[1..]
            .iter()
            .position(|&b| b == b'$')
            .map_or(0, |at| at + 2);
        let end = literal.len().saturating_sub(tag).max(tag);
        return literal.get(tag..end).unwrap_or_default().to_vec();
    }
    let Some(open) = literal.iter().position(|&b| b == b'\'') else {
        return literal.to_vec();
    };
    let escapes = matches!(literal.first(), Some(b'e' | b'E'));
    let inner = literal
        .get(open + 1..literal.len().saturating_sub(1).max(open + 1))
        .unwrap_or_default();
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => {
                bytes.next_if_eq(&b'\'');
                out.push(b'\'');
            }
            b'\\' if escapes => out.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(other) => other,
                None => b'\\',
            }),
            other => out.push(other),
        }
    }
    out
}

/// Where the token that begins at `start` ends: a name, number, string, parameter or operator, with
/// the brackets of a call behind a name.
pub(super) fn token_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let rest = bytes.get(start..).unwrap_or_default();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 128;
    let quoted = |from: usize, quote: u8| {
        let mut at = from + 1;
        while at < bytes.len() {
            if bytes[at] == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    return at + 1;
                }
                at += 1;
            }
            at += 1;
        }
        bytes.len()
    };
    let mut end = match rest.first() {
        None => return text.len(),
        Some(b'\'') => return quoted(start, b'\''),
        Some(b'"') => quoted(start, b'"'),
        Some(&b) if word(b) => {
            let len = rest.iter().take_while(|&&b| word(b)).count();
            if rest.get(len) == Some(&b'\'') && len == 1 {
                return quoted(start + len, b'\'');
            }
            start + len
        }
        Some(_) => return start + text[start..].chars().next().map_or(1, char::len_utf8),
    };
    // A qualified name.
    while bytes.get(end) == Some(&b'.') {
        end = match bytes.get(end + 1) {
            Some(b'"') => quoted(end + 1, b'"'),
            Some(&b) if word(b) => {
                end + 1 + bytes[end + 1..].iter().take_while(|&&b| word(b)).count()
            }
            Some(b'*') => return end + 2,
            _ => break,
        };
    }
    if bytes.get(end) == Some(&b'(') {
        let mut depth = 0_u32;
        let mut at = end;
        while at < bytes.len() {
            match bytes[at] {
                b'\'' => at = quoted(at, b'\'') - 1,
                b'"' => at = quoted(at, b'"') - 1,
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
    end
}

/// The end of the piece from `start` to `end` with the brackets that close those within it.
pub(super) fn closed(text: &str, start: usize, end: usize, literals: &[(u32, u32)]) -> usize {
    let literal =
        |at: usize| (literals.iter()).any(|&(from, to)| (from as usize..to as usize).contains(&at));
    let bytes = text.as_bytes();
    let mut open = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(end).skip(start) {
        match byte {
            b'(' | b'[' if !literal(at) => open += 1,
            b')' | b']' if !literal(at) => open = open.saturating_sub(1),
            _ => {}
        }
    }
    let mut end = end;
    let rest = bytes.iter().enumerate().skip(end);
    for (at, byte) in rest {
        match byte {
            _ if open == 0 => break,
            b')' | b']' => (open, end) = (open - 1, at + 1),
            b if b.is_ascii_whitespace() => {}
            _ => break,
        }
    }
    end
}

/// A piece of the text with `?` for its literals, at most 80 characters, on one line.
pub(super) fn without_literals(
    text: &str,
    start: usize,
    end: usize,
    literals: &[(u32, u32)],
) -> String {
    const LONGEST: usize = 80;
    let mut out = String::new();
    let mut at = start;
    for &(from, to) in literals {
        let (from, to) = (from as usize, to as usize);
        if from >= at && to <= end {
            out.push_str(text.get(at..from).unwrap_or_default());
            out.push('?');
            at = to;
        }
    }
    out.push_str(text.get(at..end).unwrap_or_default());
    let mut line: String = out.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > LONGEST {
        line = line.chars().take(LONGEST - 1).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_goes_on_to_the_brackets_that_close_it() {
        let ended = |text: &str, upto: &str, literals: &[(u32, u32)]| {
            let end = text.find(upto).expect("there") + upto.len();
            text[..closed(text, 0, end, literals)].to_owned()
        };
        assert_eq!(ended("lower(email) = 1)", "email", &[]), "lower(email)");
        assert_eq!(ended("f(g(a ) ), b)", "a", &[]), "f(g(a ) )");
        assert_eq!(ended("a = '(' )", "'('", &[(4, 7)]), "a = '('");
        assert_eq!(ended("f(a, b)", "a", &[]), "f(a");
    }
}
