//! What one end sends on a link, and what it is to receive.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::post::Post;
use super::{Breach, require};

/// The two directions of a link, seen from one end.
#[derive(Debug)]
pub(super) struct Flow {
    /// Where bytes go.
    pub(super) out: Way,
    /// Where they come from.
    pub(super) back: Way,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { out, back } = self;
        write!(f, "{} of {} bytes are sent and ", out.done, out.goal)?;
        write!(f, "{} of {} have come", back.done, back.goal)
    }
}

/// One direction, seen from one end.
#[derive(Debug)]
pub(super) struct Way {
    /// How many bytes of it are done.
    pub(super) done: usize,
    /// How many bytes of it are to be done.
    pub(super) goal: usize,
    carriage: Carriage,
}

#[derive(Debug)]
enum Carriage {
    Stream(Stream),
    /// Both ends look at the same.
    Packets(Arc<Mutex<Post>>),
}

/// What is sent is made from its place in the flow, so each byte that is lost, doubled or out of
/// order shows.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    seed: u64,
    chunk_bytes: usize,
    /// Each chunk comes as one report.
    keeps_boundaries: bool,
    chunks: usize,
}

impl Stream {
    pub(super) fn new(seed: u64, chunk_bytes: usize, keeps_boundaries: bool) -> Self {
        Self { seed, chunk_bytes, keeps_boundaries, chunks: 0 }
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

    /// How far whole chunks go that begin at `done` and reach `end`.
    fn whole_chunks(&self, mut done: usize, end: usize) -> usize {
        let mut stream = self.clone();
        while done < end {
            done += stream.next_size();
            stream.chunks += 1;
        }
        done
    }

    /// The chunk to send next, after `done` bytes.
    fn next_chunk(&mut self, done: usize) -> Bytes {
        let size = self.next_size();
        self.chunks += 1;
        (done..done + size).map(|at| byte(self.seed, at)).collect()
    }

    /// Are these the bytes that must come next, after `done`?
    fn receive(&mut self, done: usize, data: &[u8]) -> Result<(), Breach> {
        let mut places = data.iter().zip(done..);
        let wrong = places.find(|&(&received, at)| received != byte(self.seed, at));
        if let Some((_, at)) = wrong {
            return Err(Breach(format!(
                "byte {at} of a link is not the one that was sent: bytes were lost, doubled, \
                 changed or reordered"
            )));
        }
        if self.keeps_boundaries {
            let size = self.next_size();
            require(data.len() == size, || {
                format!(
                    "chunk {} has {} bytes, but was sent with {size}: boundaries are not kept",
                    self.chunks,
                    data.len()
                )
            })?;
            self.chunks += 1;
        }
        Ok(())
    }
}

/// The byte at a place of a flow.
pub(super) fn byte(seed: u64, at: usize) -> u8 {
    let mixed = (seed << 40 ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

impl Way {
    /// Both ends of one direction of a stream.
    pub(super) fn stream(stream: &Stream) -> [Self; 2] {
        [(); 2].map(|()| Self::new(Carriage::Stream(stream.clone())))
    }

    /// Both ends of one direction of a packet-shaped link.
    pub(super) fn packets(post: Post) -> [Self; 2] {
        let post = Arc::new(Mutex::new(post));
        [(); 2].map(|()| Self::new(Carriage::Packets(Arc::clone(&post))))
    }

    fn new(carriage: Carriage) -> Self {
        Self { done: 0, goal: 0, carriage }
    }

    /// Where `bytes` more from now end: with a whole chunk.
    pub(super) fn goal_after(&self, bytes: usize) -> usize {
        let end = self.done + bytes;
        match &self.carriage {
            Carriage::Stream(stream) => stream.whole_chunks(self.done, end),
            Carriage::Packets(_) => end,
        }
    }

    /// The most bytes that one transmit takes now.
    pub(super) fn chunk_bytes(&self) -> usize {
        match &self.carriage {
            Carriage::Stream(stream) => stream.chunk_bytes,
            Carriage::Packets(post) => locked(post).packet_bytes(),
        }
    }

    /// Everything is sent.
    pub(super) fn is_sent(&self) -> bool {
        self.done >= self.goal
    }

    /// Everything has come but what the medium may have lost.
    pub(super) fn is_received(&self) -> bool {
        self.done >= self.goal
            || match &self.carriage {
                Carriage::Stream(_) => false,
                Carriage::Packets(post) => locked(post).is_received(self.goal),
            }
    }

    /// Bytes that the medium may have lost, once so many more are sent in full packets.
    pub(super) fn losable_bytes(&self, more_bytes: usize) -> usize {
        match &self.carriage {
            Carriage::Stream(_) => 0,
            Carriage::Packets(post) => locked(post).losable_bytes(more_bytes),
        }
    }

    /// The chunk or packet to send next.
    pub(super) fn next_chunk(&mut self) -> Bytes {
        let chunk = match &mut self.carriage {
            Carriage::Stream(stream) => stream.next_chunk(self.done),
            Carriage::Packets(post) => locked(post).send(),
        };
        self.done += chunk.len();
        chunk
    }

    /// Sends packets of the full size alone from now on, so that packets can be counted by their
    /// bytes.
    pub(super) fn fill_up(&mut self) {
        if let Carriage::Packets(post) = &self.carriage {
            locked(post).fill_up();
        }
    }

    /// Bytes came in: are they those that must come next?
    pub(super) fn receive(&mut self, data: &[u8]) -> Result<(), Breach> {
        self.done += match &mut self.carriage {
            Carriage::Stream(stream) => {
                stream.receive(self.done, data)?;
                data.len()
            }
            Carriage::Packets(post) => locked(post).receive(data)?,
        };
        Ok(())
    }

    /// The driver says that packets have another size.
    pub(super) fn set_packet_bytes(&mut self, packet_bytes: usize) -> Result<(), Breach> {
        match &self.carriage {
            Carriage::Stream(_) => {
                Err(Breach("`PacketBytes` was reported of a stream-shaped link".to_owned()))
            }
            Carriage::Packets(post) => locked(post).set_packet_bytes(packet_bytes),
        }
    }
}

fn locked(post: &Mutex<Post>) -> MutexGuard<'_, Post> {
    post.lock().expect("nobody panics with the post")
}
