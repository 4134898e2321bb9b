//! One interface: shows the node there and tells who else is.

use std::net::SocketAddr;
use std::time::Duration;

use hedgerow_driver::Beacon;
use mdns_sd::{Error, ResolvedService, ServiceEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::responder::Responder;
use crate::seen::SegmentId;
use crate::survey::Interface;

/// After a change of addresses the beacon is shown again, the later one first: the responders here
/// and there look for new addresses once a second, each at its own time, and whoever missed the
/// one announcement does not ask for what it thinks it knows.
const SHOWN_AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(2)];

/// What is heard on a segment.
#[derive(Debug)]
pub(crate) enum News {
    /// An instance shows itself.
    Resolved(Box<ResolvedService>),
    /// An instance said goodbye, or was not heard for long.
    Removed(String),
    /// Goodbyes may have been missed. Whoever is there is told again at once.
    Interrupted,
    /// Multicast DNS does not work here.
    Failed(Error),
}

/// What a segment's task works with.
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) responder: Responder,
    /// Dropping its sender ends the segment.
    pub(crate) interface: watch::Receiver<Interface>,
    /// The same. There is one when the segment begins.
    pub(crate) beacon: watch::Receiver<Option<Beacon>>,
    pub(crate) listening: watch::Receiver<Vec<SocketAddr>>,
    pub(crate) news: mpsc::Sender<(SegmentId, News)>,
}

impl Segment {
    /// Runs until it is not wanted any more, and says goodbye.
    pub(crate) async fn run(mut self) {
        let outcome = self.follow().await;
        self.responder.say_goodbye().await;
        if let Err(error) = outcome {
            // Nobody listens any more when the driver ends.
            let _ = self.news.send((self.id, News::Failed(error))).await;
        }
    }

    /// Shows the beacon first and looks for others afterwards: so both ends know each other
    /// after one round instead of two.
    async fn follow(&mut self) -> Result<(), Error> {
        self.show().await?;
        let mut events = self.responder.browse().await?;
        let mut again = Vec::new();
        loop {
            tokio::select! {
                changed = self.interface.changed() => match changed {
                    Ok(()) => {
                        let now = Instant::now();
                        again = SHOWN_AGAIN_AFTER.map(|after| now + after).to_vec();
                        self.show().await?;
                    }
                    Err(_) => return Ok(()),
                },
                () = due(again.last().copied()) => {
                    again.pop();
                    self.show().await?;
                }
                changed = self.beacon.changed() => match changed {
                    Ok(()) => self.show().await?,
                    Err(_) => return Ok(()),
                },
                Ok(()) = self.listening.changed() => self.show().await?,
                event = events.recv_async() => {
                    let news = match event {
                        Ok(ServiceEvent::ServiceResolved(service)) => News::Resolved(service),
                        Ok(ServiceEvent::ServiceRemoved(_, name)) => News::Removed(name),
                        Ok(_) => continue,
                        Err(_) => News::Interrupted,
                    };
                    let is_interrupted = matches!(news, News::Interrupted);
                    if self.news.send((self.id, news)).await.is_err() {
                        return Ok(());
                    }
                    if is_interrupted {
                        debug!("the responder dropped events, looking again");
                        events = self.responder.browse().await?;
                    }
                }
            }
        }
    }

    async fn show(&mut self) -> Result<(), Error> {
        let interface = self.interface.borrow_and_update().clone();
        let listening = self.listening.borrow_and_update().clone();
        let Some(beacon) = *self.beacon.borrow_and_update() else { return Ok(()) };
        self.responder.show(&beacon, &listening, &interface).await
    }
}

/// When it is time; never without a time.
pub(crate) async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
