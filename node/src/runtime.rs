//! The one task that owns the core.
//!
//! Handles send calls over a bounded channel, drivers report over another; the task feeds the
//! core, carries out what it says and pulls bytes for every link that has room. No lock is held
//! across an await, and every task is joined before the node counts as shut down.

mod call;
mod desk;
mod diagnose;
mod drivers;
mod inbox;
mod notifier;
mod shared;
mod strangers;
mod streams;
mod views;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hedgerow_core::config::NodeConfig;
use hedgerow_core::event::{Event, Output};
use hedgerow_core::id::{LinkId, TransportId};
use hedgerow_core::io::{Condition, ConditionState, Input, TransportEvent};
use hedgerow_core::node::Node;
use hedgerow_core::time::Instant;
use hedgerow_driver::{LinkSender, NodeSlot, Report};
use tokio::sync::{mpsc, watch};

pub(crate) use call::{Call, NotOpened, Opened, SendReliable};
pub(crate) use diagnose::TraceNews;
pub(crate) use inbox::Inbox;
pub(crate) use shared::Shared;
pub(crate) use streams::{NotSent, Read, StreamState};

use crate::builder::Start;
use crate::home::Home;
use crate::links::TransportStatus;
use crate::mesh::Mesh;
use crate::notice::Trouble;
use crate::presence::PresenceOs;
use desk::Desk;
use diagnose::Diagnoses;
use drivers::Drivers;
use notifier::Notifier;
use strangers::Strangers;

/// Calls that wait for the task.
const CALLS: usize = 1_024;
/// Reports and calls taken in one turn before bytes are pulled: pulling once for many reports
/// is what lets small messages share a frame.
const TURN: usize = 64;
/// How often the graph's figures are refreshed while nothing changes.
const FIGURES_INTERVAL: Duration = Duration::from_secs(2);
/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_millis(800);

/// What the core's clock shows at the start: what was signed before has a time, too.
const CLOCK_START: Duration = Duration::from_secs(24 * 3_600);

/// The operating system's randomness.
pub(crate) struct Entropic;

impl hedgerow_core::entropy::Entropy for Entropic {
    fn fill(&mut self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random bytes");
    }
}

/// The core's clock: microseconds since the node started, on tokio's clock, so that paused time
/// in tests is virtual time here.
///
/// It is asked many times for each packet, and reading it is a system call on some machines: so it
/// is read once for what comes in together, and once more for what is done about it.
struct Clock {
    start: tokio::time::Instant,
    now: Option<Instant>,
}

impl Clock {
    fn start() -> Self {
        Self { start: tokio::time::Instant::now(), now: None }
    }

    fn now(&mut self) -> Instant {
        let start = self.start;
        *self.now.get_or_insert_with(|| {
            let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            Instant::from_micros(elapsed) + CLOCK_START
        })
    }

    /// Time has passed: the clock is read anew.
    fn go_on(&mut self) {
        self.now = None;
    }

    fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.start + instant.since(Instant::EPOCH + CLOCK_START)
    }
}

struct Runtime {
    clock: Clock,
    node: Node,
    desk: Desk,
    diagnoses: Diagnoses,
    notifier: Notifier,
    drivers: Drivers,
    /// What the handles see of them.
    transports: watch::Sender<Arc<[TransportStatus]>>,
    senders: BTreeMap<LinkId, LinkSender>,
    strangers: Strangers,
    /// Locked while the node runs; takes what the mesh knows better about the boot epoch.
    home: Option<Home>,
    shared: Arc<Shared>,
    /// The graph's figures are older than what is known.
    graph_is_stale: bool,
    /// More than figures changed: observers are called.
    graph_changed: bool,
    changes: Vec<hedgerow_core::presence::Change>,
    /// Events that were lost before they were read: changes may be among them.
    changes_lost: u64,
}

