//! The frames of an open pipe.
//!
//! ```text
//!  0        1        2        3        4        5
//! +--------+--------+--------+--------+--------+----------
//! | kind   | length of the content, big-endian | content
//! +--------+--------+--------+--------+--------+----------
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::failure::Failure;

/// The largest content of a data frame, in bytes.
pub(crate) const DATA_BYTES_MAX: usize = 64 * 1_024;
const HEADER_BYTES: usize = 5;

/// One frame, either way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    /// Bytes of the stream.
    Data(Bytes),
    /// The sender of this frame, or the peer behind it, sends no more.
    Finish,
    /// Node to client: all data of the client is in the peer's queue.
    Acknowledged,
    /// Node to client: the stream broke; the last frame.
    Error(Failure),
    /// Node to client: nothing; a client that is gone shows when it cannot be written.
    Alive,
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidFrame;

impl Frame {
    const DATA: u8 = 0;
    const FINISH: u8 = 1;
    const ACKNOWLEDGED: u8 = 2;
    const ERROR: u8 = 3;
    const ALIVE: u8 = 4;

    /// Appends the frame to `out`. Data of over [`DATA_BYTES_MAX`] becomes several frames.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Data(data) => {
                data.chunks(DATA_BYTES_MAX).for_each(|chunk| put(out, Self::DATA, chunk));
            }
            Self::Finish => put(out, Self::FINISH, &[]),
            Self::Alive => put(out, Self::ALIVE, &[]),
            Self::Acknowledged => put(out, Self::ACKNOWLEDGED, &[]),
            Self::Error(failure) => {
                let json = serde_json::to_vec(failure).unwrap_or_default();
                put(out, Self::ERROR, &json);
            }
        }
    }

    /// Takes a frame from the front of `buffer`; `None` while it is not all there.
    ///
    /// # Errors
    /// [`InvalidFrame`]: there is no way to go on.
    pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Self>, InvalidFrame> {
        let Some(&[kind, a, b, c, d]) = buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > DATA_BYTES_MAX || kind > Self::ALIVE {
            return Err(InvalidFrame);
        }
        if buffer.len() < HEADER_BYTES + length {
            buffer.reserve(HEADER_BYTES + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEADER_BYTES);
        let content = buffer.split_to(length).freeze();
        match kind {
            Self::DATA => Ok(Some(Self::Data(content))),
            Self::ERROR => {
                let failure = serde_json::from_slice(&content);
                Ok(Some(Self::Error(failure.map_err(|_| InvalidFrame)?)))
            }
            _ if !content.is_empty() => Err(InvalidFrame),
            Self::FINISH => Ok(Some(Self::Finish)),
            Self::ACKNOWLEDGED => Ok(Some(Self::Acknowledged)),
            _ => Ok(Some(Self::Alive)),
        }
    }
}

fn put(out: &mut BytesMut, kind: u8, content: &[u8]) {
    let length = u32::try_from(content.len()).expect("contents are short");
    out.reserve(HEADER_BYTES + content.len());
    out.put_u8(kind);
    out.put_u32(length);
    out.put_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ErrorCode;

    fn encoded(frame: &Frame) -> BytesMut {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        out
    }

    #[test]
    fn frames_go_both_ways_and_a_part_is_no_frame() {
        let failure = Failure::new(ErrorCode::PeerLost, "lost", "look");
        let data = Frame::Data(Bytes::from_static(b"abc"));
        for frame in [data, Frame::Finish, Frame::Acknowledged, Frame::Alive, Frame::Error(failure)]
        {
            let whole = encoded(&frame);
            for end in 0..whole.len() {
                assert_eq!(Frame::decode(&mut BytesMut::from(&whole[..end])), Ok(None));
            }
            let mut buffer = whole.clone();
            assert_eq!(Frame::decode(&mut buffer), Ok(Some(frame)));
            assert!(buffer.is_empty());
        }
        let golden = encoded(&Frame::Data(Bytes::from_static(b"abc")));
        assert_eq!(&golden[..], b"\x00\x00\x00\x00\x03abc");
    }

    #[test]
    fn a_large_message_becomes_several_frames() {
        let mut buffer = encoded(&Frame::Data(Bytes::from(vec![7; DATA_BYTES_MAX + 1])));
        let lengths = std::iter::from_fn(|| match Frame::decode(&mut buffer) {
            Ok(Some(Frame::Data(data))) => Some(data.len()),
            _ => None,
        });
        assert_eq!(lengths.collect::<Vec<_>>(), [DATA_BYTES_MAX, 1]);
    }

    #[test]
    fn bad_frames_are_refused_before_anything_is_kept() {
        let bad: [&[u8]; 4] = [
            b"\x05\x00\x00\x00\x00",
            b"\x00\x00\x01\x00\x01",
            b"\x01\x00\x00\x00\x01x",
            b"\x03\x00\x00\x00\x02no",
        ];
        for bytes in bad {
            assert_eq!(Frame::decode(&mut BytesMut::from(bytes)), Err(InvalidFrame));
        }
    }
}
