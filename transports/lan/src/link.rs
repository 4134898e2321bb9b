//! One TCP connection as a link.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use hedgerow_driver::{
    Endpoint, LinkDeadline, LinkEstimate, LinkId, LinkLoss, LinkOrigin, LinkShape, LinkUp, Links,
    NodeGone, Outgoing, Reports,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::debug;

use crate::socket;

/// What a gigabit carries in 2 ms, and enough to make a system call worth it.
const CHUNK_BYTES: usize = 256 * 1024;
const FRAME_BYTES_MAX: usize = 65_536;
/// A gigabit network through one switch.
pub(crate) const ESTIMATE: LinkEstimate =
    LinkEstimate { rate_bytes_per_s: 100_000_000, delay: Duration::from_micros(200) };

/// A block that is read into until less than `READ_BYTES_MIN` is left, which is not worth a
/// system call. Frames that lie whole in one block are never copied together.
const BLOCK_BYTES: usize = 256 * 1024;
/// One read. Reports wait in a channel of a fixed length, so this bounds what a node that is busy
/// leaves in memory.
const READ_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES_MIN: usize = 16 * 1024;
/// Blocks that a link comes back to once everything in them is done with: fresh memory costs
/// more than what is read into it.
const BLOCKS_MAX: usize = 8;

/// How long the other end may take to answer our end of stream with its own. Closing a socket
/// with unread bytes would reset it, and the other end would lose what it has not read yet.
const DRAIN_FOR: Duration = Duration::from_secs(1);
/// Links that may wait so at once: in a flood of connections that close, the rest is cut, so that
/// newcomers need not wait for them.
pub(crate) const DRAINS_MAX: usize = 64;
/// How long the other end's last bytes may take after writing to it has failed.
const LAST_BYTES_FOR: Duration = Duration::from_secs(1);
/// From the core's `Close` to a link that is gone even if the other end does not read.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The same when the driver shuts down.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(400);

/// The links over TCP that are up.
#[derive(Debug)]
pub(crate) struct TcpLinks {
    links: Arc<Links>,
    /// What the networks promise.
    estimate: LinkEstimate,
    /// Places for links that wait for the other end's close.
    drains: Semaphore,
}

impl TcpLinks {
    pub(crate) fn new(reports: Reports, estimate: LinkEstimate) -> Self {
        let links = Arc::new(Links::new(reports));
        Self { links, estimate, drains: Semaphore::new(DRAINS_MAX) }
    }

    /// How many stand, as it changes.
    pub(crate) fn standing(&self) -> watch::Receiver<usize> {
        self.links.standing()
    }

    /// The core closes a link.
    pub(crate) fn close(&self, link: LinkId) {
        self.links.close(link);
    }

    /// Ends all links, and each that comes up from now on.
    pub(crate) fn shut_down(&self) {
        self.links.shut_down();
    }

    /// Announces a connection as a link and carries its bytes until it is down.
    pub(crate) async fn carry(
        &self,
        stream: TcpStream,
        origin: LinkOrigin,
        endpoint: Endpoint,
    ) -> Result<(), NodeGone> {
        socket::tune(&stream);
        let (open, reports) = (self.links.open(), self.links.reports());
        let link = open.link;
        debug!(?link, %endpoint, ?origin, "link up");
        let shape =
            LinkShape::Stream { chunk_bytes: CHUNK_BYTES, frame_bytes_max: FRAME_BYTES_MAX };
        let up = LinkUp { link, origin, shape, endpoint, estimate: self.estimate };
        let outgoing = reports.link_up(up).await?;

        let received = |data| reports.received(link, data);
        let loss = until_down(stream, outgoing, received, open.end.clone(), &self.drains).await;
        drop(open);
        debug!(?link, %loss, "link down");
        reports.link_down(link, loss).await
    }
}

async fn until_down<F>(
    mut stream: TcpStream,
    outgoing: Outgoing,
    received: impl Fn(BytesMut) -> F,
    end: LinkDeadline,
    drains: &Semaphore,
) -> LinkLoss
where
    F: Future<Output = Result<(), NodeGone>>,
{
    tokio::select! {
        loss = converse(&mut stream, outgoing, received, end.clone(), drains) => loss,
        loss = end.overdue(CLOSE_WITHIN, SHUTDOWN_WITHIN) => loss,
    }
}

