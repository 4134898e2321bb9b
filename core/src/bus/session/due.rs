//! What is due on a session: losses and probes, and what gives up.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{Due, Session, at};
use crate::bus::control::Control;
use crate::bus::event::MessageId;
use crate::bus::outgoing::Reported;
use crate::bus::reason::{FailReason, Outcome, SessionEnd, StreamEnd};
use crate::bus::recovery::{Item, Sent};
use crate::bus::shared::Shared;
use crate::bus::stream::Phase;
use crate::io::Lane;
use crate::time::{Instant, earliest};

impl Session {
    /// The next time at which [`Self::handle_timeout`] has something to do.
    pub(in crate::bus) fn next_timeout(&self, cx: &Shared, has_path: bool) -> Option<Instant> {
        let give_up = self.deadlines.first().map(|(at, _)| *at);
        let old = self.previous.as_ref().map(|(_, until)| *until);
        let check = (has_path && self.is_checked()).then_some(self.check_at);
        let lanes = self.lanes.iter().flat_map(|lane| {
            let sending = has_path && self.can_seal();
            [
                if sending { lane.recovery.deadline(&lane.rtt) } else { None },
                if sending { lane.arrivals.deadline() } else { None },
                if sending { lane.tell_at } else { None },
                lane.departures.deadline(),
                lane.assembly.deadline(),
            ]
        });
        earliest(lanes.chain([give_up, self.lost_at(cx), old, check, self.pings.deadline()]))
    }

    /// When the other end counts as lost. An answer ends the wait for answers alone: one may arrive
    /// after the path is gone, when nothing is left that could be sent and missed.
    fn lost_at(&self, cx: &Shared) -> Option<Instant> {
        let since = earliest([self.waiting_since, self.pathless_since])?;
        self.keys.is_some().then_some(since + cx.config.session_gap)
    }

    /// Whether silence is doubted: who only receives would never hear that the other end is gone.
    fn is_checked(&self) -> bool {
        self.can_seal() && self.closing.is_none() && self.has_streams()
    }

    /// Does what is due. An error: the session has ended for that reason.
    pub(in crate::bus) fn handle_timeout(
        &mut self,
        cx: &mut Shared,
        now: Instant,
        has_path: bool,
    ) -> Result<(), SessionEnd> {
        if self.lost_at(cx).is_some_and(|at| at <= now) {
            return Err(SessionEnd::PeerLost);
        }
        if has_path && self.is_checked() && self.check_at <= now {
            self.check(now);
        }
        self.give_up(cx, now, has_path);
        self.expire_pings(cx, now, has_path);
        for lane in Lane::DATA {
            let state = &mut self.lanes[at(lane)];
            cx.counters.unreliable_expired += state.departures.expire(now);
            cx.counters.unreliable_incomplete += state.assembly.expire(now);
            if has_path && self.keys.is_some() {
                self.detect_lost(cx, now, lane);
                self.probe(cx, now, lane);
            }
        }
        self.tell_writable(cx);
        Ok(())
    }

    pub(super) fn detect_lost(&mut self, cx: &mut Shared, now: Instant, lane: Lane) {
        let state = &mut self.lanes[at(lane)];
        let lost: VecDeque<Sent> = state.recovery.take_lost(now, &state.rtt).into();
        let any = !lost.is_empty();
        for packet in lost {
            cx.counters.packets_lost += 1;
            self.congestion.on_lost(now, packet.bytes, packet.at);
            self.on_lost_items(cx, lane, &packet.items);
        }
        if any {
            self.note_rest();
        }
    }

    fn probe(&mut self, cx: &mut Shared, now: Instant, lane: Lane) {
        let state = &mut self.lanes[at(lane)];
        if !state.recovery.must_probe(now, &state.rtt) {
            return;
        }
        cx.counters.probes += 1;
        state.probes = 2;
        if state.recovery.tries() >= 2 {
            self.congestion.on_silence();
        }
        let state = &self.lanes[at(lane)];
        if state.control.is_empty() && state.ready.is_empty() {
            // A ping is not repeated: the probe that follows tells what became of it.
            let repeated = |item: &&Item| !matches!(item, Item::Ping(_));
            let items = state.recovery.oldest_items().iter().filter(repeated);
            let items: Vec<Item> = items.cloned().collect();
            self.on_lost_items(cx, lane, &items);
        }
    }

    fn give_up(&mut self, cx: &mut Shared, now: Instant, has_path: bool) {
        while let Some(&(at, due)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            let later = self.last_progress + cx.config.give_up;
            match due {
                Due::Message { id, hard: false, .. } if later > now => {
                    self.deadlines.insert((later, due));
                    self.due_of.insert(id, (later, due));
                }
                Due::Message { lane, id, .. } => {
                    self.due_of.remove(&id);
                    self.give_up_message(cx, lane, id, has_path);
                }
                Due::Open(name) => {
                    let opening =
                        self.streams.get(&name).is_some_and(|s| s.phase == Phase::Opening);
                    if opening {
                        self.queue_control(name.0, Control::Reset(name.1, 0));
                        self.close_stream(cx, name, StreamEnd::TimedOut);
                    }
                }
            }
        }
    }

    fn give_up_message(&mut self, cx: &mut Shared, lane: Lane, id: MessageId, has_path: bool) {
        let unreached = self.keys.is_none() || !has_path;
        let reason = if unreached { FailReason::NoRoute } else { FailReason::TimedOut };
        let Some(messages) = self.streams.get_mut(&(lane, 0)) else { return };
        let outcome = if messages.outgoing.withdraw(id) {
            Outcome::NotDelivered(reason)
        } else if let Some(message) = messages.outgoing.unreported(id) {
            // Its first bytes are on their way and cannot be taken back.
            message.outcome = Reported::Yes;
            Outcome::Unknown(reason)
        } else {
            return;
        };
        cx.report(id, self.peer, outcome);
    }
}
