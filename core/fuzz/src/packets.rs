//! Both ends of one packet-shaped link, truly sealed. What one end says comes out of the other one
//! as it was said, once and in the order of its lane, whatever is lost, doubled, reordered or cut on
//! the way and however the size of packets changes; once a packet is altered or invented, nothing
//! false comes out, and what an end keeps is bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::io::{Lane, LinkShape};
use hedgerow_core::limits::FRAGMENTS_EARLY_BYTES_MAX;
use hedgerow_core::link::{Link, LinkEvent, LinkState, Source};
use hedgerow_core::local::Local;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::control::Control;
use hedgerow_core::wire::frame::{DataFrame, DataHead};
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

use crate::input::{address, below, data_lane, long, short, value};
use crate::people::{self, Seeded};

const OPERATIONS_MAX: usize = 160;
const FRAME_BYTES_MAX: usize = 2_048;
/// Packets on their way to one end; more are lost.
const COMING_MAX: usize = 256;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(first) = value::<u16>(&mut input) else { return };
    let mut air = Air::new(20 + usize::from(first & 0x1ff), first >> 15 == 1);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || air.operation(&mut input).is_err() {
            break;
        }
        air.check();
    }
    air.finish();
}

/// What was said on a lane and has to come out there.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Control([u8; 32]),
    Data(DataFrame),
}

/// What an end has to say; what it gives to the link is noted as said.
#[derive(Default)]
struct Words {
    control: VecDeque<[u8; 32]>,
    data: VecDeque<DataFrame>,
    said: Vec<(Lane, Said)>,
}

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && room.saturating_sub(out.len()) >= 64
            && let Some(hash) = self.control.pop_front()
        {
            Control::BodyHave(hash).encode(out);
            self.said.push((lane, Said::Control(hash)));
        }
    }

    fn data(&mut self, lane: Lane, bytes_max: usize, out: &mut BytesMut) -> Option<DataHead> {
        let fits = |frame: &DataFrame| frame.lane == lane && frame.payload.len() <= bytes_max;
        let at = self.data.iter().position(fits)?;
        let frame = self.data.remove(at)?;
        self.said.push((lane, Said::Data(frame.clone())));
        Some(frame.write(out))
    }
}

struct End {
    local: Local,
    link: Link,
    words: Words,
    /// Packets on their way to it.
    coming: VecDeque<Bytes>,
    heard: Vec<(Lane, Said)>,
    ended: usize,
}

struct Air {
    now: Instant,
    entropy: Seeded,
    is_ordered: bool,
    ends: [End; 2],
    /// A packet was altered or invented: the other end may be told what is not so.
    altered: bool,
}

impl Air {
    fn new(packet_bytes: usize, is_ordered: bool) -> Self {
        let now = Instant::from_millis(1_000);
        let mut entropy = Seeded(3);
        let shape =
            LinkShape::Packet { packet_bytes, is_ordered, frame_bytes_max: FRAME_BYTES_MAX };
        let ends = [Role::Initiator, Role::Responder].map(|role| {
            let local = people::local(role as usize, 1, Arc::new(Portable));
            let link = Link::new(now, &local, &mut entropy, role, shape, 0);
            let (words, coming, heard) = (Words::default(), VecDeque::new(), Vec::new());
            End { local, link, words, coming, heard, ended: 0 }
        });
        Self { now, entropy, is_ordered, ends, altered: false }
    }

    fn operation(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let choice = value::<u8>(u)?;
        let who = usize::from(choice >> 7);
        match choice & 0x0f {
            0..=3 => (0..=usize::from(below(u, 16)?)).for_each(|_| self.pull(who)),
            4..=7 => (0..=usize::from(below(u, 16)?)).for_each(|_| self.carry(who, 0)),
            8 if !self.is_ordered => {
                let at = usize::from(value::<u8>(u)?);
                self.carry(who, at);
            }
            9 if !self.is_ordered => self.trouble(who, u)?,
            10 => {
                let hash = [value::<u8>(u)?; 32];
                self.ends[who].words.control.push_back(hash);
            }
            11 | 12 => {
                let frame = frame(u)?;
                self.ends[who].words.data.push_back(frame);
            }
            13 => {
                let packet_bytes = 20 + usize::from(value::<u16>(u)? & 0x1ff);
                self.ends[who].link.handle_packet_bytes(packet_bytes);
            }
            14 => self.wait(Duration::from_millis((value::<u16>(u)? & 0x3ff).into())),
            _ => self.ends[who].link.probe(),
        }
        Ok(())
    }

    /// An end is pulled for one packet.
    fn pull(&mut self, who: usize) {
        let end = &mut self.ends[who];
        let most = end.link.packets().map_or(0, |view| view.packet_bytes);
        let packet = end.link.poll_transmit(self.now, &mut end.words);
        assert!(packet.as_ref().is_none_or(|packet| packet.len() <= most), "a packet over {most}");
        let coming = &mut self.ends[1 - who].coming;
        coming.extend(packet);
        if !self.is_ordered {
            coming.truncate(COMING_MAX);
        }
        self.hear();
    }

