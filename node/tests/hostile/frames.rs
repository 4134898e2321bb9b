//! Frames without number from peers with true keys and true handshakes: real control messages
//! altered and sealed again, data frames of any header, and then what breaks every rule: frames
//! cut, spliced, repeated, flipped, too long, or no frames at all. Whoever is thrown out comes back.
//!
//! `HEDGEROW_TEST_FRAMES=1000000 cargo test --release -p hedgerow --test hostile frames:: -- --nocapture`

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hedgerow::Identity;
use hedgerow::prelude::*;
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::id::{Address, Instance};
use hedgerow_core::io::{Lane, LinkShape};
use hedgerow_core::link::{Link, LinkEvent, Source};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::wire::control::{BodyChunk, BodyWant, Control, Decoded, Keepalive, decode};
use hedgerow_core::wire::frame::{DataFrame, DataHead};
use hedgerow_core::wire::routing::{ROUTING_HEADER_BYTES, RoutingHeader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::crowd::Victim;
use crate::scene::{NETWORK, Random, SOON, identity, node, wait_for};

/// Frames in all, unless the environment says otherwise.
const FRAMES: u64 = 10_000;
/// Frames between two handshakes: then comes one that ends the link.
const FRAMES_A_LINK: u64 = 400;
/// What the frames may cost the victim beyond what it had.
const EXTRA_BYTES_MAX: u64 = 48 << 20;
/// Nothing that others suffer may hold up honest peers for longer.
const HELD_UP_MAX: Duration = Duration::from_secs(1);
const SHAPE: LinkShape = LinkShape::Stream { chunk_bytes: 65_536, frame_bytes_max: 65_536 };

/// The same frames in every run (splitmix64).
struct Seeded(u64);

impl Seeded {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number().to_be_bytes()[0]).collect()
    }
}

/// What is sent next: control messages and data frames in turn, each a frame of its own.
#[derive(Default)]
struct Words {
    control: Vec<Vec<u8>>,
    data: Vec<DataFrame>,
    data_next: bool,
}

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        let fits = self.control.last().is_some_and(|next| next.len() <= room);
        let is_turn = !self.data_next || self.data.is_empty();
        if lane == Lane::Control && fits && is_turn {
            out.extend(self.control.pop().unwrap());
            self.data_next = true;
        }
    }

    fn data(&mut self, lane: Lane, _: usize, out: &mut BytesMut) -> Option<DataHead> {
        self.data_next = false;
        self.data
            .last()
            .is_some_and(|frame| frame.lane == lane)
            .then(|| self.data.pop())?
            .map(|frame| frame.write(out))
    }
}

/// What all who attack have in common.
struct Attack {
    to: SocketAddr,
    honest: [Address; 2],
    frames_max: u64,
    frames: AtomicU64,
    handshakes: AtomicU64,
    strangers: AtomicU64,
    over: AtomicBool,
}

/// A peer that was let in.
struct Intruder {
    local: Local,
    stream: TcpStream,
    link: Link,
    words: Words,
    clock: Instant,
    victim: Option<PeerKey>,
    /// Real messages of the victim, to be altered.
    real: Vec<Control>,
    is_out: bool,
}

impl Intruder {
    async fn connect(to: SocketAddr, identity: &Identity, run: u64) -> std::io::Result<Self> {
        let local = Local {
            identity: identity.clone(),
            network: Network::open(NETWORK).unwrap(),
            instance: Instance::from_bytes(run.to_be_bytes()),
            epoch: run,
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        };
        let now = hedgerow_core::time::Instant::EPOCH;
        let link = Link::new(now, &local, &mut Random, Role::Initiator, SHAPE, 0);
        let stream = TcpStream::connect(to).await?;
        let mut intruder = Self {
            local,
            stream,
            link,
            words: Words::default(),
            clock: Instant::now(),
            victim: None,
            real: vec![Control::Full(identity.peer_key().address())],
            is_out: false,
        };
        let mut buffer = BytesMut::with_capacity(65_536);
        while intruder.victim.is_none() && !intruder.is_out {
            if let Some(bytes) = intruder.pull() {
                intruder.stream.write_all(&bytes).await?;
            }
            let read = tokio::time::timeout(SOON, intruder.stream.read_buf(&mut buffer)).await;
            intruder.is_out = read.expect("the victim answers")? == 0;
            intruder.hear(&mut buffer);
        }
        Ok(intruder)
    }

    fn pull(&mut self) -> Option<Vec<u8>> {
        let micros = u64::try_from(self.clock.elapsed().as_micros()).unwrap();
        let now = hedgerow_core::time::Instant::from_micros(micros);
        self.link.poll_transmit(now, &mut self.words).map(|bytes| bytes.to_vec())
    }

