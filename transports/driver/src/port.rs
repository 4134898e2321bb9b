//! The channels between a node and a driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use bytes::{Bytes, BytesMut};
use hedgerow_core::id::{DialId, LinkId, TransportId};
use hedgerow_core::io::{
    ApproximateDistance, Condition, DialFailure, Endpoint, Hint, LinkLoss, LinkShape, LinkUp,
    Sighting, TransportCommand, TransportEvent,
};
use tokio::sync::mpsc;

/// Chunks of one stream-shaped link that wait in its [`Outgoing`], beside the one that is being
/// written: few enough that lanes keep their meaning, and enough that the medium does not idle
/// while the node is woken.
pub const CHUNKS_IN_DRIVER: usize = 2;

/// Packets of one packet-shaped link that its driver holds and the medium has not accepted: one
/// that is being written, and one that waits in its [`Outgoing`]. Higher lanes interrupt a frame
/// between its packets, and what the driver holds is the part that they cannot interrupt.
pub const PACKETS_IN_DRIVER: usize = 2;

/// Commands and reports that may wait in a channel. Reports hold data, so this also bounds what
/// a busy node leaves in memory.
pub(crate) const QUEUE: usize = 64;

/// The node has ended: nobody reads reports any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has ended")]
pub struct NodeGone;

/// What a driver reports, as the node receives it.
#[derive(Debug)]
pub enum Report {
    /// For the core. Never `LinkUp`: that comes as [`Report::LinkUp`].
    Event(TransportEvent),
    /// A new link, with the way to send on it.
    LinkUp(LinkUp, LinkSender),
    /// A link on which [`LinkSender::try_reserve`] found no room has room again.
    Writable(LinkId),
}

/// A driver's end of the channels.
#[derive(Debug)]
pub struct Port {
    /// What the node asks. Closed when the node shuts down.
    pub commands: mpsc::Receiver<TransportCommand>,
    /// Where to report.
    pub reports: Reports,
}

/// The node's end of one driver's commands.
///
/// Hand a command over only where there is room, or go on reading reports while it waits: a driver
/// whose reports nobody reads may not come round to its commands.
#[derive(Debug)]
pub struct NodePort {
    /// The number of the transport.
    pub transport: TransportId,
    /// Commands for the driver; dropping it shuts the driver down.
    pub commands: mpsc::Sender<TransportCommand>,
}

/// Where all drivers of one node report to.
#[derive(Clone, Debug)]
pub struct NodeSlot {
    reports: mpsc::Sender<(TransportId, Report)>,
}

impl NodeSlot {
    /// The slot of a node and the receiver of what its drivers report.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<(TransportId, Report)>) {
        let (reports, receiver) = mpsc::channel(QUEUE);
        (Self { reports }, receiver)
    }
}

/// Makes the channels between a node and one driver.
#[must_use]
pub fn connect(slot: &NodeSlot, transport: TransportId) -> (NodePort, Port) {
    let (commands, receiver) = mpsc::channel(QUEUE);
    let reports =
        Reports { transport, reports: slot.reports.clone(), links: Arc::new(AtomicU64::new(0)) };
    (NodePort { transport, commands }, Port { commands: receiver, reports })
}

/// A driver's way to report. Cheap to clone, one clone a task.
///
/// # Cancel safety
/// Every method either reports or, when dropped before it is ready, does not.
#[derive(Clone, Debug)]
pub struct Reports {
    transport: TransportId,
    reports: mpsc::Sender<(TransportId, Report)>,
    links: Arc<AtomicU64>,
}

impl Reports {
    /// A number for a new link.
    #[must_use]
    pub fn next_link(&self) -> LinkId {
        LinkId { transport: self.transport, number: self.links.fetch_add(1, Ordering::Relaxed) }
    }

    async fn report(&self, report: Report) -> Result<(), NodeGone> {
        self.reports.send((self.transport, report)).await.map_err(|_| NodeGone)
    }