/// Reads and writes beside each other until one of both is done.
async fn converse<F>(
    stream: &mut TcpStream,
    outgoing: Outgoing,
    received: impl Fn(BytesMut) -> F,
    mut end: LinkDeadline,
    drains: &Semaphore,
) -> LinkLoss
where
    F: Future<Output = Result<(), NodeGone>>,
{
    let (mut reader, mut writer) = stream.split();
    {
        let mut reading = pin!(read(&mut reader, received));
        let sent = tokio::select! {
            loss = &mut reading => return loss,
            sent = write(&mut writer, outgoing, &mut end) => sent,
        };
        match sent {
            Ok(Wrote::Something) => {}
            // There is nothing to lose, and many who say nothing must not hold many sockets.
            Ok(Wrote::Nothing) => return end.reason(),
            Err(error) => {
                // The other end is gone, but what it said before may still wait to be read.
                let last = timeout(LAST_BYTES_FOR, reading).await;
                return last.unwrap_or_else(|_| loss(&error));
            }
        }
    }
    let _ = writer.shutdown().await;
    let Ok(_place) = drains.try_acquire() else { return end.reason() };
    let _ = timeout(DRAIN_FOR, drain(&mut reader)).await;
    end.reason()
}

async fn read<F>(reader: &mut ReadHalf<'_>, received: impl Fn(BytesMut) -> F) -> LinkLoss
where
    F: Future<Output = Result<(), NodeGone>>,
{
    let mut blocks = Blocks::default();
    let mut buffer = BytesMut::with_capacity(BLOCK_BYTES);
    loop {
        if buffer.capacity() < READ_BYTES_MIN {
            buffer = blocks.exchange(buffer);
        }
        match reader.read_buf(&mut (&mut buffer).limit(READ_BYTES_MAX)).await {
            Ok(0) => return LinkLoss::ClosedByRemote,
            Ok(_) => {}
            Err(error) => return loss(&error),
        }
        if received(buffer.split()).await.is_err() {
            return LinkLoss::Shutdown;
        }
    }
}

/// Whether a link that was closed had anything to say.
enum Wrote {
    Something,
    Nothing,
}

/// Blocks in the order in which they were filled.
#[derive(Default)]
struct Blocks(VecDeque<BytesMut>);

impl Blocks {
    /// An empty block for a full one.
    fn exchange(&mut self, full: BytesMut) -> BytesMut {
        self.0.push_back(full);
        let free = self.0.iter_mut().position(|block| block.try_reclaim(BLOCK_BYTES));
        if let Some(block) = free.and_then(|at| self.0.remove(at)) {
            return block;
        }
        if self.0.len() > BLOCKS_MAX {
            self.0.pop_front();
        }
        BytesMut::with_capacity(BLOCK_BYTES)
    }
}

/// Writes what the node gives until the link is to end, and then what was taken before that.
async fn write(
    writer: &mut (impl AsyncWriteExt + Unpin),
    mut outgoing: Outgoing,
    end: &mut LinkDeadline,
) -> io::Result<Wrote> {
    let mut wrote = Wrote::Nothing;
    loop {
        let chunk = tokio::select! {
            // A node that never stops must not hold up the end.
            biased;
            () = end.asked() => break,
            chunk = outgoing.next() => chunk,
        };
        let Some(chunk) = chunk else { return Ok(wrote) };
        wrote = Wrote::Something;
        writer.write_all(&chunk).await?;
    }
    outgoing.close();
    while let Some(chunk) = outgoing.next().await {
        wrote = Wrote::Something;
        writer.write_all(&chunk).await?;
    }
    Ok(wrote)
}

/// Throws away what still comes in, until the other end has closed as well.
async fn drain(reader: &mut ReadHalf<'_>) {
    let mut waste = vec![0; READ_BYTES_MAX];
    while matches!(reader.read(&mut waste).await, Ok(1..)) {}
}

fn loss(error: &io::Error) -> LinkLoss {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => LinkLoss::Reset,
        io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => LinkLoss::TimedOut,
        _ => LinkLoss::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the block full and takes what was read out of it.
    fn fill(block: &mut BytesMut) -> BytesMut {
        block.resize(block.capacity(), 7);
        block.split()
    }

    #[test]
    fn a_block_is_read_into_again_once_everything_in_it_is_done_with() {
        let mut blocks = Blocks::default();
        let mut block = BytesMut::with_capacity(BLOCK_BYTES);
        let first = block.as_ptr();
        let mut held = fill(&mut block);
        let rest = held.split_off(100);
        let mut block = blocks.exchange(block);
        assert_ne!(block.as_ptr(), first);
        drop(held);
        let second = fill(&mut block);
        let mut block = blocks.exchange(block);
        assert_ne!(block.as_ptr(), first, "a part of it is still held");
        drop(rest);
        let third = fill(&mut block);
        assert_eq!(blocks.exchange(block).as_ptr(), first);
        drop((second, third));
    }

    #[test]
    fn blocks_that_are_never_given_back_are_forgotten() {
        let (mut blocks, mut held) = (Blocks::default(), Vec::new());
        let mut block = BytesMut::with_capacity(BLOCK_BYTES);
        for _ in 0..3 * BLOCKS_MAX {
            held.push(fill(&mut block));
            block = blocks.exchange(block);
        }
        assert!(blocks.0.len() <= BLOCKS_MAX);
    }
}
