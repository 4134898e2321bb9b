//! Who is near and cannot join: nodes of other networks, with another secret, or that speak
//! another version. A user with a wrong secret sees nothing else of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hedgerow_core::id::{LinkId, TransportId};
use hedgerow_core::io::{
    Beacon, BeaconIdentity, ConnectionType, Endpoint, LinkOrigin, LinkUp, Sighting,
};
use hedgerow_core::link::LinkEnd;
use hedgerow_core::network::Network;
use hedgerow_core::time::Instant;

use crate::links::Stranger;

/// Strangers remembered; of more, the one that was quiet longest is forgotten.
const STRANGERS_MAX: usize = 64;

/// Strangers told to the log in this time; the rest is counted.
const TOLD_MAX: usize = STRANGERS_MAX;
const TOLD_WITHIN: Duration = Duration::from_secs(3_600);

/// The strangers that this node met.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// By place and reason: two at one place that cannot join for different reasons do not
    /// fill the log by turns.
    known: BTreeMap<(Place, String), Met>,
    /// Links that this node dialled and whose handshake is under way.
    dialled: BTreeSet<LinkId>,
    /// Strangers told to the log since then.
    told: usize,
    told_since: Option<Instant>,
}

/// What tells one stranger from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// By what it shows: one node shows one beacon at all of its addresses.
    Beacon(String),
    /// By where it was dialled, or for one that came, its host: it dials from another port each
    /// time.
    At(String),
}

#[derive(Debug)]
struct Met {
    transport: TransportId,
    endpoint: Endpoint,
    count: u64,
    last: Instant,
}

impl Strangers {
    pub(super) fn on_link_up(&mut self, up: &LinkUp) {
        if let LinkOrigin::Dialled(_) = up.origin {
            self.dialled.insert(up.link);
        }
    }

    /// The handshake showed somebody who belongs here.
    pub(super) fn on_established(&mut self, link: LinkId, endpoint: &Endpoint) {
        self.dialled.remove(&link);
        let here = [endpoint.as_str(), endpoint.host()];
        self.known.retain(|(place, _), _| match place {
            Place::At(at) => !here.contains(&at.as_str()),
            Place::Beacon(_) => true,
        });
    }

    /// A link ended; without a peer, its handshake had not been done.
    pub(super) fn on_link_down(
        &mut self,
        now: Instant,
        link: LinkId,
        was_up: bool,
        endpoint: &Endpoint,
        end: &LinkEnd,
    ) {
        let dialled = self.dialled.remove(&link);
        let LinkEnd::Handshake(failure) = end else { return };
        if was_up {
            return;
        }
        // Who dials comes from another port each time.
        let place = if dialled { endpoint.as_str() } else { endpoint.host() };
        let place = Place::At(place.to_owned());
        self.note(now, (place, failure.to_string()), link.transport, endpoint);
    }

    /// Somebody shows a beacon; members of this network are none of ours. Returns why it cannot
    /// join if that is news for the log.
    pub(super) fn on_sighting(
        &mut self,
        now: Instant,
        network: &Network,
        transport: TransportId,
        sighting: &Sighting,
    ) -> Option<&'static str> {
        let beacon = sighting.beacon.as_ref()?;
        if beacon.address_in(network).is_some() {
            return None;
        }
        let reason = why(beacon, network);
        let key = (Place::Beacon(beacon.label()), reason.to_owned());
        let is_new = self.note(now, key, transport, &sighting.endpoint);
        (is_new && self.may_tell(now)).then_some(reason)
    }

    /// Whether the log takes another one. Who comes, goes and comes again, or takes a new name
    /// each time, must not fill it.
    fn may_tell(&mut self, now: Instant) -> bool {
        if self.told_since.is_none_or(|since| now.since(since) >= TOLD_WITHIN) {
            (self.told_since, self.told) = (Some(now), 0);
        }
        self.told += 1;
        self.told <= TOLD_MAX
    }

    /// The core's events were lost, and with them the ends of some links.
    pub(super) fn on_overflow(&mut self, is_up: impl Fn(&LinkId) -> bool) {
        self.dialled.retain(is_up);
    }

    /// Somebody shows no beacon any more.
    pub(super) fn on_lost(&mut self, endpoint: &Endpoint) {
        let is_lost = |place: &Place, met: &Met| {
            matches!(place, Place::Beacon(_)) && met.endpoint == *endpoint
        };
        self.known.retain(|(place, _), met| !is_lost(place, met));
    }

    /// A driver has ended: nobody says any more who shows a beacon there.
    pub(super) fn on_transport_gone(&mut self, transport: TransportId) {
        self.known.retain(|(place, _), met| {
            met.transport != transport || !matches!(place, Place::Beacon(_))
        });
    }

    /// Counts a stranger; whether it is a new one, to be told.
    fn note(
        &mut self,
        now: Instant,
        key: (Place, String),
        transport: TransportId,
        endpoint: &Endpoint,
    ) -> bool {
        if let Some(met) = self.known.get_mut(&key) {
            met.count += 1;
            met.last = now;
            // Of the addresses of one beacon the shortest is the one that people know; who
            // comes again is shown where it was last.
            let is_tried = matches!(key.0, Place::At(_));
            if is_tried || endpoint.as_str().len() < met.endpoint.as_str().len() {
                met.endpoint = endpoint.clone();
            }
            return false;
        }
        if self.known.len() >= STRANGERS_MAX {
            self.forget_quietest();
        }
        self.known.insert(key, Met { transport, endpoint: endpoint.clone(), count: 1, last: now });
        true
    }

    fn forget_quietest(&mut self) {
        let quietest = self.known.iter().min_by_key(|(_, met)| met.last);
        if let Some(key) = quietest.map(|(key, _)| key.clone()) {
            self.known.remove(&key);
        }
    }

    /// All of them; `kind` tells the medium of a transport.
    pub(super) fn view(
        &self,
        now: Instant,
        kind: impl Fn(TransportId) -> ConnectionType,
    ) -> Vec<Stranger> {
        let view = |((place, reason), met): (&(Place, String), &Met)| Stranger {
            transport: kind(met.transport),
            endpoint: met.endpoint.to_string(),
            reason: reason.clone(),
            count: met.count,
            last_seen: now.since(met.last),
            tried: matches!(place, Place::At(_)),
        };
        self.known.iter().map(view).collect()
    }
}

