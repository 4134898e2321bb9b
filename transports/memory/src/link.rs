//! One end of a link.

use std::time::Duration;

use bytes::Bytes;
use hedgerow_driver::{
    Endpoint, LinkId, LinkLoss, LinkOrigin, LinkUp, NodeGone, Outgoing, Reports,
};
use hedgerow_netem::Shape;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::timeout;

use crate::air::{Hearing, Name};
use crate::figures;
use crate::way::{Reader, Writer};

/// How long a closing link waits for room for what it has taken: three chunks of the slowest
/// radio (210 ms) twice over.
const LINGER: Duration = Duration::from_millis(500);

/// One end of a link, before it carries anything. Dropping it closes the link.
pub(crate) struct LinkEnd {
    /// Who is at the other end.
    pub(crate) other: Name,
    pub(crate) shape: Shape,
    /// Whether the two hear each other; gone when they are out of reach.
    pub(crate) hearing: watch::Receiver<Hearing>,
    pub(crate) to: Writer,
    pub(crate) from: Reader,
    /// Its place among the links the node may hold.
    pub(crate) seat: OwnedSemaphorePermit,
}

/// How a link is asked to end: told is `Close`, dropped is the driver's shutdown.
pub(crate) type CloseSignal = oneshot::Receiver<()>;

/// Carries the bytes of a link from its announcement to its end.
pub(crate) async fn carry(
    end: LinkEnd,
    link: LinkId,
    origin: LinkOrigin,
    reports: Reports,
    close: CloseSignal,
) -> Result<(), NodeGone> {
    let LinkEnd { other, shape, hearing, to, from, seat } = end;
    let up = LinkUp {
        link,
        origin,
        shape: figures::link_shape(&shape),
        endpoint: Endpoint::new(&other),
        estimate: figures::link_estimate(&shape),
    };
    let outgoing = reports.link_up(up).await?;
    let outbound = Outbound { outgoing, to, held: None };
    let inbound = Inbound { link, hearing, from, reports: reports.clone() };
    // Both directions end here, before the end is told.
    let loss = tokio::select! {
        loss = inbound.run() => loss?,
        loss = outbound.run(close) => loss,
    };
    drop(seat);
    reports.link_down(link, loss).await
}

struct Inbound {
    link: LinkId,
    hearing: watch::Receiver<Hearing>,
    from: Reader,
    reports: Reports,
}

impl Inbound {
    /// Reports what arrives until the link is lost.
    async fn run(mut self) -> Result<LinkLoss, NodeGone> {
        loop {
            let hearing = *self.hearing.borrow_and_update();
            tokio::select! {
                biased;
                changed = self.hearing.changed() => if changed.is_err() {
                    return Ok(LinkLoss::TimedOut);
                },
                chunk = self.from.read(), if hearing == Hearing::Clear => match chunk {
                    Some(chunk) => self.reports.received(self.link, chunk).await?,
                    None => return Ok(LinkLoss::ClosedByRemote),
                },
            }
        }
    }
}

struct Outbound {
    outgoing: Outgoing,
    to: Writer,
    /// A chunk that was taken and waits for room.
    held: Option<Bytes>,
}

impl Outbound {
    /// Writes what the node sends until the link is closed.
    async fn run(mut self, close: CloseSignal) -> LinkLoss {
        let closed = tokio::select! {
            closed = close => closed,
            () = self.write_all() => return LinkLoss::Closed,
        };
        // An end that cannot be heard, or does not read, must not hold up the close.
        let _ = timeout(LINGER, self.write_taken()).await;
        if closed.is_ok() { LinkLoss::Closed } else { LinkLoss::Shutdown }
    }

    /// Writes everything until the link is closed. Cancel-safe.
    async fn write_all(&mut self) {
        loop {
            self.to.write(&mut self.held).await;
            match self.outgoing.next().await {
                Some(chunk) => self.held = Some(chunk),
                None => return,
            }
        }
    }

    /// Writes what the node had sent before the close, and waits for nothing more.
    async fn write_taken(&mut self) {
        self.outgoing.close();
        self.write_all().await;
    }
}
