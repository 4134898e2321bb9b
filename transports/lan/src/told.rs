//! What neighbours tell of where they listen, and what of it the node hears.
//!
//! Pure: nothing here listens, dials or looks at the clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use hedgerow_driver::{Beacon, Endpoint, Hint, PeerKey, may_be_of};
use tokio::time::Instant;
use tracing::debug;

use crate::endpoint;
use crate::hint::{self, InvalidHint, Whereabouts, is_tellable};
use crate::survey::Network;

/// Neighbours whose hints are remembered.
pub(crate) const NEIGHBOURS_MAX: usize = 64;
/// The hints of one neighbour are taken no faster: what it makes up costs strangers so many dials.
const TAKE_EVERY: Duration = Duration::from_secs(10);
/// So many dials in vain, none long after the one before, and an address rests; after each further
/// one twice as long.
const FAILURES_MAX: u32 = 3;
const FAILURE_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
const REST_MIN: Duration = Duration::from_secs(60);
const REST_DOUBLINGS_MAX: u32 = 4;
/// Addresses whose failures are remembered: all that can be told at once.
const FAILED_MAX: usize = NEIGHBOURS_MAX * hint::ADDRESSES_MAX;

/// The newest hint of each neighbour; none is empty.
pub(crate) type Heard = BTreeMap<PeerKey, Hint>;

/// Puts a neighbour's newest hint; says whether that is news.
pub(crate) fn hear(heard: &mut Heard, from: PeerKey, hint: Hint) -> bool {
    if hint.is_empty() {
        return heard.remove(&from).is_some();
    }
    if heard.len() >= NEIGHBOURS_MAX && !heard.contains_key(&from) {
        debug!(%from, "too many neighbours tell where they listen, this one is passed over");
        return false;
    }
    heard.insert(from, hint.clone()) != Some(hint)
}

/// This machine, as far as its addresses say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// The networks of the interfaces whose addresses are told.
    pub(crate) networks: Vec<Network>,
    /// Where it listens.
    pub(crate) listening: Vec<SocketAddr>,
}

impl Own {
    /// Whether a dial there would lead to this node.
    fn listens_on(&self, address: SocketAddr) -> bool {
        let is_it = |own: &SocketAddr| {
            own.port() == address.port()
                && own.is_ipv4() == address.is_ipv4()
                && (own.ip() == address.ip() || own.ip().is_unspecified())
        };
        let is_here = self.networks.iter().any(|network| network.ip == address.ip());
        is_here && self.listening.iter().any(is_it)
    }

    fn may_dial(&self, address: SocketAddr) -> bool {
        let is_broadcast = self.networks.iter().any(|network| network.has_broadcast(address.ip()));
        is_tellable(address.ip()) && !is_broadcast && !self.listens_on(address)
    }

    fn reaches(&self, address: SocketAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address.ip()))
    }
}

/// The addresses that neighbours tell. Of two that tell the same one, the one that has told
/// something for longer counts.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Endpoints that a person configured: nobody else says whose they are.
    configured: HashSet<Endpoint>,
    /// Who came first stands first.
    neighbours: Vec<Neighbour>,
    failed: HashMap<Endpoint, Failed>,
    /// What the node heard.
    shown: HashMap<Endpoint, Beacon>,
}

#[derive(Debug)]
struct Neighbour {
    key: PeerKey,
    newest: Hint,
    /// The one that counts, and since when.
    taken: Hint,
    taken_at: Option<Instant>,
    says: Option<Whereabouts>,
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    count: u32,
}

impl Failed {
    fn rests_until(&self) -> Instant {
        match self.count.checked_sub(FAILURES_MAX) {
            Some(more) => self.at + REST_MIN * (1 << more.min(REST_DOUBLINGS_MAX)),
            None => self.at,
        }
    }

    fn is_resting(&self, now: Instant) -> bool {
        now < self.rests_until()
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.rests_until() + FAILURE_FORGOTTEN_AFTER <= now
    }
}

