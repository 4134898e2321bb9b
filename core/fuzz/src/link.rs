//! Both ends of one link, truly sealed. What one end says comes out of the other one as it was
//! said and in its order, however the bytes are cut up on their way; once a byte is wrong nothing
//! more comes out, and the link ends with a reason. Only a payload may come out altered: it is the
//! session's to find out, and the link vouches for its tag and its length.

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::io::{Lane, LinkLoss, LinkShape};
use hedgerow_core::link::{Link, LinkEvent, LinkState, Source};
use hedgerow_core::local::Local;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::control::{Control, Decoded, decode};
use hedgerow_core::wire::frame::{DataFrame, DataHead};
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

use crate::control;
use crate::input::{address, below, data_lane, long, number, short, value};
use crate::people::{self, Seeded};

const OPERATIONS_MAX: usize = 64;
const SHAPE: LinkShape = LinkShape::Stream { chunk_bytes: 8_192, frame_bytes_max: 2_048 };

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut wire = Wire::new();
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() || wire.operation(&mut input).is_err() {
            break;
        }
    }
    wire.finish();
}

/// What was said and has to come out.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Control(Control),
    Skipped(u16),
    Data(DataFrame),
}

/// What an end has to say; what it gives to the link is noted as said.
#[derive(Default)]
struct Words {
    control: VecDeque<Vec<u8>>,
    data: VecDeque<DataFrame>,
    said: VecDeque<Said>,
}

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && self.control.front().is_some_and(|next| next.len() <= room.saturating_sub(out.len()))
        {
            let message = self.control.pop_front().unwrap_or_default();
            self.note(&message);
            out.extend_from_slice(&message);
        }
    }

    fn data(&mut self, lane: Lane, bytes_max: usize, out: &mut BytesMut) -> Option<DataHead> {
        let fits = |frame: &DataFrame| frame.lane == lane && frame.payload.len() <= bytes_max;
        let frame = self.data.front().is_some_and(fits).then(|| self.data.pop_front())??;
        self.said.push_back(Said::Data(frame.clone()));
        Some(frame.write(out))
    }
}

impl Words {
    /// What stays in the link is not told.
    fn note(&mut self, mut bytes: &[u8]) {
        while let Some(decoded) = decode(&mut bytes) {
            match decoded {
                Decoded::Message(Control::Keepalive(_) | Control::Close(_)) => {}
                Decoded::Message(message) => self.said.push_back(Said::Control(message)),
                Decoded::Skipped(kind) => self.said.push_back(Said::Skipped(kind)),
                Decoded::Malformed => {}
            }
        }
    }
}

struct End {
    local: Local,
    link: Link,
    words: Words,
    /// Bytes on their way to it.
    coming: VecDeque<u8>,
    is_up: bool,
    ended: usize,
}

struct Wire {
    now: Instant,
    entropy: Seeded,
    ends: [End; 2],
    /// Bytes were altered on their way to this end.
    altered: [bool; 2],
}

