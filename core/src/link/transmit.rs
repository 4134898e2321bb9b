//! What a link sends next: its lanes in order, each asked for what it has.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::Up;
use super::packets::{Frames, Image, Layout, PAYLOAD_ROOM_BYTES};
use super::seal::Seals;
use crate::time::Instant;
use crate::wire::control::{Control, Keepalive};
use crate::wire::frame::{CONTROL_OVERHEAD_BYTES, DATA_OVERHEAD_BYTES, DataHead};
use crate::wire::lane::Lane;

/// Frames of the normal lane for each one of the bulk lane while both have some.
const NORMAL_PER_BULK: u8 = 8;

/// What the layers above a link have to send over it.
pub trait Source {
    /// Appends enveloped control messages of `lane` to `out`, at most `room` bytes in all.
    /// Only [`Lane::Control`] and [`Lane::Bulk`] carry control messages.
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>);

    /// The next data frame of `lane`: appends its payload, at most `payload_bytes_max` bytes, to
    /// `out`. Appends nothing when there is none.
    fn data(
        &mut self,
        lane: Lane,
        payload_bytes_max: usize,
        out: &mut BytesMut,
    ) -> Option<DataHead>;
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The handshake's last message: goes ahead of the first frame.
    pub(super) first: Vec<u8>,
    normal_in_a_row: u8,
    /// Where a frame that is to be cut is written.
    spare: BytesMut,
}

/// Chunks that a driver may hold, and one that is filled.
const CHUNKS: usize = 3;
/// What an idle link may keep of a buffer.
const BUFFER_BYTES_IDLE: usize = 16 * 1_024;

/// The buffers that chunks are filled in, in turn unless they are small: when a buffer's turn comes
/// again its last chunk is written, and its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    buffers: [Buffer; CHUNKS],
    next: usize,
    /// The last chunk was more than half full.
    busy: bool,
}

/// Room for chunks, one behind the other until it is used up.
#[derive(Debug, Default)]
struct Buffer {
    free: BytesMut,
    /// All its bytes, those of its last chunks included: what it keeps.
    size: usize,
}

impl Buffers {
    fn take(&mut self, chunk_bytes: usize) -> BytesMut {
        let buffer =
            self.buffers.get_mut(self.next).map(|buffer| core::mem::take(&mut buffer.free));
        let mut free = buffer.unwrap_or_default();
        if self.busy {
            free.reserve(chunk_bytes);
        }
        free
    }

    /// The chunk that `filled` holds; empty when it holds nothing.
    fn put_back(&mut self, mut filled: BytesMut, chunk_bytes: usize) -> Bytes {
        let capacity = filled.capacity();
        let chunk = filled.split().freeze();
        self.busy = chunk.len() > chunk_bytes / 2;
        let is_small = chunk.len() <= BUFFER_BYTES_IDLE / 2;
        if let Some(buffer) = self.buffers.get_mut(self.next) {
            *buffer = Buffer { free: filled, size: buffer.size.max(capacity) };
        }
        if is_small {
            let large = self.buffers.iter_mut().filter(|buffer| buffer.size > BUFFER_BYTES_IDLE);
            large.for_each(|buffer| *buffer = Buffer::default());
        }
        // Several small chunks lie in one buffer.
        if !is_small {
            self.next = (self.next + 1) % CHUNKS;
        }
        chunk
    }
}

impl Up {
    /// Fills one chunk of at most `chunk_bytes` with whole frames.
    pub(super) fn fill(
        &mut self,
        now: Instant,
        chunk_bytes: usize,
        source: &mut dyn Source,
    ) -> Bytes {
        let mut out = self.buffers.take(chunk_bytes);
        out.extend_from_slice(&core::mem::take(&mut self.turns.first));
        let control_room = self.control_bytes_theirs + CONTROL_OVERHEAD_BYTES;
        let data_room = self.payload_bytes_theirs + DATA_OVERHEAD_BYTES;
        loop {
            let filled = out.len();
            let fits = |bytes: usize| filled == 0 || chunk_bytes.saturating_sub(filled) >= bytes;
            if fits(control_room) && self.control_frame(now, Lane::Control, source, &mut out) {
                continue;
            }
            // A lower lane waits for the next chunk rather than overtake a full-size frame.
            if !fits(data_room) || !self.data_frame(now, source, &mut out) {
                return self.buffers.put_back(out, chunk_bytes);
            }
        }
    }

    fn control_frame(
        &mut self,
        now: Instant,
        lane: Lane,
        source: &mut dyn Source,
        out: &mut BytesMut,
    ) -> bool {
        let (mut messages, _) = self.control_messages(now, lane, source);
        if messages.is_empty() {
            return false;
        }
        let nonce = self.seals.next_sent();
        put_control(&self.seals, nonce, lane, &mut messages, out);
        true
    }

    /// The messages of the next control frame of a lane; and whether nobody need acknowledge them.
    fn control_messages(
        &mut self,
        now: Instant,
        lane: Lane,
        source: &mut dyn Source,
    ) -> (Vec<u8>, bool) {
        let (mut messages, mut quiet_bytes) = (Vec::new(), 0);
        if lane == Lane::Control {
            if let Some(keepalive) = self.liveness.poll(now) {
                Control::Keepalive(keepalive).encode(&mut messages);
                if keepalive.flags & Keepalive::REPLY == 0 {
                    quiet_bytes = messages.len();
                }
            }
            while let Some(next) = self.control.front() {
                if messages.len() + next.len() > self.control_bytes_theirs {
                    break;
                }
                messages.append(&mut self.control.pop_front().unwrap_or_default());
            }
        }
        let room = self.control_bytes_theirs.saturating_sub(messages.len());
        source.control(lane, room, &mut messages);
        let is_quiet = messages.len() == quiet_bytes;
        (messages, is_quiet)
    }