    fn hear(&mut self, buffer: &mut BytesMut) {
        let now = hedgerow_core::time::Instant::EPOCH;
        self.link.handle_bytes(now, &self.local, &mut Random, buffer.split());
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Established(established) => {
                    self.victim = Some(established.hello.peer_key);
                }
                LinkEvent::Control(message) if self.real.len() < 64 => self.real.push(message),
                LinkEvent::Closed(_) => self.is_out = true,
                _ => {}
            }
        }
    }

    /// Reads what is there, so that the victim is not held up by this end.
    fn drain(&mut self) {
        let mut buffer = BytesMut::with_capacity(65_536);
        loop {
            match self.stream.try_read_buf(&mut buffer) {
                Ok(0) => self.is_out = true,
                Ok(_) => {
                    self.hear(&mut buffer);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.is_out = true,
            }
            return;
        }
    }

    /// A control message: a real one, or one that the victim might hear, altered or not, but in
    /// the form of one.
    fn control(&self, random: &mut Seeded) -> Vec<u8> {
        let hash = [random.below(4) as u8; 32];
        let offset = u32::try_from(random.below(140_000)).unwrap();
        let message = match random.below(6) {
            0 => Control::BodyWant(BodyWant { hash, offset, pieces: random.below(256) as u8 }),
            1 => {
                let length = random.below(1_100);
                Control::BodyChunk(BodyChunk { hash, offset, data: random.bytes(length).into() })
            }
            2 => Control::Keepalive(Keepalive {
                sequence: random.below(256) as u8,
                flags: random.below(4) as u8,
                echo: random.below(256) as u8,
                held_us: offset,
            }),
            _ => self.real[random.below(self.real.len())].clone(),
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        loop {
            let mut altered = bytes.clone();
            for _ in 0..random.below(4) {
                let at = 2 + random.below(altered.len());
                if let Some(byte) = altered.get_mut(at) {
                    *byte ^= random.below(256) as u8;
                }
            }
            let mut rest = altered.as_slice();
            let whole = std::iter::from_fn(|| decode(&mut rest));
            let is_close = |decoded: &Decoded| {
                matches!(decoded, Decoded::Malformed | Decoded::Message(Control::Close(_)))
            };
            if !whole.collect::<Vec<_>>().iter().any(is_close) {
                return altered;
            }
        }
    }

    fn data(&self, random: &mut Seeded, honest: [Address; 2]) -> DataFrame {
        let header: [u8; ROUTING_HEADER_BYTES] = random.bytes(28).try_into().unwrap();
        let mut header = RoutingHeader::decode(&header);
        let victim = self.victim.map(|key| key.address());
        let own = self.local.address();
        // Few for those behind the victim: what fills a wire is nobody's fault.
        (header.source, header.destination) = match random.below(16) {
            0 => (own, honest[1]),
            1 => (honest[0], victim.unwrap_or(own)),
            2 => (header.source, header.destination),
            _ => (own, victim.unwrap_or(own)),
        };
        let length = random.below(300);
        DataFrame {
            lane: Lane::DATA[random.below(3)],
            header,
            tag: random.bytes(16).try_into().unwrap(),
            payload: BytesMut::from(&random.bytes(length)[..]),
        }
    }

    /// Something after which the victim must not go on with this link.
    fn last_word(&mut self, random: &mut Seeded, sent: &[Vec<u8>]) -> Vec<u8> {
        let mut chunk = |bytes: &[u8]| {
            self.words.control.push(bytes.to_vec());
            self.pull().unwrap_or_default()
        };
        match random.below(8) {
            0 => chunk(b"\x01\x01\x00"),
            1 => random.bytes(256),
            2 => {
                let mut cut = chunk(b"\x0a\x00");
                cut.truncate(cut.len() / 2);
                cut
            }
            3 => sent[random.below(sent.len())].clone(),
            4 => vec![0x60, 0xff, 0xff, 0xff, 0],
            5 => vec![0x20, 0, 0, 60],
            6 => {
                let (old, new) = (&sent[random.below(sent.len())], chunk(b"\x0a\x00"));
                [&new[..new.len() / 2], &old[old.len() / 2..]].concat()
            }
            _ => {
                let mut flipped = chunk(b"\x0a\x00");
                let at = random.below(flipped.len());
                flipped[at] ^= 1 << random.below(8);
                flipped
            }
        }
    }
}

/// One peer attacks: link after link, until there were enough frames.
async fn intrude(attack: Arc<Attack>, identity: Identity, seed: u64) {
    let mut random = Seeded(seed);
    for run in 1.. {
        let Ok(mut intruder) = Intruder::connect(attack.to, &identity, run).await else { continue };
        attack.handshakes.fetch_add(1, Ordering::Relaxed);
        let mut sent = vec![vec![0]];
        let mut frames = 0;
        while frames < FRAMES_A_LINK && !intruder.is_out {
            for _ in 0..20 {
                let message = intruder.control(&mut random);
                intruder.words.control.push(message);
                let frame = intruder.data(&mut random, attack.honest);
                intruder.words.data.push(frame);
            }
            frames += 40;
            while let Some(bytes) = intruder.pull() {
                // The victim may have closed; then reading says so.
                let _ = intruder.stream.write_all(&bytes).await;
                sent.push(bytes);
            }
            intruder.drain();
        }
        let last = intruder.last_word(&mut random, &sent);
        let _ = intruder.stream.write_all(&last).await;
        let _ = intruder.stream.shutdown().await;
        // Until it has closed, too, so that all was read.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(SOON, intruder.stream.read_to_end(&mut rest)).await;
        if attack.frames.fetch_add(frames + 1, Ordering::Relaxed) >= attack.frames_max {
            return attack.over.store(true, Ordering::Relaxed);
        }
    }
}

/// Somebody without a handshake, again and again.
async fn knock(attack: Arc<Attack>) {
    let mut random = Seeded(99);
    while !attack.over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(attack.to).await else { continue };
        let length = random.below(600);
        let garbage = match random.below(3) {
            0 => random.bytes(length),
            1 => [b"HDGW\x01\x01\x00\x00".as_slice(), &random.bytes(length)].concat(),
            _ => [b"HDGW\x01\x01\x00\x00\x00\x20".as_slice(), &random.bytes(32 + length)].concat(),
        };
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        attack.strangers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Numbered messages from one honest peer to another, until the attack is over: how many, and
/// the longest time until one was delivered.
async fn talk(attack: Arc<Attack>, from: Mesh, to: Mesh) -> (u32, Duration) {
    let key = to.peer_key();
    let mut messages = to.bus().messages();
    let (mut count, mut longest) = (0_u32, Duration::ZERO);
    while !attack.over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let sent = from.bus().send_reliable(key, count.to_be_bytes().to_vec()).await;
        sent.unwrap_or_else(|error| panic!("message {count}: {error}"));
        longest = longest.max(begin.elapsed());
        let message = messages.next().await.unwrap();
        assert_eq!(message.data[..], count.to_be_bytes());
        count += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (count, longest)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_without_number_leave_the_victim_and_others_as_they_were() {
    let frames_max = std::env::var("HEDGEROW_TEST_FRAMES").map_or(FRAMES, |n| n.parse().unwrap());
    let mut victim = Victim::start(1_024);
    let [one, other] =
        [node("one", &[victim.address]).await, node("other", &[victim.address]).await];
    for mesh in [&one, &other] {
        wait_for(mesh, |graph| graph.remote_peers.len() == 2).await;
    }
    let attack = Arc::new(Attack {
        to: victim.address,
        honest: [&one, &other].map(|mesh| mesh.peer_key().address()),
        frames_max,
        frames: AtomicU64::new(0),
        handshakes: AtomicU64::new(0),
        strangers: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    // What the first links, sessions and messages take is no growth.
    one.bus().send_reliable(other.peer_key(), b"first".to_vec()).await.unwrap();
    assert_eq!(other.bus().messages().next().await.unwrap().data[..], *b"first");
    let (before, files_before) = victim.load();
    let begin = Instant::now();
    let talking = tokio::spawn(talk(attack.clone(), one.clone(), other.clone()));
    let mut attackers = tokio::task::JoinSet::new();
    attackers.spawn(intrude(attack.clone(), identity(), 1));
    attackers.spawn(intrude(attack.clone(), identity(), 2));
    attackers.spawn(knock(attack.clone()));
    let (mut most, mut half) = (before, None);
    while !attack.over.load(Ordering::Relaxed) {
        let (now, _) = victim.load();
        most = most.max(now);
        if attack.frames.load(Ordering::Relaxed) >= frames_max / 2 {
            half.get_or_insert(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while let Some(attacker) = attackers.join_next().await {
        attacker.unwrap();
    }
    let took = begin.elapsed();
    let (messages, longest) = talking.await.unwrap();
    let (after, files_after) = victim.load();
    println!(
        "{} frames in {took:.1?} over {} handshakes, and {} strangers; victim: {:.1} MiB and \
         {files_before} files before, {:.1} MiB half way, {:.1} MiB at most, {:.1} MiB and \
         {files_after} files after; {messages} honest messages through it, longest wait \
         {longest:.0?}; {}",
        attack.frames.load(Ordering::Relaxed),
        attack.handshakes.load(Ordering::Relaxed),
        attack.strangers.load(Ordering::Relaxed),
        mib(before),
        mib(half.unwrap_or(before)),
        mib(most),
        mib(after),
        victim.ask("counters"),
    );
    assert!(most.max(after) - before < EXTRA_BYTES_MAX);
    assert!(longest < HELD_UP_MAX, "{longest:?}");
    // The flood of a plain run lasts little more than a tenth of a second.
    assert!(messages > 2);
}
