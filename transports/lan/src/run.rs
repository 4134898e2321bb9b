//! The command loop: it owns every task and never waits for one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow_driver::{
    Beacon, DialFailure, DialId, DriverError, Endpoint, LinkOrigin, NodeGone, Port, Reports,
    Sighting, TransportCommand,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use crate::Lan;
use crate::condition::conditions;
use crate::dial::dial;
use crate::discovery::Discovery;
use crate::link::TcpLinks;
use crate::listeners::listeners;
use crate::task::outcome;

/// How long the tasks may take to say goodbye.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(800);
/// A neighbour answers a dial within milliseconds. One that was silent for so long may be gone,
/// even if the dial was cancelled.
const SILENCE: Duration = Duration::from_secs(1);
/// Endpoints that may be gone and wait to be asked for; the rest is asked for at the next dial.
const DOUBTS: usize = 64;

/// Runs the driver until the node shuts down.
pub(crate) async fn run(lan: Lan, mut port: Port) -> Result<(), DriverError> {
    let mut running = Running::start(lan, port.reports)?;
    loop {
        tokio::select! {
            command = port.commands.recv() => match command {
                Some(command) => running.handle_command(command),
                None => break,
            },
            Some(ended) = running.tasks.join_next() => outcome(ended)?,
        }
    }
    running.shut_down().await;
    Ok(())
}

struct Running {
    reports: Reports,
    links: Arc<TcpLinks>,
    /// Dropping a sender cancels its dial. A closed one belongs to a dial that is answered.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    /// Dropping it shuts the accept loops and the discovery down.
    beacon: watch::Sender<Option<Beacon>>,
    /// Endpoints that did not answer, for discovery.
    doubts: mpsc::Sender<Endpoint>,
    tasks: JoinSet<Result<(), NodeGone>>,
}

impl Running {
    fn start(lan: Lan, reports: Reports) -> Result<Self, DriverError> {
        let links = Arc::new(TcpLinks::new(reports.clone()));
        let (conditions, reporter) = conditions(reports.clone());
        let conditions = Arc::new(conditions);
        let (beacon, beacons) = watch::channel(None);
        let (doubts, doubted) = mpsc::channel(DOUBTS);
        let mut tasks = JoinSet::new();

        let (listeners, missing) =
            listeners(lan.bound, Arc::clone(&links), Arc::clone(&conditions), beacons.clone())
                .map_err(|error| {
                    DriverError::with_source("the runtime does not take the listener", error)
                })?;
        if lan.config.mdns_enabled {
            let discovery = Discovery {
                rules: lan.config.interfaces,
                listening: listeners.listening.subscribe(),
                doubts: doubted,
                reports: reports.clone(),
                conditions,
                beacon: beacons,
            };
            tasks.spawn(discovery.run());
        }
        tasks.spawn(listeners.run(missing));
        tasks.spawn(reporter.run());
        tasks.spawn(sight(reports.clone(), lan.config.peers));
        Ok(Self { reports, links, dials: HashMap::new(), beacon, doubts, tasks })
    }

    fn handle_command(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => {
                self.beacon.send_if_modified(|shown| shown.replace(beacon) != Some(beacon));
            }
            TransportCommand::Dial { dial, endpoint } => self.start_dial(dial, endpoint),
            TransportCommand::CancelDial(dial) => drop(self.dials.remove(&dial)),
            TransportCommand::Close(link) => self.links.close(link),
        }
    }

    fn start_dial(&mut self, number: DialId, endpoint: Endpoint) {
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
                Ok(stream) => links.carry(stream, LinkOrigin::Dialled(number), endpoint).await,
                Err(reason) => {
                    if is_doubt(&reason, began.elapsed()) {
                        let _ = doubts.try_send(endpoint);
                    }
                    reports.dial_failed(number, reason).await
                }
            }
        });
    }

    /// Ends everything well; what takes too long is dropped with the tasks.
    async fn shut_down(mut self) {
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
async fn sight(reports: Reports, peers: Vec<String>) -> Result<(), NodeGone> {
    for peer in peers {
        reports.sighted(Sighting { endpoint: Endpoint::new(&peer), beacon: None }).await?;
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
