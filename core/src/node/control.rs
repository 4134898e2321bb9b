//! Control messages: to whom each goes.

use super::Node;
use super::neighbour::Neighbour;
use crate::id::{LinkId, PeerKey};
use crate::time::Instant;
use crate::wire::control::{Control, Want};

impl Node {
    pub(super) fn on_control(&mut self, now: Instant, link: LinkId, message: Control) {
        let Some(peer) = self.links.get(&link).and_then(|entry| entry.peer) else { return };
        let Some(neighbour) = self.neighbours.get_mut(&peer.key) else { return };
        match message {
            Control::Ranges(ranges) => {
                let (own, sync) = (self.local.address(), &mut neighbour.sync);
                let mine = sync.on_ranges(now, &self.database, own, &peer.hash, &ranges);
                // A stamp proves nothing; the signed advert behind it does.
                if mine.iter().any(|stamp| self.own.is_below(stamp)) {
                    self.tell(peer.key, &Control::Want(Want::all_of(own)));
                }
            }
            Control::Advert(copy) => self.on_advert(now, peer.key, copy),
            Control::Want(want) => neighbour.sync.on_want(&self.database, &want),
            Control::Hint(copy) => self.on_hint(peer.key, copy),
            Control::Full(owner) => neighbour.sync.on_full(owner),
            Control::BodyWant(want) => {
                if !self.bodies.on_want(peer.key, &want) {
                    self.tell(peer.key, &Control::BodyMiss(want.hash));
                }
            }
            Control::BodyChunk(chunk) => {
                if let Some(waiting) = self.bodies.on_chunk(now, &chunk) {
                    for neighbour in waiting {
                        self.tell(neighbour, &Control::BodyHave(chunk.hash));
                    }
                    self.stale.presence();
                }
            }
            Control::BodyHave(hash) => self.bodies.on_have(now, &hash),
            // The question is asked again after a while, or when the neighbour says it has it.
            Control::BodyMiss(_) => {}
            Control::Keepalive(_) | Control::Close(_) => {
                unreachable!("keepalives and closes stay inside the link")
            }
        }
    }

    /// Sends a control message to a neighbour over the link that carries data.
    pub(super) fn tell(&mut self, neighbour: PeerKey, message: &Control) {
        let link = self.neighbours.get(&neighbour).and_then(Neighbour::active);
        let entry = link.and_then(|link| self.links.get_mut(&link));
        if !entry.is_some_and(|entry| entry.link.send_control(message)) {
            self.counters.control_dropped += 1;
        }
    }
}
