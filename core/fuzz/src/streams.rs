//! What two applications know of the streams between them, and what they must find true.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use hedgerow_core::bus::{BusEvent, Reliability, StreamEnd, StreamId};

use crate::input::{below, value};
use crate::mesh::Mesh;

/// One side of a stream: node and number there.
type Half = (usize, StreamId);

/// A stream, by its topic.
#[derive(Debug)]
struct Stream {
    reliability: Reliability,
    /// Messages that each node sent, as lengths.
    sent: [Vec<usize>; 2],
    /// How many of them the other one has.
    got: [usize; 2],
    /// Those that came, where they may come in any order.
    came: [BTreeSet<usize>; 2],
    /// Who finished.
    finished: [bool; 2],
}

/// All streams that there were.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    all: Vec<Stream>,
    halves: BTreeMap<Half, usize>,
    /// Halves of standing runs, in the order of their making.
    standing: Vec<Half>,
}

fn content(index: usize, length: usize) -> Vec<u8> {
    let mut bytes = (index as u32).to_be_bytes().to_vec();
    bytes.resize(4 + length, index as u8);
    bytes
}

impl Streams {
    /// A topic that no other stream has.
    pub(crate) fn topic(&self) -> Bytes {
        Bytes::copy_from_slice(&(self.all.len() as u64).to_be_bytes())
    }

    pub(crate) fn opened(&mut self, who: usize, id: StreamId, topic: &Bytes, kind: Reliability) {
        assert_eq!(*topic, self.topic());
        self.all.push(Stream {
            reliability: kind,
            sent: Default::default(),
            got: [0; 2],
            came: Default::default(),
            finished: [false; 2],
        });
        self.add((who, id), self.all.len() - 1);
    }

    pub(crate) fn offered(&mut self, who: usize, id: StreamId, topic: &Bytes, kind: Reliability) {
        let number: [u8; 8] = topic[..].try_into().expect("a topic as it was sent");
        let at = u64::from_be_bytes(number) as usize;
        assert_eq!(self.all[at].reliability, kind);
        self.add((who, id), at);
    }

    fn add(&mut self, half: Half, at: usize) {
        assert_eq!(self.halves.insert(half, at), None, "a number twice");
        self.standing.push(half);
    }

    /// A node starts anew: its side is gone, and numbers begin again.
    pub(crate) fn forget_run(&mut self, who: usize) {
        self.standing.retain(|half| half.0 != who);
        self.halves.retain(|half, _| half.0 != who);
    }

    /// An application sends, finishes or resets.
    pub(crate) fn call(
        &mut self,
        mesh: &mut Mesh,
        who: usize,
        u: &mut Unstructured<'_>,
    ) -> Result<()> {
        let (at, what) = (usize::from(value::<u8>(u)?), below(u, 10)?);
        let (size, scale) = (usize::from(value::<u8>(u)?), below(u, 3)?);
        let own: Vec<Half> = self.standing.iter().filter(|half| half.0 == who).copied().collect();
        let Some(&half) = own.get(at % own.len().max(1)) else { return Ok(()) };
        let (now, id) = (mesh.now, half.1);
        let stream = &mut self.all[self.halves[&half]];
        mesh.nodes[who].with_bus(now, |bus, _| match what {
            0 => stream.finished[who] |= bus.stream_finish(now, id).is_ok(),
            // It may have ended, and the word of it is not read yet.
            1 => drop(bus.stream_reset(now, id, size as u64).is_ok()),
            _ => {
                let length = size * [1, 16, 600][usize::from(scale)];
                let data = content(stream.sent[who].len(), length);
                if bus.stream_send(now, id, data.into()).is_ok() {
                    stream.sent[who].push(length);
                }
            }
        });
        Ok(())
    }

    /// An application reads all that there is.
    pub(crate) fn read(&mut self, mesh: &mut Mesh, who: usize) {
        let now = mesh.now;
        for &(_, id) in self.standing.iter().filter(|half| half.0 == who) {
            let stream = &mut self.all[self.halves[&(who, id)]];
            while let Some(message) =
                mesh.nodes[who].with_bus(now, |bus, _| bus.stream_next(now, id))
            {
                stream.take(1 - who, &message);
            }
        }
    }

    pub(crate) fn on_event(&mut self, who: usize, event: &BusEvent) {
        match event {
            BusEvent::StreamAcked { id, sequence } => {
                let Some(at) = self.halves.get(&(who, *id)) else { return };
                let got = self.all[*at].got[who];
                assert!(*sequence as usize <= got, "{sequence} of {got} are said to be there");
            }
            BusEvent::StreamFinished { id } => {
                let stream = &self.all[self.halves[&(who, *id)]];
                assert!(stream.finished[1 - who], "the other side did not finish");
                stream.check_whole(1 - who);
            }
            BusEvent::StreamClosed { id, reason } => {
                let half = (who, *id);
                let before = self.standing.len();
                self.standing.retain(|standing| *standing != half);
                assert_eq!(before, self.standing.len() + 1, "one end for each stream");
                if *reason == StreamEnd::Finished {
                    let stream = &self.all[self.halves[&half]];
                    assert_eq!(stream.finished, [true; 2]);
                    (0..2).for_each(|sender| stream.check_whole(sender));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn reset_all(&mut self, mesh: &mut Mesh) {
        let now = mesh.now;
        for &(who, id) in &self.standing {
            // It may have ended just now.
            let _ = mesh.nodes[who].with_bus(now, |bus, _| bus.stream_reset(now, id, 5));
        }
    }

    pub(crate) fn check_ended(&self) {
        assert!(self.standing.is_empty(), "streams without an end: {:?}", self.standing);
    }
}

impl Stream {
    fn take(&mut self, sender: usize, message: &[u8]) {
        let index = u32::from_be_bytes(message[..4].try_into().expect("as it was sent")) as usize;
        let length = self.sent[sender].get(index).expect("it was sent");
        assert_eq!(message, content(index, *length), "as it was sent");
        match self.reliability {
            Reliability::Reliable => assert_eq!(index, self.got[sender], "in order"),
            Reliability::Unreliable => assert!(self.came[sender].insert(index), "twice"),
        }
        self.got[sender] += 1;
    }

    /// Everything that was sent is there, where that is promised.
    fn check_whole(&self, sender: usize) {
        if self.reliability == Reliability::Reliable {
            assert_eq!(self.got[sender], self.sent[sender].len());
        }
    }
}
