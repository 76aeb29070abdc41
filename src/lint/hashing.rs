//! Hashes of values, so that they can be compared and none has to be kept.

use std::hash::BuildHasher;

use super::observe::Values;
use super::value::{self, Param};

/// Hashes values with a secret of the process: equal values have equal hashes, whether they came as
/// literals, as parameters in either format, or in a row.
#[derive(Clone, Debug)]
pub struct Hashing(foldhash::fast::RandomState);

impl Default for Hashing {
    fn default() -> Self {
        Self(foldhash::fast::RandomState::default())
    }
}

impl Hashing {
    /// A literal as it stands in the text.
    #[must_use]
    pub fn literal(&self, literal: &[u8]) -> u64 {
        match literal.first() {
            Some(b'\'' | b'$' | b'e' | b'E' | b'u' | b'U' | b'n' | b'N') => {
                self.text(&value::unquote(literal))
            }
            _ => self.text(literal),
        }
    }

    /// A bound parameter, or a column of a row.
    #[must_use]
    pub fn param(&self, param: Param<'_>) -> u64 {
        let Some(bytes) = param.bytes else {
            return self.0.hash_one(0_u8);
        };
        match (param.binary, bytes.len()) {
            (false, _) => self.text(bytes),
            (true, 2 | 4 | 8) => match value::integer(param) {
                Some(n) => self.integer(n),
                None => self.0.hash_one(bytes),
            },
            (true, _) => self.0.hash_one(bytes),
        }
    }

    fn integer(&self, n: i64) -> u64 {
        self.0.hash_one(n)
    }

    fn text(&self, text: &[u8]) -> u64 {
        // Most keys are integers; 19 digits fit into 64 bits.
        if text.len() <= 20
            && let Ok(text) = std::str::from_utf8(text)
            && let Ok(n) = text.parse::<i64>()
        {
            return self.integer(n);
        }
        if text.len() == 36
            && let Some(uuid) = uuid(text)
        {
            return self.0.hash_one(&uuid[..]);
        }
        self.0.hash_one(text)
    }

    /// Several values.
    #[must_use]
    pub fn values(&self, hashes: impl Iterator<Item = u64>) -> Values {
        let mut values = Values::default();
        for hash in hashes {
            self.add(&mut values, hash);
        }
        values
    }

    /// One more value.
    pub fn add(&self, values: &mut Values, hash: u64) {
        values.all = values
            .all
            .rotate_left(23)
            .wrapping_mul(0xa076_1d64_78bd_642f)
            ^ hash;
        if let Some(slot) = values.each.get_mut(usize::from(values.len)) {
            *slot = hash;
            values.len += 1;
        }
    }
}

/// The bytes of a UUID in its usual spelling.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    let mut digits = text.iter().enumerate().filter_map(|(at, &b)| match at {
        8 | 13 | 18 | 23 => (b != b'-').then_some(None),
        _ => Some((b as char).to_digit(16)),
    });
    for byte in &mut out {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high * 16 + low) as u8;
    }
    digits.next().is_none().then_some(out)
}
