//! One direction of whatever carries packets, and how fast it is.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context, bail, ensure};
use bluer::l2cap::SeqPacket;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::Command;

/// The longest packet that any of them carries.
const PACKET_BYTES_MAX: usize = 4_096;

/// What the process that receives says when it does.
const READY: &str = "ready";

/// An end that takes or gives packets.
pub(crate) enum Line {
    /// Values of a characteristic, through BlueZ's socket.
    Values(UnixDatagram),
    Channel(SeqPacket),
}

/// The socket that BlueZ made, or gets.
pub(super) fn from_bluez(socket: OwnedFd) -> io::Result<Line> {
    let socket = StdDatagram::from(socket);
    socket.set_nonblocking(true)?;
    Ok(Line::Values(UnixDatagram::from_std(socket)?))
}

impl Line {
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<usize> {
        match self {
            Self::Values(socket) => socket.send(packet).await,
            Self::Channel(socket) => socket.send(packet).await,
        }
    }

    pub(crate) async fn receive(&self, packet: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Values(socket) => socket.recv(packet).await,
            Self::Channel(socket) => socket.recv(packet).await,
        }
    }

    /// Sends so many bytes to the other end as fast as they go; how long until all are there. Another
    /// process takes them: as at the end of any link, and as a node's are.
    pub(crate) async fn flood(
        &self,
        to: &Self,
        packet_bytes: usize,
        bytes: usize,
    ) -> anyhow::Result<Duration> {
        let mut sink = Command::new(env::current_exe()?);
        sink.arg("sink").arg(bytes.to_string()).stdin(to.once_more()?).stdout(Stdio::piped());
        let mut sink = sink.kill_on_drop(true).spawn().context("cannot start what receives")?;
        let said = sink.stdout.take().context("no output")?;
        let ready = BufReader::new(said).lines().next_line().await?;
        ensure!(ready.as_deref() == Some(READY), "what receives said {ready:?}");
        let started = Instant::now();
        self.pour(packet_bytes, bytes).await?;
        let status = sink.wait().await?;
        ensure!(status.success(), "what receives ended with {status}");
        Ok(started.elapsed())
    }

    async fn pour(&self, packet_bytes: usize, bytes: usize) -> io::Result<()> {
        let packet = vec![7; packet_bytes];
        let mut left = bytes;
        while left > 0 {
            let size = left.min(packet_bytes);
            self.send(&packet[..size]).await?;
            left -= size;
        }
        Ok(())
    }

    /// The socket for another process. Whoever has it need not own the first one: a channel does not
    /// give away its own.
    fn once_more(&self) -> io::Result<OwnedFd> {
        let socket = match self {
            Self::Values(socket) => socket.as_raw_fd(),
            Self::Channel(socket) => socket.as_raw_fd(),
        };
        let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
        Ok(pidfd_getfd(ourselves, socket, PidfdGetfdFlags::empty())?)
    }
}

/// What another process does in a flood: takes so many bytes from its standard input, a line.
pub(crate) fn sink(bytes: usize) -> anyhow::Result<()> {
    println!("{READY}");
    drain(io::stdin(), bytes)
}

fn drain(line: impl AsFd, bytes: usize) -> anyhow::Result<()> {
    let mut packet = [0; PACKET_BYTES_MAX];
    let mut received = 0;
    while received < bytes {
        match read(&line, &mut packet) {
            Ok(0) => bail!("the line ended after {received} of {bytes} bytes"),
            Ok(size) => received += size,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut readable = [PollFd::new(&line, PollFlags::IN)];
                poll(&mut readable, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(received == bytes, "{received} bytes came of {bytes}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_arrives_is_counted() {
        let pair = || {
            let (near, far) = UnixDatagram::pair().unwrap();
            (Line::Values(near), far.into_std().unwrap())
        };
        let (near, far) = pair();
        let draining = std::thread::spawn(move || drain(far, 1_050));
        near.pour(100, 1_050).await.unwrap();
        draining.join().unwrap().unwrap();
        let (near, far) = pair();
        near.send(b"more than was to come").await.unwrap();
        let error = drain(far, 20).unwrap_err();
        assert_eq!(error.to_string(), "21 bytes came of 20");
    }
}