/// Starts a node's task and drivers.
pub(crate) fn start(start: Start) -> Mesh {
    let Start { config, local, epoch_is_kept, metadata, drivers, listen_addresses, home } = start;
    let mut clock = Clock::start();
    let (calls, call_queue) = mpsc::channel(CALLS);
    let node_config = NodeConfig {
        device_name: config.effective_device_name(),
        os: PresenceOs::current().code(),
        sdk_version: env!("CARGO_PKG_VERSION").to_owned(),
        metadata: views::body_of(&metadata),
        epoch_is_kept,
        unreachable_grace: config.presence.unreachable_grace(),
        bus: hedgerow_core::bus::BusConfig {
            session_gap: config.bus.session_gap(),
            give_up: config.bus.give_up(),
            ..Default::default()
        },
        upgrades: config.transports.wifi_direct.upgrades.policy(),
        ..Default::default()
    };
    let power = config.transports.wifi_direct.power.power();
    let mut node = Node::new(clock.now(), local.clone(), node_config, Box::new(Entropic));
    node.set_power(clock.now(), power);
    let (slot, reports) = NodeSlot::new();
    let mut running = Drivers::default();
    for driver in drivers {
        let (transport, profile) = running.start(&slot, driver);
        node.add_transport(transport, profile);
    }
    drop(slot);
    let graph = views::graph(&node, clock.now(), &mut |_, _| {});
    let (transports, status) = watch::channel(running.status());
    let parts = shared::Parts {
        config,
        local,
        metadata,
        listen_addresses,
        calls,
        graph,
        transports: status,
    };
    let shared = Arc::new(Shared::new(parts));
    let runtime = Runtime {
        clock,
        node,
        desk: Desk::new(shared.clone()),
        diagnoses: Diagnoses::default(),
        notifier: Notifier::new(shared.clone()),
        drivers: running,
        transports,
        senders: BTreeMap::new(),
        strangers: Strangers::default(),
        home,
        shared: shared.clone(),
        graph_is_stale: false,
        graph_changed: false,
        changes: Vec::new(),
        changes_lost: 0,
    };
    tokio::spawn(runtime.run(reports, call_queue));
    Mesh::new(shared)
}

type Reports = mpsc::Receiver<(TransportId, Report)>;

impl Runtime {
    async fn run(mut self, mut reports: Reports, mut calls: mpsc::Receiver<Call>) {
        // Reports whether this task ends by shutdown or by a panic: handles must not wait.
        let ended = shared::Ended(self.shared.clone());
        let mut figures = tokio::time::interval(FIGURES_INTERVAL);
        figures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut alarm = Alarm::new();
        let shared = self.shared.clone();
        let mut stop = std::pin::pin!(shared.stop.cancelled());
        self.carry_out();
        loop {
            if let Some(at) = self.node.next_timeout() {
                alarm.set(self.clock.at(at));
            }
            tokio::select! {
                () = &mut stop => break,
                Some((transport, report)) = reports.recv() => {
                    self.on_report(transport, report);
                    for _ in 0..TURN {
                        let Ok((transport, report)) = reports.try_recv() else { break };
                        self.on_report(transport, report);
                    }
                }
                Some(call) = calls.recv() => {
                    self.on_call(call);
                    for _ in 0..TURN {
                        let Ok(call) = calls.try_recv() else { break };
                        self.on_call(call);
                    }
                }
                () = self.shared.attention.notified() => {
                    // What a handle asked before it was dropped comes first.
                    for _ in 0..CALLS {
                        let Ok(call) = calls.try_recv() else { break };
                        self.on_call(call);
                    }
                    self.on_attention();
                }
                () = &mut alarm => {
                    self.node.handle_input(self.clock.now(), Input::Timeout);
                }
                (transport, end) = self.drivers.ended() => self.on_driver_end(transport, end),
                _ = figures.tick() => self.graph_is_stale = true,
            }
            self.carry_out();
        }
        self.say_goodbye(&mut reports).await;
        // Whoever waits for the end may start the next node of this home at once.
        drop(self.home.take());
        drop(ended);
    }

    fn on_report(&mut self, transport: TransportId, report: Report) {
        if !self.drivers.is_running(transport) {
            // Said before its driver ended: its links are gone, and it stays dead.
            return;
        }
        let now = self.clock.now();
        let event = match report {
            Report::Event(event) => event,
            Report::LinkUp(up, sender) => {
                self.strangers.on_link_up(&up);
                self.senders.insert(up.link, sender);
                TransportEvent::LinkUp(up)
            }
            // It has room again: the pump that follows every turn fills it.
            Report::Writable(_) => return,
        };
        match &event {
            TransportEvent::LinkDown { link, .. } => drop(self.senders.remove(link)),
            // Here and not by the core's event: those may be lost.
            TransportEvent::Condition(condition) => {
                self.set_condition(transport, condition);
            }
            TransportEvent::Sighted(sighting) => {
                let network = &self.node.local().network;
                let news = self.strangers.on_sighting(now, network, transport, sighting);
                if let Some(reason) = news {
                    tracing::info!(endpoint = %sighting.endpoint, reason, "somebody else is near");
                }
            }
            TransportEvent::Lost(endpoint) => self.strangers.on_lost(endpoint),
            _ => {}
        }
        self.node.handle_input(now, Input::Transport { transport, event });
    }

