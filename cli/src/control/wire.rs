//! Lines and frames on a byte stream, bounded and safe to cancel.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Frame;

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The other side closed, or the connection broke.
    Closed,
    /// A line was longer than this many bytes.
    TooLong(usize),
    /// What came is no frame.
    Invalid,
}

/// The reading side.
#[derive(Debug)]
pub(crate) struct Incoming<R> {
    stream: R,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no end of line.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// [`WireError::TooLong`] after `bytes_max` bytes without an end of line; no more than
    /// that, and what one read brings, is kept.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(crate) async fn read_line(&mut self, bytes_max: usize) -> Result<BytesMut, WireError> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at);
                self.buffer.advance(1);
                self.searched = 0;
                if line.len() > bytes_max {
                    return Err(WireError::TooLong(bytes_max));
                }
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > bytes_max {
                return Err(WireError::TooLong(bytes_max));
            }
            self.fill().await?;
        }
    }

    /// The next frame.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(crate) async fn read_frame(&mut self) -> Result<Frame, WireError> {
        loop {
            match Frame::decode(&mut self.buffer) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => self.fill().await?,
                Err(_) => return Err(WireError::Invalid),
            }
        }
    }

    /// Waits until the other side closes, or says something that nobody asked for.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn closed(&mut self) {
        if self.buffer.is_empty() {
            // Either way the request is over.
            let _ = self.fill().await;
        }
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.buffer.reserve(8 * 1_024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(WireError::Closed),
            Ok(_) => Ok(()),
        }
    }
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Outgoing<W> {
    stream: W,
    /// What a cancelled write left; it goes out first.
    pending: BytesMut,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self { stream, pending: BytesMut::new() }
    }

    /// Writes `value` as one line.
    ///
    /// # Cancel safety
    /// What was cancelled is written before what comes next.
    pub(crate) async fn write_line(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        self.pending.extend_from_slice(&serde_json::to_vec(value)?);
        self.pending.extend_from_slice(b"\n");
        self.flush().await
    }

    /// Writes a frame.
    ///
    /// # Cancel safety
    /// What was cancelled is written before what comes next.
    pub(crate) async fn write_frame(&mut self, frame: &Frame) -> io::Result<()> {
        frame.encode(&mut self.pending);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.pending.has_remaining() {
            if self.stream.write_buf(&mut self.pending).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.stream.flush().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn lines_and_frames_share_a_connection() {
        let (near, far) = tokio::io::duplex(7);
        let mut out = Outgoing::new(near);
        let writing = async {
            out.write_line(&"one").await.unwrap();
            out.write_line(&2).await.unwrap();
            out.write_frame(&Frame::Data(Bytes::from_static(b"three\n"))).await.unwrap();
            drop(out);
        };
        let reading = async {
            let mut incoming = Incoming::new(far);
            assert_eq!(&incoming.read_line(5).await.unwrap()[..], b"\"one\"");
            assert_eq!(&incoming.read_line(5).await.unwrap()[..], b"2");
            let frame = incoming.read_frame().await.unwrap();
            assert_eq!(frame, Frame::Data(Bytes::from_static(b"three\n")));
            assert!(matches!(incoming.read_frame().await, Err(WireError::Closed)));
        };
        tokio::join!(writing, reading);
    }

    #[tokio::test]
    async fn an_overlong_line_is_refused_with_or_without_its_end() {
        for text in [vec![b'x'; 100_000], b"xxxxxx\n".to_vec()] {
            let mut incoming = Incoming::new(&text[..]);
            assert!(matches!(incoming.read_line(5).await, Err(WireError::TooLong(5))));
            assert!(incoming.buffer.capacity() < 64 * 1_024);
        }
        let mut incoming = Incoming::new(&b"xxxxx\r\n"[..]);
        assert!(incoming.read_line(6).await.is_ok());
    }

    #[tokio::test]
    async fn a_read_that_is_cancelled_loses_nothing() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut incoming = Incoming::new(far);
        near.write_all(b"ha").await.unwrap();
        tokio::select! {
            biased;
            _ = incoming.read_line(10) => panic!("half a line is no line"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(b"lf\n").await.unwrap();
        assert_eq!(&incoming.read_line(10).await.unwrap()[..], b"half");
    }

    #[tokio::test]
    async fn a_write_that_is_cancelled_is_finished_by_the_next() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut out = Outgoing::new(near);
        tokio::select! {
            biased;
            _ = out.write_line(&"abcdefgh") => panic!("it does not fit"),
            () = tokio::task::yield_now() => {}
        }
        let rest = async {
            out.write_line(&1).await.unwrap();
            drop(out);
        };
        let mut text = String::new();
        let (_, read) = tokio::join!(rest, far.read_to_string(&mut text));
        read.unwrap();
        assert_eq!(text, "\"abcdefgh\"\n1\n");
    }
}
