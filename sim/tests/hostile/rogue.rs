//! A peer that is no node: it has a true key and true handshakes, and says what it likes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::id::{Instance, LinkId, PeerKey, TransportId};
use hedgerow_core::identity::{Identity, StaticBinding};
use hedgerow_core::io::{Endpoint, Lane, LinkOrigin, LinkUp, TransportEvent};
use hedgerow_core::link::{Link, LinkEnd, LinkEvent, Source};
use hedgerow_core::local::Local;
use hedgerow_core::wire::advert::{
    Abilities, Adjacency, AdvertHead, AdvertKind, Cost, Edge, Profile, SignedAdvert,
};
use hedgerow_core::wire::control::{AdvertCopy, Control};
use hedgerow_core::wire::frame::DataHead;
use hedgerow_core::wire::handshake::Versions;
use hedgerow_core::wire::ranges::{Content, Part, Range, Ranges};
use hedgerow_sim::World;

/// Not random: the same bytes in each run.
pub(crate) struct Counting(pub u64);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            *byte = self.0.to_be_bytes()[0];
        }
    }
}

/// Control messages that wait to be sent.
#[derive(Default)]
struct Words(VecDeque<Vec<u8>>);

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && self.0.front().is_some_and(|next| next.len() + out.len() <= room)
        {
            out.extend(self.0.pop_front().expect("there is a front"));
        }
    }

    fn data(&mut self, _: Lane, _: usize, _: &mut BytesMut) -> Option<DataHead> {
        None
    }
}

/// One of its links, and the node at the other end.
struct Hold {
    victim: usize,
    id: LinkId,
    link: Link,
    words: Words,
    /// What the victim told, and how much of that was read.
    heard: Vec<Control>,
}

pub(crate) struct Rogue {
    local: Local,
    holds: Vec<Hold>,
    sequence: u64,
    /// Data frames of others that came in and went nowhere.
    pub(crate) swallowed: usize,
    /// Whether it passes adverts on from each victim to the others, so that it is a way.
    passes_adverts: bool,
    passed: BTreeSet<Bytes>,
    pub(crate) ended: Vec<LinkEnd>,
}

impl Rogue {
    /// Connects to each of `victims`, and tells that it is linked with them.
    pub(crate) fn join(
        world: &mut World,
        seed: u64,
        victims: &[usize],
        passes_adverts: bool,
    ) -> Self {
        let identity = Identity::generate(&mut Counting(seed));
        let local = Local {
            identity,
            network: world.network().clone(),
            instance: Instance::from_bytes(seed.to_be_bytes()),
            epoch: 1,
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        };
        let mut rogue = Self {
            local,
            holds: Vec::new(),
            sequence: 0,
            swallowed: 0,
            passes_adverts,
            passed: BTreeSet::new(),
            ended: Vec::new(),
        };
        for victim in victims {
            rogue.connect(world, *victim, seed);
        }
        for _ in 0..20 {
            rogue.turn(world);
        }
        rogue.tell_of_itself(AdvertKind::Profile, &profile().encode());
        let edges = victims.iter().map(|victim| edge(world.host(*victim).key())).collect();
        rogue.tell_edges(edges);
        let parts = vec![Part { last: Range::ALL.last, content: Content::List(Vec::new()) }];
        rogue.say(&Control::Ranges(Ranges { first: Range::ALL.first, parts }));
        rogue
    }

    fn connect(&mut self, world: &mut World, victim: usize, seed: u64) {
        let medium = world.plan().media[0].clone();
        let number = (1 << 40) + seed * 1_000 + self.holds.len() as u64;
        let id = LinkId { transport: TransportId(0), number };
        let now = world.now();
        let entropy = &mut Counting(number);
        let link = Link::new(now, &self.local, entropy, Role::Initiator, medium.link_shape, 0);
        let heard = Vec::new();
        self.holds.push(Hold { victim, id, link, words: Words::default(), heard });
        let up = LinkUp {
            link: id,
            origin: LinkOrigin::Accepted,
            shape: medium.link_shape,
            endpoint: Endpoint::new(&format!("rogue-{seed}:1")),
            estimate: medium.estimate,
        };
        world.tell(victim, 0, TransportEvent::LinkUp(up));
    }

