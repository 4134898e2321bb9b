//! A node's turn: what a real host does after each input.
//!
//! It pulls bytes for every link whose carrier has room, carries out commands, hands out events,
//! and does so again until nothing moves; then it sets its timer as the node says.

use hedgerow_core::event::{Event, Output};
use hedgerow_core::io::{DialFailure, Input, LinkLoss, TransportCommand, TransportEvent};
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

use super::World;
use crate::air::Piece;
use crate::host::State;
use crate::log::{What, digest};
use crate::queue::Due;

/// Rounds of one turn, or timeouts of one moment, after which a node is called restless. A chunk
/// for each of 64 links and a command for each of 512 sightings stay far below.
const ROUNDS_MAX: u32 = 1_000;
/// A node whose timer does not move gets its next timeout after this, so that the world goes on.
const STUCK_PAUSE: Duration = Duration::from_millis(1);

/// Something that no node may do, whatever comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The node asks for a timeout that is due, gets it, and asks for the same again, for ever.
    StuckTimer {
        /// Which node.
        node: usize,
        /// When.
        at: Instant,
        /// The time it asks for, on the world's clock.
        timer: Instant,
    },
    /// A turn of the node does not come to rest.
    Restless {
        /// Which node.
        node: usize,
        /// When.
        at: Instant,
    },
}

impl World {
    /// Has a node do what its inputs of this moment ask for, once for all of them.
    pub(super) fn turn_soon(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if !host.turn_is_due {
            host.turn_is_due = true;
            self.queue.push(self.now, Due::Turn(node));
        }
    }

    pub(super) fn turn(&mut self, node: usize) {
        self.hosts[node].turn_is_due = false;
        if self.hosts[node].state != State::On {
            return;
        }
        let mut rounds = 0;
        while self.carry_out(node) {
            rounds += 1;
            if rounds > ROUNDS_MAX {
                self.defects.push(Defect::Restless { node, at: self.now });
                break;
            }
        }
        self.set_timer(node);
    }

    /// One round; whether anything moved.
    fn carry_out(&mut self, node: usize) -> bool {
        let mut progress = self.pump(node);
        let now = self.now;
        while let Some(output) =
            self.hosts[node].run_node(now, |_, core| core.poll_output()).flatten()
        {
            progress = true;
            match output {
                Output::Command(transport, command) => self.obey(node, transport.0, command),
                Output::Event(event) => self.on_event(node, event),
            }
        }
        let host = &mut self.hosts[node];
        let mut app = host.app.take();
        if let Some(app) = &mut app {
            progress |= host.run_node(now, |now, core| app.settle(now, core)).unwrap_or(false);
        }
        host.app = app;
        progress
    }

    /// Pulls bytes for every link that has room.
    fn pump(&mut self, node: usize) -> bool {
        let host = &mut self.hosts[node];
        let now = host.clock(self.now);
        let Some(core) = host.node.as_deref_mut() else { return false };
        let mut progress = false;
        for (link, id) in &host.links {
            let Some(cable) = self.air.cable_mut(*id) else { continue };
            let side = cable.side(node).expect("a host's cable knows it");
            let chunk = self.plan.media[usize::from(cable.pair.medium)].chunk_bytes();
            loop {
                match cable.ways[side].room_at(chunk) {
                    Some(at) if at <= self.now => {}
                    Some(at) => {
                        if cable.room_armed[side].is_none_or(|armed| at < armed) {
                            cable.room_armed[side] = Some(at);
                            self.queue.push(at, Due::Room(*id, side));
                        }
                        break;
                    }
                    None => break,
                }
                let its_own = host.account.enter();
                let Some(bytes) = core.poll_transmit(now, *link) else { break };
                drop(its_own);
                progress = true;
                let tally = host.tallies.get_mut(link).expect("every link has a tally");
                host.sent = host.sent.plus(&tally.count(&bytes));
                let what = What::Sent(*id, bytes.len(), digest(&bytes));
                self.log.note(self.now, Some(node), what);
                // The carrier has a copy: what a node allocated, it gets back.
                let piece = Piece::Bytes(bytes::Bytes::copy_from_slice(&bytes));
                cable.ways[side].send(self.now, piece);
            }
        }
        if progress {
            self.arm_ways_of(node);
        }
        progress
    }

