//! A driver for the patch board. Without a fault it keeps every rule.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, pending};
use std::time::Duration;

use hedgerow_driver::{
    Beacon, Condition, ConditionState, ConnectionType, DialFailure, DialId, Dialling, Driver,
    DriverError, DriverFuture, Endpoint, Hint, LinkId, LinkOrigin, NodeGone, Port, Reports,
    Sighting, TransportCommand, TransportProfile,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::board::{Board, Kind, Line};
use crate::fault::Fault;
use crate::link::{Manner, carry};

pub(crate) struct Wire {
    pub(crate) board: Board,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) fault: Option<Fault>,
}

impl Driver for Wire {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("wire"),
            links_max: if self.fault == Some(Fault::AllowsNoLinks) { 0 } else { 4 },
            dials_max: 2,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(async move {
            if self.name == "hopeless" {
                return match self.fault {
                    Some(Fault::RunsOnWithoutHope) => pending().await,
                    Some(Fault::PanicsWithoutHope) => panic!("no hope"),
                    Some(Fault::SaysNothingWithoutHope) => Err(DriverError::new("")),
                    _ => Err(DriverError::new("the place is not on the board: choose another")),
                };
            }
            let Self { board, kind, name, fault } = *self;
            let (reports, lines) = (port.reports, mpsc::channel(1).1);
            let (beacon, tasks) = (None, Tasks { set: JoinSet::new(), fault });
            let (dials, links) = (HashMap::new(), HashMap::new());
            let running =
                Running { board, kind, name, fault, beacon, reports, lines, dials, links, tasks };
            running.run(port.commands).await
        })
    }
}

/// Tasks that end with it, unless that is the fault.
struct Tasks {
    set: JoinSet<Result<(), NodeGone>>,
    fault: Option<Fault>,
}

impl Tasks {
    fn spawn(&mut self, task: impl Future<Output = Result<(), NodeGone>> + Send + 'static) {
        if self.fault == Some(Fault::LeavesTasksBehindWhenDropped) {
            tokio::spawn(task);
        } else {
            self.set.spawn(task);
        }
    }
}

/// What is shown on the board, until it is dropped.
struct Shown {
    board: Board,
    name: String,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.board.shown.send_modify(|shown| {
            shown.remove(&self.name);
        });
    }
}

struct Running {
    board: Board,
    kind: Kind,
    name: String,
    fault: Option<Fault>,
    beacon: Option<Shown>,
    reports: Reports,
    /// Lines that come in, once it advertises.
    lines: mpsc::Receiver<Line>,
    dials: HashMap<DialId, (oneshot::Sender<()>, LinkId)>,
    links: HashMap<LinkId, oneshot::Sender<()>>,
    tasks: Tasks,
}

impl Running {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn manner(&self) -> Manner {
        Manner { kind: self.kind, fault: self.fault }
    }

