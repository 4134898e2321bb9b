//! The command loop: it owns every task and never waits for one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{
    Beacon, DialFailure, DialId, DriverError, Endpoint, LinkOrigin, NodeGone, Port, Reports,
    Sighting, TransportCommand,
};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use crate::Lan;
use crate::accept::Accept;
use crate::condition::{Conditions, Part};
use crate::dial::dial;
use crate::discovery::Discovery;
use crate::link::Links;

/// How long the tasks may take to say goodbye.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(800);

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

/// What a task came to. Its panic goes on.
pub(crate) fn outcome(ended: Result<Result<(), NodeGone>, JoinError>) -> Result<(), NodeGone> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

struct Running {
    reports: Reports,
    links: Arc<Links>,
    /// Dropping a sender cancels its dial. A closed one belongs to a dial that is answered.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    /// Dropping it shuts the accept loops and the discovery down.
    beacon: watch::Sender<Option<Beacon>>,
    tasks: JoinSet<Result<(), NodeGone>>,
}

impl Running {
    fn start(lan: Lan, reports: Reports) -> Result<Self, DriverError> {
        let links = Arc::new(Links::new(reports.clone()));
        let conditions = Arc::new(Conditions::new(reports.clone()));
        let (beacon, beacons) = watch::channel(None);
        let mut tasks = JoinSet::new();

        let listen_condition = lan.bound.condition();
        if let Some(condition) = &listen_condition {
            warn!(detail = %condition.detail, "not every listener works");
        }
        tasks.spawn(announce(
            reports.clone(),
            Arc::clone(&conditions),
            listen_condition,
            lan.config.peers.clone(),
        ));
        if lan.config.mdns_enabled {
            let discovery = Discovery::new(
                lan.listen_addresses(),
                reports.clone(),
                Arc::clone(&conditions),
                beacons.clone(),
            );
            tasks.spawn(discovery.run());
        }
        for (index, listener) in lan.bound.listeners.into_iter().enumerate() {
            let listener = TcpListener::from_std(listener).map_err(|error| {
                DriverError::with_source("the runtime does not take the listener", error)
            })?;
            let accept = Accept {
                listener,
                part: Part::Accept(index),
                links: Arc::clone(&links),
                conditions: Arc::clone(&conditions),
                beacon: beacons.clone(),
            };
            tasks.spawn(accept.run());
        }
        Ok(Self { reports, links, dials: HashMap::new(), beacon, tasks })
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
        self.tasks.spawn(async move {
            let connected = tokio::select! {
                biased;
                _ = cancelled => Err(DialFailure::Cancelled),
                connected = dial(&endpoint) => connected,
            };
            match connected {
                Ok(stream) => links.carry(stream, LinkOrigin::Dialled(number), endpoint).await,
                Err(reason) => reports.dial_failed(number, reason).await,
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

/// What is known before anything happens: the condition, and the configured peers.
async fn announce(
    reports: Reports,
    conditions: Arc<Conditions>,
    listen: Option<hedgerow_driver::Condition>,
    peers: Vec<String>,
) -> Result<(), NodeGone> {
    conditions.set(Part::Listen, listen).await?;
    for peer in peers {
        reports.sighted(Sighting { endpoint: Endpoint::new(&peer), beacon: None }).await?;
    }
    Ok(())
}