    fn obey(&mut self, node: usize, medium: u8, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => self.advertise(node, medium, beacon),
            TransportCommand::Dial { dial, endpoint } => self.dial(node, medium, dial, &endpoint),
            TransportCommand::CancelDial(dial) => {
                if self.hosts[node].dials.remove(&(medium, dial)).is_some() {
                    let reason = DialFailure::Cancelled;
                    self.tell_soon(node, medium, TransportEvent::DialFailed { dial, reason });
                }
            }
            TransportCommand::Close(link) => {
                if self.close_end(node, link) {
                    let reason = LinkLoss::Closed;
                    self.tell_soon(node, medium, TransportEvent::LinkDown { link, reason });
                }
            }
            TransportCommand::Hint { from, hint } => {
                self.hosts[node].hints.hear(medium, from, hint);
            }
        }
    }

    fn on_event(&mut self, node: usize, event: Event) {
        let now = self.now;
        // What nodes see of each other is too much to put into words.
        if !matches!(event, Event::Presence(_)) {
            self.say(Some(node), format!("{event:?}"));
        }
        let host = &mut self.hosts[node];
        host.on_event(now, &event);
        if self.plan.tells_hints && matches!(event, Event::LinkUp { .. }) {
            self.renew_hints(node);
        }
        let host = &mut self.hosts[node];
        let mut app = host.app.take();
        if let Some(app) = &mut app {
            host.run_node(now, |now, core| app.on_event(now, core, event));
        }
        host.app = app;
    }

    fn renew_hints(&mut self, node: usize) {
        let hints = &mut self.hosts[node].hints;
        hints.renew(self.now);
        let media = 0..=u8::MAX;
        let told: Vec<_> = media.zip(&self.plan.media).map(|(m, _)| (m, hints.own(m))).collect();
        for (medium, hint) in told {
            self.tell_soon(node, medium, TransportEvent::Hint(hint));
        }
    }

    /// What the node and its application want, on the world's clock.
    fn wanted_timer(&self, node: usize) -> Option<Instant> {
        let host = &self.hosts[node];
        let app = host.app.as_ref().and_then(|app| app.next_timeout());
        let core = host.node.as_deref().and_then(Node::next_timeout);
        app.into_iter().chain(core).min().map(|at| host.world_time(at))
    }

    fn set_timer(&mut self, node: usize) {
        let Some(wanted) = self.wanted_timer(node) else { return };
        let mut at = wanted.max(self.now);
        if self.hosts[node].stuck > ROUNDS_MAX {
            self.defects.push(Defect::StuckTimer { node, at: self.now, timer: wanted });
            self.say(Some(node), format!("its timer stays at {wanted:?}"));
            self.hosts[node].stuck = 0;
            at = self.now + STUCK_PAUSE;
        }
        let host = &mut self.hosts[node];
        // A later one does not put it off: when it rings, the node is asked again.
        if host.timer.is_none_or(|set| at < set) {
            host.timer = Some(at);
            self.queue.push(at, Due::Timer(node));
        }
    }

    pub(super) fn on_timer(&mut self, at: Instant, node: usize) {
        let host = &mut self.hosts[node];
        if host.timer != Some(at) || host.state != State::On {
            return;
        }
        host.timer = None;
        if self.wanted_timer(node).is_none_or(|wanted| wanted > self.now) {
            self.hosts[node].stuck = 0;
            self.set_timer(node);
            return;
        }
        self.log.note(self.now, Some(node), What::Timeout);
        self.hosts[node].timeouts += 1;
        self.hosts[node].run_node(self.now, |now, core| core.handle_input(now, Input::Timeout));
        self.turn(node);
        let is_due_again = self.hosts[node].timer.is_some_and(|next| next <= self.now);
        let host = &mut self.hosts[node];
        host.stuck = if is_due_again { host.stuck + 1 } else { 0 };
    }

    /// A driver answers its node, after this turn.
    pub(super) fn tell_soon(&mut self, node: usize, medium: u8, event: TransportEvent) {
        let run = self.hosts[node].runs;
        self.queue.push(self.now, Due::Tell { node, run, medium, event: event.into() });
    }
}
