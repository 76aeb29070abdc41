//! Values as salted hashes: equal values give equal numbers whether they came as a literal, as a
//! bound parameter in either format or in a row, and no value can be read back.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, RandomState};

use crate::sql::{self, Lexing};

use super::observe::Values;
use super::value::{self, Param};
use crate::sql::Reading;

/// See the module. One per process, or of a given seed where results must repeat.
#[derive(Clone, Debug)]
pub struct Hashing {
    state: FixedState,
}

/// What a value is after its spelling was taken away.
const INTEGER: u8 = 1;
const UUID: u8 = 2;
const TEXT: u8 = 3;
const NULL: u8 = 4;

impl Hashing {
    /// With a salt that nobody knows.
    #[must_use]
    pub fn random() -> Self {
        Hashing::seeded(RandomState::default().hash_one(0_u8))
    }

    /// With this salt.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Hashing {
            state: FixedState::with_seed(seed),
        }
    }

    /// A literal as it stands in a text.
    #[must_use]
    pub fn literal(&self, literal: &[u8]) -> u64 {
        match literal.first() {
            Some(b'0'..=b'9') if literal.contains(&b'_') => {
                let digits: Vec<u8> = literal.iter().copied().filter(|&b| b != b'_').collect();
                self.value(&digits)
            }
            Some(b'0'..=b'9' | b'-') => self.value(literal),
            _ => self.value(&value::unquote(literal)),
        }
    }

    /// A bound parameter, or a field of a row.
    #[must_use]
    pub fn param(&self, param: Param<'_>) -> u64 {
        let Some(bytes) = param.bytes else {
            return self.tagged(NULL, &[]);
        };
        if !param.binary {
            return self.value(bytes);
        }
        match bytes.len() {
            // The type is not known here: two, four and eight bytes are taken for integers. A
            // text of that length stays equal to itself, which is what matters.
            2 | 4 | 8 => match value::integer(param) {
                Some(n) => self.tagged(INTEGER, &n.to_ne_bytes()),
                None => self.tagged(TEXT, bytes),
            },
            16 => self.tagged(UUID, bytes),
            _ => self.value(bytes),
        }
    }

    /// A name or an id that is no value of a row, such as a trace id.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        self.tagged(TEXT, bytes)
    }

    /// The values of a text, which are its literals. `raw` is a hash of all of it, for what its shape
    /// shortens: lists and rows of VALUES.
    #[must_use]
    pub fn literals(&self, text: &[u8], reading: &Reading, raw: u64) -> Values {
        let literals = (reading.literals.iter())
            .filter_map(|&(start, end)| text.get(start as usize..end as usize))
            .map(|literal| self.literal(literal));
        let mut values = self.values(literals);
        if reading.longest_list > 0 || reading.rows > 1 {
            values.all ^= raw;
        }
        values
    }

    /// The values of one execution, literals first.
    #[must_use]
    pub fn values(&self, hashes: impl IntoIterator<Item = u64>) -> Values {
        let mut values = Values::default();
        let mut hasher = self.state.build_hasher();
        for hash in hashes {
            hasher.write_u64(hash);
            if let Some(slot) = values.each.get_mut(usize::from(values.len)) {
                *slot = hash;
                values.len += 1;
            }
        }
        values.all = hasher.finish();
        values
    }

    /// More values of the same execution.
    pub fn add(&self, values: &mut Values, hash: u64) {
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(values.all);
        hasher.write_u64(hash);
        values.all = hasher.finish();
        if let Some(slot) = values.each.get_mut(usize::from(values.len)) {
            *slot = hash;
            values.len += 1;
        }
    }

    /// A text with its comments, and without them: what differs in comments only is equal in the
    /// second.
    #[must_use]
    pub fn texts(&self, text: &[u8], lexing: Lexing) -> (u64, u64) {
        let raw = self.bytes(text);
        let comments = sql::comments(text, lexing);
        if comments.is_empty() {
            return (raw, self.bytes(text.trim_ascii()));
        }
        let mut bare = Vec::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in comments {
            let part = text
                .get(at..start as usize)
                .unwrap_or_default()
                .trim_ascii();
            at = end as usize;
            if !part.is_empty() {
                bare.extend_from_slice(part);
                bare.push(b' ');
            }
        }
        bare.extend_from_slice(text.get(at..).unwrap_or_default().trim_ascii());
        (raw, self.bytes(bare.trim_ascii()))
    }

    /// A value in its text format.
    fn value(&self, text: &[u8]) -> u64 {
        if let Some(n) = integer(text) {
            return self.tagged(INTEGER, &n.to_ne_bytes());
        }
        match uuid(text) {
            Some(bytes) => self.tagged(UUID, &bytes),
            None => self.tagged(TEXT, text),
        }
    }

    fn tagged(&self, tag: u8, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u8(tag);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The integer, if it is spelled as the server would: a code such as `007` is a text.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', ..] => digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !plain {
        return None;
    }
    let value = (digits.iter()).try_fold(0_i64, |value, digit| {
        value.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
    })?;
    // Built as a negative number, of which there is one more.
    match digits.len() < text.len() {
        true => Some(value),
        false => value.checked_neg(),
    }
}

