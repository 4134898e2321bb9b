//! What neighbours tell of peers: taken, passed on, refused.

use alloc::vec::Vec;

use super::Node;
use crate::advert::{Heard, Offer, Refusal};
use crate::event::Event;
use crate::id::PeerKey;
use crate::time::Instant;
use crate::wire::advert::AdvertKind;
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
                        neighbour.sync.mark(taken.id, taken.new_peer);
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
                if taken.id.kind == AdvertKind::Profile {
                    self.stale.profile(owner);
                }
                self.bus.handle_instance(now, owner, taken.instance);
                if taken.new_peer {
                    self.on_new_peer(now, from, owner);
                }
            }
            Offer::Mine { epoch, sequence, hash, instance } => {
                let version = (epoch, sequence, hash);
                let heard = self.own.on_heard(now, &self.local, version, instance);
                self.on_heard(heard);
            }
            Offer::Refused(refusal) => self.on_refused(now, from, refusal),
            Offer::NoRoom { owner } => {
                self.on_refused(now, from, Refusal::Full);
                self.tell(from, &Control::Full(owner));
            }
            Offer::Busy { .. } => self.counters.adverts_deferred += 1,
            Offer::Known(_) | Offer::Older(_) => {}
        }
    }

    fn on_refused(&mut self, now: Instant, from: PeerKey, refusal: Refusal) {
        self.counters.adverts_refused += 1;
        if self.neighbours.get_mut(&from).is_some_and(|n| n.refused.may_tell(now)) {
            self.outputs.event(Event::AdvertRefused { from, refusal });
        }
    }

    pub(super) fn on_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Nothing => {}
            Heard::Stepped { epoch } => self.outputs.epoch_stepped(epoch),
            Heard::DuplicateKey { instance, epoch } => {
                if let Some(epoch) = epoch {
                    self.outputs.epoch_stepped(epoch);
                }
                self.outputs.event(Event::DuplicateKey { instance });
            }
        }
    }

    /// Reports a peer that has the address of another one. Who told of it may know the other one
    /// as little as this node knew this one: stamps show addresses only.
    fn on_new_peer(&mut self, now: Instant, from: PeerKey, owner: PeerKey) {
        if self.table.reach(&owner).is_some() {
            // A neighbour: its link stood before it told of itself.
            self.database.note_reachable(now, &owner);
        }
        let address = owner.address();
        if !self.database.is_shared(&address) {
            return;
        }
        let holders: Vec<PeerKey> = self.database.holders(&address).to_vec();
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            for (_, id) in self.database.stamps_at(address).filter(|(_, id)| id.owner != owner) {
                neighbour.sync.mark(id, false);
            }
        }
        self.outputs.event(Event::AddressCollision(holders));
    }
}
