//! The five bytes in front of every message after the startup phase.

/// Tag and length of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message type, ASCII.
    pub tag: u8,
    /// Size of the body in bytes: the length field minus the four bytes of the field itself.
    pub body_len: u32,
}

/// Why a header cannot be believed. Both lose the message boundary: the connection is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length field does not even cover itself.
    #[error("message {} has length {len}, the minimum is 4", crate::wire::tag::show(*.tag))]
    LengthTooSmall {
        /// Message type.
        tag: u8,
        /// The length field.
        len: u32,
    },
    /// The body is longer than this kind of message may be here.
    #[error("message {} has length {len}, the limit is {limit}", crate::wire::tag::show(*.tag))]
    LengthOverLimit {
        /// Message type.
        tag: u8,
        /// The length field.
        len: u32,
        /// Largest length field that is accepted.
        limit: u32,
    },
    /// No message of this type may come from this side.
    #[error("unknown message type {}", crate::wire::tag::show(*.tag))]
    UnknownTag {
        /// Message type.
        tag: u8,
    },
    /// The body does not have the form of its type.
    #[error("malformed {} message: {what}", crate::wire::tag::show(*.tag))]
    Malformed {
        /// Message type.
        tag: u8,
        /// What is wrong.
        what: &'static str,
    },
}

impl Header {
    /// Size of a header on the wire, in bytes.
    pub const LEN: usize = 5;

    /// Reads the header at the front of `buf` without consuming it.
    ///
    /// The body is never looked at, so the caller can decide to forward, collect or drop a message
    /// before its body has arrived. `Ok(None)` means that fewer than [`Header::LEN`] bytes are
    /// there.
    ///
    /// # Layout
    ///
    /// | offset (bytes) | size (bytes) | field | meaning                                   |
    /// |---------------:|-------------:|-------|-------------------------------------------|
    /// |              0 |            1 | tag   | message type, ASCII                       |
    /// |              1 |            4 | len   | size in bytes, counts itself, not the tag |
    /// |              5 |      len − 4 | body  | depends on the tag                        |
    ///
    /// # Errors
    ///
    /// [`FrameError::LengthTooSmall`] if `len` is below 4, [`FrameError::LengthOverLimit`] if
    /// `len − 4` is above `max_body` (bytes).
    ///
    /// # Examples
    ///
    /// ```
    /// use pgweir::wire::{FrameError, Header};
    /// let bytes = b"Q\x00\x00\x00\x0dSELECT 1\x00";
    /// let header = Header::parse(bytes, 1 << 20)?.expect("5 bytes are there");
    /// assert_eq!((header.tag, header.body_len), (b'Q', 9));
    /// assert_eq!(Header::parse(&bytes[..4], 1 << 20)?, None);
    /// assert_eq!(
    ///     Header::parse(b"Q\x00\x00\x00\x03", 1 << 20),
    ///     Err(FrameError::LengthTooSmall { tag: b'Q', len: 3 }),
    /// );
    /// # Ok::<(), FrameError>(())
    /// ```
    ///
    /// Source: PostgreSQL documentation, "Message Formats".
    #[inline]
    pub fn parse(buf: &[u8], max_body: u32) -> Result<Option<Self>, FrameError> {
        let &[tag, a, b, c, d, ..] = buf else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([a, b, c, d]);
        if len < 4 {
            return Err(FrameError::LengthTooSmall { tag, len });
        }
        let body_len = len - 4;
        if body_len > max_body {
            return Err(FrameError::LengthOverLimit {
                tag,
                len,
                limit: max_body.saturating_add(4),
            });
        }
        Ok(Some(Self { tag, body_len }))
    }

    /// How many bytes at the front of `buf` are whole messages of this type, one behind the other; 0 if the first
    /// message is another one, is not all there or has a length that cannot be.
    ///
    /// The rows of a result are walked by this and not message by message.
    #[inline]
    pub fn run(buf: &[u8], tag: u8) -> usize {
        let mut at = 0;
        while let Some(&[first, a, b, c, d, ..]) = buf.get(at..)
            && first == tag
        {
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            let end = at.saturating_add(1).saturating_add(len);
            if len < 4 || end > buf.len() {
                break;
            }
            at = end;
        }
        at
    }

    /// Size of the whole message on the wire, in bytes.
    #[inline]
    pub fn frame_len(self) -> usize {
        Self::LEN + self.body_len as usize
    }
}

/// Cuts the message at the front of `buf` into header and body, if all of it is there.
///
/// # Errors
///
/// As [`Header::parse`].
pub fn take_frame(buf: &[u8], max_body: u32) -> Result<Option<(Header, &[u8])>, FrameError> {
    let Some(header) = Header::parse(buf, max_body)? else {
        return Ok(None);
    };
    Ok(buf
        .get(Header::LEN..header.frame_len())
        .map(|body| (header, body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_at_the_edges() {
        let header = |len: u32| {
            let mut bytes = vec![b'd'];
            bytes.extend(len.to_be_bytes());
            Header::parse(&bytes, 100)
        };
        assert!(matches!(
            header(0),
            Err(FrameError::LengthTooSmall { len: 0, .. })
        ));
        assert!(matches!(
            header(3),
            Err(FrameError::LengthTooSmall { len: 3, .. })
        ));
        assert_eq!(
            header(4),
            Ok(Some(Header {
                tag: b'd',
                body_len: 0
            }))
        );
        assert_eq!(
            header(104),
            Ok(Some(Header {
                tag: b'd',
                body_len: 100
            }))
        );
        for len in [105, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xffff_ffff] {
            assert!(
                matches!(header(len), Err(FrameError::LengthOverLimit { .. })),
                "{len}"
            );
        }
    }

    proptest! {
        /// As message by message, whatever the bytes are.
        #[test]
        fn a_run_is_messages_of_one_type(
            messages in proptest::collection::vec((0..4u8, 0..12u32, 0..9usize), 0..12),
        ) {
            let mut stream = Vec::new();
            for (tag, len, body) in messages {
                // Most lengths are right.
                let len = if tag < 3 { body as u32 + 4 } else { len };
                stream.push(if tag == 2 { b'C' } else { b'D' });
                stream.extend(len.to_be_bytes());
                stream.extend(std::iter::repeat_n(b'D', body));
            }
            let mut slow = 0;
            while let Ok(Some((header, _))) = take_frame(&stream[slow..], u32::MAX - 4)
                && header.tag == b'D'
            {
                slow += header.frame_len();
            }
            prop_assert_eq!(Header::run(&stream, b'D'), slow);
        }

        /// The messages found do not depend on how the bytes were cut on their way.
        #[test]
        fn any_split_gives_the_same_frames(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                stream.push(b'd');
                stream.extend((body.len() as u32 + 4).to_be_bytes());
                stream.extend(body);
            }
            let mut ends: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            ends.push(stream.len());
            ends.sort_unstable();
            let (mut have, mut at, mut found) = (Vec::new(), 0, Vec::new());
            for end in ends {
                have.extend(&stream[at..end]);
                at = end;
                while let Some((header, body)) = take_frame(&have, 1000).unwrap() {
                    found.push(body.to_vec());
                    have.drain(..header.frame_len());
                }
            }
            prop_assert!(have.is_empty());
            prop_assert_eq!(found, bodies);
        }
    }
}
