//! One end of a line as a link.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hedgerow_driver::{
    ApproximateDistance, Endpoint, LinkEstimate, LinkId, LinkLoss, LinkOrigin, LinkShape, LinkUp,
    NodeGone, Outgoing, Reports,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::board::{CHUNK_BYTES, FIRST_PACKET_BYTES, Kind, Line, PACKET_BYTES};
use crate::fault::Fault;

/// How long a closing link waits for an end that does not read.
const LINGER: Duration = Duration::from_millis(300);

/// Packets after which both ends have agreed on their size.
const AGREED_AFTER: usize = 10;

/// What a link is like, and what is wrong with it.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) kind: Kind,
    pub(crate) fault: Option<Fault>,
}

impl Manner {
    fn has(self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn shape(self) -> LinkShape {
        let frame_bytes_max =
            if self.has(Fault::TakesChunksThatHoldNoFrame) { 2 * CHUNK_BYTES } else { 1_280 };
        let packet_bytes =
            if self.has(Fault::SaysHugePackets) { 4_000 } else { FIRST_PACKET_BYTES };
        match self.kind {
            Kind::Stream => LinkShape::Stream { chunk_bytes: CHUNK_BYTES, frame_bytes_max },
            Kind::Ordered => LinkShape::Packet { packet_bytes, is_ordered: true, frame_bytes_max },
            Kind::Open => LinkShape::Packet { packet_bytes, is_ordered: false, frame_bytes_max },
        }
    }

    /// The size of packets that is told once so many have come.
    fn told_size(self, packets: usize) -> Option<usize> {
        if packets != AGREED_AFTER {
            return None;
        }
        match self.fault {
            Some(Fault::SaysSizesOfStreams) => Some(PACKET_BYTES),
            Some(Fault::TellsHugePackets) => Some(4_000),
            Some(Fault::ShrinksOrderedPackets) => Some(FIRST_PACKET_BYTES / 2),
            _ => (self.kind != Kind::Stream).then_some(PACKET_BYTES),
        }
    }
}

/// Carries the bytes of a link from its announcement to its end.
pub(crate) async fn carry(
    line: Line,
    link: LinkId,
    origin: LinkOrigin,
    reports: Reports,
    closed: oneshot::Receiver<()>,
    manner: Manner,
) -> Result<(), NodeGone> {
    let has = |fault| manner.has(fault);
    let Line { other, to, from, mut whole } = line;
    let up = LinkUp {
        link,
        origin,
        shape: manner.shape(),
        endpoint: Endpoint::new(&other),
        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: Duration::ZERO },
    };
    if has(Fault::SpeaksBeforeUp) {
        reports.received(link, BytesMut::new()).await?;
    }
    let outgoing = reports.link_up(up).await?;
    tell_distances(link, &reports, manner).await?;
    let cut = async {
        if has(Fault::DoesNotNoticeACut) {
            pending::<()>().await;
        }
        let _ = whole.changed().await;
    };
    let inbound = Inbound { link, from, reports: reports.clone(), manner, chunks: 0, held: None };
    let loss = tokio::select! {
        () = cut => LinkLoss::TimedOut,
        loss = inbound.run() => loss?,
        loss = write(outgoing, to, closed, manner) => loss,
    };
    let loss = match (manner.fault, loss) {
        (Some(Fault::CallsItsOwnCloseTheOthers), LinkLoss::Closed) => LinkLoss::ClosedByRemote,
        (Some(Fault::CallsTheOthersCloseItsOwn), LinkLoss::ClosedByRemote) => LinkLoss::Closed,
        (_, loss) => loss,
    };
    if has(Fault::NeverSaysDown) {
        return Ok(());
    }
    reports.link_down(link, loss.clone()).await?;
    if has(Fault::SaysDownTwice) {
        reports.link_down(link, loss).await?;
    }
    if has(Fault::SpeaksAfterDown) {
        reports.received(link, BytesMut::new()).await?;
    }
    if has(Fault::TellsDistancesAfterDown) {
        reports.distance(link, None).await?;
    }
    Ok(())
}

/// The other end walks by.
async fn tell_distances(link: LinkId, reports: &Reports, manner: Manner) -> Result<(), NodeGone> {
    if manner.has(Fault::ForgetsADistanceItNeverKnew) {
        reports.distance(link, None).await?;
    }
    for centimetres in [300, 200, 300] {
        let distance = Some(ApproximateDistance::from_centimetres(centimetres));
        reports.distance(link, distance).await?;
        if manner.has(Fault::RepeatsItsDistance) {
            reports.distance(link, distance).await?;
        }
    }
    if manner.kind != Kind::Open {
        reports.distance(link, None).await?;
    }
    Ok(())
}

struct Inbound {
    link: LinkId,
    from: mpsc::Receiver<Bytes>,
    reports: Reports,
    manner: Manner,
    chunks: usize,
    held: Option<Bytes>,
}

impl Inbound {
    async fn run(mut self) -> Result<LinkLoss, NodeGone> {
        loop {
            match self.from.recv().await {
                Some(chunk) => self.report(chunk).await?,
                // What it has in the other direction is not wanted any more.
                None => return Ok(LinkLoss::ClosedByRemote),
            }
        }
    }

