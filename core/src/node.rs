//! The switchboard: turns one layer's output into the next one's input.
//!
//! No protocol lives here. Links say who is there and what came in; adverts, routes, presence
//! and the Bus answer for themselves; the dialer says whom to dial. After each input the node
//! settles: what changed is told to whoever depends on it.

mod adverts;
mod contest;
mod control;
mod demand;
mod established;
mod forward;
mod hints;
mod links;
mod neighbour;
mod outputs;
mod settle;
mod slots;
mod source;
mod told;
mod trace;
mod usage;
mod views;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use bytes::Bytes;

pub use trace::TraceError;

pub use crate::event::{TraceEnd, TraceEvent, TraceHop, TraceId};
pub use views::LinkView;

use crate::advert::{Database, Own};
use crate::bus::Bus;
use crate::config::NodeConfig;
use crate::counters::Counters;
use crate::crypto::cipher::Ciphers;
use crate::dial::Dialer;
use crate::dial::upgrade::UpgradePolicy;
use crate::entropy::Entropy;
use crate::event::{Event, Output};
use crate::id::{LinkId, PeerKey, TransportId};
use crate::identity::StaticBinding;
use crate::io::{
    Beacon, Input, LinkLoss, Power, TransportCommand, TransportEvent, TransportProfile,
};
use crate::limits::DEVICE_NAME_BYTES_MAX;
use crate::local::Local;
use crate::presence::{Bodies, Presence, body_hash};
use crate::route::Table;
use crate::time::{Duration, Instant, earliest};
use crate::wire::advert::Profile;
use crate::wire::connection_type::cut;
use crate::wire::control::{CloseCode, HintCopy};
use crate::wire::handshake::Versions;
use neighbour::{LinkEntry, Neighbour};
use outputs::Outputs;

/// How often expired adverts are looked for.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);
/// The longest version text in a profile, in bytes.
const SDK_VERSION_BYTES_MAX: usize = 32;

/// One node: the whole protocol, without input or output.
///
/// Feed it with [`Node::handle_input`], carry out what [`Node::poll_output`] gives, pull bytes
/// with [`Node::poll_transmit`] whenever a link can take a chunk, and call with
/// [`Input::Timeout`] when [`Node::next_timeout`] has come. Any order of these is legal.
pub struct Node {
    local: Local,
    entropy: Box<dyn Entropy>,
    transports: BTreeMap<TransportId, TransportProfile>,
    links: BTreeMap<LinkId, LinkEntry>,
    neighbours: BTreeMap<PeerKey, Neighbour>,
    last_close: BTreeMap<(PeerKey, TransportId), crate::link::LinkEnd>,
    dialer: Dialer,
    churns: BTreeMap<TransportId, slots::Churn>,
    /// What each transport tells those of its medium at neighbours.
    hints: BTreeMap<TransportId, HintCopy>,
    /// How many that were in this run.
    hints_told: u64,
    own: Own,
    database: Database,
    table: Table,
    /// The link of the path that each peer's session was told.
    paths: BTreeMap<PeerKey, LinkId>,
    presence: Presence,
    bodies: Bodies,
    bus: Bus,
    traces: trace::Traces,
    outputs: Outputs,
    counters: Counters,
    stale: settle::Stale,
    crowded: Seldom,
    expire_at: Instant,
    /// When this node was called before this time. Its host may have slept since.
    awake_at: Instant,
    upgrades: UpgradePolicy,
    power: Power,
    /// Each link closes with the next bytes that are pulled from it.
    shut_down: bool,
}

/// How often an event is told that outsiders can bring about as often as they like.
const SELDOM: Duration = Duration::from_secs(10);

/// Lets something be told once in a while.
#[derive(Debug, Default)]
struct Seldom {
    told_at: Option<Instant>,
}

impl Seldom {
    fn may_tell(&mut self, now: Instant) -> bool {
        let due = self.told_at.is_none_or(|at| now.since(at) >= SELDOM);
        if due {
            self.told_at = Some(now);
        }
        due
    }
}

