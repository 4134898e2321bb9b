//! What one end sends on a link, and what it is to receive.

use bytes::Bytes;

use super::{Breach, require};

/// The two directions of a link, seen from one end. What is sent is made from its place in the
/// flow, so each byte that is lost, doubled or out of order shows.
#[derive(Debug)]
pub(super) struct Flow {
    /// Where bytes go.
    pub(super) out: Way,
    /// Where they come from.
    pub(super) back: Way,
    /// Each chunk comes as one report.
    keeps_boundaries: bool,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    seed: u64,
    chunk_bytes: usize,
    chunks: usize,
    /// How much of it is done.
    pub(super) done: usize,
    /// How much of it is to be done.
    pub(super) goal: usize,
}

impl Way {
    pub(super) fn new(seed: u64, chunk_bytes: usize) -> Self {
        Self { seed, chunk_bytes, chunks: 0, done: 0, goal: 0 }
    }

    /// The size of the next chunk: full ones, tiny ones and some between.
    fn next_size(&self) -> usize {
        match self.chunks % 5 {
            0 | 3 => self.chunk_bytes,
            1 => 1,
            2 => self.chunk_bytes / 2 + 1,
            _ => (self.chunk_bytes * 3 / 4).max(1),
        }
    }

    fn byte(&self, at: usize) -> u8 {
        let mixed = (self.seed << 40 ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    }

    /// Whole chunks up to at least `bytes` from now.
    pub(super) fn goal_after(&self, bytes: usize) -> usize {
        let mut way = Self { seed: self.seed, ..*self };
        while way.done < self.done + bytes {
            way.done += way.next_size();
            way.chunks += 1;
        }
        way.done
    }

    /// Nothing is left of the goal.
    pub(super) fn is_done(&self) -> bool {
        self.done >= self.goal
    }

    /// The chunk to send next.
    pub(super) fn next_chunk(&mut self) -> Bytes {
        let size = self.next_size();
        let chunk = (self.done..self.done + size).map(|at| self.byte(at)).collect();
        self.done += size;
        self.chunks += 1;
        chunk
    }
}

impl Flow {
    pub(super) fn new(out: Way, back: Way, keeps_boundaries: bool) -> Self {
        Self { out, back, keeps_boundaries }
    }

    /// Bytes came in: are they those that must come next?
    pub(super) fn receive(&mut self, data: &[u8]) -> Result<(), Breach> {
        let back = &mut self.back;
        let wrong = data.iter().zip(back.done..).find(|&(&byte, at)| byte != back.byte(at));
        if let Some((_, at)) = wrong {
            return Err(Breach(format!(
                "byte {at} of a link is not the one that was sent: bytes were lost, doubled, \
                 changed or reordered"
            )));
        }
        if self.keeps_boundaries {
            let size = back.next_size();
            require(data.len() == size, || {
                format!(
                    "packet {} has {} bytes, but was sent with {size}: boundaries are not kept",
                    back.chunks,
                    data.len()
                )
            })?;
            back.chunks += 1;
        }
        back.done += data.len();
        Ok(())
    }
}