    fn on_call(&mut self, call: Call) {
        let now = self.clock.now();
        match call {
            Call::Links(reply) => {
                let links = self.node.links(now).map(crate::links::Link::from_view).collect();
                let _ = reply.send(links);
            }
            Call::Counters(reply) => {
                let _ = reply.send(self.node.counters());
            }
            Call::Strangers(reply) => {
                let _ = reply.send(self.strangers.view(now, |id| self.drivers.kind(id)));
            }
            Call::Refusals(reply) => {
                let refusals = self.node.refusals().map(|refusal| {
                    let kind = self.drivers.kind(refusal.transport);
                    crate::links::Refusal::from_view(now, kind, refusal)
                });
                let _ = reply.send(refusals.collect());
            }
            Call::Ping { peer, give_up, reply } => {
                self.diagnoses.ping(now, &mut self.node, peer, give_up, reply);
            }
            Call::Trace { peer, reply } => {
                self.diagnoses.trace(now, &mut self.node, peer, reply);
            }
            call => self.desk.on_call(now, &mut self.node, call),
        }
    }

    /// A handle changed something that waits in the shared state.
    fn on_attention(&mut self) {
        let now = self.clock.now();
        if let Some(metadata) = self.shared.take_metadata() {
            self.node.set_metadata(now, views::body_of(&metadata));
            self.graph_changed = true;
        }
        self.desk.on_attention(now, &mut self.node);
    }

    fn on_driver_end(&mut self, transport: TransportId, end: Result<(), String>) {
        let detail = match end {
            Ok(()) => "its driver ended by itself; restart the node to have it back".to_owned(),
            Err(why) => format!("its driver failed ({why}); restart the node to have it back"),
        };
        self.set_condition(transport, &Condition::new(ConditionState::Dead, detail));
        self.senders.retain(|link, _| link.transport != transport);
        self.strangers.on_transport_gone(transport);
        self.node.remove_transport(self.clock.now(), transport);
    }

    fn set_condition(&mut self, transport: TransportId, condition: &Condition) {
        if self.drivers.set_condition(transport, condition) {
            views::log_condition(&self.drivers.kind(transport), condition);
        }
        self.transports.send_replace(self.drivers.status());
    }

    /// Does what the core says until it says nothing more. What was read of the clock before is over.
    fn carry_out(&mut self) {
        self.clock.go_on();
        loop {
            let mut progress = self.pump();
            while let Some(output) = self.node.poll_output() {
                progress = true;
                match output {
                    Output::Command(transport, command) => {
                        if let hedgerow_core::io::TransportCommand::Close(link) = &command {
                            // Dropping the sender lets the driver flush and close.
                            self.senders.remove(link);
                        }
                        self.drivers.command(transport, command);
                    }
                    Output::Event(event) => self.on_event(event),
                }
            }
            progress |= self.desk.settle(self.clock.now(), &mut self.node);
            if !progress {
                break;
            }
        }
        self.drivers.flush();
        self.publish();
        self.clock.go_on();
    }

    /// Pulls bytes for every link that has room.
    fn pump(&mut self) -> bool {
        let now = self.clock.now();
        let mut progress = false;
        for (link, sender) in &self.senders {
            while let Some(permit) = sender.try_reserve() {
                let Some(bytes) = self.node.poll_transmit(now, *link) else { break };
                permit.send(bytes);
                progress = true;
            }
        }
        progress
    }

    fn on_event(&mut self, event: Event) {
        views::log(&event);
        if let Some(trouble) = Trouble::of(&event) {
            self.notifier.tell(self.clock.now(), trouble);
        }
        match event {
            Event::Presence(change) => {
                self.graph_changed = true;
                self.changes.push(change);
            }
            Event::Bus(event) => {
                if let Some(event) = self.diagnoses.on_bus_event(event) {
                    self.desk.on_event(event);
                }
            }
            Event::Trace(event) => self.diagnoses.on_trace_event(&mut self.node, event),
            Event::LinkUp { link, endpoint, .. } => self.strangers.on_established(link, &endpoint),
            Event::LinkDown { link, peer, endpoint, end } => {
                let now = self.clock.now();
                self.strangers.on_link_down(now, link, peer.is_some(), &endpoint, &end);
            }
            Event::EpochStepped(epoch) => self.keep_epoch(epoch),
            Event::Overflow(lost) => {
                // What the lost events said is read from the state itself.
                self.graph_changed = true;
                self.changes_lost += lost;
                self.diagnoses.on_overflow(&mut self.node);
                self.strangers.on_overflow(|link| self.senders.contains_key(link));
            }
            _ => {}
        }
    }