impl Node {
    /// A node that starts now.
    #[must_use]
    pub fn new(now: Instant, local: Local, config: NodeConfig, entropy: Box<dyn Entropy>) -> Self {
        let own_key = local.peer_key();
        let mut bodies = Bodies::default();
        let profile = Profile {
            binding: StaticBinding::Converted,
            versions: Versions::OURS,
            abilities: config.abilities.with_ciphers(Ciphers::of(local.aead.as_ref())),
            device_name: cut(&config.device_name, DEVICE_NAME_BYTES_MAX).into(),
            os: config.os,
            sdk_version: cut(&config.sdk_version, SDK_VERSION_BYTES_MAX).into(),
            metadata_hash: body_hash(&config.metadata),
            metadata_bytes: u32::try_from(config.metadata.len()).unwrap_or(u32::MAX),
        };
        bodies.set_own(config.metadata);
        let mut node = Self {
            dialer: Dialer::new(local.address(), local.network.clone()),
            churns: BTreeMap::new(),
            hints: BTreeMap::new(),
            hints_told: 0,
            own: Own::new(now, local.epoch, config.epoch_is_kept, profile),
            database: Database::new(local.network.clone(), own_key)
                .with_verifier(local.verifier.clone()),
            presence: Presence::new(own_key, config.unreachable_grace),
            bus: Bus::new(local.clone(), config.bus),
            local,
            entropy,
            transports: BTreeMap::new(),
            links: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            last_close: BTreeMap::new(),
            table: Table::new(own_key),
            paths: BTreeMap::new(),
            bodies,
            traces: trace::Traces::default(),
            outputs: Outputs::default(),
            counters: Counters::default(),
            stale: settle::Stale::default(),
            crowded: Seldom::default(),
            expire_at: now + EXPIRE_INTERVAL,
            awake_at: now,
            upgrades: config.upgrades,
            power: Power::default(),
            shut_down: false,
        };
        node.settle(now);
        node
    }

    /// Takes a transport in and has it show this node's beacon.
    pub fn add_transport(&mut self, transport: TransportId, profile: TransportProfile) {
        self.dialer.add_transport(transport, profile.clone());
        self.repeat_hints(transport, &profile.kind);
        self.transports.insert(transport, profile);
        let beacon = Beacon::new(&self.local.network, self.local.address(), &mut self.entropy);
        self.outputs.command(transport, TransportCommand::Advertise(beacon));
    }

    /// Lets go of a transport whose driver has ended: its links are lost, and nothing is dialled
    /// there any more. What its driver still says is passed over.
    pub fn remove_transport(&mut self, now: Instant, transport: TransportId) {
        self.withdraw_hint(transport);
        self.transports.remove(&transport);
        self.dialer.remove_transport(transport);
        self.churns.remove(&transport);
        let links: alloc::vec::Vec<LinkId> =
            self.links.keys().filter(|link| link.transport == transport).copied().collect();
        for link in links {
            self.on_link_lost(now, link, LinkLoss::Shutdown);
        }
        self.settle(now);
    }