impl Wire {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let mut entropy = Seeded(3);
        let ends = [Role::Initiator, Role::Responder].map(|role| {
            let local = people::local(role as usize, 1, Arc::new(Portable));
            let link = Link::new(now, &local, &mut entropy, role, SHAPE, 0);
            let words = Words::default();
            End { local, link, words, coming: VecDeque::new(), is_up: false, ended: 0 }
        });
        Self { now, entropy, ends, altered: [false; 2] }
    }

    fn operation(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let choice = value::<u8>(u)?;
        let who = usize::from(choice >> 7);
        match choice & 0x0f {
            0..=4 => self.carry(who, usize::from(value::<u16>(u)?)),
            5 => self.carry(who, 1),
            6..=8 => self.pull(who),
            9 => {
                let mut message = Vec::new();
                control::message(u)?.encode(&mut message);
                self.ends[who].words.control.push_back(message);
            }
            10 => {
                let kind = 100 + u16::from(value::<u8>(u)?);
                let mut message = vec![0x80 | (kind & 0x7f) as u8, (kind >> 7) as u8, 3];
                message.extend_from_slice(b"new");
                self.ends[who].words.control.push_back(message);
            }
            11 | 12 => {
                let frame = frame(u)?;
                self.ends[who].words.data.push_back(frame);
            }
            13 => self.alter(who, u)?,
            14 => {
                self.now += Duration::from_millis(value::<u16>(u)?.into());
                self.ends.iter_mut().for_each(|end| end.link.handle_timeout(self.now));
                self.hear();
            }
            _ if value::<u8>(u)? == 0 => {
                self.ends[who].link.handle_loss(LinkLoss::Reset);
                self.hear();
            }
            _ => self.ends[who].link.probe(),
        }
        Ok(())
    }

    /// An end is pulled for one chunk.
    fn pull(&mut self, who: usize) {
        let end = &mut self.ends[who];
        let bytes = end.link.poll_transmit(self.now, &mut end.words);
        self.ends[1 - who].coming.extend(bytes.into_iter().flatten());
        self.hear();
    }

    /// So many bytes arrive at an end.
    fn carry(&mut self, who: usize, count: usize) {
        let end = &mut self.ends[who];
        let data: Vec<u8> = end.coming.drain(..count.min(end.coming.len())).collect();
        let data = BytesMut::from(&data[..]);
        end.link.handle_bytes(self.now, &end.local, &mut self.entropy, data);
        self.hear();
    }

    /// Something happens to the bytes that are on their way to an end.
    fn alter(&mut self, who: usize, u: &mut Unstructured<'_>) -> Result<()> {
        let at = usize::from(value::<u16>(u)?);
        let coming = &mut self.ends[who].coming;
        let at = at % coming.len().max(1);
        let before: Vec<u8> = coming.iter().copied().collect();
        match below(u, 4)? {
            0 => drop(coming.remove(at)),
            1 => {
                for byte in short(u)? {
                    coming.insert(at.min(coming.len()), *byte);
                }
            }
            2 => coming.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x10),
            _ => {
                let more: Vec<u8> = coming.iter().copied().skip(at).take(300).collect();
                coming.extend(more);
            }
        }
        self.altered[who] |= !coming.iter().eq(before.iter());
        Ok(())
    }

    /// Takes what comes out of both ends, and compares.
    fn hear(&mut self) {
        for who in 0..2 {
            while let Some(event) = self.ends[who].link.poll_event() {
                let mut said = match event {
                    LinkEvent::Control(message) => Said::Control(message),
                    LinkEvent::Skipped(kind) => Said::Skipped(kind),
                    LinkEvent::Data(frame) => Said::Data(frame),
                    LinkEvent::Established(_) => {
                        assert!(!self.ends[who].is_up, "up twice");
                        self.ends[who].is_up = true;
                        continue;
                    }
                    LinkEvent::Suspect | LinkEvent::Trusted | LinkEvent::Measured(_) => continue,
                    LinkEvent::Closed(_) => {
                        self.ends[who].ended += 1;
                        assert_eq!(self.ends[who].ended, 1, "closed twice");
                        continue;
                    }
                };
                assert!(self.ends[who].is_up, "{said:?} before the handshake is done");
                assert_eq!(self.ends[who].ended, 0, "{said:?} after the end");
                let mut meant = self.ends[1 - who].words.said.pop_front();
                if self.altered[who]
                    && let (Some(Said::Data(meant)), Said::Data(said)) = (&mut meant, &mut said)
                {
                    assert_eq!(meant.payload.len(), said.payload.len());
                    meant.payload.clear();
                    said.payload.clear();
                }
                assert_eq!(meant, Some(said));
            }
        }
    }

    /// All the rest arrives: all was heard, unless the link is over or somebody altered it.
    fn finish(&mut self) {
        for _ in 0..400 {
            for who in 0..2 {
                self.pull(who);
                self.carry(who, usize::MAX);
            }
        }
        for who in 0..2 {
            let states = [0, 1].map(|end: usize| self.ends[end].link.state());
            let is_open = |state| matches!(state, LinkState::Up | LinkState::Suspect);
            let fine = states.into_iter().all(is_open) && !self.altered[who];
            assert!(!fine || self.ends[1 - who].words.said.is_empty(), "not all was heard");
            assert_eq!(self.ends[who].ended > 0, states[who] == LinkState::Closed);
        }
        // Nothing is heard of the other end, and the handshake may not last: it ends. Nobody is
        // judged by the time that this end slept, so there is some more.
        self.now += Duration::from_secs(30);
        let end_at = self.now + Duration::from_secs(1);
        for end in &mut self.ends {
            let mut now = self.now;
            while let Some(at) = end.link.next_timeout().filter(|at| *at <= end_at) {
                now = now.max(at);
                end.link.handle_timeout(now);
                let next = end.link.next_timeout();
                assert!(next.is_none_or(|next| next > at), "{next:?} after {at:?}");
            }
        }
        self.hear();
        assert!(self.ends.iter().all(|end| end.ended == 1));
    }
}

fn frame(u: &mut Unstructured<'_>) -> Result<DataFrame> {
    let header = RoutingHeader {
        kind: DataKind::Packet,
        congested: value::<u8>(u)? & 1 == 0,
        key_phase: value::<u8>(u)? & 1 == 0,
        hop_limit: value(u)?,
        lifetime_ms: value(u)?,
        source: address(u)?,
        destination: address(u)?,
        session: number(u)? as u32,
        packet_low: number(u)? as u32,
    };
    let lane = data_lane(u)?;
    let tag = value(u)?;
    let payload = Bytes::copy_from_slice(long(u)?);
    let payload = BytesMut::from(&payload[..payload.len().min(2_048)]);
    Ok(DataFrame { lane, header, tag, payload })
}
