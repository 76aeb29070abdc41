//! The number and the readable form by which texts of one shape are known in statistics.

use super::fact::Lexing;
use super::shape;

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIER: u64 = 0xa076_1d64_78bd_642f;

/// The fingerprint of a shape. Stable: it depends on nothing but the bytes, so that numbers can
/// be compared across restarts and machines. Not for tables that an attacker may fill: there the
/// caller hashes with a secret seed and compares the bytes.
pub(super) fn hash(shape: &[u8]) -> u64 {
    let mut state = SEED ^ (shape.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = shape.as_chunks::<8>();
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    mix(mix(state ^ u64::from_le_bytes(last)))
}

/// Folds the 128-bit product, which spreads every input bit over the whole word.
fn mix(value: u64) -> u64 {
    let product = u128::from(value ^ SEED) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64) ^ value.rotate_left(23)
}

/// The shape of `text` for people: lower case, one line, literals as `?`, comments gone. Made on
/// demand; at most 64 KiB of it. Contains no literal of the text, but all names.
#[must_use]
pub fn normalised(text: &[u8], lexing: Lexing) -> Vec<u8> {
    let mut out = Vec::new();
    let seen = text.get(..super::MAX_SCANNED).unwrap_or(text);
    shape::survey(seen, lexing, &mut out);
    out
}

/// What the lexer sees of a text beyond its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The fingerprint; see [`super::Analysis::fingerprint`].
    pub fingerprint: u64,
    /// The shape.
    pub shape: Vec<u8>,
    /// Where the literals stand that are question marks in the shape, in its order: first byte and
    /// the byte behind the last. Those of lists that the shape shortens are not among them.
    pub literals: Vec<(u32, u32)>,
    /// Elements of the longest `IN (…)` or `ARRAY[…]` of literals and parameters.
    pub longest_list: u32,
    /// Rows of VALUES.
    pub rows: u32,
    /// Statements that have at least one token.
    pub statements: u32,
    /// The text nests and names nothing that the parser must not be given.
    pub may_parse: bool,
}

/// Reads a text with the lexer alone.
#[must_use]
pub fn read(text: &[u8], lexing: Lexing) -> Reading {
    let seen = text.get(..super::MAX_SCANNED).unwrap_or(text);
    // A shape is hardly ever longer than its text, and mostly not much shorter: grown bit by bit it
    // would be moved five times.
    let mut out = Vec::with_capacity(seen.len());
    let found = shape::survey(seen, lexing, &mut out);
    let may_parse = found.may_parse();
    Reading {
        fingerprint: hash(&out),
        shape: out,
        literals: found.literals,
        longest_list: found.longest_list,
        rows: found.rows,
        statements: found.statements,
        may_parse,
    }
}
