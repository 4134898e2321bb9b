//! Two applications on two connected nodes call whatever they like, and wires break, stand still
//! and nodes start anew meanwhile. What the Bus promises is kept: a reliable message arrives once
//! and in order or its sender hears why not, and whether that is certain; a stream is a prefix of
//! what was sent; unreliable messages are whole and come once at most; every message has one
//! outcome and every stream one end; and afterwards both nodes see each other as they are.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use hedgerow_core::bus::{
    BusEvent, FailReason, MessageId, Outcome, RejectReason, Reliability, StreamOpen,
};
use hedgerow_core::event::Event;
use hedgerow_core::io::Lane;
use hedgerow_core::presence::Metadata;
use hedgerow_core::time::Duration;

use crate::input::{below, data_lane, value};
use crate::mesh::Mesh;
use crate::streams::Streams;

const OPERATIONS_MAX: usize = 40;
/// All time together that the fuzzer may let pass: what is virtual costs something, too.
const TIME_MAX: Duration = Duration::from_secs(300);
const HEADER_BYTES: usize = 12;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut pair = Pair::default();
    pair.mesh.run(Duration::from_millis(300));
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || pair.operation(&mut input).is_err() {
            break;
        }
        pair.attend();
    }
    pair.finish();
}

/// A single message by who sent it: node, run, number.
type Number = (usize, u64, u32);

#[derive(Default)]
struct Pair {
    mesh: Mesh,
    streams: Streams,
    passed: Duration,
    sent: u32,
    /// Messages of standing runs that have no outcome yet.
    open: BTreeMap<(usize, MessageId), Number>,
    /// What applications took and accepted, or rejected.
    accepted: BTreeSet<Number>,
    rejected: BTreeSet<Number>,
    /// What a sender heard that it surely never arrived.
    failed: BTreeSet<Number>,
    /// What may have arrived, in a session that the other end had forgotten.
    gone: BTreeSet<Number>,
    loose: BTreeSet<Number>,
    /// The last one that came, by sender, its run and lane.
    last: BTreeMap<(usize, u64, Lane), u32>,
    sleepy: [bool; 2],
    picky: [bool; 2],
    denies: [bool; 2],
    metadata: [Bytes; 2],
}

