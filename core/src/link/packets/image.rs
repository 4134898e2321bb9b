//! A frame as it is cut into fragments (protocol 4.5).

use bytes::{BufMut, Bytes, BytesMut};

use super::checks::Checks;
use crate::link::seal::Seals;
use crate::wire::fragment::{
    BRIEF_BYTES, Brief, FRAGMENT_BYTES_BYTES, HEADER_BYTES, Header, SKIP_BYTES, Skip,
};
use crate::wire::frame::{DATA_OVERHEAD_BYTES, DataHead, PREFIX_BYTES, Prefix};
use crate::wire::lane::Lane;

/// What is ahead of the body of a frame that takes several fragments.
const HEAD_BYTES: usize = PREFIX_BYTES + FRAGMENT_BYTES_BYTES;
/// Bytes to keep free ahead of a payload.
pub(in crate::link) const PAYLOAD_ROOM_BYTES: usize = DATA_OVERHEAD_BYTES + FRAGMENT_BYTES_BYTES;

/// How frames are laid out now.
#[derive(Clone, Copy, Debug)]
pub(in crate::link) struct Layout {
    /// The largest content of a fragment, in bytes.
    pub(super) content_bytes: usize,
    pub(super) checks: Checks,
}

impl Layout {
    pub(super) fn new(packet_bytes: usize, checks: Checks) -> Self {
        Self { content_bytes: packet_bytes - HEADER_BYTES, checks }
    }
}

/// The nonce of a frame: its lane and the number of its first fragment.
pub(in crate::link) fn nonce(lane: Lane, number: u64) -> u64 {
    u64::from(lane.bits()) << 62 | number
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of the handshake: not sealed.
    Clear,
    Sealed {
        data: bool,
    },
    Skip,
}

/// The bytes of one frame, to be cut.
#[derive(Clone, Debug)]
pub(in crate::link) struct Image {
    bytes: Bytes,
    fragment_bytes: usize,
    sum_bytes: usize,
    kind: Kind,
    /// Nobody need acknowledge it.
    pub(super) quiet: bool,
}

impl Image {
    /// Messages of the handshake: no seal covers them.
    pub(super) fn clear(lane: Lane, body: &[u8], layout: Layout) -> Self {
        let layout = Layout { checks: layout.checks.of_clear(), ..layout };
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + body.len() + 4);
        bytes.put_bytes(0, HEAD_BYTES);
        bytes.extend_from_slice(body);
        Self::lay_out(lane, Kind::Clear, bytes, layout)
    }

    /// A control frame with `messages`.
    pub(in crate::link) fn control(
        seals: &Seals,
        lane: Lane,
        number: u64,
        messages: &mut [u8],
        layout: Layout,
        quiet: bool,
    ) -> Self {
        let (prefix, tag) = seals.seal_control(nonce(lane, number), lane, messages);
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + messages.len() + tag.len());
        bytes.extend_from_slice(&prefix);
        bytes.put_bytes(0, FRAGMENT_BYTES_BYTES);
        bytes.extend_from_slice(messages);
        bytes.extend_from_slice(&tag);
        let image = Self::lay_out(lane, Kind::Sealed { data: false }, bytes, layout);
        Self { quiet, ..image }
    }

    /// A data frame whose payload lies in `bytes` behind [`PAYLOAD_ROOM_BYTES`].
    pub(in crate::link) fn data(
        seals: &Seals,
        number: u64,
        head: &DataHead,
        mut bytes: BytesMut,
        layout: Layout,
    ) -> Self {
        let payload_bytes = bytes.len() - PAYLOAD_ROOM_BYTES;
        let ahead = seals.seal_data(nonce(head.lane, number), head, payload_bytes);
        let (_, sealed) = ahead.split_at(PREFIX_BYTES);
        if let Some(room) = bytes.get_mut(HEAD_BYTES..PAYLOAD_ROOM_BYTES) {
            room.copy_from_slice(sealed);
        }
        Self::lay_out(head.lane, Kind::Sealed { data: true }, bytes, layout)
    }

    /// Gives up the fragments from `from` on, as the fragment with this header.
    pub(super) fn skip(header: &Header, skip: Skip) -> Self {
        let bytes = Bytes::copy_from_slice(&skip.encode(header));
        Self { bytes, fragment_bytes: SKIP_BYTES, sum_bytes: 0, kind: Kind::Skip, quiet: false }
    }

    /// Of a body with [`HEAD_BYTES`] of room ahead.
    fn lay_out(lane: Lane, kind: Kind, mut bytes: BytesMut, layout: Layout) -> Self {
        let data = kind == Kind::Sealed { data: true };
        let length = bytes.len() - HEAD_BYTES;
        let sum_bytes = layout.checks.bytes(data);
        let single = BRIEF_BYTES + length + sum_bytes;
        let (start, fragment_bytes) = if single <= layout.content_bytes {
            (HEAD_BYTES - BRIEF_BYTES, single)
        } else {
            (0, layout.content_bytes)
        };
        let prefix = Prefix { lane, data, length }.encode();
        let fragment = u16::try_from(fragment_bytes).unwrap_or(u16::MAX).to_be_bytes();
        let head = prefix.into_iter().chain(fragment);
        bytes.iter_mut().zip(head).for_each(|(to, from)| *to = from);
        if start > 0
            && let Some(head) = bytes.get_mut(start..HEAD_BYTES)
        {
            head.copy_from_slice(&Brief { data, content_bytes: single }.encode());
        }
        layout.checks.put(data, start, &mut bytes);
        let bytes = bytes.split_off(start).freeze();
        Self { bytes, fragment_bytes, sum_bytes, kind, quiet: false }
    }

    /// The same frame under another number and layout; `None` for a skip, which is not sent again.
    pub(super) fn again(
        &self,
        seals: Option<&Seals>,
        lane: Lane,
        before: u64,
        number: u64,
        layout: Layout,
    ) -> Option<Self> {
        let ahead = if self.is_single() { BRIEF_BYTES } else { HEAD_BYTES };
        let end = self.bytes.len().checked_sub(self.sum_bytes)?;
        let body = self.bytes.get(ahead..end)?;
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + body.len() + 4);
        bytes.put_bytes(0, HEAD_BYTES);
        bytes.extend_from_slice(body);
        match self.kind {
            Kind::Skip => return None,
            Kind::Clear => return Some(Self::clear(lane, body, layout)),
            Kind::Sealed { data } => {
                let prefix = Prefix { lane, data, length: body.len() };
                let numbers = (nonce(lane, before), nonce(lane, number));
                seals?.seal_again(numbers, prefix, bytes.get_mut(HEAD_BYTES..)?).ok()?;
            }
        }
        Some(Self { quiet: self.quiet, ..Self::lay_out(lane, self.kind, bytes, layout) })
    }

    fn is_single(&self) -> bool {
        self.bytes.len() <= self.fragment_bytes
    }

    /// How many fragments it takes.
    pub(super) fn fragments(&self) -> u64 {
        self.bytes.len().div_ceil(self.fragment_bytes) as u64
    }

    /// The content of fragment `at`, from 0.
    pub(super) fn fragment(&self, at: u64) -> &[u8] {
        let start = usize::try_from(at).unwrap_or(usize::MAX).saturating_mul(self.fragment_bytes);
        let rest = self.bytes.get(start..).unwrap_or_default();
        rest.get(..self.fragment_bytes).unwrap_or(rest)
    }
}
