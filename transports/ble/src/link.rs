//! The links that are up, whatever carries their packets.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hedgerow_core::limits::{PACKET_BYTES_MAX, PACKET_BYTES_MIN};
use hedgerow_driver::{
    Endpoint, LinkDeadline, LinkEstimate, LinkId, LinkLoss, LinkOrigin, LinkShape, LinkUp, Links,
    NodeGone, Outgoing, Reports, whole_pdus,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tracing::debug;

/// The largest frame. Higher lanes interrupt it between its packets.
const FRAME_BYTES_MAX: usize = 65_536;
/// A block that packets are read into, one behind the other.
const BLOCK_BYTES: usize = 16 * 1_024;
/// Links beyond the profile: newcomers that the node tells that it is at capacity.
const SEATS_BEYOND: usize = 2;
/// From the core's `Close` to a link that is gone even if the other end does not read.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The same when the driver shuts down.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(300);

/// What carries a link's packets.
pub(crate) trait Carrier: Send + Sync {
    /// Hands a packet over, and waits until the medium has taken it.
    fn send(&self, packet: &[u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// The next packet, appended to `buffer`, which has room for the largest; `false` at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped before it is ready.
    fn recv(&self, buffer: &mut BytesMut) -> impl Future<Output = io::Result<bool>> + Send;

    /// The largest value that it carries now, where that may change.
    fn sizes(&self) -> Option<watch::Receiver<usize>> {
        None
    }
}

/// What a link is like before anything is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Medium {
    /// Values of at most so many bytes.
    Gatt(usize),
    /// Packets of a connection-oriented channel.
    Channel(usize),
}

impl Medium {
    fn shape(self) -> LinkShape {
        let (packet_bytes, is_ordered) = match self {
            Self::Gatt(value_bytes_max) => (whole_pdus(value_bytes_max), false),
            Self::Channel(packet_bytes_max) => (packet_bytes_max, true),
        };
        let packet_bytes = packet_bytes.clamp(PACKET_BYTES_MIN, PACKET_BYTES_MAX);
        LinkShape::Packet { packet_bytes, is_ordered, frame_bytes_max: FRAME_BYTES_MAX }
    }

    /// What phones and laptops reach.
    fn estimate(self) -> LinkEstimate {
        match self {
            Self::Gatt(_) => {
                LinkEstimate { rate_bytes_per_s: 20_000, delay: Duration::from_millis(60) }
            }
            Self::Channel(_) => {
                LinkEstimate { rate_bytes_per_s: 60_000, delay: Duration::from_millis(40) }
            }
        }
    }
}

/// The links over Bluetooth that are up.
#[derive(Debug)]
pub(crate) struct BleLinks {
    links: Arc<Links>,
    /// A seat for each link.
    seats: Arc<Semaphore>,
    links_max: usize,
}

/// A place for a link, held from its dial to its end.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl BleLinks {
    pub(crate) fn new(reports: Reports, links_max: usize) -> Self {
        let seats = Arc::new(Semaphore::new(links_max + SEATS_BEYOND));
        Self { links: Arc::new(Links::new(reports)), seats, links_max }
    }

    /// A place for a link, unless the hardware holds no more.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat { _permit: permit })
    }

    /// How many links stand, as it changes.
    pub(crate) fn standing(&self) -> watch::Receiver<usize> {
        self.links.standing()
    }

    /// How many more links it takes when so many stand.
    pub(crate) fn free(&self, standing: usize) -> u8 {
        u8::try_from(self.links_max.saturating_sub(standing)).unwrap_or(u8::MAX)
    }

    /// The core closes a link.
    pub(crate) fn close(&self, link: LinkId) {
        self.links.close(link);
    }

    /// Ends all links, and each that comes up from now on.
    pub(crate) fn shut_down(&self) {
        self.links.shut_down();
    }

    pub(crate) fn reports(&self) -> &Reports {
        self.links.reports()
    }

    /// Announces a link and carries its packets until it is down.
    pub(crate) async fn carry(
        &self,
        carrier: &impl Carrier,
        medium: Medium,
        origin: LinkOrigin,
        endpoint: Endpoint,
    ) -> Result<(), NodeGone> {
        let (open, reports) = (self.links.open(), self.links.reports());
        let link = open.link;
        debug!(?link, %endpoint, ?origin, ?medium, "link up");
        let (shape, estimate) = (medium.shape(), medium.estimate());
        let up = LinkUp { link, origin, shape, endpoint, estimate };
        let outgoing = reports.link_up(up).await?;
        let loss = tokio::select! {
            loss = self.converse(link, carrier, outgoing, open.end.clone()) => loss,
            loss = open.end.clone().overdue(CLOSE_WITHIN, SHUTDOWN_WITHIN) => loss,
        };
        drop(open);
        debug!(?link, %loss, "link down");
        reports.link_down(link, loss).await
    }

    /// Reads and writes beside each other until one of both is done.
    async fn converse(
        &self,
        link: LinkId,
        carrier: &impl Carrier,
        outgoing: Outgoing,
        mut end: LinkDeadline,
    ) -> LinkLoss {
        let mut reading = pin!(self.read(link, carrier));
        let resizing = self.resize(link, carrier.sizes());
        let sent = tokio::select! {
            loss = &mut reading => return loss,
            loss = resizing => return loss,
            sent = write(carrier, outgoing, &mut end) => sent,
        };
        match sent {
            Ok(()) => end.reason(),
            // The other end is gone, but what it said before may still wait to be read.
            Err(error) => timeout(SHUTDOWN_WITHIN, reading).await.unwrap_or_else(|_| loss(&error)),
        }
    }

    /// Tells the core of each change of the packets' size.
    async fn resize(&self, link: LinkId, sizes: Option<watch::Receiver<usize>>) -> LinkLoss {
        let Some(mut sizes) = sizes else { return std::future::pending().await };
        while sizes.changed().await.is_ok() {
            let packet_bytes = whole_pdus(*sizes.borrow_and_update()).max(PACKET_BYTES_MIN);
            if self.reports().packet_bytes(link, packet_bytes).await.is_err() {
                return LinkLoss::Shutdown;
            }
        }
        std::future::pending().await
    }

    async fn read(&self, link: LinkId, carrier: &impl Carrier) -> LinkLoss {
        let mut block = BytesMut::with_capacity(BLOCK_BYTES);
        loop {
            if block.capacity() < PACKET_BYTES_MAX && !block.try_reclaim(BLOCK_BYTES) {
                block = BytesMut::with_capacity(BLOCK_BYTES);
            }
            match carrier.recv(&mut block).await {
                Ok(true) => {}
                Ok(false) => return LinkLoss::ClosedByRemote,
                Err(error) => return loss(&error),
            }
            if self.reports().received(link, block.split()).await.is_err() {
                return LinkLoss::Shutdown;
            }
        }
    }
}

/// Writes what the node gives until the link is to end, and then what was taken before that.
async fn write(
    carrier: &impl Carrier,
    mut outgoing: Outgoing,
    end: &mut LinkDeadline,
) -> io::Result<()> {
    loop {
        let packet = tokio::select! {
            // A node that never stops must not hold up the end.
            biased;
            () = end.asked() => break,
            packet = outgoing.next() => packet,
        };
        let Some(packet) = packet else { return Ok(()) };
        carrier.send(&packet).await?;
    }
    outgoing.close();
    while let Some(packet) = outgoing.next().await {
        carrier.send(&packet).await?;
    }
    Ok(())
}

fn loss(error: &io::Error) -> LinkLoss {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::BrokenPipe => LinkLoss::Reset,
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => LinkLoss::TimedOut,
        _ => LinkLoss::Other(error.to_string()),
    }
}
