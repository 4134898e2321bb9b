//! The sockets through which BlueZ hands values over: a packet is a value.
//!
//! `AcquireWrite` and `AcquireNotify` spare a call on the bus for each value.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdDatagram;

use bytes::BytesMut;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::net::UnixDatagram;

/// One direction of a characteristic's values.
#[derive(Debug)]
pub(super) struct ValueSocket(UnixDatagram);

impl ValueSocket {
    /// A socket that BlueZ made. Must be called in a runtime.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = StdDatagram::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(UnixDatagram::from_std(socket)?))
    }

    /// A socket for us and its other end for BlueZ. Neither blocks: a daemon that waited for one
    /// of its clients would stand still for all of them.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self::new(ours)?, theirs))
    }

    /// Keeps the socket open for the other end, whoever drops it here.
    pub(super) fn hold(&self) -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(&self.0, 0)?)
    }

    /// Hands a value over; waits while BlueZ has not taken those before it.
    pub(super) async fn send(&self, value: &[u8]) -> io::Result<()> {
        self.0.send(value).await.map(|_| ())
    }

    /// The next value, appended to `buffer`; `false` when BlueZ has closed the socket.
    pub(super) async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        Ok(self.0.recv_buf(buffer).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn values_keep_their_boundaries_and_an_end_is_seen() {
        let (ours, theirs) = ValueSocket::pair().unwrap();
        let theirs = ValueSocket::new(theirs).unwrap();
        for value in [&b"one"[..], b"two"] {
            ours.send(value).await.unwrap();
        }
        let mut buffer = BytesMut::with_capacity(512);
        assert!(theirs.recv(&mut buffer).await.unwrap());
        assert_eq!(buffer.split(), &b"one"[..]);
        assert!(theirs.recv(&mut buffer).await.unwrap());
        assert_eq!(buffer.split(), &b"two"[..]);
        drop(ours);
        assert!(!theirs.recv(&mut buffer).await.unwrap());
    }
}
