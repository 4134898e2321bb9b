//! Peers that break the rules: one with a true key and true handshakes that says whatever a test
//! wants, and honest messages whose promises are looked at meanwhile.

use alloc::collections::VecDeque;

use super::*;
use crate::crypto::noise::Role;
use crate::link::{Link, LinkEvent};
use crate::wire::advert::{
    Abilities, Adjacency, AdvertHead, AdvertKind, Cost, Profile, SignedAdvert,
};
use crate::wire::control::{AdvertCopy, Control};
use crate::wire::frame::{DataFrame, DataHead};
use crate::wire::ranges::{Content, Part, Range, Ranges};

/// The number of the first evil peer.
pub(super) const EVIL: usize = 100;

/// What waits to be sent: envelopes as bytes, also such as no true node would send, and frames.
#[derive(Default)]
pub(super) struct Words {
    pub(super) control: VecDeque<Vec<u8>>,
    pub(super) data: VecDeque<DataFrame>,
}

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && self.control.front().is_some_and(|next| next.len() + out.len() <= room)
        {
            out.extend(self.control.pop_front().unwrap());
        }
    }

    fn data(&mut self, lane: Lane, _: usize, out: &mut BytesMut) -> Option<DataHead> {
        let at = self.data.iter().position(|frame| frame.lane == lane)?;
        Some(self.data.remove(at)?.write(out))
    }
}

/// One evil peer with one link to one victim.
pub(super) struct Evil {
    pub(super) local: Local,
    pub(super) number: usize,
    pub(super) victim: usize,
    pub(super) link: Link,
    pub(super) end: LinkId,
    pub(super) words: Words,
    sequence: u64,
    /// What the victim said, and what it closed with.
    pub(super) heard: Vec<Control>,
    pub(super) data: Vec<DataFrame>,
    pub(super) ended: Option<LinkEnd>,
    /// Bytes it sent and was sent.
    pub(super) sent: usize,
    pub(super) received: usize,
    /// Whether it takes what it is sent off its wire.
    pub(super) reads: bool,
}

pub(super) fn local(identity: Identity, epoch: u64) -> Local {
    Local {
        identity,
        network: Network::open("test").unwrap(),
        instance: Instance::from_bytes([66; 8]),
        epoch,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    }
}

pub(super) fn profile(name: &str) -> Profile {
    Profile {
        binding: crate::identity::StaticBinding::Converted,
        versions: crate::wire::handshake::Versions::OURS,
        abilities: Abilities(Abilities::CHACHA20_POLY1305),
        device_name: name.into(),
        os: 0,
        sdk_version: String::new(),
        metadata_hash: [0; 32],
        metadata_bytes: 0,
    }
}

/// A cheap edge over the wire.
pub(super) fn edge(peer: PeerKey) -> Edge {
    Edge {
        peer: peer.address(),
        kind: ConnectionType::other("Wire"),
        cost: Cost::from_microseconds(100),
        payload_log2: 12,
    }
}

/// An adjacency's body.
pub(super) fn edges(mut edges: Vec<Edge>) -> Vec<u8> {
    edges.sort_by_key(|edge| edge.peer);
    Adjacency { edges }.encode()
}

pub(super) fn head(owner: PeerKey, kind: AdvertKind, epoch: u64, sequence: u64) -> AdvertHead {
    let instance = Instance::from_bytes([66; 8]);
    AdvertHead { owner: *owner.as_bytes(), kind, key: 0, instance, epoch, sequence }
}

/// An advert with a true signature of `identity`, whoever `head` says it is from.
pub(super) fn sign(identity: &Identity, head: AdvertHead, body: &[u8]) -> Bytes {
    SignedAdvert::sign(identity, &Network::open("test").unwrap(), head, body).bytes
}

pub(super) fn copy(advert: Bytes) -> Control {
    Control::Advert(AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert })
}

/// What a peer says first that holds no adverts at all.
pub(super) fn opening() -> Control {
    let parts = vec![Part { last: Range::ALL.last, content: Content::List(Vec::new()) }];
    Control::Ranges(Ranges { first: Range::ALL.first, parts })
}

impl Evil {
    pub(super) fn say(&mut self, message: &Control) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.words.control.push_back(bytes);
    }

    pub(super) fn tell(&mut self, advert: Bytes) {
        self.say(&copy(advert));
    }

    /// Signs something about itself, in order, and tells it.
    pub(super) fn tell_of_itself(&mut self, kind: AdvertKind, body: &[u8]) {
        self.sequence += 1;
        let head = head(self.local.peer_key(), kind, 1, self.sequence);
        let advert = sign(&self.local.identity, head, body);
        self.tell(advert);
    }

    /// The adverts that the victim told of a peer.
    pub(super) fn adverts_of(&self, owner: PeerKey) -> Vec<SignedAdvert> {
        let adverts = self.heard.iter().filter_map(|message| match message {
            Control::Advert(copy) => SignedAdvert::decode(copy.advert.clone()),
            _ => None,
        });
        adverts.filter(|advert| advert.head.owner == *owner.as_bytes()).collect()
    }

    /// Sends what there is; true when there was something.
    fn carry_out(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.link.poll_transmit(now, &mut self.words)?;
        self.sent += bytes.len();
        Some(bytes)
    }

    fn take(&mut self, now: Instant, bytes: &[u8]) {
        self.received += bytes.len();
        self.link.handle_bytes(now, &self.local, &mut Seeded(5), BytesMut::from(bytes));
        self.note();
    }

    fn note(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Control(message) => self.heard.push(message),
                LinkEvent::Data(frame) => self.data.push(frame),
                LinkEvent::Closed(end) => self.ended = Some(end),
                _ => {}
            }
        }
    }
}