    pub(crate) fn key(&self) -> PeerKey {
        self.local.peer_key()
    }

    pub(crate) fn say(&mut self, message: &Control) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.holds.iter_mut().for_each(|hold| hold.words.0.push_back(bytes.clone()));
    }

    pub(crate) fn tell(&mut self, advert: Bytes) {
        self.say(&Control::Advert(AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert }));
    }

    pub(crate) fn tell_of_itself(&mut self, kind: AdvertKind, body: &[u8]) {
        self.sequence += 1;
        let advert = self.sign(&self.local.identity.clone(), kind, self.sequence, body);
        self.tell(advert);
    }

    pub(crate) fn tell_edges(&mut self, mut edges: Vec<Edge>) {
        edges.sort_by_key(|edge| edge.peer);
        self.tell_of_itself(AdvertKind::Adjacency, &Adjacency { edges }.encode());
    }

    pub(crate) fn sign(
        &self,
        by: &Identity,
        kind: AdvertKind,
        sequence: u64,
        body: &[u8],
    ) -> Bytes {
        let head = AdvertHead {
            owner: *by.peer_key().as_bytes(),
            kind,
            key: 0,
            instance: Instance::from_bytes([6; 8]),
            epoch: 1,
            sequence,
        };
        SignedAdvert::sign(by, &self.local.network, head, body).bytes
    }

    /// An advert that it was told once, whichever.
    pub(crate) fn heard_before(&self, turn: usize) -> Option<Bytes> {
        let adverts = self.holds.iter().flat_map(|hold| &hold.heard).filter_map(|heard| {
            if let Control::Advert(copy) = heard { Some(&copy.advert) } else { None }
        });
        let adverts: Vec<&Bytes> = adverts.collect();
        adverts.get(turn % adverts.len().max(1)).map(|advert| (*advert).clone())
    }

    /// Takes what its victims send, and sends them what there is.
    pub(crate) fn turn(&mut self, world: &mut World) {
        let mut news = Vec::new();
        for hold in &mut self.holds {
            let now = world.now();
            let (id, victim) = (hold.id, hold.victim);
            while let Some(bytes) =
                world.with_node(victim, |now, node| node.poll_transmit(now, id)).flatten()
            {
                let entropy = &mut Counting(7);
                hold.link.handle_bytes(now, &self.local, entropy, BytesMut::from(&bytes[..]));
            }
            while let Some(event) = hold.link.poll_event() {
                match event {
                    LinkEvent::Control(message) => {
                        if let Control::Advert(copy) = &message
                            && self.passed.insert(copy.advert.clone())
                        {
                            news.push(copy.clone());
                        }
                        hold.heard.push(message);
                    }
                    LinkEvent::Data(_) => self.swallowed += 1,
                    LinkEvent::Closed(end) => self.ended.push(end),
                    _ => {}
                }
            }
            hold.link.handle_timeout(now);
            while let Some(bytes) = hold.link.poll_transmit(now, &mut hold.words) {
                let data = BytesMut::from(&bytes[..]);
                world.tell(victim, 0, TransportEvent::Received { link: id, data });
            }
        }
        if self.passes_adverts {
            news.into_iter().for_each(|copy| self.say(&Control::Advert(copy)));
        }
    }
}

pub(crate) fn profile() -> Profile {
    Profile {
        binding: StaticBinding::Converted,
        versions: Versions::OURS,
        abilities: Abilities(Abilities::CHACHA20_POLY1305),
        device_name: "rogue".to_owned(),
        os: 0,
        sdk_version: String::new(),
        metadata_hash: [0; 32],
        metadata_bytes: 0,
    }
}

/// The cheapest edge there can be over the world's first medium.
pub(crate) fn edge(peer: PeerKey) -> Edge {
    Edge {
        peer: peer.address(),
        kind: hedgerow_sim::Medium::lan().profile.kind,
        cost: Cost::from_microseconds(1),
        payload_log2: 12,
    }
}
