//! A peer with a true key and a true handshake that says whatever a test wants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hedgerow::{Identity, PeerKey};
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::id::Instance;
use hedgerow_core::identity::StaticBinding;
use hedgerow_core::io::{Lane, LinkShape};
use hedgerow_core::link::{Link, LinkEnd, LinkEvent, Source};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::time::Instant;
use hedgerow_core::wire::advert::{
    Abilities, Adjacency, AdvertHead, AdvertKind, Edge, Profile, SignedAdvert,
};
use hedgerow_core::wire::control::{AdvertCopy, Control};
use hedgerow_core::wire::frame::{DataFrame, DataHead};
use hedgerow_core::wire::handshake::Versions;
use hedgerow_core::wire::ranges::{Content, Part, Range, Ranges};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scene::{NETWORK, Random, SOON};

/// Messages that wait to be sent, as bytes: also such as no true node would send; and data frames.
#[derive(Default)]
struct Words {
    control: VecDeque<Vec<u8>>,
    data: VecDeque<DataFrame>,
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

pub(crate) struct Evil {
    pub(crate) local: Local,
    stream: TcpStream,
    link: Link,
    words: Words,
    clock: tokio::time::Instant,
    sequence: u64,
    /// What the victim said.
    pub(crate) heard: Vec<Control>,
    /// Data frames that the victim sent.
    pub(crate) data: Vec<DataFrame>,
    reads: bool,
    /// Bytes that it sent and that came back.
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) ended: Option<LinkEnd>,
}

impl Evil {
    /// Connects, makes the handshake, and tells of its link to the victim, so that it counts.
    pub(crate) async fn connect(to: SocketAddr, victim: PeerKey, identity: Identity) -> Self {
        let local = Local {
            identity,
            network: Network::open(NETWORK).unwrap(),
            instance: Instance::from_bytes([6; 8]),
            epoch: 1,
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        };
        let shape = LinkShape::Stream { chunk_bytes: 65_536, frame_bytes_max: 65_536 };
        let now = Instant::from_millis(0);
        let link = Link::new(now, &local, &mut Random, Role::Initiator, shape, 0);
        let mut evil = Self {
            local,
            stream: TcpStream::connect(to).await.unwrap(),
            link,
            words: Words::default(),
            clock: tokio::time::Instant::now(),
            sequence: 0,
            heard: Vec::new(),
            data: Vec::new(),
            reads: true,
            sent: 0,
            received: 0,
            ended: None,
        };
        evil.until(|evil| evil.link.rtt().is_some()).await;
        evil.tell_profile([0; 32], 0);
        let edge = Edge {
            peer: victim.address(),
            kind: hedgerow_core::io::ConnectionType::AccessPoint,
            cost: hedgerow_core::wire::advert::Cost::from_microseconds(213),
            payload_log2: 16,
        };
        evil.tell_edges(vec![edge]);
        // It holds nothing: the victim tells all.
        let parts = vec![Part { last: Range::ALL.last, content: Content::List(Vec::new()) }];
        evil.say(&Control::Ranges(Ranges { first: Range::ALL.first, parts }));
        evil
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.clock.elapsed().as_micros()).unwrap())
    }

    pub(crate) fn say(&mut self, message: &Control) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.say_bytes(bytes);
    }

    /// An envelope of one's own making, sealed like any other.
    pub(crate) fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.words.control.push_back(bytes);
    }

    pub(crate) fn send(&mut self, frame: DataFrame) {
        self.words.data.push_back(frame);
    }

    /// Whether all it had to say is on its way.
    pub(crate) fn is_done(&self) -> bool {
        self.words.control.is_empty() && self.words.data.is_empty()
    }

    /// Bytes past the seal, as somebody between both could put them in.
    pub(crate) async fn inject(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) fn sign(&mut self, kind: AdvertKind, body: &[u8]) -> Bytes {
        self.sequence += 1;
        let identity = self.local.identity.clone();
        sign(&identity, kind, self.sequence, body)
    }

    pub(crate) fn tell(&mut self, advert: Bytes) {
        self.say(&Control::Advert(AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert }));
    }

    pub(crate) fn tell_profile(&mut self, metadata_hash: [u8; 32], metadata_bytes: u32) {
        let body = profile("evil", metadata_hash, metadata_bytes).encode();
        let advert = self.sign(AdvertKind::Profile, &body);
        self.tell(advert);
    }

    pub(crate) fn tell_edges(&mut self, edges: Vec<Edge>) {
        let advert = self.sign(AdvertKind::Adjacency, &Adjacency { edges }.encode());
        self.tell(advert);
    }

    /// Sends and listens until `done`.
    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let all = async {
            let mut buffer = BytesMut::with_capacity(65_536);
            while !done(self) {
                while let Some(bytes) = self.link.poll_transmit(self.now(), &mut self.words) {
                    self.sent += bytes.len();
                    // The victim may have closed; then reading says so.
                    let _ = self.stream.write_all(&bytes).await;
                }
                let reads = self.reads;
                let read = async {
                    if !reads {
                        std::future::pending::<()>().await;
                    }
                    self.stream.read_buf(&mut buffer).await
                };
                match tokio::time::timeout(Duration::from_millis(20), read).await {
                    Ok(Ok(read @ 1..)) => {
                        self.received += read;
                        let (now, data) = (self.now(), buffer.split());
                        self.link.handle_bytes(now, &self.local, &mut Random, data);
                    }
                    Ok(_) => self.link.handle_loss(hedgerow_core::io::LinkLoss::ClosedByRemote),
                    Err(_) => self.link.handle_timeout(self.now()),
                }
                while let Some(event) = self.link.poll_event() {
                    match event {
                        LinkEvent::Control(message) => self.heard.push(message),
                        LinkEvent::Data(frame) => self.data.push(frame),
                        LinkEvent::Closed(end) => self.ended = Some(end),
                        _ => {}
                    }
                }
            }
        };
        tokio::time::timeout(SOON, all).await.expect("the victim does as expected");
    }

    pub(crate) async fn run_for(&mut self, time: Duration) {
        let end = self.clock.elapsed() + time;
        self.until(|evil| evil.clock.elapsed() >= end).await;
    }

    /// The adverts that the victim passed on of a peer.
    pub(crate) fn adverts_of(&self, owner: PeerKey) -> Vec<SignedAdvert> {
        let adverts = self.heard.iter().filter_map(|message| match message {
            Control::Advert(copy) => SignedAdvert::decode(copy.advert.clone()),
            _ => None,
        });
        adverts.filter(|advert| advert.head.owner == *owner.as_bytes()).collect()
    }
}

