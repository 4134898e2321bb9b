//! The streams of one run of a node's application.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hedgerow_core::bus::{BusEvent, RejectReason, Reliability, StreamId, StreamOpen};
use hedgerow_core::node::Node;
use hedgerow_core::time::Instant;

use super::desk::Shared;
use super::flow::Flow;
use super::{Affair, LETTER_BYTES_MIN, Letter, Post, StreamName, Who};

/// A stream that this run opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    id: StreamId,
    name: StreamName,
    sent: u32,
}

/// The streams of a run.
#[derive(Debug)]
pub(super) struct Streams {
    who: Who,
    made: u32,
    /// Those that are filled, by flow.
    opened: BTreeMap<usize, Opened>,
    readable: BTreeSet<StreamId>,
    /// Offered, and gone when it was answered: the same events must tell of its end.
    unanswered: BTreeMap<StreamId, StreamName>,
}

fn encode(name: StreamName) -> Bytes {
    let node = u32::try_from(name.opener.node).expect("worlds are small");
    let words = [node, name.opener.run, name.number];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn decode(args: &[u8]) -> Option<StreamName> {
    let word = |at: usize| Some(u32::from_be_bytes(*args.get(at..at + 4)?.first_chunk()?));
    let opener = Who { node: usize::try_from(word(0)?).ok()?, run: word(4)? };
    (args.len() == 12).then_some(StreamName { opener, number: word(8)? })
}

impl Streams {
    pub(super) fn new(who: Who) -> Self {
        Self {
            who,
            made: 0,
            opened: BTreeMap::new(),
            readable: BTreeSet::new(),
            unanswered: BTreeMap::new(),
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.readable.is_empty()
    }

    /// Sends one message of a flow, on a new stream if need be. Whether it was taken.
    pub(super) fn send(
        &mut self,
        now: Instant,
        node: &mut Node,
        desk: &Shared,
        (index, flow): (usize, &Flow),
        bytes: usize,
        per_stream: u32,
    ) -> bool {
        let Some(key) = desk.borrow().key(flow.to) else { return false };
        let by = self.who;
        if !self.opened.contains_key(&index) {
            let name = StreamName { opener: by, number: self.made + 1 };
            let open = StreamOpen {
                topic: Bytes::from_static(b"sim"),
                reliability: Reliability::Reliable,
                lane: flow.lane,
                args: encode(name),
            };
            let opened =
                node.with_bus(now, |bus, entropy| bus.open_stream(now, entropy, key, open));
            let Ok(id) = opened else { return false };
            self.made += 1;
            self.opened.insert(index, Opened { id, name, sent: 0 });
            desk.borrow_mut().note(Affair::StreamBegan { by, id, name });
        }
        let Some(opened) = self.opened.get_mut(&index) else { return false };
        let letter = Letter {
            post: Post::Stream(opened.name.number),
            lane: flow.lane,
            from: by,
            to: (flow.to, key.address()),
            number: opened.sent + 1,
            bytes_len: bytes.max(LETTER_BYTES_MIN),
        };
        let id = opened.id;
        let sent = node.with_bus(now, |bus, _| bus.stream_send(now, id, letter.encode()));
        if sent.is_err() {
            return false;
        }
        opened.sent += 1;
        let is_full = opened.sent >= per_stream;
        desk.borrow_mut().note(Affair::StreamSent { by, id, letter });
        if is_full {
            self.opened.remove(&index);
            self.finish(now, node, desk, id);
        }
        true
    }

    fn finish(&mut self, now: Instant, node: &mut Node, desk: &Shared, id: StreamId) {
        if node.with_bus(now, |bus, _| bus.stream_finish(now, id)).is_ok() {
            desk.borrow_mut().note(Affair::StreamDone { by: self.who, id });
        }
    }

    /// Sends nothing more on any stream.
    pub(super) fn finish_all(&mut self, now: Instant, node: &mut Node, desk: &Shared) -> bool {
        let opened = core::mem::take(&mut self.opened);
        opened.values().for_each(|opened| self.finish(now, node, desk, opened.id));
        !opened.is_empty()
    }

    pub(super) fn on_event(
        &mut self,
        now: Instant,
        node: &mut Node,
        desk: &Shared,
        event: BusEvent,
    ) {
        let by = self.who;
        let note = |affair| desk.borrow_mut().note(affair);
        match event {
            BusEvent::StreamOffered { id, args, .. } => {
                let Some(name) = decode(&args) else {
                    return note(Affair::Wrong { by, what: format!("a stream with {args:?}") });
                };
                note(Affair::StreamBegan { by, id, name });
                let answered = node.with_bus(now, |bus, _| {
                    // Now and then nobody wants one.
                    if name.number % 7 == 0 {
                        bus.reject_stream(now, id, RejectReason::NoListener)
                    } else {
                        bus.accept_stream(now, id, Bytes::new())
                    }
                });
                if answered.is_err() {
                    self.unanswered.insert(id, name);
                }
            }
            BusEvent::StreamReadable { id } => drop(self.readable.insert(id)),
            BusEvent::StreamAcked { id, sequence } => {
                note(Affair::StreamAcked { by, id, upto: sequence });
            }
            BusEvent::StreamFinished { id } => {
                note(Affair::StreamEndRead { by, id });
                // Whoever did not open it has nothing to say on it.
                let _ = node.with_bus(now, |bus, _| bus.stream_finish(now, id));
            }
            BusEvent::StreamClosed { id, reason: end } => {
                note(Affair::StreamClosed { by, id, end });
                self.unanswered.remove(&id);
                self.readable.remove(&id);
                self.opened.retain(|_, opened| opened.id != id);
            }
            _ => {}
        }
    }

    /// Reads at most so many messages.
    pub(super) fn read(
        &mut self,
        now: Instant,
        node: &mut Node,
        desk: &Shared,
        at_most: usize,
    ) -> bool {
        let by = self.who;
        for (_, name) in core::mem::take(&mut self.unanswered) {
            let what = format!("{name:?}, which is not there");
            desk.borrow_mut().note(Affair::Wrong { by, what });
        }
        for taken in 0..at_most {
            let Some(&id) = self.readable.first() else { return taken > 0 };
            let Some(data) = node.with_bus(now, |bus, _| bus.stream_next(now, id)) else {
                self.readable.remove(&id);
                continue;
            };
            desk.borrow_mut().note(match Letter::decode(&data) {
                Some(letter) => Affair::StreamTaken { by, id, letter },
                None => Affair::Wrong { by, what: format!("{} bytes on a stream", data.len()) },
            });
        }
        at_most > 0
    }
}
