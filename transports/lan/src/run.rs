//! Everything that runs: listeners, discovery, dials and links, each a task of its own. The command
//! loop never waits for one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_driver::{
    Beacon, DialFailure, DialId, DriverError, Endpoint, Hint, LinkEstimate, LinkId, LinkOrigin,
    NodeGone, PeerKey, Port, Reports, Sighting, TransportCommand,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::audience::{Audience, LanNews};
use crate::condition::conditions;
use crate::dial::dial;
use crate::discovery::Discovery;
use crate::interface::InterfaceRules;
use crate::link::{ESTIMATE, TcpLinks};
use crate::listeners::listeners;
use crate::task::outcome;
use crate::teller::Teller;
use crate::told::{self, Heard, Own, Told};
use crate::{Lan, LanConfig};

/// How long the tasks may take to say goodbye.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(800);
/// A neighbour answers a dial within milliseconds. One that was silent for so long may be gone,
/// even if the dial was cancelled.
const SILENCE: Duration = Duration::from_secs(1);
/// Endpoints that may be gone and wait to be asked for; the rest is asked for at the next dial.
const DOUBTS: usize = 64;

/// Runs the driver until the node shuts down.
pub(crate) async fn run(lan: Lan, mut port: Port) -> Result<(), DriverError> {
    let audience = Audience::Node(port.reports.clone());
    let mut service = LanService::begin(lan, port.reports, audience, ESTIMATE, None)?;
    loop {
        tokio::select! {
            command = port.commands.recv() => match command {
                Some(command) => service.handle_command(command),
                None => break,
            },
            ended = service.run() => return Ok(ended?),
        }
    }
    service.shut_down().await;
    Ok(())
}

/// The sockets and the discovery of the local network, for a driver whose networks come and go:
/// Wi-Fi Direct has it carry links over the interfaces of its groups.
///
/// Its links are the node's, reported by the driver's own [`Reports`]; what it sees and what does not
/// work is told to the driver. Dropped, it cuts everything; [`LanService::shut_down`] ends it well.
#[derive(Debug)]
pub struct LanService {
    reports: Reports,
    links: Arc<TcpLinks>,
    /// Dropping a sender cancels its dial. A closed one belongs to a dial that is answered.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    /// Dropping it shuts the accept loops and the discovery down.
    beacon: watch::Sender<Option<Beacon>>,
    /// Endpoints that did not answer, for discovery.
    doubts: mpsc::Sender<Endpoint>,
    /// What neighbours tell, for discovery, where that counts.
    heard: Option<watch::Sender<Heard>>,
    tasks: JoinSet<Result<(), NodeGone>>,
}

impl LanService {
    /// Begins to listen and to look, on the interfaces that `config` allows by name and on no
    /// others: who comes in over another one is turned away. `estimate` is what links over them
    /// promise.
    ///
    /// # Errors
    /// When the runtime does not take the listeners.
    pub fn start(
        config: LanConfig,
        estimate: LinkEstimate,
        reports: Reports,
        news: mpsc::Sender<LanNews>,
    ) -> Result<Self, DriverError> {
        let only_over = Some(config.interfaces.clone());
        Self::begin(Lan::bind(config), reports, Audience::Host(news), estimate, only_over)
    }

    fn begin(
        lan: Lan,
        reports: Reports,
        audience: Audience,
        estimate: LinkEstimate,
        only_over: Option<InterfaceRules>,
    ) -> Result<Self, DriverError> {
        let links = Arc::new(TcpLinks::new(reports.clone(), estimate));
        let (conditions, reporter) = conditions(audience.clone());
        let conditions = Arc::new(conditions);
        let (beacon, beacons) = watch::channel(None);
        let (doubts, doubted) = mpsc::channel(DOUBTS);
        let mut tasks = JoinSet::new();

        let (listeners, missing) = listeners(
            lan.bound,
            Arc::clone(&links),
            Arc::clone(&conditions),
            beacons.clone(),
            only_over,
        )
        .map_err(|error| {
            DriverError::with_source("the runtime does not take the listener", error)
        })?;
        let (heard, hints) = watch::channel(Heard::new());
        let (own, own_seen) = watch::channel(Own::default());
        let LanConfig { mdns_enabled, interfaces, peers, .. } = lan.config;
        let listening = listeners.listening.subscribe();
        // Only the node has neighbours.
        let exchange = match &audience {
            Audience::Node(reports) if lan.config.exchange_addresses => Some(reports.clone()),
            _ => None,
        };
        let heard = exchange.is_some().then_some(heard);
        if mdns_enabled || exchange.is_some() {
            let discovery = Discovery {
                rules: mdns_enabled.then(|| interfaces.clone()),
                listening: listening.clone(),
                doubts: doubted,
                heard: hints,
                told: Told::new(&peers),
                own: own_seen,
                audience: audience.clone(),
                conditions,
                beacon: beacons.clone(),
            };
            tasks.spawn(discovery.run());
        }
        if let Some(reports) = exchange {
            let teller = Teller { rules: interfaces, listening, beacon: beacons, own, reports };
            tasks.spawn(teller.run());
        }
        tasks.spawn(listeners.run(missing));
        tasks.spawn(reporter.run());
        tasks.spawn(sight(audience, peers));
        Ok(Self { reports, links, dials: HashMap::new(), beacon, doubts, heard, tasks })
    }