    /// Writes the epoch down at once: it happens once in the life of a home that was restored
    /// from an old copy, and the wait for the disk is short.
    fn keep_epoch(&mut self, epoch: hedgerow_core::id::BootEpoch) {
        let Some(home) = &mut self.home else { return };
        if let Err(error) = home.raise_boot_epoch(epoch) {
            tracing::warn!(%error, epoch, "the stepped boot epoch is not on disk");
        }
    }

    /// Shows a changed graph to the handles.
    fn publish(&mut self) {
        let changed = std::mem::take(&mut self.graph_changed);
        if !std::mem::take(&mut self.graph_is_stale) && !changed {
            return;
        }
        let (now, mut invalid) = (self.clock.now(), Vec::new());
        let graph = views::graph(&self.node, now, &mut |peer, why| invalid.push((peer, why)));
        self.notifier.tell_invalid(now, invalid);
        let before = self.shared.graph.send_replace(graph.clone());
        if changed {
            self.shared.revision.send_modify(|revision| *revision += 1);
        }
        let missed = std::mem::take(&mut self.changes_lost);
        if missed > 0 {
            self.changes.clear();
            let lagged = crate::presence::Change::Lagged { missed, graph: graph.clone() };
            // Without a reader there is nobody to tell.
            let _ = self.shared.changes.send(lagged);
        }
        for change in self.changes.drain(..) {
            let change = views::change(&change, &graph, &before);
            // Without a reader there is nobody to tell.
            let _ = self.shared.changes.send(change);
        }
    }

    /// Closes sessions and links with their reasons, lets the drivers write them, and joins the
    /// drivers.
    async fn say_goodbye(&mut self, reports: &mut Reports) {
        let deadline = tokio::time::Instant::now() + GOODBYE;
        self.node.shutdown(self.clock.now());
        self.carry_out();
        while !self.senders.is_empty() {
            // Packets that are lost are said again, and those that came are acknowledged.
            let due = self.node.next_timeout().map(|at| self.clock.at(at));
            let until = due.map_or(deadline, |due| due.min(deadline));
            match tokio::time::timeout_at(until, reports.recv()).await {
                Ok(Some((transport, report))) => self.on_report(transport, report),
                Err(_) if until < deadline => {
                    self.node.handle_input(self.clock.now(), Input::Timeout);
                }
                Ok(None) | Err(_) => break,
            }
            self.carry_out();
        }
        self.senders.clear();
        self.desk.close();
        self.drivers.shut_down(reports).await;
    }
}

/// Completes at a time, or earlier, but not much more often than it is set.
///
/// A timer that is earlier than all others costs the runtime a system call, and most turns of the
/// task only move the next one a little later: so it is left as it is, and set again when it
/// fires.
struct Alarm {
    sleep: Pin<Box<tokio::time::Sleep>>,
    at: Option<tokio::time::Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), at: None }
    }

    fn set(&mut self, at: tokio::time::Instant) {
        if self.at.is_none_or(|set| at < set) {
            self.sleep.as_mut().reset(at);
            self.at = Some(at);
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.at.is_none() {
            return Poll::Pending;
        }
        std::task::ready!(self.sleep.as_mut().poll(cx));
        self.at = None;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_alarm_is_never_late_and_rests_when_it_is_not_set() {
        let (mut alarm, begin, second) = (Alarm::new(), Instant::now(), Duration::from_secs(1));
        assert!(timeout(9 * second, &mut alarm).await.is_err(), "nobody set it");
        let begin = begin + 9 * second;
        alarm.set(begin + 3 * second);
        alarm.set(begin + 2 * second);
        // A later one does not put it off.
        alarm.set(begin + 4 * second);
        (&mut alarm).await;
        assert_eq!(begin.elapsed(), 2 * second);
        alarm.set(begin + 4 * second);
        (&mut alarm).await;
        assert_eq!(begin.elapsed(), 4 * second);
        assert!(timeout(second, &mut alarm).await.is_err(), "it rang already");
    }
}
