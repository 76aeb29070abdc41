//! What goes on from one chunk of input, in one write.
//!
//! Most chunks pass as they came: then [`Gather`] is a range of the input and nothing is copied.
//! As soon as something is left out, put in or changed, the pieces are collected in a buffer of
//! the worker, which again goes out in one write.

/// Collects what is passed on from `input`.
pub struct Gather<'a> {
    input: &'a [u8],
    from: usize,
    to: usize,
    built: &'a mut Vec<u8>,
}

impl<'a> Gather<'a> {
    /// Nothing is passed on yet. `built` is an empty buffer for what cannot pass as it came.
    #[inline]
    pub fn new(input: &'a [u8], built: &'a mut Vec<u8>) -> Self {
        debug_assert!(built.is_empty(), "the last gathering was not finished");
        Self {
            input,
            from: 0,
            to: 0,
            built,
        }
    }

    /// Passes `input[from..to]` on, after everything before it.
    #[inline]
    pub fn keep(&mut self, from: usize, to: usize) {
        if self.to == from && self.from < self.to {
            self.to = to;
        } else {
            self.settle();
            (self.from, self.to) = (from, to);
        }
    }

    /// The place to append bytes of our own, after everything before them.
    pub fn put(&mut self) -> &mut Vec<u8> {
        self.settle();
        self.built
    }

    fn settle(&mut self) {
        if self.from < self.to {
            self.built
                .extend_from_slice(&self.input[self.from..self.to]);
            self.from = self.to;
        }
    }

    /// The chunk it takes from.
    pub fn input(&self) -> &'a [u8] {
        self.input
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.from == self.to && self.built.is_empty()
    }

    /// All of it, in order.
    #[inline]
    pub fn bytes(&mut self) -> &[u8] {
        if self.built.is_empty() {
            return &self.input[self.from..self.to];
        }
        self.settle();
        self.built
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn untouched_input_is_not_copied() {
        let input = b"abcdef";
        let mut built = Vec::new();
        let mut gather = Gather::new(input, &mut built);
        gather.keep(1, 3);
        gather.keep(3, 5);
        assert_eq!(gather.bytes().as_ptr(), input[1..].as_ptr());
        assert_eq!(gather.bytes(), b"bcde");
    }

    proptest! {
        #[test]
        fn pieces_come_out_in_order(steps in proptest::collection::vec((any::<bool>(), 0usize..5), 0..20)) {
            let input: Vec<u8> = (0..100).collect();
            let (mut built, mut expected, mut at) = (Vec::new(), Vec::new(), 0);
            let mut gather = Gather::new(&input, &mut built);
            for (keep, n) in steps {
                if keep {
                    gather.keep(at, at + n);
                    expected.extend(&input[at..at + n]);
                } else {
                    gather.put().extend(vec![255; n]);
                    expected.extend(vec![255; n]);
                }
                at += n;
            }
            prop_assert_eq!(gather.is_empty(), expected.is_empty());
            prop_assert_eq!(gather.bytes(), &expected[..]);
        }
    }
}