    fn handle_command(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => self.advertise(beacon),
            TransportCommand::Dial { dial, endpoint } => {
                self.dial(dial, endpoint.clone(), endpoint)
            }
            TransportCommand::CancelDial(dial) => self.cancel(dial),
            TransportCommand::Close(link) => self.close(link),
            TransportCommand::Hint { from, hint } => self.hear(from, hint),
        }
    }

    /// A neighbour tells something else.
    fn hear(&self, from: PeerKey, hint: Hint) {
        if let Some(heard) = &self.heard {
            heard.send_if_modified(|heard| told::hear(heard, from, hint));
        }
    }

    /// Shows this beacon from now on. Nobody comes in before the first one.
    pub fn advertise(&self, beacon: Beacon) {
        self.beacon.send_if_modified(|shown| shown.replace(beacon) != Some(beacon));
    }

    /// Gives a dial up.
    pub fn cancel(&mut self, dial: DialId) {
        self.dials.remove(&dial);
    }

    /// Closes a link; one that is down is no matter.
    pub fn close(&self, link: LinkId) {
        self.links.close(link);
    }

    /// How many links stand, as it changes.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<usize> {
        self.links.standing()
    }

    /// Carries out a dial of the node's at `endpoint`, and answers it. The link is known as
    /// `known_as`, the endpoint that the node dialled.
    pub fn dial(&mut self, number: DialId, endpoint: Endpoint, known_as: Endpoint) {
        self.dials.retain(|_, cancel| !cancel.is_closed());
        let (cancel, cancelled) = oneshot::channel();
        self.dials.insert(number, cancel);
        let (reports, links) = (self.reports.clone(), Arc::clone(&self.links));
        let (doubts, began) = (self.doubts.clone(), Instant::now());
        self.tasks.spawn(async move {
            let connected = tokio::select! {
                biased;
                _ = cancelled => Err(DialFailure::Cancelled),
                connected = dial(&endpoint) => connected,
            };
            match connected {
                Ok(stream) => links.carry(stream, LinkOrigin::Dialled(number), known_as).await,
                Err(reason) => {
                    if is_doubt(&reason, began.elapsed()) {
                        let _ = doubts.try_send(endpoint);
                    }
                    reports.dial_failed(number, reason).await
                }
            }
        });
    }

    /// Runs until the node is gone.
    ///
    /// # Errors
    /// [`NodeGone`]: nobody reads reports any more.
    ///
    /// # Cancel safety
    /// Everything goes on, and nothing is lost, when the future is dropped.
    pub async fn run(&mut self) -> Result<(), NodeGone> {
        while let Some(ended) = self.tasks.join_next().await {
            outcome(ended)?;
        }
        std::future::pending().await
    }

    /// Ends everything well; what takes too long is dropped with the tasks.
    pub async fn shut_down(mut self) {
        drop(self.beacon);
        drop(self.dials);
        self.links.shut_down();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_WITHIN, all).await.is_err() {
            warn!("shutting down took too long, some links are cut");
        }
        self.tasks.shutdown().await;
    }
}

/// Whether a dial's end speaks against whoever was seen there.
fn is_doubt(reason: &DialFailure, after: Duration) -> bool {
    match reason {
        DialFailure::Refused | DialFailure::Unreachable | DialFailure::TimedOut => true,
        DialFailure::Cancelled => after >= SILENCE,
        _ => false,
    }
}

/// Reports the configured peers.
async fn sight(audience: Audience, peers: Vec<String>) -> Result<(), NodeGone> {
    for peer in peers {
        let sighting = Sighting { endpoint: Endpoint::new(&peer), beacon: None };
        audience.tell(LanNews::Sighted(sighting)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_that_found_nobody_is_a_doubt_and_one_that_was_not_needed_is_none() {
        for reason in [DialFailure::Refused, DialFailure::Unreachable, DialFailure::TimedOut] {
            assert!(is_doubt(&reason, Duration::ZERO), "{reason}");
        }
        assert!(is_doubt(&DialFailure::Cancelled, SILENCE));
        assert!(!is_doubt(&DialFailure::Cancelled, SILENCE / 2), "another address was quicker");
        assert!(!is_doubt(&DialFailure::InvalidEndpoint, SILENCE));
        assert!(!is_doubt(&DialFailure::Unavailable(String::new()), SILENCE));
    }
}