    fn data_frame(&mut self, now: Instant, source: &mut dyn Source, out: &mut BytesMut) -> bool {
        let order = if self.turns.normal_in_a_row >= NORMAL_PER_BULK {
            [Lane::Realtime, Lane::Bulk, Lane::Normal]
        } else {
            [Lane::Realtime, Lane::Normal, Lane::Bulk]
        };
        for lane in order {
            let put = self.put_data(now, lane, source, out)
                || (lane == Lane::Bulk && self.control_frame(now, lane, source, out));
            if !put {
                continue;
            }
            match lane {
                Lane::Normal => {
                    self.turns.normal_in_a_row = self.turns.normal_in_a_row.saturating_add(1);
                }
                Lane::Bulk => self.turns.normal_in_a_row = 0,
                Lane::Control | Lane::Realtime => {}
            }
            return true;
        }
        false
    }

    /// Has the payload put where it is sent from, behind room for what goes ahead of it.
    fn put_data(
        &mut self,
        now: Instant,
        lane: Lane,
        source: &mut dyn Source,
        out: &mut BytesMut,
    ) -> bool {
        let start = out.len();
        out.put_bytes(0, DATA_OVERHEAD_BYTES);
        let head = source.data(lane, self.payload_bytes_theirs, out);
        let written = out.len() - start - DATA_OVERHEAD_BYTES;
        let Some(head) = head else {
            out.truncate(start);
            return false;
        };
        self.liveness.on_data_sent(now);
        let nonce = self.seals.next_sent();
        let ahead = self.seals.seal_data(nonce, &head, written);
        if let Some(room) = out.get_mut(start..start + DATA_OVERHEAD_BYTES) {
            room.copy_from_slice(&ahead);
        }
        true
    }
}

/// Appends a sealed control frame with `messages` to `out`.
pub(super) fn put_control(
    seals: &Seals,
    nonce: u64,
    lane: Lane,
    messages: &mut [u8],
    out: &mut BytesMut,
) {
    let (prefix, tag) = seals.seal_control(nonce, lane, messages);
    out.extend_from_slice(&prefix);
    out.extend_from_slice(messages);
    out.extend_from_slice(&tag);
}

/// What a packet-shaped link cuts: frames of a link that is up, or none.
pub(super) struct Cutter<'a> {
    pub(super) up: Option<&'a mut Up>,
    pub(super) source: &'a mut dyn Source,
}

impl Frames for Cutter<'_> {
    fn next(&mut self, now: Instant, lane: Lane, number: u64, layout: Layout) -> Option<Image> {
        let up = self.up.as_deref_mut()?;
        if lane != Lane::Control
            && let Some(image) = up.data_image(now, lane, number, layout, self.source)
        {
            return Some(image);
        }
        if !matches!(lane, Lane::Control | Lane::Bulk) {
            return None;
        }
        let (mut messages, is_quiet) = up.control_messages(now, lane, self.source);
        let any = !messages.is_empty();
        any.then(|| Image::control(&up.seals, lane, number, &mut messages, layout, is_quiet))
    }
}

impl Up {
    fn data_image(
        &mut self,
        now: Instant,
        lane: Lane,
        number: u64,
        layout: Layout,
        source: &mut dyn Source,
    ) -> Option<Image> {
        let mut bytes = core::mem::take(&mut self.turns.spare);
        bytes.put_bytes(0, PAYLOAD_ROOM_BYTES);
        let Some(head) = source.data(lane, self.payload_bytes_theirs, &mut bytes) else {
            bytes.clear();
            self.turns.spare = bytes;
            return None;
        };
        self.liveness.on_data_sent(now);
        Some(Image::data(&self.seals, number, &head, bytes, layout))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeSet, VecDeque};

    use super::*;

    const CHUNK: usize = 100_000;

    fn fill(buffers: &mut Buffers, bytes: usize) -> Bytes {
        let mut out = buffers.take(CHUNK);
        out.resize(bytes, 7);
        buffers.put_back(out, CHUNK)
    }

    #[test]
    fn a_buffer_is_filled_again_once_its_chunk_is_written() {
        let (mut buffers, mut in_driver) = (Buffers::default(), VecDeque::new());
        // A buffer may hold two chunks, one behind the other.
        let mut places = BTreeSet::new();
        // Takes memory that was given back, so that nobody has it again by chance.
        let mut taken = Vec::new();
        for at in 0..100 {
            let chunk = fill(&mut buffers, CHUNK - 1);
            assert_eq!(chunk.len(), CHUNK - 1);
            let is_new = places.insert(chunk.as_ptr());
            assert!(at < 4 * CHUNKS || !is_new, "new memory for chunk {at}");
            in_driver.push_back(chunk);
            if in_driver.len() == CHUNKS {
                in_driver.pop_front();
                taken.push(Vec::<u8>::with_capacity(CHUNK));
            }
        }
    }

    #[test]
    fn an_idle_link_gives_large_buffers_back() {
        let mut buffers = Buffers::default();
        // Whatever is left of them behind their last chunks.
        for left in [0, 1_000, CHUNK / 2 - 1] {
            (0..2 * CHUNKS).for_each(|_| drop(fill(&mut buffers, CHUNK - left)));
            assert!(buffers.buffers.iter().all(|buffer| buffer.size >= CHUNK));
            drop(fill(&mut buffers, 50));
            assert!(buffers.buffers.iter().all(|buffer| buffer.size <= BUFFER_BYTES_IDLE));
        }
        assert!(fill(&mut buffers, 0).is_empty());
    }
}
