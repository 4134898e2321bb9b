//! Two nodes that talk through glass: what they say is altered on the way and still believed, so
//! that routing headers, handshakes, Bus frames and control messages are what nobody ever sends.
//! Nothing may panic, spin, or grow; and when it is over the nodes find each other again.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use hedgerow_core::bus::{
    BusEvent, FailReason, Outcome, RejectReason, Reliability, StreamId, StreamOpen,
};
use hedgerow_core::event::Event;
use hedgerow_core::io::Lane;
use hedgerow_core::time::Duration;

use crate::input::{below, data_lane, long, short, value};
use crate::mesh::{Mesh, Tamper};

const OPERATIONS_MAX: usize = 48;
/// A session is given up after 30 s without an answer, a dial is tried again after some more.
const RECOVERY: Duration = Duration::from_secs(90);

/// The end of a session whose other end is silent.
const SILENCE: Duration = Duration::from_secs(30);

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut talk = Talk::default();
    talk.mesh.run(Duration::from_millis(500));
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || talk.operation(&mut input).is_err() {
            break;
        }
    }
    talk.finish();
}

#[derive(Default)]
struct Talk {
    mesh: Mesh,
    streams: [Vec<StreamId>; 2],
}

impl Talk {
    fn operation(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let choice = value::<u8>(u)?;
        let who = usize::from(choice >> 7);
        match choice & 0x0f {
            0..=5 => {
                let tamper = tamper(u)?;
                self.mesh.tampers[who].push_back(tamper);
            }
            6 | 7 => self.mesh.run(Duration::from_millis(value::<u8>(u)?.into())),
            8 => self.mesh.run(Duration::from_millis(u64::from(value::<u8>(u)?) * 40)),
            9 => self.mesh.split = value::<u16>(u)?.into(),
            10 => self.send(who, u)?,
            11 => self.open(who, u)?,
            12 => self.stream(who, u)?,
            13 => self.mesh.nodes[who]
                .set_metadata(self.mesh.now, vec![b'7'; usize::from(value::<u16>(u)?)].into()),
            14 => self.ask(who, u)?,
            _ => match below(u, 4)? {
                0 => self.mesh.cut(),
                1 => self.mesh.restart(who),
                2 => self.mesh.stand_still(Duration::from_secs(value::<u8>(u)?.into())),
                _ => self.mesh.set_silent(value::<u8>(u)? & 1 == 0),
            },
        }
        self.attend();
        Ok(())
    }

