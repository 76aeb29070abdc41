//! A text with holes where its literals are: the quickest way to see that a text is one that is known,
//! with other values.
//!
//! Finding the holes is not lexing: it takes a few instructions per byte, keeps nothing and gives up
//! at whatever needs thought (a backslash, a dollar quote, a number with letters). A [`Skeleton`] is
//! only made of a text of which the lexer says the same; a text that equals it outside the holes has
//! the same tokens then, apart from the literals, and so the same shape.

use std::hash::{BuildHasher, Hasher};

use super::fact::Lexing;
use super::lexer::{Kind, Lexer};

/// Most holes of a text.
const MOST: usize = 64;

/// First byte of a literal and the byte behind its last.
pub type Hole = (u32, u32);

const PLAIN: u8 = 0;
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const DOLLAR: u8 = 3;
/// A byte that begins something else: a string, a quoted name, perhaps a comment.
const SPECIAL: u8 = 4;

const fn classes() -> [u8; 256] {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 128..=255 => LETTER,
            b'0'..=b'9' => DIGIT,
            b'$' => DOLLAR,
            b'\'' | b'"' | b'-' | b'/' | b'\\' | 0 => SPECIAL,
            _ => PLAIN,
        };
        byte += 1;
    }
    classes
}

static CLASSES: [u8; 256] = classes();

/// Where the literals of a text are, and which of them are strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    places: Vec<Hole>,
    /// A bit for each, the first one lowest.
    strings: u64,
}

impl Holes {
    /// First and last bytes, in order.
    #[must_use]
    pub fn places(&self) -> &[Hole] {
        &self.places
    }

    fn push(&mut self, start: usize, end: usize, string: bool) -> Option<()> {
        if self.places.len() >= MOST {
            return None;
        }
        self.strings |= u64::from(string) << self.places.len();
        self.places.push((start as u32, end as u32));
        Some(())
    }

    /// Finds those of `text`, in the place of what was there before. `None` if the text is too odd for
    /// that.
    pub fn find(&mut self, text: &[u8]) -> Option<()> {
        self.places.clear();
        self.strings = 0;
        let mut before = 0;
        let mut rest = text;
        while let [first, tail @ ..] = rest {
            let at = text.len() - rest.len();
            match class(*first) {
                PLAIN => rest = tail,
                LETTER => {
                    rest = behind(tail, |byte| {
                        class(byte).wrapping_sub(LETTER) < SPECIAL - LETTER
                    });
                    // `E'…'` and its like.
                    if rest.first() == Some(&b'\'') {
                        return None;
                    }
                }
                DIGIT => {
                    rest = behind_number(rest)?;
                    let after = rest.first().copied().unwrap_or_default();
                    if before == b'.' || after == b'.' || class(after) == LETTER {
                        return None;
                    }
                    self.push(at, text.len() - rest.len(), false)?;
                }
                DOLLAR => {
                    rest = behind(tail, |byte| class(byte) == DIGIT);
                    if rest.len() == tail.len() {
                        return None;
                    }
                }
                _ => {
                    let (len, string) = special(rest)?;
                    if string {
                        // `U&'…'`.
                        if before == b'&' {
                            return None;
                        }
                        self.push(at, at + len, true)?;
                    }
                    rest = rest.get(len..)?;
                }
            }
            before = *first;
        }
        Some(())
    }
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// What is left behind the bytes that `belongs`.
#[inline]
fn behind(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let len = bytes.iter().position(|&byte| !belongs(byte));
    bytes.get(len.unwrap_or(bytes.len())..).unwrap_or_default()
}

/// What is left behind the number in front, without sign and exponent. `None` if there is none, or one
/// that ends with its point.
#[inline]
fn behind_number(text: &[u8]) -> Option<&[u8]> {
    let digits = |bytes| behind(bytes, |byte| class(byte) == DIGIT);
    let rest = digits(text);
    if rest.len() == text.len() {
        return None;
    }
    let [b'.', fraction @ ..] = rest else {
        return Some(rest);
    };
    let rest = digits(fraction);
    (rest.len() < fraction.len()).then_some(rest)
}

/// The length of what begins with a special byte, and whether it is a string.
fn special(rest: &[u8]) -> Option<(usize, bool)> {
    let end = match rest {
        [b'\'', ..] => {
            let mut end = 1;
            loop {
                end += memchr::memchr2(b'\'', b'\\', rest.get(end..)?)? + 1;
                if rest.get(end - 1) == Some(&b'\\') {
                    return None;
                }
                // A doubled quote is part of it.
                if rest.get(end) != Some(&b'\'') {
                    return Some((end, true));
                }
                end += 1;
            }
        }
        [b'"', inner @ ..] => memchr::memchr(b'"', inner)? + 2,
        [b'-', b'-', ..] => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
        [b'/', b'*', inner @ ..] => {
            let end = memchr::memmem::find(inner, b"*/")?;
            // Comments nest.
            if memchr::memmem::find(inner.get(..end)?, b"/*").is_some() {
                return None;
            }
            end + 4
        }
        [b'-' | b'/', ..] => 1,
        _ => return None,
    };
    Some((end, false))
}

/// The pieces of a text around its holes.
fn pieces<'t>(text: &'t [u8], holes: &[Hole]) -> impl Iterator<Item = &'t [u8]> {
    let ends = holes.iter().map(|hole| hole.0 as usize).chain([text.len()]);
    let starts = [0]
        .into_iter()
        .chain(holes.iter().map(|hole| hole.1 as usize));
    (starts.zip(ends)).map(|(start, end)| text.get(start..end).unwrap_or_default())
}

