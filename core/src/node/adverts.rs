//! What neighbours tell of peers: taken, passed on, refused.

use super::Node;
use crate::advert::{Heard, Offer, Refusal};
use crate::event::Event;
use crate::id::PeerKey;
use crate::time::Instant;
use crate::wire::control::{AdvertCopy, Control};

impl Node {
    pub(super) fn on_advert(&mut self, now: Instant, from: PeerKey, copy: AdvertCopy) {
        let offer = self.database.offer(now, from, copy);
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.sync.on_offer(now, offer);
        }
        match offer {
            Offer::Taken(taken) => {
                for (key, neighbour) in &mut self.neighbours {
                    if *key != from {
                        neighbour.sync.mark(taken.id);
                    }
                }
                let owner = taken.id.owner;
                if taken.new_peer
                    && self.database.profile(&owner).is_none()
                    && let Some(neighbour) = self.neighbours.get_mut(&from)
                {
                    // It may have told the profile long ago, before this node forgot the peer.
                    neighbour.sync.ask_for(now, owner.address());
                }
                self.bus.handle_instance(now, owner, taken.instance);
                if taken.new_peer {
                    self.report_collision(taken.id.owner);
                }
            }
            Offer::Mine { epoch, sequence, hash, instance } => {
                let version = (epoch, sequence, hash);
                let heard = self.own.on_heard(now, &self.local, version, Some(instance));
                self.on_heard(heard);
            }
            Offer::Refused(refusal) => {
                self.counters.adverts_refused += 1;
                if self.neighbours.get_mut(&from).is_some_and(|n| n.refused.may_tell(now)) {
                    self.outputs.event(Event::AdvertRefused { from, refusal });
                }
                if refusal == Refusal::Full {
                    self.tell(from, &Control::Full);
                }
            }
            Offer::Busy { .. } => self.counters.adverts_deferred += 1,
            Offer::Known(_) | Offer::Older(_) => {}
        }
    }

    pub(super) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Stepped { epoch } => self.outputs.epoch_stepped(epoch),
            Heard::DuplicateKey { instance } => {
                self.outputs.event(Event::DuplicateKey { instance });
            }
        }
    }

    fn report_collision(&mut self, owner: PeerKey) {
        let collision = self.database.collisions().find(|peers| peers.contains(&owner));
        if let Some(peers) = collision.map(<[PeerKey]>::to_vec) {
            self.outputs.event(Event::AddressCollision(peers));
        }
    }
}
