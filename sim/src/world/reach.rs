//! Who comes into reach of whom, and out of it.

use hedgerow_core::io::{Beacon, LinkLoss, Sighting, TransportEvent};
use hedgerow_netem::Shape;

use super::World;
use super::carry::endpoint;
use crate::air::{CableId, Hearing, Pair};
use crate::host::State;
use crate::queue::Due;

impl World {
    /// Puts two nodes in reach of each other on a medium; they see each other soon.
    pub fn connect(&mut self, medium: u8, a: usize, b: usize) {
        let shape = self.medium(medium).shape;
        self.connect_shaped(medium, a, b, shape);
    }

    /// The same with links of another shape than the medium's.
    pub fn connect_shaped(&mut self, medium: u8, a: usize, b: usize, shape: Shape) {
        let pair = Pair::new(medium, a, b);
        if self.air.reach(pair).is_some() {
            return;
        }
        self.air.insert(pair, shape);
        for id in self.air.cables_of(pair) {
            self.hear_again(id);
        }
        self.see_each_other(pair);
    }

    /// Puts all pairs of `edges` in reach of each other on a medium.
    pub fn connect_all(&mut self, medium: u8, edges: &[(usize, usize)]) {
        for (a, b) in edges {
            self.connect(medium, *a, *b);
        }
    }

    /// Takes two nodes out of reach of each other: their links go silent, and are reported lost
    /// where the medium supervises them.
    pub fn disconnect(&mut self, medium: u8, a: usize, b: usize) {
        let pair = Pair::new(medium, a, b);
        if !self.air.remove(pair) {
            return;
        }
        for id in self.air.cables_of(pair) {
            let Some(cable) = self.air.cable_mut(id) else { continue };
            cable.ways.iter_mut().for_each(|way| way.set_hearing(Hearing::Silent));
            if let Some(after) = self.medium(medium).supervision {
                self.queue.push(self.now + after, Due::Supervise(id));
            }
        }
        let kept = self.medium(medium).sighting_kept;
        self.queue.push(self.now + kept, Due::Lose(pair));
    }

    /// The same, and their links are lost at once, at both ends.
    pub fn sever(&mut self, medium: u8, a: usize, b: usize) {
        self.disconnect(medium, a, b);
        for id in self.air.cables_of(Pair::new(medium, a, b)) {
            self.cut(id, &LinkLoss::TimedOut);
        }
    }

    /// Links of a pair are shaped like this from now on, in both directions, also those that
    /// stand.
    pub fn reshape(&mut self, pair: Pair, shape: Shape) {
        let Some(reach) = self.air.reach_mut(pair) else { return };
        reach.shapes = [shape; 2];
        for id in self.air.cables_of(pair) {
            let now = self.now;
            let Some(cable) = self.air.cable_mut(id) else { continue };
            cable.ways.iter_mut().for_each(|way| way.reshape(now, shape));
            self.arm(id);
        }
    }

    /// Has `from` heard by the other one of a pair, or not: a cut of one direction. Nothing is
    /// lost of a stream; it stalls, and what was held comes when it is heard again.
    pub fn set_hearing(&mut self, pair: Pair, from: usize, hearing: Hearing) {
        let Some(reach) = self.air.reach_mut(pair) else { return };
        reach.hearing[usize::from(from == pair.high)] = hearing;
        for id in self.air.cables_of(pair) {
            self.hear_again(id);
        }
        if hearing == Hearing::Clear {
            self.see_each_other(pair);
        }
    }

    /// Sets what a cable's ways hear by its pair's reach.
    fn hear_again(&mut self, id: CableId) {
        let Some(pair) = self.air.cable(id).map(|cable| cable.pair) else { return };
        let hearing = self.air.reach(pair).map_or([Hearing::Silent; 2], |reach| reach.hearing);
        let Some(cable) = self.air.cable_mut(id) else { return };
        for side in 0..2 {
            if let Some(end) = cable.ends[side] {
                cable.ways[side].set_hearing(hearing[usize::from(end.node == pair.high)]);
            }
        }
        self.arm(id);
    }

    pub(super) fn on_supervise(&mut self, id: CableId) {
        let pair = self.air.cable(id).map(|cable| cable.pair);
        if pair.is_some_and(|pair| self.air.reach(pair).is_none()) {
            self.cut(id, &LinkLoss::TimedOut);
        }
    }

    /// Both nodes of a pair see each other within the medium's time.
    fn see_each_other(&mut self, pair: Pair) {
        let within = self.medium(pair.medium).sighted_within;
        for who in [pair.low, pair.high] {
            let at = self.now + self.luck.within(within);
            self.queue.push(at, Due::Sight { who, pair });
        }
    }

    /// A node shows a beacon: whoever is in reach sees it, and is seen.
    pub(super) fn advertise(&mut self, node: usize, medium: u8, beacon: Beacon) {
        self.hosts[node].beacons.insert(medium, beacon);
        self.look_around(node, medium);
    }

    pub(super) fn look_around(&mut self, node: usize, medium: u8) {
        for pair in self.air.pairs_of(node) {
            if pair.medium == medium {
                self.see_each_other(pair);
            }
        }
    }

    pub(super) fn on_sight(&mut self, who: usize, pair: Pair) {
        let other = pair.other(who);
        let Some(reach) = self.air.reach(pair) else { return };
        let hears = reach.hearing[usize::from(other == pair.high)] == Hearing::Clear;
        let shows = &self.hosts[other];
        let (true, State::On) = (hears, shows.state) else { return };
        if let Some(beacon) = shows.beacons.get(&pair.medium).copied() {
            let sighting = Sighting { endpoint: endpoint(other), beacon: Some(beacon) };
            self.tell(who, pair.medium, TransportEvent::Sighted(sighting));
        }
    }

    pub(super) fn on_lose(&mut self, pair: Pair) {
        if self.air.reach(pair).is_none() {
            for (who, other) in [(pair.low, pair.high), (pair.high, pair.low)] {
                self.tell(who, pair.medium, TransportEvent::Lost(endpoint(other)));
            }
        }
    }
}