/// A number for all texts that are equal outside their holes.
pub fn hash(text: &[u8], holes: &Holes, state: &impl BuildHasher) -> u64 {
    let mut hasher = state.build_hasher();
    for piece in pieces(text, &holes.places) {
        hasher.write(piece);
        hasher.write_usize(piece.len());
    }
    hasher.finish()
}

/// A text, and where its literals are.
#[derive(Clone, Debug)]
pub struct Skeleton {
    text: Box<[u8]>,
    holes: Holes,
}

impl Skeleton {
    /// Of a text with these holes, if the lexer finds all its literals in them and nothing else.
    #[must_use]
    pub fn new(text: &[u8], holes: &Holes) -> Option<Self> {
        let mut lexer = Lexer::new(text, Lexing::default().standard_conforming_strings);
        let mut expected = holes.places.iter();
        while let Some(token) = lexer.next() {
            if matches!(token.kind, Kind::Text | Kind::Number)
                && expected.next() != Some(&(token.start as u32, token.end as u32))
            {
                return None;
            }
        }
        let same = expected.next().is_none() && !lexer.broken;
        same.then(|| Self {
            text: text.into(),
            holes: holes.clone(),
        })
    }

    /// Whether a text is the same outside its holes, and has numbers where this has numbers: a sign
    /// is part of a number, not of a string.
    #[must_use]
    pub fn fits(&self, text: &[u8], holes: &Holes) -> bool {
        let known = &self.holes;
        known.strings == holes.strings
            && known.places.len() == holes.places.len()
            && pieces(&self.text, &known.places).eq(pieces(text, &holes.places))
    }

    /// Whether a text is this one with other literals, each of the kind that is here. `holes` are its then,
    /// as [`Holes::find`] finds them and as [`Self::fits`] accepts them: all bytes around the literals are
    /// the same, and where a literal ends depends on itself and the byte behind it only.
    pub fn is_around(&self, text: &[u8], holes: &mut Holes) -> bool {
        holes.places.clear();
        holes.strings = self.holes.strings;
        let (mut rest, mut from) = (text, 0);
        for (number, &(start, end)) in self.holes.places.iter().enumerate() {
            let piece = self.text.get(from..start as usize).unwrap_or_default();
            let Some(literal) = rest.strip_prefix(piece) else {
                return false;
            };
            let behind = match self.holes.strings >> number & 1 {
                0 => behind_number(literal),
                _ => match special(literal) {
                    Some((len, true)) => literal.get(len..),
                    _ => None,
                },
            };
            let Some(behind) = behind else { return false };
            let place = |rest: &[u8]| (text.len() - rest.len()) as u32;
            holes.places.push((place(literal), place(behind)));
            (rest, from) = (behind, end as usize);
        }
        self.text.get(from..) == Some(rest)
    }

    /// Bytes it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.text.len() + size_of_val(&*self.holes.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::read;
    use proptest::prelude::*;

    fn of(text: &str) -> Option<Holes> {
        let mut holes = Holes::default();
        holes.find(text.as_bytes()).map(|()| holes)
    }

    fn found(text: &str) -> Option<Vec<&str>> {
        let places = of(text)?.places;
        let literals = places.iter();
        let literals = literals.map(|&(start, end)| text.get(start as usize..end as usize));
        literals.collect()
    }