fn why(beacon: &Beacon, network: &Network) -> &'static str {
    match (beacon.identity, network.is_open()) {
        (BeaconIdentity::Open { .. }, true) => {
            "it is in another network; if it belongs here, give both the same network name"
        }
        (BeaconIdentity::Open { .. }, false) => {
            "its network is open, this one is closed; if it belongs here, give it the secret"
        }
        (BeaconIdentity::Closed { .. }, true) => {
            "its network is closed, this one is open; if this node belongs there, give it the \
             secret with --secret-file"
        }
        (BeaconIdentity::Closed { .. }, false) => {
            "it is in another network or has another secret; if it belongs here, give both the \
             same secret and network name"
        }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::id::Address;
    use hedgerow_core::link::HandshakeFailure;
    use hedgerow_core::network::NetworkSecret;

    use super::*;
    use crate::runtime::Entropic;

    fn at(seconds: u64) -> Instant {
        Instant::EPOCH + Duration::from_secs(seconds)
    }

    fn link(number: u64) -> LinkId {
        LinkId { transport: TransportId(0), number }
    }

    fn view(strangers: &Strangers, seconds: u64) -> Vec<Stranger> {
        strangers.view(at(seconds), |_| ConnectionType::other("Wire"))
    }

    fn closed(byte: u8) -> Network {
        Network::closed("n", &NetworkSecret::from_bytes([byte; 16])).unwrap()
    }

    fn sighting(network: &Network) -> Sighting {
        let address = Address::from_bytes([7; 8]);
        let beacon = Some(Beacon::new(network, address, &mut Entropic));
        Sighting { endpoint: Endpoint::new("10.0.0.2:4040"), beacon }
    }

    #[test]
    fn a_beacon_says_which_side_lacks_the_secret() {
        let open = |name| Network::open(name).unwrap();
        for (ours, theirs, expected) in [
            (open("a"), open("b"), Some("another network")),
            (open("a"), closed(1), Some("--secret-file")),
            (closed(1), open("n"), Some("its network is open")),
            (closed(1), closed(2), Some("another secret")),
            (closed(1), closed(1), None),
            (open("a"), open("a"), None),
        ] {
            let mut strangers = Strangers::default();
            strangers.on_sighting(at(1), &ours, TransportId(0), &sighting(&theirs));
            let found = view(&strangers, 1).pop().map(|stranger| stranger.reason);
            match expected {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|f| f.contains(part)), "{found:?}")
                }
                None => assert_eq!(found, None),
            }
        }
    }

    #[test]
    fn who_comes_again_from_another_port_is_counted() {
        let mut strangers = Strangers::default();
        let end = LinkEnd::Handshake(HandshakeFailure::OtherNetwork);
        for port in 1..=3 {
            let endpoint = Endpoint::new(&format!("10.0.0.2:{port}"));
            strangers.on_link_down(at(port), link(port), false, &endpoint, &end);
        }
        let found = view(&strangers, 9);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].count, found[0].last_seen), (3, Duration::from_secs(6)));
        assert!(found[0].tried && found[0].reason.contains("another secret"), "{found:?}");
        assert_eq!(found[0].endpoint, "10.0.0.2:3");
        // Another one there has another trouble: neither pushes the other out.
        let other = LinkEnd::Handshake(HandshakeFailure::OpenAndClosed);
        strangers.on_link_down(at(4), link(4), false, &Endpoint::new("10.0.0.2:4"), &other);
        assert_eq!(view(&strangers, 9).len(), 2);
        strangers.on_established(link(9), &Endpoint::new("10.0.0.2:9"));
        assert!(view(&strangers, 9).is_empty(), "it has the secret now");
    }

    #[test]
    fn one_beacon_at_many_addresses_is_one_stranger_until_it_goes() {
        let (ours, theirs) = (closed(1), sighting(&closed(2)));
        let mut strangers = Strangers::default();
        for text in ["[fe80::1%2]:4040", "10.0.0.2:4040", "[fe80::1%3]:4040"] {
            let seen = Sighting { endpoint: Endpoint::new(text), ..theirs.clone() };
            strangers.on_sighting(at(1), &ours, TransportId(0), &seen);
        }
        let found = view(&strangers, 1);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].endpoint.as_str(), found[0].tried), ("10.0.0.2:4040", false));
        // Another node on the same host is another one.
        strangers.on_sighting(at(2), &ours, TransportId(0), &sighting(&closed(3)));
        assert_eq!(view(&strangers, 2).len(), 2);
        strangers.on_lost(&Endpoint::new("10.0.0.2:4040"));
        assert!(view(&strangers, 3).is_empty());
    }

    #[test]
    fn a_beacon_goes_with_the_driver_that_saw_it() {
        let mut strangers = Strangers::default();
        strangers.on_sighting(at(1), &closed(1), TransportId(0), &sighting(&closed(2)));
        strangers.on_sighting(at(1), &closed(1), TransportId(1), &sighting(&closed(3)));
        strangers.on_transport_gone(TransportId(1));
        assert_eq!(view(&strangers, 1).len(), 1);
        strangers.on_transport_gone(TransportId(0));
        assert!(view(&strangers, 1).is_empty());
    }

    #[test]
    fn who_was_dialled_is_known_by_its_port_and_who_dialled_by_its_host() {
        let hung_up = LinkEnd::Handshake(HandshakeFailure::HungUp);
        let up = |number, origin, port| LinkUp {
            link: link(number),
            origin,
            shape: hedgerow_core::io::LinkShape::Stream { chunk_bytes: 1, frame_bytes_max: 1_280 },
            endpoint: Endpoint::new(&format!("h:{port}")),
            estimate: hedgerow_core::io::LinkEstimate {
                rate_bytes_per_s: 1,
                delay: Duration::ZERO,
            },
        };
        let dialled = LinkOrigin::Dialled(hedgerow_core::id::DialId(1));
        for (origin, met) in [(LinkOrigin::Accepted, 1), (dialled, 2)] {
            let mut strangers = Strangers::default();
            for (number, port) in [(1, 10), (2, 20)] {
                let up = up(number, origin, port);
                strangers.on_link_up(&up);
                strangers.on_link_down(at(1), up.link, false, &up.endpoint, &hung_up);
            }
            assert_eq!(view(&strangers, 1).len(), met, "{origin:?}");
            assert!(strangers.dialled.is_empty());
        }
    }

    #[test]
    fn a_member_and_a_lost_link_are_no_strangers() {
        let endpoint = Endpoint::new("h:1");
        let lost = LinkEnd::Lost(hedgerow_core::io::LinkLoss::Reset);
        let failed = LinkEnd::Handshake(HandshakeFailure::HungUp);
        let mut strangers = Strangers::default();
        strangers.on_link_down(at(1), link(1), false, &endpoint, &lost);
        strangers.on_link_down(at(1), link(2), true, &endpoint, &failed);
        assert!(view(&strangers, 1).is_empty());
    }

    #[test]
    fn nobody_fills_the_log_by_coming_and_going() {
        let (ours, theirs) = (closed(1), sighting(&closed(2)));
        let mut strangers = Strangers::default();
        let mut come_and_go = |seconds| {
            let told = strangers.on_sighting(at(seconds), &ours, TransportId(0), &theirs);
            strangers.on_lost(&theirs.endpoint);
            usize::from(told.is_some())
        };
        assert_eq!(come_and_go(1), 1);
        let told: usize = (2..2_000).map(&mut come_and_go).sum();
        assert_eq!(told, TOLD_MAX - 1);
        assert_eq!(come_and_go(4_000), 1, "an hour later there is room");
    }

    #[test]
    fn links_whose_end_was_lost_are_forgotten() {
        let dialled = (0..10).map(link).collect();
        let mut strangers = Strangers { dialled, ..Default::default() };
        strangers.on_overflow(|of| of.number == 3);
        assert_eq!(strangers.dialled, BTreeSet::from([link(3)]));
    }

    #[test]
    fn there_are_never_too_many() {
        let mut strangers = Strangers::default();
        let end = LinkEnd::Handshake(HandshakeFailure::OtherNetwork);
        for number in 0..200_u64 {
            let endpoint = Endpoint::new(&format!("host{number}:1"));
            strangers.on_link_down(at(number), link(number), false, &endpoint, &end);
        }
        let found = view(&strangers, 200);
        assert_eq!(found.len(), STRANGERS_MAX);
        assert!(found.iter().any(|stranger| stranger.endpoint == "host199:1"));
    }
}
