//! A link whose handshake showed who is there: whether it stays, and what it brings.

use super::Node;
use super::neighbour::{CONTEST, Contest, LinkPeer, Neighbour};
use crate::event::Event;
use crate::id::LinkId;
use crate::link::{Established, LinkState};
use crate::time::{Duration, Instant};
use crate::wire::control::{CloseCode, Control, Want};

impl Node {
    pub(super) fn on_established(&mut self, now: Instant, link: LinkId, established: Established) {
        let hello = &established.hello;
        let (key, instance) = (hello.peer_key, hello.instance);
        if key == self.local.peer_key() {
            if instance != self.local.instance {
                self.outputs.event(Event::DuplicateKey { instance: Some(instance) });
            }
            self.close(now, link, CloseCode::Myself, Duration::ZERO);
            return;
        }
        let rivals = self.links_of(key).filter(|(other, _)| other.transport == link.transport);
        // One that is closing is gone in a moment: the newcomer competes with the one that stays.
        let rival = rivals.min_by_key(|(_, entry)| entry.link.state() == LinkState::Closed);
        let rival = rival.map(|(other, _)| other);
        if self
            .neighbours
            .get(&key)
            .is_some_and(|n| n.instance == instance && rival.is_some() && n.contest.is_some())
        {
            // Two links stand already and one of them goes: a third one has no case.
            self.close(now, link, CloseCode::Duplicate, Duration::ZERO);
            return;
        }
        // A peer that stands here already, be it in a former run, has its slot.
        if rival.is_none()
            && let Err(retry_after) = self.seat(now, link, hello)
        {
            self.turn_away(now, link, retry_after);
            return;
        }
        if self.neighbours.get(&key).is_some_and(|known| known.instance != instance) {
            // The peer has restarted: what stood before belongs to its past.
            let past: alloc::vec::Vec<_> = self.links_of(key).map(|(past, _)| past).collect();
            for past in past {
                self.close(now, past, CloseCode::Replaced, Duration::ZERO);
                self.forget_link(now, past);
            }
        }
        let Some(entry) = self.links.get_mut(&link) else { return };
        let payload_bytes_max = established.payload_bytes_max;
        let hash = established.hash;
        let address = key.address();
        entry.peer = Some(LinkPeer { key, address, instance, hash, payload_bytes_max });
        let endpoint = entry.endpoint.clone();
        self.outputs.event(Event::LinkUp { link, peer: key, endpoint });
        let orders = self.dialer.handle_established(now, link.transport, link, key);
        self.order(orders);
        let neighbour = self.neighbours.entry(key).or_insert_with(|| Neighbour::new(instance));
        neighbour.links.push(link);
        if let Some(older) = rival.filter(|older| neighbour.links.contains(older)) {
            let deadline = now + CONTEST;
            neighbour.contest = Some(Contest { older, newer: link, since: now, deadline });
            if let Some(older) = self.links.get_mut(&older) {
                older.link.probe();
            }
        }
        self.rank_links(key);
        self.stale.links(now);
        self.owe_hints(key);
        self.own.on_run(now, address, instance);
        if self.own.on_neighbour(now) {
            self.tell(key, &Control::Want(Want::all_of(self.local.address())));
        }
    }

    /// There is no slot for a newcomer.
    fn turn_away(&mut self, now: Instant, link: LinkId, retry_after: Duration) {
        if let Some(entry) = self.links.get(&link).filter(|entry| !entry.dialled) {
            self.counters.turned_away += 1;
            let endpoint = entry.endpoint.clone();
            self.outputs.event(Event::TurnedAway { transport: link.transport, endpoint });
        }
        self.close(now, link, CloseCode::AtCapacity, retry_after);
    }
}