impl Evil {
    /// The newest profile of a peer that has metadata, once the victim has told it.
    pub(crate) async fn profile_of(&mut self, peer: PeerKey) -> Profile {
        let told = |evil: &Self| {
            let adverts = evil.adverts_of(peer).into_iter().rev();
            let mut profiles = adverts.filter(|advert| advert.head.kind == AdvertKind::Profile);
            profiles.find_map(|a| Profile::decode(&a.body).filter(|p| p.metadata_bytes > 0))
        };
        self.until(|evil| told(evil).is_some()).await;
        told(self).unwrap()
    }

    /// Takes nothing off the wire from now on.
    pub(crate) fn leave_unread(&mut self) {
        self.reads = false;
    }
}

pub(crate) fn sign(identity: &Identity, kind: AdvertKind, sequence: u64, body: &[u8]) -> Bytes {
    let head = AdvertHead {
        owner: *identity.peer_key().as_bytes(),
        kind,
        key: 0,
        instance: Instance::from_bytes([6; 8]),
        epoch: 1,
        sequence,
    };
    SignedAdvert::sign(identity, &Network::open(NETWORK).unwrap(), head, body).bytes
}

pub(crate) fn profile(name: &str, metadata_hash: [u8; 32], metadata_bytes: u32) -> Profile {
    Profile {
        binding: StaticBinding::Converted,
        versions: Versions::OURS,
        abilities: Abilities(Abilities::CHACHA20_POLY1305),
        device_name: name.to_owned(),
        os: 0,
        sdk_version: String::new(),
        metadata_hash,
        metadata_bytes,
    }
}
