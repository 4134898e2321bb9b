//! The driver: obeys its node and runs its links.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use hedgerow_driver::{
    DialId, Dialling, Driver, DriverError, DriverFuture, Endpoint, LinkId, LinkOrigin, Port,
    Reports, TransportCommand, TransportProfile,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::air::Name;
use crate::attached::{Attached, NameTaken};
use crate::dial::{self, DIAL_TIMEOUT};
use crate::link::{self, LinkEnd};
use crate::medium::Medium;
use crate::sightings::report_sightings;

/// Links a node may hold unless it is told otherwise: more than any demo needs.
const LINKS_MAX: usize = 32;
/// Dials at once; they cost nothing here.
const DIALS_MAX: usize = 8;
/// Tasks that have not ended so long after the shutdown began are aborted: the node neither
/// reads reports nor has dropped them.
const SHUTDOWN_MAX: Duration = Duration::from_millis(900);

/// The driver of one node on a [`Medium`].
#[derive(Debug)]
pub struct Memory {
    medium: Medium,
    name: Name,
    links_max: usize,
}

impl Memory {
    pub(crate) fn new(medium: Medium, name: &str) -> Self {
        Self { medium, name: name.into(), links_max: LINKS_MAX }
    }

    /// Sets how many links the node may hold; 32 unless set. A few more are accepted, so that
    /// the node can tell newcomers that it is at capacity; beyond those, dials are refused.
    #[must_use]
    pub fn links_max(mut self, links_max: usize) -> Self {
        self.links_max = links_max;
        self
    }
}

impl Driver for Memory {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: self.medium.kind().clone(),
            links_max: self.links_max,
            dials_max: DIALS_MAX,
            dial_timeout: DIAL_TIMEOUT,
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(async move {
            let name = self.name;
            let (attached, incoming) = Attached::new(self.medium, name.clone(), self.links_max)
                .map_err(|NameTaken| {
                    DriverError::new(format!(
                        "another node is on the medium as \"{name}\": choose another name"
                    ))
                })?;
            Running::new(attached, port.reports).run(port.commands, incoming).await;
            Ok(())
        })
    }
}

/// A driver that runs. Its maps hold what ends a task; a closed sender is a task that ended.
struct Running {
    attached: Attached,
    reports: Reports,
    dials: HashMap<DialId, oneshot::Sender<()>>,
    links: HashMap<LinkId, oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Running {
    fn new(attached: Attached, reports: Reports) -> Self {
        Self {
            attached,
            reports,
            dials: HashMap::new(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<TransportCommand>,
        mut incoming: mpsc::Receiver<LinkEnd>,
    ) {
        let mut sightings = pin!(report_sightings(
            self.attached.medium.clone(),
            self.attached.name.clone(),
            self.attached.changed.clone(),
            self.reports.clone(),
        ));
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(end) = incoming.recv() => self.accept(end),
                Some(ended) = self.tasks.join_next() => {
                    ended.expect("links and dials do not panic");
                    self.dials.retain(|_, cancel| !cancel.is_closed());
                    self.links.retain(|_, close| !close.is_closed());
                }
                _gone = &mut sightings => break,
            }
        }
        self.shut_down().await;
    }

    fn obey(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => self.attached.advertise(beacon),
            TransportCommand::Dial { dial, endpoint } => self.dial(dial, endpoint),
            // Dropping the sender cancels; after the dial it does nothing.
            TransportCommand::CancelDial(dial) => drop(self.dials.remove(&dial)),
            TransportCommand::Close(link) => {
                if let Some(close) = self.links.remove(&link) {
                    // A link that has just ended by itself needs no closing.
                    let _ = close.send(());
                }
            }
            // Whoever is there sees everybody else.
            TransportCommand::Hint { .. } => {}
        }
    }

    fn dial(&mut self, number: DialId, endpoint: Endpoint) {
        let (cancel, cancelled) = oneshot::channel();
        let (close, closed) = oneshot::channel();
        let link = self.reports.next_link();
        self.dials.insert(number, cancel);
        self.links.insert(link, close);
        let reports = self.reports.clone();
        let (medium, name) = (self.attached.medium.clone(), self.attached.name.clone());
        self.tasks.spawn(async move {
            // A node that is gone shuts the driver down by itself.
            let _ = match dial::dial(medium, name, endpoint, cancelled).await {
                Ok(end) => {
                    link::carry(end, link, LinkOrigin::Dialled(number), reports, closed).await
                }
                Err(reason) => reports.dial_failed(number, reason).await,
            };
        });
    }

    fn accept(&mut self, end: LinkEnd) {
        let (close, closed) = oneshot::channel();
        let link = self.reports.next_link();
        self.links.insert(link, close);
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            let _ = link::carry(end, link, LinkOrigin::Accepted, reports, closed).await;
        });
    }

    async fn shut_down(self) {
        let Self { attached, dials, links, mut tasks, .. } = self;
        // Others lose sight of it first; then the senders' end is the signal to each task.
        drop((attached, dials, links));
        let joined = async { while tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_MAX, joined).await.is_err() {
            tasks.shutdown().await;
        }
    }
}