    async fn say(&self, data: &[u8]) -> Result<(), NodeGone> {
        self.reports.received(self.link, data.into()).await
    }

    async fn report(&mut self, chunk: Bytes) -> Result<(), NodeGone> {
        self.chunks += 1;
        if let Some(size) = self.manner.told_size(self.chunks) {
            self.reports.packet_bytes(self.link, size).await?;
        }
        let is_tenth = self.chunks.is_multiple_of(10);
        match self.manner.fault {
            None if self.manner.kind == Kind::Open => self.report_in_foul_weather(chunk).await,
            Some(Fault::CutsLargePackets) if self.chunks > AGREED_AFTER => {
                self.say(&chunk[..chunk.len().min(50)]).await
            }
            Some(Fault::SplitsPackets) if chunk.len() > 1 => {
                let (start, end) = chunk.split_at(chunk.len() / 2);
                self.say(start).await?;
                self.say(end).await
            }
            Some(Fault::MergesPackets) => match self.held.take() {
                None => {
                    self.held = Some(chunk);
                    Ok(())
                }
                Some(first) => self.say(&[first, chunk].concat()).await,
            },
            Some(Fault::ReordersChunks) if is_tenth => {
                self.held = Some(chunk);
                Ok(())
            }
            Some(Fault::ReordersChunks) => {
                self.say(&chunk).await?;
                match self.held.take() {
                    Some(late) => self.say(&late).await,
                    None => Ok(()),
                }
            }
            Some(Fault::DropsChunks) if is_tenth => Ok(()),
            Some(Fault::DoublesChunks) if is_tenth => {
                self.say(&chunk).await?;
                self.say(&chunk).await
            }
            Some(Fault::ChangesBytes) if is_tenth => {
                let mut chunk = chunk.to_vec();
                chunk[0] ^= 1;
                self.say(&chunk).await
            }
            Some(Fault::LosesWhatABusyNodeDoesNotRead) => {
                let _ = timeout(Duration::from_millis(1), self.say(&chunk)).await;
                Ok(())
            }
            // Links 1 and 2 are the ones that carry much.
            Some(Fault::MixesLinks) if is_tenth => {
                let link = LinkId { number: self.link.number ^ 3, ..self.link };
                self.reports.received(link, chunk[..].into()).await
            }
            _ => self.say(&chunk).await,
        }
    }

    /// What may happen to packets without order: one of forty is lost, others come twice or late.
    async fn report_in_foul_weather(&mut self, packet: Bytes) -> Result<(), NodeGone> {
        match self.chunks % 40 {
            0 => Ok(()),
            10 => {
                self.say(&packet).await?;
                self.say(&packet).await
            }
            20 => {
                self.held = Some(packet);
                Ok(())
            }
            _ => {
                self.say(&packet).await?;
                match self.held.take() {
                    Some(late) => self.say(&late).await,
                    None => Ok(()),
                }
            }
        }
    }
}

/// Writes what the node gives until the link is closed.
async fn write(
    outgoing: Outgoing,
    to: mpsc::Sender<Bytes>,
    closed: oneshot::Receiver<()>,
    manner: Manner,
) -> LinkLoss {
    let mut outbound =
        Outbound { outgoing, to, held: VecDeque::new(), chunks: 0, heap: Vec::new(), manner };
    tokio::select! {
        () = outbound.write_all() => return LinkLoss::Closed,
        _ = closed => {}
    }
    match manner.fault {
        Some(Fault::ClosesWithoutFlushing) => {}
        Some(Fault::WaitsForEndsThatDoNotRead) => outbound.write_all().await,
        _ => {
            outbound.outgoing.close();
            let _ = timeout(LINGER, outbound.write_all()).await;
        }
    }
    LinkLoss::Closed
}

struct Outbound {
    outgoing: Outgoing,
    to: mpsc::Sender<Bytes>,
    /// What was taken and waits for room: one chunk, unless that is the fault.
    held: VecDeque<Bytes>,
    chunks: usize,
    heap: Vec<Bytes>,
    manner: Manner,
}

impl Outbound {
    /// Writes until the link is closed. Cancel-safe.
    async fn write_all(&mut self) {
        let held_max = if self.manner.has(Fault::TakesPacketsInAdvance) { 4 } else { 1 };
        let mut is_open = true;
        while is_open || !self.held.is_empty() {
            let has_room = is_open && self.held.len() < held_max;
            let taken = tokio::select! {
                place = self.to.reserve(), if !self.held.is_empty() => {
                    match (place, self.held.pop_front()) {
                        (Ok(place), Some(chunk)) => place.send(chunk),
                        // The other end is gone, and the other direction says why.
                        _ => pending().await,
                    }
                    continue;
                }
                taken = self.outgoing.next(), if has_room => taken,
            };
            match taken {
                Some(chunk) => self.take(chunk).await,
                None => is_open = false,
            }
        }
    }

    async fn take(&mut self, chunk: Bytes) {
        if self.manner.has(Fault::TakesWithoutEnd) {
            self.heap.push(chunk);
        } else {
            self.held.push_back(chunk);
        }
        self.chunks += 1;
        if self.manner.has(Fault::StopsAfterAWhile) && self.chunks == 100 {
            pending::<()>().await;
        }
    }
}
