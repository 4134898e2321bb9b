//! The application of one node.

use std::collections::{BTreeMap, VecDeque};

use hedgerow_core::bus::{BusEvent, IncomingMessage, RejectReason, Reliability};
use hedgerow_core::event::Event;
use hedgerow_core::id::Instance;
use hedgerow_core::io::Lane;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

use super::desk::{Manner, Shared};
use super::flow::{Flow, Kind};
use super::streams::Streams;
use super::{Affair, LETTER_BYTES_MIN, Letter, Post, Who};
use crate::chance::Chance;
use crate::host::App;

/// What an application refuses with.
const REFUSAL_CODE: u32 = 7;
/// After a call was refused for want of room, the same is tried after this.
const RETRY: Duration = Duration::from_millis(200);

/// A flow and how far it got.
#[derive(Debug)]
struct Progress {
    flow: Flow,
    left: u32,
    /// When the next message goes; `None` until the node first runs.
    next_at: Option<Instant>,
}

/// What belongs to one run of the node.
#[derive(Debug)]
struct Run {
    who: Who,
    instance: Instance,
    numbers: BTreeMap<(bool, usize, Lane), u32>,
    streams: Streams,
    /// Taken, and not answered yet; with the time to do so.
    pondered: VecDeque<(Instant, IncomingMessage, Letter)>,
    /// There may be messages to take.
    is_readable: bool,
    looks_at: Instant,
}

/// Sends what is planned, takes what comes, and writes both down.
pub struct Traffic {
    node: usize,
    desk: Shared,
    chance: Chance,
    flows: Vec<Progress>,
    run: Option<Run>,
}

impl Traffic {
    /// The application of `node`, which has the given flows to send.
    #[must_use]
    pub fn new(node: usize, desk: Shared, flows: &[Flow], chance: Chance) -> Self {
        let progress = |flow: &Flow| Progress { flow: *flow, left: flow.messages, next_at: None };
        let flows = flows.iter().filter(|flow| flow.from == node).map(progress).collect();
        Self { node, desk, chance, flows, run: None }
    }

    /// Notices that the node was restarted.
    fn begin(&mut self, now: Instant, node: &Node) -> bool {
        let instance = node.local().instance;
        if self.run.as_ref().is_some_and(|run| run.instance == instance) {
            return false;
        }
        let who = self.desk.borrow_mut().begin(self.node, instance);
        self.run = Some(Run {
            who,
            instance,
            numbers: BTreeMap::new(),
            streams: Streams::new(who),
            pondered: VecDeque::new(),
            is_readable: false,
            looks_at: now,
        });
        for progress in &mut self.flows {
            // Clocks differ from run to run in nothing that matters here.
            progress.next_at.get_or_insert(now + progress.flow.begins_after);
        }
        true
    }

    fn send_what_is_due(&mut self, now: Instant, node: &mut Node) -> bool {
        let is_open = self.desk.borrow().is_open;
        let mut progress = false;
        for index in 0..self.flows.len() {
            let Progress { flow, left, next_at } = self.flows[index];
            if !is_open || left == 0 || next_at.is_none_or(|at| at > now) {
                continue;
            }
            progress = true;
            let (least, most) = flow.bytes;
            let bytes = least + self.chance.index(most - least + 1);
            let is_taken = match flow.kind {
                Kind::Reliable(give_up) => {
                    self.send_reliable(now, node, flow.to, flow.lane, bytes, give_up)
                }
                Kind::Loose => self.send_loose(now, node, flow.to, flow.lane, bytes),
                Kind::Stream(per_stream) => {
                    self.send_on_stream(now, node, index, bytes, per_stream)
                }
            };
            let state = &mut self.flows[index];
            state.left -= u32::from(is_taken);
            state.next_at = Some(now + if is_taken { flow.every } else { flow.every.max(RETRY) });
        }
        if !is_open && let Some(run) = &mut self.run {
            progress |= run.streams.finish_all(now, node, &self.desk);
        }
        progress
    }

    fn letter(&self, post: Post, to: usize, lane: Lane, bytes_len: usize) -> Option<Letter> {
        let run = self.run.as_ref()?;
        let address = self.desk.borrow().key(to)?.address();
        let name = (post == Post::Reliable, to, lane);
        let number = run.numbers.get(&name).copied().unwrap_or(0) + 1;
        let bytes_len = bytes_len.max(LETTER_BYTES_MIN);
        Some(Letter { post, lane, from: run.who, to: (to, address), number, bytes_len })
    }

    fn count(&mut self, letter: &Letter) {
        if let Some(run) = &mut self.run {
            let name = (letter.post == Post::Reliable, letter.to.0, letter.lane);
            run.numbers.insert(name, letter.number);
        }
    }

    fn send_reliable(
        &mut self,
        now: Instant,
        node: &mut Node,
        to: usize,
        lane: Lane,
        bytes: usize,
        give_up: Option<Duration>,
    ) -> bool {
        let Some(letter) = self.letter(Post::Reliable, to, lane, bytes) else { return false };
        let Some(key) = self.desk.borrow().key(to) else { return false };
        let sent = node
            .with_bus(now, |bus, _| bus.send_reliable(now, key, lane, letter.encode(), give_up));
        let Ok(id) = sent else { return false };
        self.count(&letter);
        self.desk.borrow_mut().note(Affair::Sent { by: letter.from, id, letter });
        true
    }

    fn send_loose(
        &mut self,
        now: Instant,
        node: &mut Node,
        to: usize,
        lane: Lane,
        bytes: usize,
    ) -> bool {
        let Some(letter) = self.letter(Post::Loose, to, lane, bytes) else { return false };
        let Some(key) = self.desk.borrow().key(to) else { return false };
        let sent =
            node.with_bus(now, |bus, _| bus.send_unreliable(now, key, lane, letter.encode(), None));
        if sent.is_err() {
            return false;
        }
        self.count(&letter);
        self.desk.borrow_mut().note(Affair::LooseSent { letter });
        true
    }