    /// Somebody was seen.
    ///
    /// # Errors
    /// [`NodeGone`], as for all reports: end then.
    pub async fn sighted(&self, sighting: Sighting) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Sighted(sighting))).await
    }

    /// Somebody said goodbye, or was not heard for long.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn lost(&self, endpoint: Endpoint) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Lost(endpoint))).await
    }

    /// A link is up. Write what the returned queue gives.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn link_up(&self, up: LinkUp) -> Result<Outgoing, NodeGone> {
        let (sender, chunks) = mpsc::channel(match up.shape {
            LinkShape::Stream { .. } => CHUNKS_IN_DRIVER,
            // The other one is being written.
            _ => PACKETS_IN_DRIVER - 1,
        });
        let wanted = Arc::new(AtomicBool::new(false));
        let (link, reports) = (up.link, self.clone());
        let outgoing = Outgoing { link, chunks, reports, wanted: Arc::clone(&wanted) };
        self.report(Report::LinkUp(up, LinkSender { chunks: sender, wanted })).await?;
        Ok(outgoing)
    }

    /// A dial came to nothing.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn dial_failed(&self, dial: DialId, reason: DialFailure) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::DialFailed { dial, reason })).await
    }

    /// The packets of a packet-shaped link have another size from now on: at most
    /// `packet_bytes`, from 18 to 2,048. What the node sent before it read this has the size of
    /// before; an unordered link may lose it. The packets of an ordered link only grow.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn packet_bytes(&self, link: LinkId, packet_bytes: usize) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::PacketBytes { link, packet_bytes })).await
    }

    /// How far away the other end of a link is has changed; `None` once it is not known any more,
    /// as it is of a new link.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn distance(
        &self,
        link: LinkId,
        distance: Option<ApproximateDistance>,
    ) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Distance { link, distance })).await
    }

    /// What those of the same medium at neighbours are told from now on; empty for nothing.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn hint(&self, hint: Hint) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Hint(hint))).await
    }

    /// Bytes came in: the next ones of a stream, or exactly one packet. Waits while the node is
    /// busy.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn received(&self, link: LinkId, data: BytesMut) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Received { link, data })).await
    }

    /// A link is gone.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn link_down(&self, link: LinkId, reason: LinkLoss) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::LinkDown { link, reason })).await
    }

    /// The transport's condition changed.
    ///
    /// # Errors
    /// [`NodeGone`].
    pub async fn condition(&self, condition: Condition) -> Result<(), NodeGone> {
        self.report(Report::Event(TransportEvent::Condition(condition))).await
    }
}

/// The bytes a driver is to write on one link: chunks of a stream, or packets.
#[derive(Debug)]
pub struct Outgoing {
    link: LinkId,
    chunks: mpsc::Receiver<Bytes>,
    reports: Reports,
    /// The node found no room and waits for a word.
    wanted: Arc<AtomicBool>,
}

impl Outgoing {
    /// The next chunk, or the next packet, of a packet-shaped link; `None` once the link is
    /// closed, by the node or by [`Outgoing::close`], and everything was taken.
    ///
    /// Calling it says that the medium has accepted the one before: await that first. It waits for
    /// a node that does not read its reports, too, unless the link is closed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Bytes> {
        if self.is_wanted() {
            let place = self.reports.reports.reserve().await.ok()?;
            // Before the word, so that the node finds the room: with a single place there is none
            // yet.
            let chunk = self.chunks.try_recv();
            self.tell_room(place);
            if let Ok(chunk) = chunk {
                return Some(chunk);
            }
        }
        let chunk = self.chunks.recv().await?;
        // The node may have filled the place again before this was woken. Without room for the
        // word now, the next call finds the wish: waiting here would lose the chunk.
        if self.is_wanted()
            && let Ok(place) = self.reports.reports.try_reserve()
        {
            self.tell_room(place);
        }
        Some(chunk)
    }

    fn tell_room(&self, place: mpsc::Permit<'_, (TransportId, Report)>) {
        // Before the report: what the node wants after it must not be forgotten.
        self.wanted.store(false, Ordering::Relaxed);
        place.send((self.reports.transport, Report::Writable(self.link)));
    }

    /// Whether the node found no room and waits for a word.
    fn is_wanted(&self) -> bool {
        // Pairs with the fence of `try_reserve`: either the node sees the room that the chunk
        // before left, or this sees that it wants some.
        fence(Ordering::SeqCst);
        !self.chunks.is_closed() && self.wanted.load(Ordering::Relaxed)
    }

    /// Takes nothing more from the node; what it has handed over still comes from
    /// [`Outgoing::next`]. For a driver that ends a link by its own decision, or at `Close`, and
    /// wants to write what it already took.
    pub fn close(&mut self) {
        self.chunks.close();
    }
}