impl Pair {
    fn operation(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let choice = value::<u8>(u)?;
        let who = usize::from(choice >> 7);
        let mesh = &mut self.mesh;
        match choice & 0x1f {
            0..=4 => self.send(who, u)?,
            5 | 6 => self.send_unreliable(who, u)?,
            7 | 8 => self.open_stream(who, u)?,
            9..=14 => self.streams.call(mesh, who, u)?,
            15 | 16 => self.pass(Duration::from_millis(value::<u8>(u)?.into())),
            17 => self.pass(Duration::from_millis(u64::from(value::<u8>(u)?) * 50)),
            18 => self.pass(Duration::from_millis(u64::from(value::<u8>(u)?) * 250)),
            19 => mesh.stand_still(Duration::from_millis(value::<u16>(u)?.into())),
            20 => mesh.cut(),
            21 => mesh.is_near = value::<u8>(u)? & 1 == 0,
            22 => mesh.set_silent(value::<u8>(u)? & 1 == 0),
            23 => mesh.split = value::<u16>(u)?.into(),
            24 => self.restart(who),
            25 => {
                self.mesh.nodes[who].shutdown(self.mesh.now);
                self.pass(Duration::from_millis(100));
                self.attend();
                self.restart(who);
            }
            26 => self.sleepy[who] = !self.sleepy[who],
            27 => self.picky[who] = !self.picky[who],
            28 => {
                let body = Bytes::from(vec![b'3'; usize::from(value::<u16>(u)?)]);
                self.metadata[who] = body.clone();
                mesh.nodes[who].set_metadata(mesh.now, body);
            }
            29 => {
                self.denies[who] = !self.denies[who];
                self.tell_verdict(who);
            }
            30 => drop(mesh.nodes[who].trace(mesh.now, mesh.key(1 - who))),
            _ => {
                let (now, to) = (mesh.now, mesh.key(1 - who));
                // As many as there may be are under way, perhaps.
                let _ = mesh.nodes[who]
                    .with_bus(now, |bus, _| bus.ping(now, to, Duration::from_secs(2)));
            }
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        let time = time.min(TIME_MAX.saturating_sub(self.passed));
        self.passed += time;
        self.mesh.run(time);
    }

    fn tell_verdict(&mut self, who: usize) {
        let (now, other) = (self.mesh.now, self.mesh.key(1 - who));
        let admitted = !self.denies[who];
        self.mesh.nodes[who].with_bus(now, |bus, _| bus.handle_verdict(now, other, admitted));
    }

    fn restart(&mut self, who: usize) {
        self.mesh.restart(who);
        self.open.retain(|(sender, _), _| *sender != who);
        self.streams.forget_run(who);
        self.metadata[who] = Bytes::new();
        self.tell_verdict(who);
    }

    /// The next message: who sent it, in which run, its number, then filling.
    fn message(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<(Number, Bytes)> {
        self.sent += 1;
        let number = (who, self.mesh.runs[who], self.sent);
        let (size, scale) = (usize::from(value::<u8>(u)?), below(u, 4)?);
        let mut data = vec![who as u8];
        data.extend_from_slice(&number.1.to_be_bytes()[5..]);
        data.extend_from_slice(&number.2.to_be_bytes());
        data.resize(HEADER_BYTES + size * [1, 8, 64, 700][usize::from(scale)], self.sent as u8);
        Ok((number, data.into()))
    }

    fn send(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (lane, give_up) = (data_lane(u)?, value::<u8>(u)?);
        let give_up = (give_up < 64).then(|| Duration::from_millis(u64::from(give_up) * 40));
        let (number, data) = self.message(who, u)?;
        let (now, to) = (self.mesh.now, self.mesh.key(1 - who));
        let sent = self.mesh.nodes[who]
            .with_bus(now, |bus, _| bus.send_reliable(now, to, lane, data, give_up));
        match sent {
            Ok(id) => assert_eq!(self.open.insert((who, id), number), None),
            // It was not taken, so it must never arrive.
            Err(_) => drop(self.failed.insert(number)),
        }
        Ok(())
    }

    fn send_unreliable(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let lane = data_lane(u)?;
        let (number, data) = self.message(who, u)?;
        let (now, to) = (self.mesh.now, self.mesh.key(1 - who));
        let sent = self.mesh.nodes[who]
            .with_bus(now, |bus, _| bus.send_unreliable(now, to, lane, data, None));
        if sent.is_err() {
            self.failed.insert(number);
        }
        Ok(())
    }

    fn open_stream(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let reliability = match below(u, 3)? {
            0 => Reliability::Unreliable,
            _ => Reliability::Reliable,
        };
        let (now, to, lane) = (self.mesh.now, self.mesh.key(1 - who), data_lane(u)?);
        let topic = self.streams.topic();
        let open = StreamOpen { topic: topic.clone(), reliability, lane, args: Bytes::new() };
        let opened = self.mesh.nodes[who]
            .with_bus(now, |bus, entropy| bus.open_stream(now, entropy, to, open));
        if let Ok(id) = opened {
            self.streams.opened(who, id, &topic, reliability);
        }
        Ok(())
    }

    /// The applications read what they were told, and take what has come.
    fn attend(&mut self) {
        for who in 0..2 {
            while let Some(event) = self.mesh.events[who].pop_front() {
                self.on_event(who, event);
            }
            if !self.sleepy[who] {
                self.take(who);
                self.streams.read(&mut self.mesh, who);
            }
        }
    }

    fn on_event(&mut self, who: usize, event: Event) {
        match event {
            Event::Bus(BusEvent::MessageDone { id, outcome, .. }) => {
                let number = self.open.remove(&(who, id));
                self.on_outcome(number.expect("one outcome for each message"), outcome);
            }
            Event::Bus(BusEvent::StreamOffered { id, topic, reliability, .. }) => {
                let now = self.mesh.now;
                let picky = self.picky[who];
                let answered = self.mesh.nodes[who].with_bus(now, |bus, _| {
                    if picky {
                        bus.reject_stream(now, id, RejectReason::Application(9))
                    } else {
                        bus.accept_stream(now, id, Bytes::new())
                    }
                });
                self.streams.offered(who, id, &topic, reliability);
                // It may have been taken back meanwhile; its end is told then.
                let _ = answered;
            }
            Event::Bus(event) => self.streams.on_event(who, &event),
            _ => {}
        }
    }

    fn on_outcome(&mut self, number: Number, outcome: Outcome) {
        match outcome {
            Outcome::Delivered { .. } => {
                assert!(self.accepted.contains(&number), "{number:?} was not accepted");
            }
            Outcome::NotDelivered(FailReason::Rejected(_)) => {
                assert!(self.rejected.contains(&number), "{number:?} was not rejected");
            }
            Outcome::NotDelivered(reason) => {
                assert!(!self.accepted.contains(&number), "{number:?} arrived: {reason}");
                self.failed.insert(number);
            }
            Outcome::Unknown(FailReason::PeerLost) => drop(self.gone.insert(number)),
            Outcome::Unknown(_) => {}
        }
    }

    fn take(&mut self, who: usize) {
        let now = self.mesh.now;
        let reject = self.picky[who];
        while let Some(message) = self.mesh.nodes[who].with_bus(now, |bus, _| bus.next_message(now))
        {
            let number = self.whole(who, &message.data);
            if message.reliability == Reliability::Unreliable {
                assert!(self.loose.insert(number), "{number:?} came twice");
                continue;
            }
            let last = self.last.insert((number.0, number.1, message.lane), number.2);
            assert!(last.is_none_or(|last| last < number.2), "{number:?} after {last:?}");
            let settled = self.mesh.nodes[who].with_bus(now, |bus, _| {
                if reject {
                    bus.reject_message(now, message.id, RejectReason::NoListener)
                } else {
                    bus.accept_message(now, message.id)
                }
            });
            assert_eq!(settled, Ok(()), "a message just taken waits for a verdict");
            let of = if reject { &mut self.rejected } else { &mut self.accepted };
            assert!(of.insert(number), "{number:?} came twice");
        }
    }

    /// Whose message it is; it is as it was sent.
    fn whole(&self, to: usize, data: &[u8]) -> Number {
        assert!(data.len() >= HEADER_BYTES);
        let run = u64::from_be_bytes([0, 0, 0, 0, 0, data[1], data[2], data[3]]);
        let number = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
        assert!(data[8..].iter().all(|byte| *byte == number as u8), "{data:02x?}");
        let number = (usize::from(data[0]), run, number);
        assert_eq!(number.0, 1 - to, "from the other one");
        assert!(!self.failed.contains(&number), "{number:?} was said to have failed");
        number
    }

    /// Nothing breaks any more.
    fn finish(&mut self) {
        self.mesh.is_near = true;
        self.mesh.set_silent(false);
        (self.sleepy, self.picky, self.denies) = ([false; 2], [false; 2], [false; 2]);
        (0..2).for_each(|who| self.tell_verdict(who));
        self.settle(60);
        self.streams.reset_all(&mut self.mesh);
        self.settle(40);
        assert!(self.open.is_empty(), "no outcome: {:?}", self.open);
        self.streams.check_ended();
        self.see_each_other();
        // A goodbye may be lost on the way: then the first message finds out that the session is
        // gone, and nobody can say what became of it. What is sent after that arrives.
        let first = self.last_message(u32::MAX - 1);
        let is_gone = self.gone.contains(&(0, 0, u32::MAX - 1));
        assert!(first || is_gone, "a message to a session that is gone has that as its reason");
        assert!(self.last_message(u32::MAX), "a message arrives when all is well");
    }

    fn last_message(&mut self, number: u32) -> bool {
        let mut data = vec![0; 4];
        data.extend_from_slice(&number.to_be_bytes());
        data.resize(HEADER_BYTES, number as u8);
        let (now, to) = (self.mesh.now, self.mesh.key(1));
        let sent = self.mesh.nodes[0]
            .with_bus(now, |bus, _| bus.send_reliable(now, to, Lane::Normal, data.into(), None));
        self.open.insert((0, sent.expect("there is room")), (0, 0, number));
        self.settle(10);
        assert!(self.open.is_empty(), "no outcome: {:?}", self.open);
        self.accepted.contains(&(0, 0, number))
    }

    fn settle(&mut self, half_seconds: u32) {
        for _ in 0..half_seconds {
            self.mesh.run(Duration::from_millis(500));
            self.attend();
        }
    }

    fn see_each_other(&mut self) {
        for who in 0..2 {
            let graph = self.mesh.nodes[who].graph(self.mesh.now);
            assert_eq!(graph.remote.len(), 1, "{who} sees nobody");
            let other = &graph.remote[0];
            assert_eq!(other.route.map(|route| route.hops), Some(1));
            let body = match &other.metadata {
                Metadata::Empty => Bytes::new(),
                Metadata::Pending => panic!("metadata of {} does not come", 1 - who),
                Metadata::Body(body) => body.clone(),
            };
            assert_eq!(body, self.metadata[1 - who]);
        }
    }
}