    async fn run(
        mut self,
        mut commands: mpsc::Receiver<TransportCommand>,
    ) -> Result<(), DriverError> {
        if self.has(Fault::AcceptsBeforeAdvertise) {
            self.lines = self.board.open(&self.name);
        }
        if self.has(Fault::SaysNoDetail) {
            let condition = Condition::new(ConditionState::RadioOff, "");
            self.reports.condition(condition).await?;
        }
        let (shown, reports) = (self.board.shown.subscribe(), self.reports.clone());
        self.tasks.spawn(sightings(self.name.clone(), shown, reports, self.fault));
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await?,
                    None => break,
                },
                Some(line) = self.lines.recv() => self.accept(line),
            }
        }
        self.shut_down().await
    }

    async fn obey(&mut self, command: TransportCommand) -> Result<(), DriverError> {
        match command {
            TransportCommand::Advertise(beacon) => self.advertise(beacon).await?,
            TransportCommand::Dial { dial, endpoint } => self.dial(dial, endpoint).await,
            TransportCommand::CancelDial(dial) => match self.dials.remove(&dial) {
                Some((cancel, link)) => {
                    let _ = cancel.send(());
                    if self.has(Fault::ClosesLinksOfCancelledDials) {
                        self.links.remove(&link);
                    }
                }
                None if self.has(Fault::PanicsAtWhatIsUnknown) => panic!("unknown {dial:?}"),
                None if self.has(Fault::EndsAtWhatIsUnknown) => {
                    return Err(DriverError::new("unknown dial"));
                }
                None => {}
            },
            TransportCommand::Close(link) => drop(self.links.remove(&link)),
            TransportCommand::Hint { hint, .. } => self.heed(hint).await?,
        }
        Ok(())
    }

    /// Places on the board need no hints; those with faults heed them.
    async fn heed(&mut self, hint: Hint) -> Result<(), DriverError> {
        let place = std::str::from_utf8(hint.as_bytes());
        match (self.fault, place) {
            (Some(Fault::PanicsAtStrangeHints), Err(strange)) => panic!("{strange}"),
            (Some(Fault::EndsAtStrangeHints), Err(_)) => {
                return Err(DriverError::new("a strange hint"));
            }
            (Some(Fault::AnswersEveryHint), _) => self.reports.hint(hint).await?,
            (Some(Fault::SightsWhoeverIsHintedAt), Ok(place)) if !place.is_empty() => {
                let sighting = Sighting { endpoint: Endpoint::new(place), beacon: None };
                self.reports.sighted(sighting).await?;
            }
            (Some(Fault::ClosesLinksAtHints), Ok("there")) => self.links.clear(),
            (Some(Fault::WaitsOnceHinted), Ok("there")) => pending().await,
            _ => {}
        }
        Ok(())
    }

    async fn advertise(&mut self, beacon: Beacon) -> Result<(), NodeGone> {
        if self.beacon.is_none() {
            self.lines = self.board.open(&self.name);
        }
        self.board.shown.send_modify(|shown| {
            shown.insert(self.name.clone(), beacon);
        });
        self.beacon = Some(Shown { board: self.board.clone(), name: self.name.clone() });
        let name = Hint::new(self.name.as_bytes());
        self.reports.hint(name.unwrap_or_default()).await
    }

    fn next_link(&self) -> LinkId {
        let mut link = self.reports.next_link();
        match self.fault {
            Some(Fault::UsesANumberTwice) => link.number = 7,
            Some(Fault::MakesUpNumbers) => link.transport.0 = 77,
            _ => {}
        }
        link
    }

    async fn dial(&mut self, number: DialId, endpoint: Endpoint) {
        if self.has(Fault::CannotBeReachedAfterACut) && self.board.was_cut() {
            let _ = self.reports.dial_failed(number, DialFailure::TimedOut).await;
            return;
        }
        let (cancel, cancelled) = oneshot::channel();
        let (close, closed) = oneshot::channel();
        let link = self.next_link();
        self.dials.insert(number, (cancel, link));
        self.links.insert(link, close);
        let (board, name) = (self.board.clone(), self.name.clone());
        let (manner, reports) = (self.manner(), self.reports.clone());
        let connect = async move {
            tokio::select! {
                biased;
                Ok(()) | Err(_) = cancelled => Err(DialFailure::Cancelled),
                line = board.dial(&name, &endpoint) => line,
            }
        };
        if self.has(Fault::DialsOneByOne) {
            let line = connect.await;
            self.tasks.spawn(answer(line, number, link, reports, closed, manner));
            return;
        }
        self.tasks.spawn(async move {
            answer(connect.await, number, link, reports, closed, manner).await
        });
    }

    fn accept(&mut self, line: Line) {
        let (close, closed) = oneshot::channel();
        let link = self.next_link();
        self.links.insert(link, close);
        let (manner, reports) = (self.manner(), self.reports.clone());
        self.tasks.spawn(carry(line, link, LinkOrigin::Accepted, reports, closed, manner));
    }

    async fn shut_down(mut self) -> Result<(), DriverError> {
        if self.has(Fault::IgnoresTheShutdown) {
            return pending().await;
        }
        if self.has(Fault::EndsWithAnErrorAtTheShutdown) {
            return Err(DriverError::new("bye"));
        }
        drop((self.beacon.take(), self.lines, self.dials, self.links));
        if self.fault == Some(Fault::LeavesTasksBehindAtTheShutdown) {
            self.tasks.set.detach_all();
            return Ok(());
        }
        // The sightings have no end of their own.
        let (patience, set) = (Duration::from_millis(500), &mut self.tasks.set);
        let all = async { while set.len() > 1 && set.join_next().await.is_some() {} };
        if self.fault == Some(Fault::WaitsForItsNodeAtTheShutdown) {
            all.await;
        } else {
            let _ = timeout(patience, all).await;
        }
        self.tasks.set.shutdown().await;
        Ok(())
    }
}

/// Tells the node what a dial came to.
async fn answer(
    line: Result<Line, DialFailure>,
    number: DialId,
    link: LinkId,
    reports: Reports,
    closed: oneshot::Receiver<()>,
    manner: Manner,
) -> Result<(), NodeGone> {
    let reason = match line {
        Ok(line) => {
            let origin = LinkOrigin::Dialled(number);
            return carry(line, link, origin, reports, closed, manner).await;
        }
        Err(reason) => reason,
    };
    match manner.fault {
        Some(Fault::AnswersFailedDialsNever) => return Ok(()),
        Some(Fault::AnswersCancelledDialsNever) if reason == DialFailure::Cancelled => {
            return Ok(());
        }
        Some(Fault::AnswersDialsTwice) => reports.dial_failed(number, reason.clone()).await?,
        Some(Fault::CallsFailuresCancelled) => {
            return reports.dial_failed(number, DialFailure::Cancelled).await;
        }
        Some(Fault::ForgetsDialsWhileTheNodeIsBusy) => {
            let _ = timeout(Duration::from_millis(1), reports.dial_failed(number, reason)).await;
            return Ok(());
        }
        _ => {}
    }
    reports.dial_failed(number, reason).await
}

/// Tells the node who is shown on the board.
async fn sightings(
    name: String,
    mut shown: watch::Receiver<BTreeMap<String, Beacon>>,
    reports: Reports,
    fault: Option<Fault>,
) -> Result<(), NodeGone> {
    let mut told: BTreeMap<String, Beacon> = BTreeMap::new();
    loop {
        let seen = shown.borrow_and_update().clone();
        for (other, beacon) in seen.iter().filter(|&(other, _)| *other != name) {
            if told.get(other) != Some(beacon) {
                let sighting = Sighting { endpoint: Endpoint::new(other), beacon: Some(*beacon) };
                reports.sighted(sighting).await?;
            }
        }
        for gone in told.keys().filter(|&other| !seen.contains_key(other)) {
            match fault {
                Some(Fault::NeverSaysLost) => {}
                Some(Fault::SightsTheSilent) => {
                    let beacon = told.get(gone).copied();
                    let sighting = Sighting { endpoint: Endpoint::new(gone), beacon };
                    reports.sighted(sighting).await?;
                }
                _ => reports.lost(Endpoint::new(gone)).await?,
            }
        }
        told = seen;
        if shown.changed().await.is_err() {
            return Ok(());
        }
    }
}