/// The node's way to send on one link. Dropping it says that nothing more comes: a driver writes
/// what it already took, and closes the link.
#[derive(Debug)]
pub struct LinkSender {
    chunks: mpsc::Sender<Bytes>,
    wanted: Arc<AtomicBool>,
}

impl LinkSender {
    /// Room for one chunk, if there is any. Without room, [`Report::Writable`] says when; without
    /// a driver that takes chunks, [`TransportEvent::LinkDown`] follows instead.
    #[must_use]
    pub fn try_reserve(&self) -> Option<mpsc::Permit<'_, Bytes>> {
        if let Ok(permit) = self.chunks.try_reserve() {
            return Some(permit);
        }
        self.wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Room that came up before the driver could see the wish is found here.
        self.chunks.try_reserve().ok()
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::io::{LinkEstimate, LinkOrigin};
    use std::time::Duration;

    use super::*;

    const STREAM: LinkShape = LinkShape::Stream { chunk_bytes: 4_096, frame_bytes_max: 1_280 };
    const PACKETS: LinkShape =
        LinkShape::Packet { packet_bytes: 182, is_ordered: false, frame_bytes_max: 1_280 };

    fn link(reports: &Reports) -> LinkUp {
        shaped(reports, STREAM)
    }

    fn shaped(reports: &Reports, shape: LinkShape) -> LinkUp {
        LinkUp {
            link: reports.next_link(),
            origin: LinkOrigin::Accepted,
            shape,
            endpoint: Endpoint::new("there"),
            estimate: LinkEstimate { rate_bytes_per_s: 1, delay: Duration::ZERO },
        }
    }

