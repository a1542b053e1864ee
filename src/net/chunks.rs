//! A queue of bytes that takes little more memory than the bytes: they lie in pieces, each of which is given back as soon
//! as it was consumed. A ring that grows would take twice as much, and move what it holds.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Small messages are gathered in pieces of this size.
const PIECE: usize = 4096;

/// Pieces that one system call gets.
pub(super) const BATCH: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were consumed.
    consumed: usize,
    length: usize,
}

impl Chunks {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends all of them.
    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        if let Some(last) = self.pieces.back_mut() {
            let room = (last.capacity() - last.len()).min(bytes.len());
            last.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
        }
        if !bytes.is_empty() {
            let mut piece = Vec::with_capacity(bytes.len().max(PIECE));
            piece.extend_from_slice(bytes);
            self.pieces.push_back(piece);
        }
    }

    /// The first of them, for a call that sends several at once; how many there are.
    pub(super) fn front<'a>(&'a self, slices: &mut [IoSlice<'a>; BATCH]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            let start = if count == 0 { self.consumed } else { 0 };
            *slice = IoSlice::new(&piece[start..]);
            count += 1;
        }
        count
    }

    /// Forgets the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.length, "consumed more than there is");
        self.length -= count;
        self.consumed += count;
        while let Some(first) = self.pieces.front()
            && first.len() <= self.consumed
        {
            self.consumed -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(steps in proptest::collection::vec((0..9000_usize, 0..9000_usize), 1..40)) {
            let (mut chunks, mut model) = (Chunks::default(), VecDeque::new());
            let mut next = 0_u8;
            for (append, consume) in steps {
                let bytes: Vec<u8> = (0..append).map(|_| { next = next.wrapping_add(1); next }).collect();
                chunks.append(&bytes);
                model.extend(bytes);
                assert_eq!(chunks.len(), model.len());
                let mut slices = [IoSlice::new(&[]); BATCH];
                let count = chunks.front(&mut slices);
                let front: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(front.len() == model.len() || count == BATCH);
                assert!(front.iter().eq(model.iter().take(front.len())));
                let consume = consume.min(front.len());
                chunks.consume(consume);
                model.drain(..consume);
                assert_eq!(chunks.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn memory_is_that_of_the_bytes_and_less_than_a_piece() {
        let mut chunks = Chunks::default();
        for length in [1, 5000, 3, 4093, 70_000, 9] {
            chunks.append(&vec![1; length]);
            let taken: usize = chunks.pieces.iter().map(Vec::capacity).sum();
            assert!(taken < chunks.len() + PIECE, "{taken} for {}", chunks.len());
        }
        chunks.consume(chunks.len());
        assert_eq!(chunks.pieces.len(), 0);
    }
}
