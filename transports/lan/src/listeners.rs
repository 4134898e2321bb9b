//! The accept loops, and those that cannot begin yet.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{Beacon, NodeGone};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::accept::Accept;
use crate::condition::{Conditions, Part};
use crate::interface::InterfaceRules;
use crate::link::TcpLinks;
use crate::listen::{Bound, Missing};
use crate::task::outcome;

/// The wait before a listener that could not be bound is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Every listener of a driver.
pub(crate) struct Listeners {
    pub(crate) links: Arc<TcpLinks>,
    pub(crate) conditions: Arc<Conditions>,
    /// The first beacon lets them begin; when the sender is gone, they end.
    pub(crate) beacon: watch::Receiver<Option<Beacon>>,
    /// Where they listen.
    pub(crate) listening: watch::Sender<Vec<SocketAddr>>,
    /// Who comes in over another interface is turned away.
    only_over: Option<InterfaceRules>,
    tasks: JoinSet<Result<(), NodeGone>>,
    accepting: usize,
}

impl Listeners {
    pub(crate) fn new(
        links: Arc<TcpLinks>,
        conditions: Arc<Conditions>,
        beacon: watch::Receiver<Option<Beacon>>,
        only_over: Option<InterfaceRules>,
    ) -> Self {
        let (listening, _) = watch::channel(Vec::new());
        let tasks = JoinSet::new();
        Self { links, conditions, beacon, listening, only_over, tasks, accepting: 0 }
    }

    /// Accepts on what is bound, from the first beacon on.
    ///
    /// # Errors
    /// When the runtime does not take a listener.
    pub(crate) fn accept(&mut self, listeners: Vec<TcpListener>) -> std::io::Result<()> {
        for listener in listeners {
            let address = listener.local_addr()?;
            let accept = Accept {
                listener: tokio::net::TcpListener::from_std(listener)?,
                part: Part::Accept(self.accepting),
                links: Arc::clone(&self.links),
                conditions: Arc::clone(&self.conditions),
                beacon: self.beacon.clone(),
                only_over: self.only_over.clone(),
            };
            self.accepting += 1;
            self.tasks.spawn(accept.run());
            self.listening.send_modify(|listening| listening.push(address));
        }
        Ok(())
    }

    /// Says what is missing and why.
    pub(crate) fn tell(&self, missing: &Missing) {
        self.conditions.set(Part::Listen, missing.condition(self.accepting));
    }

    /// Runs until the driver shuts down and every link that came in has ended. What could not be
    /// bound is tried again: an address may come with its network, a port may become free.
    pub(crate) async fn run(mut self, mut missing: Missing) -> Result<(), NodeGone> {
        let mut beacon = self.beacon.clone();
        loop {
            tokio::select! {
                changed = beacon.changed() => if changed.is_err() { break },
                Some(ended) = self.tasks.join_next() => outcome(ended)?,
                () = sleep(RETRY_AFTER), if !missing.is_empty() => {
                    let found = missing.retry();
                    let is_news = !found.is_empty();
                    if let Err(error) = self.accept(found) {
                        warn!(%error, "cannot accept connections");
                    } else if is_news {
                        info!(listening = ?*self.listening.borrow(), "listening");
                        self.tell(&missing);
                    }
                }
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            outcome(ended)?;
        }
        Ok(())
    }
}

/// The listeners of what was bound before the driver ran.
pub(crate) fn listeners(
    bound: Bound,
    links: Arc<TcpLinks>,
    conditions: Arc<Conditions>,
    beacon: watch::Receiver<Option<Beacon>>,
    only_over: Option<InterfaceRules>,
) -> std::io::Result<(Listeners, Missing)> {
    let mut listeners = Listeners::new(links, conditions, beacon, only_over);
    listeners.accept(bound.listeners)?;
    listeners.tell(&bound.missing);
    Ok((listeners, bound.missing))
}
