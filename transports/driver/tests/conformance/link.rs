//! One end of a line as a link.

use std::future::pending;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hedgerow_driver::{
    Endpoint, LinkEstimate, LinkId, LinkLoss, LinkOrigin, LinkShape, LinkUp, NodeGone, Outgoing,
    Reports,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::board::{Line, PACKET_BYTES};
use crate::fault::Fault;

/// How long a closing link waits for an end that does not read.
const LINGER: Duration = Duration::from_millis(300);

/// Carries the bytes of a link from its announcement to its end.
pub(crate) async fn carry(
    line: Line,
    link: LinkId,
    origin: LinkOrigin,
    reports: Reports,
    closed: oneshot::Receiver<()>,
    fault: Option<Fault>,
) -> Result<(), NodeGone> {
    let has = |other| fault == Some(other);
    let Line { other, to, from, mut whole } = line;
    let frame_bytes_max =
        if has(Fault::TakesChunksThatHoldNoFrame) { 2 * PACKET_BYTES } else { 1_280 };
    let up = LinkUp {
        link,
        origin,
        shape: LinkShape::Stream { chunk_bytes: PACKET_BYTES, frame_bytes_max },
        endpoint: Endpoint::new(&other),
        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: Duration::ZERO },
    };
    if has(Fault::SpeaksBeforeUp) {
        reports.received(link, BytesMut::new()).await?;
    }
    let outgoing = reports.link_up(up).await?;
    let cut = async {
        if has(Fault::DoesNotNoticeACut) {
            pending::<()>().await;
        }
        let _ = whole.changed().await;
    };
    let inbound = Inbound { link, from, reports: reports.clone(), fault, chunks: 0, held: None };
    let loss = tokio::select! {
        () = cut => LinkLoss::TimedOut,
        loss = inbound.run() => loss?,
        loss = write(outgoing, to, closed, fault) => loss,
    };
    let loss = match (fault, loss) {
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
    Ok(())
}

struct Inbound {
    link: LinkId,
    from: mpsc::Receiver<Bytes>,
    reports: Reports,
    fault: Option<Fault>,
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
        let is_tenth = self.chunks.is_multiple_of(10);
        match self.fault {
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
}

/// Writes what the node gives until the link is closed.
async fn write(
    outgoing: Outgoing,
    to: mpsc::Sender<Bytes>,
    closed: oneshot::Receiver<()>,
    fault: Option<Fault>,
) -> LinkLoss {
    let mut outbound = Outbound { outgoing, to, held: None, chunks: 0, heap: Vec::new(), fault };
    tokio::select! {
        () = outbound.write_all() => return LinkLoss::Closed,
        _ = closed => {}
    }
    match fault {
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
    /// A chunk that was taken and waits for room.
    held: Option<Bytes>,
    chunks: usize,
    heap: Vec<Bytes>,
    fault: Option<Fault>,
}

impl Outbound {
    /// Writes until the link is closed. Cancel-safe.
    async fn write_all(&mut self) {
        loop {
            if let Some(chunk) = &self.held {
                match self.to.reserve().await {
                    Ok(place) => place.send(chunk.clone()),
                    // The other end is gone, and the other direction says why.
                    Err(_) => pending().await,
                }
                self.held = None;
            }
            match self.outgoing.next().await {
                Some(chunk) if self.fault == Some(Fault::TakesWithoutEnd) => self.heap.push(chunk),
                Some(chunk) => self.held = Some(chunk),
                None => return,
            }
            self.chunks += 1;
            if self.fault == Some(Fault::StopsAfterAWhile) && self.chunks == 100 {
                pending::<()>().await;
            }
        }
    }
}
