//! Links that are dialled on demand: when one pays, and when it is given up (protocol 3.4).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Node;
use super::neighbour::LinkEntry;
use super::usage::Load;
use crate::dial::slots::{self, OwnLink};
use crate::dial::upgrade::{Patience, Present, Pressure};
use crate::id::{LinkId, PeerKey};
use crate::io::{ConnectionType, Power};
use crate::limits::DEMAND_REST;
use crate::link::LinkState;
use crate::time::{Duration, Instant, earliest};
use crate::wire::control::CloseCode;

/// A link that carries more than this part of what its medium promises may be the narrow place of a
/// longer way.
const NARROW_PART: u64 = 2;
/// A link whose unused part is smaller than this part of what its medium promises is full.
const SPARE_PART: u64 = 4;
/// Data of others that came through within this is part of what a link carries now.
const LATELY: Duration = Duration::from_secs(1);

impl Node {
    /// Where this node's power comes from now. On battery a link that is dialled on demand takes
    /// more to be made, and is given up sooner.
    pub fn set_power(&mut self, now: Instant, power: Power) {
        self.power = power;
        self.settle(now);
    }

    fn patience(&self) -> Option<Patience> {
        Patience::of(self.upgrades, self.power).filter(|_| self.dialer.has_on_demand())
    }

    /// A link was pulled, and that left with it. What waits now waits until the next pull, as a link
    /// that can take something is pulled.
    pub(super) fn note_pull(&mut self, now: Instant, link: LinkId, load: Load) {
        let patience = self.patience();
        let Some(entry) = self.links.get_mut(&link) else { return };
        if load != Load::None {
            entry.usage.data_at = now;
        }
        if load == Load::OfOthers {
            entry.usage.relayed_at = Some(now);
        }
        let Some(patience) = patience else { return };
        let neighbour = entry.peer.and_then(|peer| self.neighbours.get(&peer.key));
        let Some(neighbour) = neighbour.filter(|n| n.active() == Some(link)) else {
            entry.usage.pressure = Pressure::default();
            return;
        };
        let rate = entry.link.rate_bytes_per_s(now);
        let promised = entry.cost.rate_bytes_per_s();
        let relays = entry.usage.relayed_at.is_some_and(|at| now.since(at) < LATELY);
        let is_full = relays && rate >= promised - promised / SPARE_PART;
        let waits = is_full
            || !neighbour.relay.is_empty()
            || self.bus.waits(link, rate >= promised / NARROW_PART);
        entry.usage.pressure.note(now, waits, &patience);
    }

    /// Tells the dialer which neighbours a faster link would pay for.
    pub(super) fn mind_upgrades(&mut self, now: Instant) {
        if !self.dialer.has_on_demand() {
            return;
        }
        let mut wanted = BTreeMap::new();
        if let Some(patience) = self.patience() {
            for (peer, neighbour) in &self.neighbours {
                let active = neighbour.active();
                let Some(entry) = active.and_then(|link| self.links.get_mut(&link)) else {
                    continue;
                };
                let pressure = entry.usage.pressure.advanced(now, &patience);
                entry.usage.pressure = pressure;
                // A link in doubt carries nothing: what waits for it says nothing of its rate.
                let Some(link) = active.filter(|_| entry.link.state() == LinkState::Up) else {
                    continue;
                };
                let relayed = u64::try_from(neighbour.relay.bytes()).unwrap_or(u64::MAX);
                let bytes = relayed.saturating_add(self.bus.waiting_bytes(link));
                let rate_bytes_per_s = entry.link.rate_bytes_per_s(now);
                if patience.is_over(pressure.waited(now, &patience), bytes, rate_bytes_per_s) {
                    let cost = entry.cost();
                    wanted.insert(peer.address(), Present { cost, rate_bytes_per_s });
                }
            }
        }
        self.dialer.handle_wanted(&wanted);
    }

    /// Gives up links made on demand that carried no data for a while and that nobody needs. Either
    /// end may: both see the same data, and each has its own power to save.
    pub(super) fn mind_idle_links(&mut self, now: Instant) {
        let due: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(link, entry)| self.idle_at(**link, entry).is_some_and(|at| at <= now))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            if self.is_dispensable(link) {
                self.close(now, link, CloseCode::NotNeeded, DEMAND_REST);
            } else if let Some(entry) = self.links.get_mut(&link) {
                entry.usage.looked_at = now;
            }
        }
    }

    /// When a link is to be looked at, if it carries no data until then.
    fn idle_at(&self, link: LinkId, entry: &LinkEntry) -> Option<Instant> {
        let stands = entry.peer.is_some() && entry.link.state() == LinkState::Up;
        if !stands || !self.dialer.is_on_demand(link.transport) {
            return None;
        }
        Some(entry.usage.data_at.max(entry.usage.looked_at) + self.power.idle())
    }

    /// Whether the peer of a link stays reachable however many links are given up at this moment:
    /// by ways without any link of a transport that is dialled on demand, or because the link is
    /// off the tree that all agree on and nobody breaks. A link whose contest is not settled stays.
    fn is_dispensable(&self, link: LinkId) -> bool {
        let contested = |c: super::neighbour::Contest| c.older == link || c.newer == link;
        if self.neighbours.values().filter_map(|neighbour| neighbour.contest).any(contested) {
            return false;
        }
        let own: PeerKey = self.local.peer_key();
        let links = self.own_links();
        let edges = self.table.edges(&self.database);
        let told = || edges.iter().map(|edge| self.told(edge));
        let all = slots::redundant(own, told(), &links);
        if all.iter().any(|redundant| redundant.link == link && redundant.is_off_tree) {
            return true;
        }
        let on_demand: Vec<&ConnectionType> = self
            .transports
            .iter()
            .filter(|(transport, _)| self.dialer.is_on_demand(**transport))
            .map(|(_, profile)| &profile.kind)
            .collect();
        let lasts = |kind: &ConnectionType| !on_demand.contains(&kind);
        let lasting: Vec<OwnLink<'_>> =
            links.iter().filter(|own| own.link == link || lasts(own.kind)).copied().collect();
        let edges = told().filter(|edge| lasts(edge.kind));
        slots::redundant(own, edges, &lasting).iter().any(|redundant| redundant.link == link)
    }

    /// When to look again whether a link pays or is idle.
    pub(super) fn demand_timeout(&self) -> Option<Instant> {
        if !self.dialer.has_on_demand() {
            return None;
        }
        let looks = self.patience().map(|patience| {
            earliest(self.neighbours.values().map(|neighbour| {
                let entry = self.links.get(&neighbour.active()?)?;
                entry.usage.pressure.next_look(&patience)
            }))
        });
        let idle = earliest(self.links.iter().map(|(link, entry)| self.idle_at(*link, entry)));
        earliest([looks.flatten(), idle])
    }
}