    /// One packet arrives at an end.
    fn carry(&mut self, who: usize, at: usize) {
        let end = &mut self.ends[who];
        let at = at % end.coming.len().max(1);
        let Some(packet) = end.coming.remove(at) else { return };
        end.link.handle_bytes(self.now, &end.local, &mut self.entropy, packet[..].into());
        self.hear();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let next = self.ends.iter().filter_map(|end| end.link.next_timeout()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for end in &mut self.ends {
                end.link.handle_timeout(self.now);
                let after = end.link.next_timeout();
                assert!(after.is_none_or(|after| after > self.now), "{after:?} is not after");
            }
            self.hear();
        }
        self.now = until;
    }

    /// Something happens to a packet on its way to an end.
    fn trouble(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let (what, at) = (below(u, 8)?, usize::from(value::<u8>(u)?));
        let coming = &mut self.ends[who].coming;
        let at = at % coming.len().max(1);
        let packet = coming.get(at).cloned();
        match what {
            0..=2 => drop(coming.remove(at)),
            3 => coming.extend(packet),
            4 | 5 => {
                // Never below what every link carries.
                let cut = 20 + usize::from(value::<u8>(u)?);
                if let Some(packet) = coming.get_mut(at) {
                    packet.truncate(cut);
                }
            }
            6 => {
                let bit = usize::from(value::<u16>(u)?);
                if let Some(packet) = coming.get_mut(at) {
                    let mut bytes = packet.to_vec();
                    let bit = bit % (8 * bytes.len()).max(1);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    *packet = bytes.into();
                    self.altered = true;
                }
            }
            _ => {
                coming.push_front(Bytes::copy_from_slice(short(u)?));
                self.altered = true;
            }
        }
        Ok(())
    }

    /// Takes what comes out of both ends.
    fn hear(&mut self) {
        for end in &mut self.ends {
            while let Some(event) = end.link.poll_event() {
                let said = match event {
                    LinkEvent::Control(Control::BodyHave(hash)) => {
                        (Lane::Control, Said::Control(hash))
                    }
                    LinkEvent::Data(frame) => (frame.lane, Said::Data(frame)),
                    LinkEvent::Control(other) => panic!("{other:?} was not said"),
                    LinkEvent::Closed(_) => {
                        end.ended += 1;
                        assert_eq!(end.ended, 1, "closed twice");
                        continue;
                    }
                    _ => continue,
                };
                assert_eq!(end.ended, 0, "{said:?} after the end");
                end.heard.push(said);
            }
        }
    }

    /// What an end has heard is what the other one said, so far.
    fn check(&self) {
        for who in 0..2 {
            let (heard, said) = (&self.ends[who].heard, &self.ends[1 - who].words.said);
            for lane in Lane::ALL {
                let on = |all: &[(Lane, Said)]| {
                    let on = all.iter().filter(|(of, _)| *of == lane);
                    on.map(|(_, said)| said.clone()).collect::<Vec<_>>()
                };
                let (heard, said) = (on(heard), on(said));
                if self.altered {
                    assert!(heard.iter().all(|heard| said.contains(heard)), "{lane:?}: invented");
                } else {
                    assert!(said.starts_with(&heard), "{lane:?}: {heard:?} of {said:?}");
                }
            }
            let held = self.ends[who].link.packets().map_or(0, |view| view.held_bytes);
            assert!(held <= FRAGMENTS_EARLY_BYTES_MAX + 4 * 2 * (FRAME_BYTES_MAX + 200), "{held}");
        }
    }

    /// The rest arrives, in time: all was heard, unless the link is over.
    fn finish(&mut self) {
        for _ in 0..600 {
            for who in 0..2 {
                (0..8).for_each(|_| self.pull(who));
                (0..8).for_each(|_| self.carry(who, 0));
            }
            self.wait(Duration::from_millis(50));
            self.check();
        }
        let is_open = |end: &End| matches!(end.link.state(), LinkState::Up | LinkState::Suspect);
        if self.ends.iter().all(is_open) && !self.altered {
            for who in 0..2 {
                let (heard, said) = (&self.ends[who].heard, &self.ends[1 - who].words.said);
                assert_eq!(heard.len(), said.len(), "not all was heard");
                assert!(self.ends[who].words.data.is_empty());
            }
        }
        // Nothing arrives any more: it ends.
        self.ends.iter_mut().for_each(|end| end.coming.clear());
        self.wait(Duration::from_secs(60));
        assert!(self.ends.iter().all(|end| end.ended == 1));
    }
}

fn frame(u: &mut Unstructured<'_>) -> Result<DataFrame> {
    let header = RoutingHeader {
        kind: DataKind::Packet,
        congested: false,
        key_phase: false,
        hop_limit: value(u)?,
        lifetime_ms: 9,
        source: address(u)?,
        destination: address(u)?,
        session: 1,
        packet_low: 2,
    };
    let lane = data_lane(u)?;
    let (times, text) = (usize::from(value::<u8>(u)?), long(u)?);
    let payload: Vec<u8> = text.iter().copied().cycle().take(text.len() * times).collect();
    let payload = BytesMut::from(&payload[..payload.len().min(FRAME_BYTES_MAX)]);
    Ok(DataFrame { lane, header, tag: [3; 16], payload })
}