impl Neighbour {
    fn new(key: PeerKey) -> Self {
        let (newest, taken) = (Hint::default(), Hint::default());
        Self { key, newest, taken, taken_at: None, says: None }
    }

    fn may_take_at(&self) -> Option<Instant> {
        self.taken_at.map(|at| at + TAKE_EVERY)
    }

    /// Takes the newest hint if it is time to; what a neighbour takes back is taken at once.
    fn take(&mut self, now: Instant) {
        let is_time = self.may_take_at().is_none_or(|at| at <= now);
        if self.newest == self.taken || !(is_time || self.newest.is_empty()) {
            return;
        }
        self.taken = self.newest.clone();
        self.says = None;
        if self.taken.is_empty() {
            return;
        }
        self.taken_at = Some(now);
        match hint::decode(self.taken.as_bytes()) {
            Ok(says) if may_be_of(&says.beacon, &self.key) => self.says = Some(says),
            Ok(_) => debug!(from = %self.key, "a hint with the beacon of another peer"),
            Err(InvalidHint::Form) => debug!(from = %self.key, "a hint of another version"),
            Err(error) => debug!(from = %self.key, %error, "not a hint"),
        }
    }

    /// Whether it says nothing, and has said nothing lately.
    fn is_over(&self, now: Instant) -> bool {
        let is_silent = self.newest.is_empty() && self.taken.is_empty();
        is_silent && self.may_take_at().is_none_or(|at| at <= now)
    }
}

impl Told {
    /// With the peers that a person configured. Names are left to the resolver.
    pub(crate) fn new(configured: &[String]) -> Self {
        let address = |text: &String| text.parse::<SocketAddr>().ok();
        let endpoint = |address: SocketAddr| Endpoint::new(&address.to_string());
        let configured = configured.iter().filter_map(address).map(endpoint).collect();
        Self { configured, ..Self::default() }
    }

    /// Whose an endpoint is, as the node heard.
    pub(crate) fn beacon_of(&self, endpoint: &Endpoint) -> Option<Beacon> {
        self.shown.get(endpoint).copied()
    }

