//! What a link sends next: its lanes in order, each asked for what it has.

use alloc::vec::Vec;

use super::Up;
use crate::time::Instant;
use crate::wire::control::Control;
use crate::wire::frame::{CONTROL_OVERHEAD_BYTES, DATA_OVERHEAD_BYTES, DataFrame};
use crate::wire::lane::Lane;

/// Frames of the normal lane for each one of the bulk lane while both have some.
const NORMAL_PER_BULK: u8 = 8;

/// What the layers above a link have to send over it.
pub trait Source {
    /// Appends enveloped control messages of `lane` to `out`, at most `room` bytes in all.
    /// Only [`Lane::Control`] and [`Lane::Bulk`] carry control messages.
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>);

    /// The next data frame of `lane`, with a payload of at most `payload_bytes_max` bytes.
    fn data(&mut self, lane: Lane, payload_bytes_max: usize) -> Option<DataFrame>;
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The handshake's last message: goes ahead of the first frame.
    pub(super) first: Vec<u8>,
    normal_in_a_row: u8,
}

impl Up {
    /// Fills one chunk of at most `chunk_bytes` with whole frames.
    pub(super) fn fill(
        &mut self,
        now: Instant,
        chunk_bytes: usize,
        source: &mut dyn Source,
    ) -> Vec<u8> {
        let mut out = core::mem::take(&mut self.turns.first);
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
                return out;
            }
        }
    }

    fn control_frame(
        &mut self,
        now: Instant,
        lane: Lane,
        source: &mut dyn Source,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut messages = Vec::new();
        if lane == Lane::Control {
            if let Some(keepalive) = self.liveness.poll(now) {
                Control::Keepalive(keepalive).encode(&mut messages);
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
        if messages.is_empty() {
            return false;
        }
        self.seals.seal_control(lane, &mut messages, out);
        true
    }

    fn data_frame(&mut self, now: Instant, source: &mut dyn Source, out: &mut Vec<u8>) -> bool {
        let order = if self.turns.normal_in_a_row >= NORMAL_PER_BULK {
            [Lane::Realtime, Lane::Bulk, Lane::Normal]
        } else {
            [Lane::Realtime, Lane::Normal, Lane::Bulk]
        };
        for lane in order {
            if let Some(frame) = source.data(lane, self.payload_bytes_theirs) {
                self.liveness.on_data_sent(now);
                out.reserve(DATA_OVERHEAD_BYTES + frame.payload.len());
                self.seals.seal_data(&frame, out);
            } else if lane != Lane::Bulk || !self.control_frame(now, lane, source, out) {
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
}