    fn send(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, to) = (self.mesh.now, self.mesh.key(1 - who));
        let lane = data_lane(u)?;
        let reliable = value::<u8>(u)? & 1 == 0;
        let data: Bytes = vec![7; usize::from(value::<u16>(u)?)].into();
        self.mesh.nodes[who].with_bus(now, |bus, _| {
            // A call that is refused changes nothing.
            if reliable {
                let _ = bus.send_reliable(now, to, lane, data, None);
            } else {
                let _ = bus.send_unreliable(now, to, lane, data, None);
            }
        });
        Ok(())
    }

    fn open(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, to) = (self.mesh.now, self.mesh.key(1 - who));
        let reliability = [Reliability::Reliable, Reliability::Unreliable];
        let open = StreamOpen {
            topic: Bytes::copy_from_slice(short(u)?),
            reliability: reliability[usize::from(below(u, 2)?)],
            lane: data_lane(u)?,
            args: Bytes::copy_from_slice(long(u)?),
        };
        let id = self.mesh.nodes[who]
            .with_bus(now, |bus, entropy| bus.open_stream(now, entropy, to, open));
        self.streams[who].extend(id);
        Ok(())
    }

    fn stream(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, what) = (self.mesh.now, below(u, 5)?);
        let (at, size) = (usize::from(value::<u8>(u)?), usize::from(value::<u16>(u)?));
        let Some(&id) = self.streams[who].get(at % self.streams[who].len().max(1)) else {
            return Ok(());
        };
        self.mesh.nodes[who].with_bus(now, |bus, _| {
            // A call that is refused changes nothing.
            match what {
                0 | 1 => drop(bus.stream_send(now, id, vec![3; size].into())),
                2 => drop(bus.stream_finish(now, id)),
                3 => drop(bus.stream_reset(now, id, size as u64)),
                _ => drop(bus.stream_next(now, id)),
            }
        });
        Ok(())
    }

    fn ask(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, to) = (self.mesh.now, self.mesh.key(1 - who));
        let node = &mut self.mesh.nodes[who];
        match below(u, 4)? {
            0 => drop(node.trace(now, to)),
            1 => drop(node.with_bus(now, |bus, _| bus.ping(now, to, Duration::from_secs(3)))),
            2 => node.set_device_name(now, "another"),
            _ => {
                let admitted = value::<u8>(u)? & 1 == 0;
                node.with_bus(now, |bus, _| bus.handle_verdict(now, to, admitted));
            }
        }
        Ok(())
    }

    /// What an application does with what comes.
    fn attend(&mut self) {
        let now = self.mesh.now;
        for who in 0..2 {
            let node = &mut self.mesh.nodes[who];
            while node.with_bus(now, |bus, _| bus.take_message(now)).is_some() {}
            while let Some(event) = self.mesh.events[who].pop_front() {
                match event {
                    Event::Bus(BusEvent::StreamOffered { id, args, .. }) => {
                        // It may have been taken back meanwhile.
                        let _ = node.with_bus(now, |bus, _| {
                            if args.first() == Some(&0) {
                                bus.reject_stream(now, id, RejectReason::Application(1))
                            } else {
                                bus.accept_stream(now, id, args)
                            }
                        });
                        self.streams[who].push(id);
                    }
                    Event::Bus(BusEvent::StreamReadable { id }) => {
                        while node.with_bus(now, |bus, _| bus.stream_next(now, id)).is_some() {}
                    }
                    _ => {}
                }
            }
        }
    }

    /// Nobody disturbs them any more: they find each other, and what one says arrives.
    fn finish(&mut self) {
        let mesh = &mut self.mesh;
        mesh.tampers.iter_mut().for_each(std::collections::VecDeque::clear);
        mesh.set_silent(false);
        mesh.cut();
        mesh.run(Duration::from_secs(1));
        for who in 0..2 {
            let (now, other) = (mesh.now, mesh.key(1 - who));
            mesh.nodes[who].with_bus(now, |bus, _| bus.handle_verdict(now, other, true));
            mesh.see(who);
        }
        // What is believed of sessions that are gone has an end.
        mesh.run(RECOVERY);
        self.attend();
        // The ends may believe the numbers and keys of different sessions, or that packets came
        // which were never sent: the first message finds that out and may fail, with its reason,
        // once the session is given up or closed over it.
        let first = self.last_message();
        let lost = [
            FailReason::PeerLost,
            FailReason::PeerRestarted,
            FailReason::ClosedByRemote,
            FailReason::ClosedByLocal,
        ];
        match first {
            Some(Outcome::Delivered { .. }) => {}
            Some(Outcome::Unknown(reason) | Outcome::NotDelivered(reason))
                if lost.contains(&reason) => {}
            // Bytes of its lane that were altered on the way have their acknowledgement and never
            // come again: the lane stands, as behind an application that does not read. The
            // session itself lives then, and a new one is free of it; or the silence of its other
            // end began later than the message's wait, and is the end of it in its turn.
            Some(
                Outcome::Unknown(FailReason::TimedOut)
                | Outcome::NotDelivered(FailReason::TimedOut),
            ) => match self.lives() {
                Some(true) => self.end_session(),
                Some(false) => {}
                None => panic!("{first:?}, and the session neither answers nor ends"),
            },
            first => panic!("it does not arrive: {first:?}"),
        }
        let second = self.last_message();
        assert!(is_arrived(&second), "it does not arrive: {second:?}");
    }

    /// Whether the first node's session lives, by a ping, or ends in the time that silence is
    /// given; `None` if neither.
    fn lives(&mut self) -> Option<bool> {
        let (now, to) = (self.mesh.now, self.mesh.key(1));
        let give_up = Duration::from_secs(5);
        let ping = self.mesh.nodes[0].with_bus(now, |bus, _| bus.ping(now, to, give_up));
        let ping = ping.expect("there is room");
        self.mesh.run(give_up + SILENCE);
        let told = |event| match event {
            Event::Bus(BusEvent::Pong { id, .. }) if id == ping => Some(true),
            Event::Bus(BusEvent::SessionDown { .. }) => Some(false),
            _ => None,
        };
        self.mesh.events[0].drain(..).find_map(told)
    }

    /// The first node's application ends the session and admits the other again.
    fn end_session(&mut self) {
        let to = self.mesh.key(1);
        for admitted in [false, true] {
            let now = self.mesh.now;
            self.mesh.nodes[0].with_bus(now, |bus, _| bus.handle_verdict(now, to, admitted));
            self.mesh.run(Duration::from_secs(1));
        }
    }

    /// What became of a message, in the time after which a session is given up and some more.
    fn last_message(&mut self) -> Option<Outcome> {
        let (now, to) = (self.mesh.now, self.mesh.key(1));
        let text = Bytes::from_static(b"still there");
        let sent = self.mesh.nodes[0]
            .with_bus(now, |bus, _| bus.send_reliable(now, to, Lane::Bulk, text.clone(), None));
        let sent = sent.expect("there is room");
        let mut came = false;
        for _ in 0..80 {
            self.mesh.run(Duration::from_millis(500));
            let (now, node) = (self.mesh.now, &mut self.mesh.nodes[1]);
            while let Some(message) = node.with_bus(now, |bus, _| bus.take_message(now)) {
                came |= message.data == text;
            }
            let mut events = self.mesh.events[0].drain(..);
            let outcome = events.find_map(|event| match event {
                Event::Bus(BusEvent::MessageDone { id, outcome, .. }) if id == sent => {
                    Some(outcome)
                }
                _ => None,
            });
            drop(events);
            if outcome.is_some() {
                assert!(came || !is_arrived(&outcome), "{outcome:?} and nothing came");
                return outcome;
            }
        }
        None
    }
}

fn is_arrived(outcome: &Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Delivered { .. }))
}

fn tamper(u: &mut Unstructured<'_>) -> Result<Tamper> {
    let at = |u: &mut Unstructured<'_>| value::<u16>(u).map(usize::from);
    Ok(match below(u, 8)? {
        0 => Tamper::Pass,
        1 | 2 => Tamper::Flip(at(u)?, value(u)?),
        3 | 4 => Tamper::Put(at(u)?, short(u)?.to_vec()),
        5 => Tamper::Insert(at(u)?, short(u)?.to_vec()),
        6 => Tamper::Cut(at(u)?),
        _ => Tamper::Double,
    })
}