impl World {
    /// An evil peer connects to `victim` and tells of its link, so that it counts.
    pub(super) fn attack(&mut self, victim: usize) -> usize {
        let number = EVIL + self.evils.len();
        let local = local(identity(number), 1);
        let at = self.connect_evil(victim, number, local);
        self.run(DELAY * 10);
        let victim = key(victim);
        let evil = &mut self.evils[at];
        evil.tell_of_itself(AdvertKind::Profile, &profile("evil").encode());
        evil.tell_of_itself(AdvertKind::Adjacency, &edges(vec![edge(victim)]));
        evil.say(&opening());
        self.run(DELAY * 10);
        at
    }

    /// A link by `local` to `victim`, of which nothing is told.
    pub(super) fn connect_evil(&mut self, victim: usize, number: usize, local: Local) -> usize {
        let ends = [number, victim].map(|number| {
            self.next_link += 1;
            (number, LinkId { transport: WIRE, number: self.next_link })
        });
        self.wires.insert(ends[0], ends[1]);
        self.wires.insert(ends[1], ends[0]);
        let shape = LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 };
        let link = Link::new(self.now, &local, &mut Seeded(7), Role::Initiator, shape, 0);
        let evil = Evil {
            local,
            number,
            victim,
            link,
            end: ends[0].1,
            words: Words::default(),
            sequence: 0,
            heard: Vec::new(),
            data: Vec::new(),
            ended: None,
            sent: 0,
            received: 0,
            reads: true,
        };
        self.evils.push(evil);
        let up = LinkUp {
            link: ends[1].1,
            origin: LinkOrigin::Accepted,
            shape,
            endpoint: Endpoint::new(&format!("evil{number}")),
            estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
        };
        self.input(victim, TransportEvent::LinkUp(up));
        self.evils.len() - 1
    }

    /// Bytes on an evil peer's wire that its link has not sealed.
    pub(super) fn inject(&mut self, evil: usize, bytes: Bytes) {
        let Evil { number, end, .. } = self.evils[evil];
        if let Some(to) = self.wires.get(&(number, end)) {
            let flying = Flying::Bytes { from: number, to: *to, bytes };
            self.flight.push((self.now + DELAY, flying));
        }
    }

    /// Whether nobody takes off what is sent to this end.
    pub(super) fn is_blocked(&self, (number, link): &End) -> bool {
        self.evils.iter().any(|e| (e.number, e.end) == (*number, *link) && !e.reads)
    }

    pub(super) fn carry_out_evil(&mut self) -> bool {
        let mut progress = false;
        for at in 0..self.evils.len() {
            let now = self.now;
            while let Some(bytes) = self.evils[at].carry_out(now) {
                progress = true;
                self.inject(at, bytes);
            }
            self.evils[at].note();
        }
        progress
    }

    pub(super) fn land_evil(&mut self, (number, link): End, bytes: &[u8]) {
        let now = self.now;
        let evil = self.evils.iter_mut().find(|e| (e.number, e.end) == (number, link));
        evil.into_iter().for_each(|evil| evil.take(now, bytes));
    }

    pub(super) fn lose_evil(&mut self, (number, link): End) {
        let evil = self.evils.iter_mut().find(|e| (e.number, e.end) == (number, link));
        if let Some(evil) = evil {
            evil.link.handle_loss(LinkLoss::ClosedByRemote);
            evil.note();
        }
    }

    /// Messages with numbers from one honest node to another, one each 20 ms for `time`: all
    /// arrive once and in order. The longest wait for one.
    pub(super) fn honest(&mut self, from: usize, to: usize, time: Duration) -> Duration {
        const EVERY: Duration = Duration::from_millis(20);
        let (end, mut sent, mut got) = (self.now + time, VecDeque::new(), 0_u32);
        let mut longest = Duration::ZERO;
        let before = self.outcomes(from).len();
        while self.now < end || !sent.is_empty() {
            if self.now < end {
                let number = got + u32::try_from(sent.len()).unwrap();
                self.send(from, to, &number.to_be_bytes());
                sent.push_back(self.now);
            }
            self.run(EVERY);
            for message in self.take(to) {
                assert_eq!(message[..], got.to_be_bytes(), "in order, none twice, none lost");
                got += 1;
                longest = longest.max(self.now.since(sent.pop_front().unwrap()));
            }
            assert!(self.now < end + Duration::from_secs(60), "{got} of {} arrived", sent.len());
        }
        self.run(Duration::from_secs(1));
        let outcomes = self.outcomes(from).split_off(before);
        assert_eq!(outcomes.len(), got as usize);
        let delivered = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
        assert!(outcomes.iter().all(delivered), "{outcomes:?}");
        longest
    }
}