    fn send_on_stream(
        &mut self,
        now: Instant,
        node: &mut Node,
        index: usize,
        bytes: usize,
        per_stream: u32,
    ) -> bool {
        let Some(run) = &mut self.run else { return false };
        let flow = &self.flows[index].flow;
        run.streams.send(now, node, &self.desk, (index, flow), bytes, per_stream)
    }

    fn carry_out_orders(&mut self, now: Instant, node: &mut Node) -> bool {
        let orders = self.desk.borrow_mut().take_orders(self.node);
        for to in &orders {
            self.send_reliable(now, node, *to, Lane::Normal, LETTER_BYTES_MIN, None);
        }
        !orders.is_empty()
    }

    /// Takes messages as the application's manner is.
    fn take(&mut self, now: Instant, node: &mut Node) -> bool {
        let manner = self.desk.borrow().manner(self.node);
        let Some(run) = &mut self.run else { return false };
        let mut progress = answer(run, now, node, &self.desk, manner, &mut self.chance);
        let at_once = match manner {
            Manner::Slow { .. } if now < run.looks_at => 0,
            Manner::Slow { every, at_once } => {
                run.looks_at = now + every;
                at_once
            }
            Manner::Prompt | Manner::Pondering { .. } => usize::MAX,
        };
        progress |= run.streams.read(now, node, &self.desk, at_once);
        for _ in 0..at_once {
            if !run.is_readable {
                break;
            }
            let Some(message) = node.with_bus(now, |bus, _| bus.next_message(now)) else {
                run.is_readable = false;
                break;
            };
            progress = true;
            let Some(letter) = read(run.who, node, &message, &self.desk) else { continue };
            let pondered = match manner {
                Manner::Pondering { time, .. } if message.reliability == Reliability::Reliable => {
                    now + time
                }
                _ => now,
            };
            run.pondered.push_back((pondered, message, letter));
            answer(run, now, node, &self.desk, manner, &mut self.chance);
        }
        progress
    }
}

/// Answers what was taken and thought about for long enough.
fn answer(
    run: &mut Run,
    now: Instant,
    node: &mut Node,
    desk: &Shared,
    manner: Manner,
    chance: &mut Chance,
) -> bool {
    let mut progress = false;
    while let Some((at, ..)) = run.pondered.front()
        && *at <= now
    {
        let Some((_, message, letter)) = run.pondered.pop_front() else { break };
        progress = true;
        let refuse_one_of = match manner {
            Manner::Pondering { refuse_one_of, .. } => refuse_one_of,
            Manner::Prompt | Manner::Slow { .. } => 0,
        };
        let by = run.who;
        if message.reliability == Reliability::Unreliable {
            desk.borrow_mut().note(Affair::Taken { by, letter });
        } else if refuse_one_of > 0 && chance.below(u64::from(refuse_one_of)) == 0 {
            let (id, code) = (message.id, REFUSAL_CODE);
            let reason = RejectReason::Application(code);
            if node.with_bus(now, |bus, _| bus.reject_message(now, id, reason)).is_ok() {
                desk.borrow_mut().note(Affair::Refused { by, letter, code });
            }
        } else if node.with_bus(now, |bus, _| bus.accept_message(now, message.id)).is_ok() {
            // Else its sender hears of another outcome, and it is thrown away.
            desk.borrow_mut().note(Affair::Taken { by, letter });
        }
    }
    progress
}

/// Reads a message; one that is not what its sender wrote is written down.
fn read(by: Who, node: &Node, message: &IncomingMessage, desk: &Shared) -> Option<Letter> {
    let what = match Letter::decode(&message.data) {
        None => format!("{} bytes that nobody wrote so", message.data.len()),
        Some(letter) if letter.to != (by.node, node.local().address()) => {
            format!("{letter:?}, which is for somebody else")
        }
        Some(letter) if desk.borrow().owner(&message.peer) != Some(letter.from.node) => {
            format!("{letter:?} from {:?}", message.peer)
        }
        Some(letter) => return Some(letter),
    };
    desk.borrow_mut().note(Affair::Wrong { by, what });
    None
}

impl App for Traffic {
    fn on_event(&mut self, now: Instant, node: &mut Node, event: Event) {
        self.begin(now, node);
        let Some(run) = &mut self.run else { return };
        let Event::Bus(event) = event else { return };
        match event {
            BusEvent::MessageDone { id, outcome, .. } => {
                self.desk.borrow_mut().note(Affair::Done { by: run.who, id, outcome });
            }
            BusEvent::MessagesReadable => run.is_readable = true,
            event => run.streams.on_event(now, node, &self.desk, event),
        }
    }

    fn settle(&mut self, now: Instant, node: &mut Node) -> bool {
        let mut progress = self.begin(now, node);
        progress |= self.carry_out_orders(now, node);
        progress |= self.send_what_is_due(now, node);
        progress |= self.take(now, node);
        progress
    }

    fn next_timeout(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        let desk = self.desk.borrow();
        let flows = self.flows.iter().filter(|progress| desk.is_open && progress.left > 0);
        let pondered = run.pondered.front().map(|(at, ..)| *at);
        let has_work = run.is_readable || run.streams.has_work();
        let look = matches!(desk.manner(self.node), Manner::Slow { .. }) && has_work;
        let look = look.then_some(run.looks_at);
        flows.filter_map(|progress| progress.next_at).chain(pondered).chain(look).min()
    }
}