    /// Takes something that happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Transport { transport, event } => self.on_transport(now, transport, event),
            Input::Timeout => self.on_timeout(now),
        }
        self.settle(now);
        self.awake_at = now;
    }

    fn on_transport(&mut self, now: Instant, transport: TransportId, event: TransportEvent) {
        match event {
            TransportEvent::Sighted(sighting) => {
                self.dialer.handle_sighting(now, &mut self.entropy, transport, sighting);
            }
            TransportEvent::Lost(endpoint) => self.dialer.handle_lost(transport, &endpoint),
            TransportEvent::LinkUp(up) => self.on_link_up(now, up),
            TransportEvent::DialFailed { dial, reason } => {
                let entropy = &mut self.entropy;
                let failed = self.dialer.handle_dial_failed(now, entropy, transport, dial, &reason);
                if let Some(endpoint) = failed {
                    self.outputs.event(Event::DialFailed { transport, endpoint, reason });
                }
            }
            TransportEvent::Received { link, data } => {
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.link.handle_bytes(now, &self.local, &mut self.entropy, data);
                    self.on_link_events(now, link);
                }
            }
            TransportEvent::PacketBytes { link, packet_bytes } => {
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.link.handle_packet_bytes(packet_bytes);
                }
            }
            TransportEvent::Distance { link, distance } => {
                if let Some(entry) = self.links.get_mut(&link) {
                    entry.distance = distance;
                }
            }
            TransportEvent::Hint(hint) => self.on_own_hint(transport, hint),
            TransportEvent::LinkDown { link, reason } => self.on_link_lost(now, link, reason),
            TransportEvent::Condition(condition) => {
                self.outputs.event(Event::Transport(transport, condition));
            }
        }
    }

    fn on_timeout(&mut self, now: Instant) {
        let due: alloc::vec::Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, entry)| entry.link.next_timeout().is_some_and(|at| at <= now))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            if let Some(entry) = self.links.get_mut(&link) {
                entry.link.handle_timeout(now);
                self.on_link_events(now, link);
            }
        }
        for neighbour in self.neighbours.values_mut() {
            neighbour.sync.handle_timeout(now);
        }
        self.judge_contests(now);
        self.bus.handle_timeout(now, &mut self.entropy);
        self.expire_traces(now);
        if now >= self.expire_at {
            self.expire_at = now + EXPIRE_INTERVAL;
            for view in self.table.routes() {
                self.database.note_reachable(now, &view.peer);
                if let Some(neighbour) = self.neighbours.get_mut(&view.route.next_hop) {
                    let missing = self.database.missing_beside(&view.peer);
                    missing.for_each(|address| neighbour.sync.ask_for(now, address));
                }
            }
            self.database.clear_missing();
            self.database.expire(now);
            for (peer, neighbour) in &mut self.neighbours {
                neighbour.sync.forget(&self.database, peer);
            }
        }
    }

    /// The next thing for the host to do or to know.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.poll();
        if let Some(Output::Event(Event::Overflow(lost))) = output {
            self.counters.events_lost += lost;
        }
        // Those of the Bus wait there, where each is owed to somebody and none is ever lost.
        output.or_else(|| self.bus.poll_event().map(|event| Output::Event(Event::Bus(event))))
    }

    /// The next bytes to send on a link; `None` when there are none. To be called when the
    /// link's driver can take a chunk.
    pub fn poll_transmit(&mut self, now: Instant, link: LinkId) -> Option<Bytes> {
        let mut bytes = self.pull(now, link);
        if self.shut_down {
            // The sessions have said goodbye with that.
            self.close(now, link, CloseCode::Shutdown, Duration::ZERO);
            bytes = bytes.or_else(|| self.pull(now, link));
        }
        if bytes.is_some() || self.shut_down {
            // Pulling changes nothing that others depend on, unless the link ended with it.
            if self.on_link_events(now, link) {
                self.settle(now);
            }
        }
        bytes
    }

    /// When to call [`Node::handle_input`] with [`Input::Timeout`].
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let links = self.links.values().map(|entry| entry.link.next_timeout());
        let contests = self.neighbours.values().map(|n| n.contest.map(|contest| contest.deadline));
        let syncs = self.neighbours.values().map(|neighbour| neighbour.sync.next_timeout());
        earliest(links.chain(contests).chain(syncs).chain([
            self.own.next_timeout(),
            self.presence.next_timeout(),
            self.bodies.next_timeout(),
            self.bus.next_timeout(),
            self.traces.next_timeout(),
            self.dialer.next_timeout(),
            self.demand_timeout(),
            earliest(self.churns.values().map(slots::Churn::next_timeout)),
            self.stale.next_timeout(&self.table),
            Some(self.expire_at),
        ]))
    }

    /// Lets the caller use the Bus. Nothing but the Bus's own events follows from a call on it.
    pub fn with_bus<R>(
        &mut self,
        _now: Instant,
        call: impl FnOnce(&mut Bus, &mut dyn Entropy) -> R,
    ) -> R {
        call(&mut self.bus, &mut self.entropy)
    }

    /// Changes this node's metadata: JSON that the host has checked; empty for none.
    pub fn set_metadata(&mut self, now: Instant, body: Bytes) {
        let mut profile = self.own.profile().clone();
        profile.metadata_hash = body_hash(&body);
        profile.metadata_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.bodies.set_own(body);
        self.own.set_profile(now, profile);
        self.stale.presence();
        self.settle(now);
    }

    /// Changes this node's device name; cut at 63 bytes.
    pub fn set_device_name(&mut self, now: Instant, name: &str) {
        let mut profile = self.own.profile().clone();
        profile.device_name = cut(name, DEVICE_NAME_BYTES_MAX).into();
        self.own.set_profile(now, profile);
        self.settle(now);
    }

    /// Says goodbye on every session and link. Pull the last bytes, then drop the node: a link
    /// closes when it is pulled, as what the sessions have to say goes ahead.
    pub fn shutdown(&mut self, now: Instant) {
        self.shut_down = true;
        self.bus.close(now);
        self.settle(now);
    }

    /// This node.
    #[must_use]
    pub fn local(&self) -> &Local {
        &self.local
    }
}

#[cfg(test)]
mod tests;