/// The bytes of a UUID: 32 hexadecimal digits, perhaps with hyphens, perhaps in braces.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let inner = text
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .unwrap_or(text);
    if !(32..=39).contains(&inner.len()) {
        return None;
    }
    let mut out = [0; 16];
    let mut digits = 0;
    for &byte in inner.iter().filter(|&&b| b != b'-') {
        let digit = char::from(byte).to_digit(16)? as u8;
        let slot = out.get_mut(digits / 2)?;
        *slot = *slot << 4 | digit;
        digits += 1;
    }
    (digits == 32).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f1c4b7e-0d35-4c0e-9d0a-1f2e3d4c5b6a";

    fn hashing() -> Hashing {
        Hashing::seeded(7)
    }

    fn text(text: &str) -> u64 {
        hashing().param(Param {
            bytes: Some(text.as_bytes()),
            binary: false,
        })
    }

    fn binary(bytes: &[u8]) -> u64 {
        hashing().param(Param {
            bytes: Some(bytes),
            binary: true,
        })
    }

    fn literal(text: &str) -> u64 {
        hashing().literal(text.as_bytes())
    }

    #[test]
    fn one_integer_has_many_spellings() {
        let seven = text("7");
        for other in [
            literal("7"),
            literal("'7'"),
            literal("$$7$$"),
            binary(&[0, 7]),
            binary(&[0, 0, 0, 7]),
            binary(&7_i64.to_be_bytes()),
        ] {
            assert_eq!(other, seven);
        }
        assert_eq!(literal("1_000"), text("1000"));
        assert_eq!(text("-5"), binary(&(-5_i32).to_be_bytes()));
        for other in ["07", "+7", "7.0", " 7", "", "-", "-0"] {
            assert_ne!(text(other), seven, "{other}");
        }
        assert_ne!(text("0"), text("-0"));
        assert_eq!(
            text("-9223372036854775808"),
            binary(&i64::MIN.to_be_bytes())
        );
        assert_eq!(text("9223372036854775807"), binary(&i64::MAX.to_be_bytes()));
        // Beyond the largest bigint.
        assert_ne!(text("9223372036854775808"), text("9223372036854775807"));
    }

    #[test]
    fn one_uuid_has_many_spellings() {
        let bytes = uuid(ID.as_bytes()).expect("a UUID");
        let bare = ID.replace('-', "");
        for other in [
            text(&ID.to_uppercase()),
            text(&bare),
            text(&format!("{{{ID}}}")),
            literal(&format!("'{ID}'")),
            binary(&bytes),
        ] {
            assert_eq!(other, text(ID));
        }
        assert_ne!(text(&ID[1..]), text(ID));
    }

    #[test]
    fn texts_are_what_they_are() {
        assert_eq!(literal("'it''s'"), text("it's"));
        assert_eq!(literal(r"E'it\'s'"), text("it's"));
        assert_ne!(text("a"), text("A"));
        let null = hashing().param(Param {
            bytes: None,
            binary: false,
        });
        assert_ne!(null, text(""));
        assert_eq!(binary(b"abc"), text("abc"));
    }

    #[test]
    fn salts_differ() {
        assert_ne!(
            Hashing::seeded(1).literal(b"7"),
            Hashing::seeded(2).literal(b"7")
        );
        assert_ne!(
            Hashing::random().literal(b"7"),
            Hashing::random().literal(b"7")
        );
    }

    #[test]
    fn the_first_values_are_kept_and_all_count() {
        let many: Vec<u64> = (0..20).collect();
        let values = hashing().values(many.iter().copied());
        assert_eq!(
            (usize::from(values.len), values.each.as_slice()),
            (Values::MOST, &many[..Values::MOST])
        );
        assert_ne!(values.all, hashing().values(0..19).all);
        assert_ne!(hashing().values([1, 2]).all, hashing().values([2, 1]).all);
    }

    #[test]
    fn comments_do_not_count_in_the_second_hash() {
        let texts = |text: &str| hashing().texts(text.as_bytes(), Lexing::default());
        let (raw, bare) = texts("SELECT 1 /* a */ FROM t");
        let (other, same) = texts("/* b */ SELECT 1 FROM t -- c");
        assert_ne!(raw, other);
        assert_eq!(bare, same);
        assert_eq!(texts(" SELECT 1 FROM t").1, bare);
        assert_ne!(texts("SELECT 2 FROM t").1, bare);
        assert_ne!(texts("SELECT '/* a */'").1, texts("SELECT '/* b */'").1);
    }
}
