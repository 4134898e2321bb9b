//! The links that are up, whatever carries their packets.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use hedgerow_core::limits::{PACKET_BYTES_MAX, PACKET_BYTES_MIN};
use hedgerow_driver::{
    ApproximateDistance, Endpoint, LinkDeadline, LinkEstimate, LinkId, LinkLoss, LinkOrigin,
    LinkShape, LinkUp, Links, NodeGone, Outgoing, Reports, whole_pdus,
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
    /// How far away the other end of each is.
    distances: Mutex<Vec<Distance>>,
    /// Dials that connect now.
    connecting: watch::Sender<usize>,
}

/// A dial that connects, for as long as it does.
#[derive(Debug)]
pub(crate) struct Connecting<'a>(&'a watch::Sender<usize>);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|connecting| *connecting -= 1);
    }
}

/// How far away an endpoint is, for the link to it; the newest waits until the node is told.
#[derive(Debug)]
struct Distance {
    endpoint: Endpoint,
    /// Closed once the link is down.
    known: watch::Sender<Option<ApproximateDistance>>,
}

/// A place for a link, held from its dial to its end.
#[derive(Debug)]
pub(crate) struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl BleLinks {
    pub(crate) fn new(reports: Reports, links_max: usize) -> Self {
        let seats = Arc::new(Semaphore::new(links_max + SEATS_BEYOND));
        let (links, distances) = (Arc::new(Links::new(reports)), Mutex::default());
        Self { links, seats, links_max, distances, connecting: watch::Sender::new(0) }
    }

    /// A place for a link, unless the hardware holds no more.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let permit = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        Some(Seat { _permit: permit })
    }

    /// A dial connects from now on.
    pub(crate) fn connect(&self) -> Connecting<'_> {
        self.connecting.send_modify(|connecting| *connecting += 1);
        Connecting(&self.connecting)
    }

    /// How many dials connect, as it changes.
    pub(crate) fn connecting(&self) -> watch::Receiver<usize> {
        self.connecting.subscribe()
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

    fn distances(&self) -> MutexGuard<'_, Vec<Distance>> {
        // Every change is whole before something could panic.
        self.distances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells each link how far away its endpoint is now.
    pub(crate) fn tell_distances(&self, of: impl Fn(&Endpoint) -> Option<ApproximateDistance>) {
        for Distance { endpoint, known } in self.distances().iter() {
            let now = of(endpoint);
            known.send_if_modified(|known| std::mem::replace(known, now) != now);
        }
    }

    /// Takes in a link to an endpoint whose distance is not known yet.
    fn follow_distance(&self, endpoint: Endpoint) -> watch::Receiver<Option<ApproximateDistance>> {
        let (known, distance) = watch::channel(None);
        let mut distances = self.distances();
        distances.retain(|distance| !distance.known.is_closed());
        distances.push(Distance { endpoint, known });
        distance
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
        let distance = self.follow_distance(endpoint.clone());
        let up = LinkUp { link, origin, shape, endpoint, estimate };
        let outgoing = reports.link_up(up).await?;
        let loss = tokio::select! {
            loss = self.converse(link, carrier, outgoing, open.end.clone()) => loss,
            loss = self.tell_distance(link, distance) => loss,
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

    /// Tells the core of each change of the distance.
    async fn tell_distance(
        &self,
        link: LinkId,
        mut distance: watch::Receiver<Option<ApproximateDistance>>,
    ) -> LinkLoss {
        let mut told = None;
        while distance.changed().await.is_ok() {
            let now = *distance.borrow_and_update();
            // It may have changed and changed back while the node was busy.
            if std::mem::replace(&mut told, now) != now
                && self.reports().distance(link, now).await.is_err()
            {
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

#[cfg(test)]
mod tests {
    use std::future::pending;

    use hedgerow_driver::{NodeSlot, Report, TransportEvent, TransportId, connect};
    use tokio::time::sleep;

    use super::*;

    /// Carries nothing.
    struct Nothing;

    impl Carrier for Nothing {
        async fn send(&self, _: &[u8]) -> io::Result<()> {
            pending().await
        }

        async fn recv(&self, _: &mut BytesMut) -> io::Result<bool> {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_tells_its_own_distance_when_it_has_changed_and_nothing_once_it_is_down() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let links = Arc::new(BleLinks::new(port.reports, 1));
        let (near, medium) = (Endpoint::new("near"), Medium::Gatt(182));
        let carried = tokio::spawn({
            let (links, near) = (Arc::clone(&links), near.clone());
            async move { links.carry(&Nothing, medium, LinkOrigin::Accepted, near).await }
        });
        let Some((_, Report::LinkUp(up, _sender))) = node.recv().await else { panic!("no link") };
        let tell = |centimetres: Option<u32>| {
            let distance = centimetres.map(ApproximateDistance::from_centimetres);
            links.tell_distances(|endpoint| distance.filter(|_| *endpoint == near));
        };
        let mut told = Vec::new();
        for centimetres in [None, Some(100), Some(100), Some(200), None, None] {
            tell(centimetres);
            sleep(Duration::from_secs(1)).await;
            while let Ok((_, report)) = node.try_recv() {
                let Report::Event(TransportEvent::Distance { link, distance }) = report else {
                    panic!("{report:?}")
                };
                assert_eq!(link, up.link);
                told.push(distance.map(ApproximateDistance::centimetres));
            }
        }
        assert_eq!(told, [Some(100), Some(200), None]);

        // Only what it is in the end, however often that changed before somebody looked.
        (1..=1_000).for_each(|centimetres| tell(Some(centimetres)));
        sleep(Duration::from_secs(1)).await;
        let is_last = |distance| distance == Some(ApproximateDistance::from_centimetres(1_000));
        assert!(matches!(
            node.try_recv(),
            Ok((_, Report::Event(TransportEvent::Distance { distance, .. }))) if is_last(distance)
        ));

        links.shut_down();
        carried.await.unwrap().unwrap();
        tell(Some(300));
        sleep(Duration::from_secs(1)).await;
        let last = node.try_recv();
        let is_down =
            |report: &Report| matches!(report, Report::Event(TransportEvent::LinkDown { .. }));
        assert!(last.is_ok_and(|(_, report)| is_down(&report)));
        assert!(node.try_recv().is_err(), "nothing comes after the end");
        drop(links.follow_distance(near.clone()));
        assert_eq!(links.distances().len(), 1, "those of links that are down give way");
    }
}
