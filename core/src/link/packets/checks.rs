//! Which frames carry a checksum.

use bytes::BytesMut;

use crate::link::Violation;
use crate::wire::fragment::{CHECKSUM_BYTES, checksum};

/// Which frames carry a checksum: those that no seal covers whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// None: the link itself is reliable.
    Never,
    /// All: there is no seal yet.
    All,
    /// Data frames: whether a payload is intact, only its destination could tell.
    Data,
}

impl Checks {
    /// How many bytes a frame's checksum takes.
    pub(super) fn bytes(self, data: bool) -> usize {
        match self {
            Self::Never => 0,
            Self::All => CHECKSUM_BYTES,
            Self::Data => {
                if data {
                    CHECKSUM_BYTES
                } else {
                    0
                }
            }
        }
    }

    /// Those of a link whose handshake is under way.
    pub(super) fn of_clear(self) -> Self {
        if self == Self::Never { Self::Never } else { Self::All }
    }

    /// Takes a frame's checksum off its end.
    pub(super) fn take(self, data: bool, frame: &mut BytesMut) -> Result<(), Violation> {
        if self.bytes(data) == 0 {
            return Ok(());
        }
        let Some((rest, sum)) = frame.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(Violation::ChecksumWrong);
        };
        if checksum(rest) != *sum {
            return Err(Violation::ChecksumWrong);
        }
        frame.truncate(frame.len() - CHECKSUM_BYTES);
        Ok(())
    }

    /// Puts a frame's checksum at its end.
    pub(super) fn put(self, data: bool, start: usize, frame: &mut BytesMut) {
        if self.bytes(data) > 0 {
            let sum = checksum(frame.get(start..).unwrap_or_default());
            frame.extend_from_slice(&sum);
        }
    }
}