    #[tokio::test]
    async fn a_full_link_says_when_it_has_room_again() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let mut outgoing = port.reports.link_up(link(&port.reports)).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };

        for _ in 0..CHUNKS_IN_DRIVER {
            sender.try_reserve().unwrap().send(Bytes::from_static(b"x"));
        }
        assert!(sender.try_reserve().is_none());

        assert!(node.try_recv().is_err(), "there is no room yet");
        outgoing.next().await.unwrap();
        assert!(matches!(node.recv().await, Some((_, Report::Writable(_)))));
        assert!(sender.try_reserve().is_some());
    }

    #[tokio::test]
    async fn a_packet_that_is_written_and_one_that_waits_are_all_a_driver_holds() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let up = shaped(&port.reports, PACKETS);
        let mut outgoing = port.reports.link_up(up).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        let fill = || {
            let mut filled = 0;
            while let Some(permit) = sender.try_reserve() {
                permit.send(Bytes::from_static(b"packet"));
                filled += 1;
            }
            filled
        };
        let mut taken = fill();
        for accepted in 0..10 {
            // This one is in the driver's hands, and those before are accepted.
            outgoing.next().await.unwrap();
            assert!(matches!(node.try_recv(), Ok((_, Report::Writable(_)))), "after {accepted}");
            taken += fill();
            assert_eq!(taken - accepted, PACKETS_IN_DRIVER, "after {accepted}");
        }
    }

    #[tokio::test]
    async fn a_packet_waits_behind_the_one_that_a_waiting_driver_took() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let up = shaped(&port.reports, PACKETS);
        let mut outgoing = port.reports.link_up(up).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        let fill = async {
            sender.try_reserve().unwrap().send(Bytes::from_static(b"packet"));
            assert!(sender.try_reserve().is_none());
        };
        let (taken, ()) = tokio::join!(outgoing.next(), fill);
        assert!(taken.is_some());
        assert!(matches!(node.try_recv(), Ok((_, Report::Writable(_)))));
        assert!(sender.try_reserve().is_some());
    }

    #[tokio::test]
    async fn another_size_of_packets_is_told() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let of = port.reports.next_link();
        port.reports.packet_bytes(of, 244).await.unwrap();
        let Some((_, Report::Event(event))) = node.recv().await else { panic!() };
        let is_it = |link, bytes| link == of && bytes == 244;
        assert!(
            matches!(event, TransportEvent::PacketBytes { link, packet_bytes } if is_it(link, packet_bytes))
        );
    }

    #[tokio::test]
    async fn a_node_that_never_lacked_room_is_not_woken() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let mut outgoing = port.reports.link_up(link(&port.reports)).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        for _ in 0..10 * CHUNKS_IN_DRIVER {
            sender.try_reserve().unwrap().send(Bytes::from_static(b"x"));
            outgoing.next().await.unwrap();
        }
        assert!(node.try_recv().is_err(), "nobody asked for room");
    }

    /// Both ends at once, with the fewest chunks: a wish that is overlooked stops them for good.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wish_for_room_is_overlooked() {
        for shape in [STREAM, PACKETS] {
            both_ends_at_once(shape).await;
        }
    }

    async fn both_ends_at_once(shape: LinkShape) {
        const CHUNKS: usize = 50_000;
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let mut outgoing = port.reports.link_up(shaped(&port.reports, shape)).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        let driver = tokio::spawn(async move {
            for _ in 0..CHUNKS {
                outgoing.next().await.unwrap();
            }
        });
        let mut left = CHUNKS;
        while left > 0 {
            while left > 0
                && let Some(permit) = sender.try_reserve()
            {
                permit.send(Bytes::from_static(b"x"));
                left -= 1;
            }
            if left > 0 {
                let told = tokio::time::timeout(Duration::from_secs(20), node.recv()).await;
                assert!(
                    matches!(told, Ok(Some((_, Report::Writable(_))))),
                    "{left} left: {told:?}"
                );
            }
        }
        driver.await.unwrap();
    }

    #[tokio::test]
    async fn a_driver_that_closes_gets_what_it_took_and_does_not_wait_for_the_node() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let mut outgoing = port.reports.link_up(link(&port.reports)).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        while let Some(permit) = sender.try_reserve() {
            permit.send(Bytes::from_static(b"last"));
        }
        for _ in 0..QUEUE {
            port.reports.condition(Condition::ok()).await.unwrap();
        }
        outgoing.close();
        for _ in 0..CHUNKS_IN_DRIVER {
            assert_eq!(outgoing.next().await.as_deref(), Some(b"last".as_slice()));
        }
        assert!(sender.try_reserve().is_none(), "it takes nothing more");
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn what_was_taken_before_a_close_is_still_written() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let mut outgoing = port.reports.link_up(link(&port.reports)).await.unwrap();
        let Some((_, Report::LinkUp(_, sender))) = node.recv().await else { panic!() };
        sender.try_reserve().unwrap().send(Bytes::from_static(b"last"));
        drop(sender);
        assert_eq!(outgoing.next().await.as_deref(), Some(b"last".as_slice()));
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn a_node_that_ended_is_an_error_not_a_wait() {
        let (slot, node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        drop(node);
        assert_eq!(port.reports.condition(Condition::ok()).await, Err(NodeGone));
    }

    #[test]
    fn link_numbers_are_never_used_twice() {
        let (slot, _node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(3));
        let clone = port.reports.clone();
        assert_ne!(port.reports.next_link(), clone.next_link());
    }
}