    /// What neighbours say now, on this machine: what has changed, with the most promising endpoint
    /// of a neighbour first; `None` for an endpoint that nobody tells any more.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        heard: &Heard,
        own: &Own,
    ) -> Vec<(Endpoint, Option<Beacon>)> {
        self.take(now, heard);
        let told = self.told(now, own);
        let mut shown = HashMap::new();
        let mut changes = Vec::new();
        for (endpoint, beacon) in told {
            if shown.contains_key(&endpoint) {
                continue;
            }
            if self.shown.get(&endpoint) != Some(&beacon) {
                changes.push((endpoint.clone(), Some(beacon)));
            }
            shown.insert(endpoint, beacon);
        }
        let gone = self.shown.keys().filter(|endpoint| !shown.contains_key(endpoint));
        changes.extend(gone.map(|endpoint| (endpoint.clone(), None)));
        self.shown = shown;
        changes
    }

    fn take(&mut self, now: Instant, heard: &Heard) {
        for neighbour in &mut self.neighbours {
            neighbour.newest = heard.get(&neighbour.key).cloned().unwrap_or_default();
        }
        self.neighbours.retain(|neighbour| !neighbour.is_over(now));
        for (key, hint) in heard {
            let is_known = self.neighbours.iter().any(|neighbour| neighbour.key == *key);
            if !is_known && self.neighbours.len() < NEIGHBOURS_MAX {
                self.neighbours.push(Neighbour { newest: hint.clone(), ..Neighbour::new(*key) });
            }
        }
        self.neighbours.iter_mut().for_each(|neighbour| neighbour.take(now));
    }

    /// All that may be dialled, in order: what is on an own network of this machine first. Without
    /// a network nothing can be.
    fn told(&self, now: Instant, own: &Own) -> Vec<(Endpoint, Beacon)> {
        if own.networks.is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        for says in self.neighbours.iter().filter_map(|neighbour| neighbour.says.as_ref()) {
            let mut addresses = says.addresses.clone();
            addresses.retain(|address| own.may_dial(*address));
            addresses.sort_by_key(|address| !own.reaches(*address));
            let endpoints = addresses.into_iter().filter_map(|a| endpoint::of(a.ip(), 0, a.port()));
            all.extend(endpoints.map(|endpoint| (endpoint, says.beacon)));
        }
        let rests =
            |endpoint: &Endpoint| self.failed.get(endpoint).is_some_and(|f| f.is_resting(now));
        all.retain(|(endpoint, _)| !self.configured.contains(endpoint) && !rests(endpoint));
        all
    }

    /// A dial found nobody there. Says whether the endpoint rests from now on.
    pub(crate) fn on_failure(&mut self, now: Instant, endpoint: &Endpoint) -> bool {
        self.failed.retain(|_, failed| !failed.is_forgotten(now));
        let has_room = self.failed.len() < FAILED_MAX || self.failed.contains_key(endpoint);
        if !self.shown.contains_key(endpoint) || !has_room {
            return false;
        }
        let failed = self.failed.entry(endpoint.clone()).or_insert(Failed { at: now, count: 0 });
        failed.count = failed.count.saturating_add(1);
        failed.at = now;
        failed.is_resting(now)
    }

    /// This machine is on other networks now: what was not reached may be.
    pub(crate) fn on_networks(&mut self) {
        self.failed.clear();
    }

    /// When [`Told::update`] may say something else without further input.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.neighbours.iter().filter(|n| n.newest != n.taken || n.taken.is_empty());
        let rests = self.failed.values().filter(|f| f.is_resting(now)).map(Failed::rests_until);
        waiting.filter_map(Neighbour::may_take_at).chain(rests).min()
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::id::Address;
    use hedgerow_core::identity::Identity;

    use hedgerow_driver::BeaconIdentity;

    use super::*;

    fn key(number: u8) -> PeerKey {
        let seed = |first: u8| [[first].as_slice(), &[number; 31]].concat().try_into().unwrap();
        // Not every seed makes a usable key.
        let made = (0..=u8::MAX).find_map(|first| Identity::from_seed(&seed(first)).ok());
        made.unwrap().peer_key()
    }

    fn beacon(address: Address) -> Beacon {
        Beacon { lowest: 1, highest: 1, identity: BeaconIdentity::Open { tag: [7; 4], address } }
    }

    fn hint(of: PeerKey, addresses: &[&str]) -> Hint {
        let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        hint::encode(&beacon(of.address()), &addresses)
    }

    fn own() -> Own {
        let network = |ip: &str, prefix_bits| Network { ip: ip.parse().unwrap(), prefix_bits };
        let networks = vec![network("10.77.0.1", 24), network("fd77::1", 64)];
        let listening = vec!["[::]:4040".parse().unwrap(), "0.0.0.0:4040".parse().unwrap()];
        Own { networks, listening }
    }

    /// A driver that hears hints, and what it tells the node of them: `+` and `-`.
    struct World {
        told: Told,
        heard: Heard,
        own: Own,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let told = Told::new(&["10.77.0.9:4040".to_owned(), "node.example:1".to_owned()]);
            Self { told, heard: Heard::new(), own: own(), now: Instant::now() }
        }

        fn hear(&mut self, from: u8, addresses: &[&str]) -> Vec<String> {
            hear(&mut self.heard, key(from), hint(key(from), addresses));
            self.look()
        }

        fn look(&mut self) -> Vec<String> {
            let changes = self.told.update(self.now, &self.heard, &self.own);
            let mut texts: Vec<String> = Vec::new();
            for (endpoint, beacon) in changes {
                texts.push(format!("{}{endpoint}", if beacon.is_some() { '+' } else { '-' }));
            }
            texts
        }

        fn after(&mut self, wait: Duration) -> Vec<String> {
            self.now += wait;
            self.look()
        }

        fn owner(&self, endpoint: &str) -> Option<Beacon> {
            self.told.beacon_of(&Endpoint::new(endpoint))
        }
    }

    #[test]
    fn what_is_told_is_sighted_and_what_is_told_no_more_is_lost() {
        let mut world = World::new();
        assert_eq!(
            world.hear(1, &["10.77.0.2:1", "10.77.0.3:1"]),
            ["+10.77.0.2:1", "+10.77.0.3:1"]
        );
        assert_eq!(world.owner("10.77.0.2:1"), Some(beacon(key(1).address())));
        world.now += TAKE_EVERY;
        assert_eq!(
            world.hear(1, &["10.77.0.3:1", "10.77.0.4:1"]),
            ["+10.77.0.4:1", "-10.77.0.2:1"]
        );
        let mut lost = world.hear(1, &[]);
        lost.sort();
        assert_eq!(lost, ["-10.77.0.3:1", "-10.77.0.4:1"]);
        assert_eq!(world.after(TAKE_EVERY), [""; 0]);
        assert!(world.told.neighbours.is_empty() && world.told.next_due(world.now).is_none());
    }

    #[test]
    fn own_networks_come_first_and_without_one_nobody_is_dialled() {
        let mut world = World::new();
        world.own = Own::default();
        assert_eq!(world.hear(1, &["192.0.2.7:1", "[fd77::7]:1", "10.77.0.2:1"]), [""; 0]);
        world.own = own();
        assert_eq!(world.look(), ["+[fd77::7]:1", "+10.77.0.2:1", "+192.0.2.7:1"]);
        world.own = Own::default();
        assert_eq!(world.look().len(), 3, "all are lost");
    }

    #[test]
    fn what_no_machine_or_every_machine_has_is_never_dialled() {
        let mut world = World::new();
        let never = [
            "127.0.0.1:1",
            "[::ffff:127.0.0.1]:1",
            "[::1]:1",
            "0.0.0.0:1",
            "224.0.0.251:1",
            "255.255.255.255:1",
            "10.77.0.255:1",
            "169.254.0.7:1",
            "[fe80::7]:1",
            "[ff02::1]:1",
            "10.77.0.2:0",
            "10.77.0.1:4040",
            "[fd77::1]:4040",
        ];
        assert_eq!(world.hear(1, &never), [""; 0]);
        assert_eq!(world.hear(2, &["10.77.0.1:4041"]), ["+10.77.0.1:4041"], "another node here");
    }

    #[test]
    fn who_tells_an_address_first_keeps_it_and_a_configured_one_is_nobodys() {
        let mut world = World::new();
        assert_eq!(world.hear(2, &["10.77.0.2:1", "10.77.0.9:4040"]), ["+10.77.0.2:1"]);
        assert_eq!(world.hear(1, &["10.77.0.2:1"]), [""; 0]);
        assert_eq!(world.owner("10.77.0.2:1"), Some(beacon(key(2).address())));
        assert_eq!(world.hear(2, &[]), ["+10.77.0.2:1"], "of the other one from now on");
        assert_eq!(world.owner("10.77.0.2:1"), Some(beacon(key(1).address())));
        assert_eq!(world.hear(1, &[]), ["-10.77.0.2:1"]);
    }

    #[test]
    fn a_beacon_of_another_peer_and_garbage_say_nothing_and_take_back_what_was_said() {
        let mut world = World::new();
        hear(&mut world.heard, key(1), hint(key(2), &["10.77.0.2:1"]));
        assert_eq!(world.look(), [""; 0]);
        world.now += TAKE_EVERY;
        assert_eq!(world.hear(1, &["10.77.0.2:1"]), ["+10.77.0.2:1"]);
        world.now += TAKE_EVERY;
        hear(&mut world.heard, key(1), Hint::new(b"garbage").unwrap());
        assert_eq!(world.look(), ["-10.77.0.2:1"]);
    }

    #[test]
    fn a_stream_of_hints_is_looked_at_now_and_then_and_the_newest_counts() {
        let mut world = World::new();
        assert_eq!(world.hear(1, &["10.77.0.2:1"]), ["+10.77.0.2:1"]);
        for port in 1..100 {
            assert_eq!(world.hear(1, &[&format!("192.0.2.7:{port}")]), [""; 0]);
        }
        let due = world.told.next_due(world.now);
        assert_eq!(due, Some(world.now + TAKE_EVERY));
        // Who is silent for a moment, or gone, gains nothing by it.
        assert_eq!(world.hear(1, &[]), ["-10.77.0.2:1"]);
        assert_eq!(world.hear(1, &["192.0.2.8:1"]), [""; 0]);
        assert_eq!(world.after(TAKE_EVERY / 2), [""; 0]);
        assert_eq!(world.after(TAKE_EVERY / 2), ["+192.0.2.8:1"]);
    }

    #[test]
    fn so_many_neighbours_are_remembered_and_the_next_when_one_is_gone() {
        let mut world = World::new();
        let of = |number: u8| format!("10.77.0.2:{}", 1 + u16::from(number));
        let last = u8::try_from(NEIGHBOURS_MAX).unwrap();
        for number in 0..last {
            assert_eq!(world.hear(number, &[&of(number)]).len(), 1);
        }
        assert_eq!(world.hear(last, &[&of(last)]), [""; 0]);
        assert_eq!(world.heard.len(), NEIGHBOURS_MAX);
        world.hear(0, &[]);
        assert_eq!(world.hear(last, &[&of(last)]), [""; 0], "the place is not free at once");
        assert_eq!(world.after(TAKE_EVERY), [format!("+{}", of(last))]);
        assert_eq!(world.told.neighbours.len(), NEIGHBOURS_MAX);
    }

    #[test]
    fn an_address_that_is_not_reached_rests_whoever_tells_it_and_however_often() {
        let mut world = World::new();
        world.hear(1, &["10.77.0.2:1"]);
        let endpoint = Endpoint::new("10.77.0.2:1");
        assert!(!world.told.on_failure(world.now, &endpoint));
        assert!(!world.told.on_failure(world.now, &endpoint));
        // A failure long ago does not count.
        world.now += FAILURE_FORGOTTEN_AFTER;
        for _ in 1..FAILURES_MAX {
            assert!(!world.told.on_failure(world.now, &endpoint));
        }
        assert!(world.told.on_failure(world.now, &endpoint));
        assert_eq!(world.look(), ["-10.77.0.2:1"]);
        assert!(!world.told.on_failure(world.now, &endpoint), "it is not dialled");
        let rested = world.now + REST_MIN;
        assert_eq!(world.told.next_due(world.now), Some(rested));
        world.now += TAKE_EVERY;
        assert_eq!(world.hear(2, &["10.77.0.2:1"]), [""; 0]);
        world.hear(1, &[]);
        assert_eq!(world.hear(1, &["10.77.0.2:1"]), [""; 0]);
        world.now = rested;
        assert_eq!(world.look(), ["+10.77.0.2:1"]);
        // It is tried once more, and rests twice as long; at last for 16 minutes.
        for rest_min in [2, 4, 8, 16, 16] {
            assert!(world.told.on_failure(world.now, &endpoint));
            assert_eq!(world.look(), ["-10.77.0.2:1"]);
            assert_eq!(world.told.next_due(world.now), Some(world.now + rest_min * REST_MIN));
            assert_eq!(world.after(rest_min * REST_MIN), ["+10.77.0.2:1"]);
        }
        world.now += FAILURE_FORGOTTEN_AFTER;
        assert!(!world.told.on_failure(world.now, &endpoint), "as the first one");
    }

    #[test]
    fn on_another_network_what_rests_is_tried_again() {
        let mut world = World::new();
        world.hear(1, &["192.0.2.7:1"]);
        for _ in 0..FAILURES_MAX {
            world.told.on_failure(world.now, &Endpoint::new("192.0.2.7:1"));
        }
        assert_eq!(world.look(), ["-192.0.2.7:1"]);
        world.told.on_networks();
        assert_eq!(world.look(), ["+192.0.2.7:1"]);
    }
}