    #[test]
    fn literals_are_holes() {
        for (text, expected) in [
            (
                "SELECT a1 FROM t WHERE b = 17 AND c='it''s'",
                &["17", "'it''s'"][..],
            ),
            ("SELECT \"a'1\" FROM t WHERE b=$1 AND c < -2.5", &["2.5"]),
            ("SELECT 1 -- 2 '\n, 3 /* 4 ' */", &["1", "3"]),
            ("", &[]),
            ("a-1", &["1"]),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text}");
        }
        for odd in [
            "E'a'",
            "'a\\'",
            "$$a$$",
            "1e5",
            "0x1F",
            "1_000",
            ".5",
            "1.",
            "1..2",
            "'a",
            "\"a",
            "/* /* */ 1 */",
            "U&'a'",
            "a\0",
            "b.1",
        ] {
            assert_eq!(found(odd), None, "{odd}");
        }
        assert_eq!(found(&"1,".repeat(MOST + 1)), None);
    }

    fn skeleton(text: &str) -> Option<Skeleton> {
        Skeleton::new(text.as_bytes(), &of(text)?)
    }

    #[test]
    fn numbers_and_strings_differ() {
        let skeleton = skeleton("SELECT a = -5").expect("plain");
        for (other, fits) in [
            ("SELECT a = -77", true),
            ("SELECT a = -'5'", false),
            ("SELECT a = -5 ", false),
            ("SELECT a = -5, 6", false),
        ] {
            let holes = of(other).expect("plain");
            assert_eq!(skeleton.fits(other.as_bytes(), &holes), fits, "{other}");
        }
    }

    #[test]
    fn the_lexer_has_the_last_word() {
        for text in ["SELECT 1", "SELECT 1 FROM \"t\" -- 2", "SELECT 1; ;"] {
            assert!(skeleton(text).is_some(), "{text}");
        }
        // Not what the scanner would call a number.
        assert!(skeleton("SELECT 1 FROM t @ 2").is_some());
        assert!(
            skeleton("SELECT 1 \u{1}").is_none(),
            "the server refuses it"
        );
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "select", "a", "t1", "=", "= -", ", -", "-", "+", "(", ")", "[", "]", ",", ".", ";",
            "'", "\"", "$", "$1", "in (", "values", "array[", "--", "/*", "*/", "\n", " ", "::",
            "E", "U&", "\\", "é", "_", "and", "case", "end", "1", "22", "'x'", "'it''s'", "?",
            "2.5",
        ])
    }

    fn literal() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9]{1,12}",
            "[0-9]{1,3}\\.[0-9]{1,3}",
            "'[a-z%$\"*/ -]{0,6}'",
            Just("'it''s'".to_owned()),
        ]
    }

    proptest! {
        /// The guess and the search come to the same.
        #[test]
        fn a_text_around_is_one_that_fits(
            parts in prop::collection::vec((piece(), any::<bool>(), literal(), literal()), 1..14),
            spaced in any::<bool>(),
        ) {
            let (mut one, mut other) = (String::new(), String::new());
            for (piece, filled, first, second) in &parts {
                one += piece;
                other += piece;
                if *filled {
                    one += first;
                    other += second;
                }
                if spaced {
                    one += " ";
                    other += " ";
                }
            }
            if let Some(skeleton) = skeleton(&one) {
                let mut guessed = Holes::default();
                let around = skeleton.is_around(other.as_bytes(), &mut guessed);
                let holes = of(&other);
                let fits = (holes.as_ref()).is_some_and(|holes| skeleton.fits(other.as_bytes(), holes));
                prop_assert_eq!(around, fits, "{} {}", one, other);
                if around {
                    prop_assert_eq!(Some(guessed), holes);
                }
            }
        }

        /// Two texts with one skeleton have one shape, and their literals are in the same places.
        #[test]
        fn what_fits_has_the_same_shape(
            parts in prop::collection::vec((piece(), any::<bool>(), literal(), literal()), 1..14),
        ) {
            let (mut one, mut other) = (String::new(), String::new());
            for (piece, filled, first, second) in &parts {
                one += piece;
                other += piece;
                if *filled {
                    one += first;
                    other += second;
                }
                one += " ";
                other += " ";
            }
            if let Some(of_one) = of(&one)
                && let Some(of_other) = of(&other)
                && let Some(skeleton) = skeleton(&one)
                && skeleton.fits(other.as_bytes(), &of_other)
            {
                let a = read(one.as_bytes(), Lexing::default());
                let b = read(other.as_bytes(), Lexing::default());
                prop_assert_eq!(&a.shape, &b.shape);
                prop_assert_eq!((a.longest_list, a.rows), (b.longest_list, b.rows));
                prop_assert_eq!((a.statements, a.may_parse), (b.statements, b.may_parse));
                let places = |reading: &crate::sql::Reading, holes: &Holes| -> Vec<Option<usize>> {
                    reading.literals.iter().map(|one| holes.places.iter().position(|hole| hole == one)).collect()
                };
                let (a, b) = (places(&a, &of_one), places(&b, &of_other));
                prop_assert!(a.iter().all(Option::is_some));
                prop_assert_eq!(a, b);
                let state = foldhash::fast::FixedState::default();
                prop_assert_eq!(
                    hash(one.as_bytes(), &of_one, &state),
                    hash(other.as_bytes(), &of_other, &state)
                );
            }
        }
    }
}
