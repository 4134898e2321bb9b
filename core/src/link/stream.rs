//! Frames on a stream-shaped link: one behind the other (protocol 4.1).

use alloc::vec::Vec;

use bytes::BytesMut;

use super::Violation;
use crate::limits::CONTROL_BYTES_MAX;
use crate::wire::frame::{CONTROL_OVERHEAD_BYTES, DATA_OVERHEAD_BYTES, PREFIX_BYTES, Prefix};
use crate::wire::lane::Lane;

/// The bytes of a stream that are no whole frame yet.
#[derive(Debug)]
pub(super) struct Stream {
    /// The most bytes of one transmit.
    pub(super) chunk_bytes: usize,
    /// What is sent before the link closes.
    pub(super) last: Vec<u8>,
    inbox: BytesMut,
    /// What came behind the inbox and is not copied to it: all but the rest of its frame.
    behind: BytesMut,
}

impl Stream {
    pub(super) fn new(chunk_bytes: usize) -> Self {
        let (inbox, behind) = (BytesMut::new(), BytesMut::new());
        Self { chunk_bytes, last: Vec::new(), inbox, behind }
    }

    /// Takes the next bytes. All of those before must have been asked for.
    pub(super) fn push(&mut self, data: BytesMut) {
        self.behind = data;
    }

    /// Moves bytes up; `missing` are wanted at once.
    fn fill(&mut self, missing: usize) {
        if self.inbox.is_empty() {
            core::mem::swap(&mut self.inbox, &mut self.behind);
        } else {
            // Only the frame that straddles two chunks is copied together.
            let missing = missing.min(self.behind.len());
            self.inbox.unsplit(self.behind.split_to(missing));
        }
    }

    /// Moves all bytes to `out`.
    pub(super) fn take_all(&mut self, out: &mut BytesMut) {
        self.fill(usize::MAX);
        if out.is_empty() {
            core::mem::swap(out, &mut self.inbox);
        } else {
            out.unsplit(self.inbox.split());
        }
    }

    /// Takes back what was not of the handshake.
    pub(super) fn give_back(&mut self, rest: &mut BytesMut) {
        core::mem::swap(&mut self.inbox, rest);
    }

    /// The next frame, if it is all there.
    pub(super) fn frame(
        &mut self,
        payload_bytes_max: usize,
    ) -> Result<Option<(Prefix, BytesMut)>, Violation> {
        self.fill(PREFIX_BYTES.saturating_sub(self.inbox.len()));
        let Some(prefix) = self.inbox.first_chunk().copied() else { return Ok(None) };
        let prefix = Prefix::decode(prefix);
        if prefix.data && prefix.lane == Lane::Control {
            return Err(Violation::DataOnControlLane);
        }
        let most = if prefix.data {
            payload_bytes_max + DATA_OVERHEAD_BYTES - PREFIX_BYTES
        } else {
            CONTROL_BYTES_MAX + CONTROL_OVERHEAD_BYTES - PREFIX_BYTES
        };
        if prefix.length > most {
            return Err(Violation::FrameTooLarge);
        }
        let bytes = PREFIX_BYTES + prefix.length;
        self.fill(bytes.saturating_sub(self.inbox.len()));
        if self.inbox.len() < bytes {
            return Ok(None);
        }
        let mut frame = self.inbox.split_to(bytes);
        Ok(Some((prefix, frame.split_off(PREFIX_BYTES))))
    }

    /// Forgets what came.
    pub(super) fn forget(&mut self) {
        (self.inbox, self.behind) = (BytesMut::new(), BytesMut::new());
    }
}
