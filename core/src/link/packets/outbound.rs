//! Frames of one lane become fragments, and fragments are sent until they have arrived.

use alloc::collections::VecDeque;

use super::image::{Image, Layout};
use super::pace::{Departure, Pace};
use crate::limits::FRAGMENTS_WINDOW;
use crate::link::seal::Seals;
use crate::time::{Duration, Instant};
use crate::wire::fragment::{self, Ack, HEADER_BYTES, Header, SEQUENCES, Skip};
use crate::wire::lane::Lane;

/// So many fragments that were sent later have arrived: the one before is lost (RFC 9002, 6.1.1).
const REORDERED_MAX: u64 = 3;
/// A frame that was begun goes on after so long, whatever goes first.
const STARVED_AFTER: Duration = Duration::from_secs(5);
/// A fragment that was sent so often, while smaller ones arrive, is too large for the link.
const SENT_IN_VAIN: u8 = 4;
/// So is one of the handshake that was sent so often, which has little time.
const GREETED_IN_VAIN: u8 = 3;
/// So is one that came cut so often.
const CUT_IN_VAIN: u8 = 2;

/// One lane.
#[derive(Debug)]
pub(super) struct Outbound {
    lane: Lane,
    /// The number of the next fragment that was never sent.
    next: u64,
    /// Frames with fragments that have not all arrived, in order; numbers are without gaps.
    frames: VecDeque<Frame>,
    /// Fragments from the first that has not arrived up to `next`.
    flight: VecDeque<Flight>,
    /// How many of those are lost.
    lost: usize,
    /// How many have left that somebody waits for.
    armed: usize,
    /// Counts what was sent.
    order: u64,
    /// The newest that has arrived.
    newest: u64,
    /// When the next one is lost that left before it.
    lose_at: Option<Instant>,
    /// When a fragment last left.
    sent_at: Instant,
}

#[derive(Debug)]
struct Frame {
    /// The number of its first fragment.
    number: u64,
    image: Image,
}

impl Frame {
    fn end(&self) -> u64 {
        self.number + self.image.fragments()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay,
    /// It has arrived, but one before it has not.
    Arrived,
    Lost,
    /// A skip behind it says so.
    GivenUp,
}

/// A fragment that was sent.
#[derive(Debug)]
struct Flight {
    state: State,
    departure: Departure,
    first_at: Instant,
    /// How many the lane had sent with it.
    order: u64,
    packet_bytes: usize,
    sent: u8,
    /// How often it came cut.
    cut: u8,
    quiet: bool,
}

/// What an acknowledgement came to.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// When the newest of them was sent, and whether that was the first time.
    pub(super) newest: Option<(Departure, bool)>,
    /// Bytes that are not under way any more.
    pub(super) left_bytes: usize,
    /// The largest packet that arrived.
    pub(super) largest_bytes: usize,
}

/// A packet's fragment: where it is in the lane, and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) lane: Lane,
    number: u64,
    pub(super) content_bytes: usize,
}

impl Outbound {
    pub(super) fn new(now: Instant, lane: Lane) -> Self {
        Self {
            lane,
            next: 0,
            frames: VecDeque::new(),
            flight: VecDeque::new(),
            lost: 0,
            armed: 0,
            order: 0,
            newest: 0,
            lose_at: None,
            sent_at: now,
        }
    }

    fn base(&self) -> u64 {
        self.next - self.flight.len() as u64
    }

    /// The number of the next frame.
    pub(super) fn frame_number(&self) -> u64 {
        self.frames.back().map_or(self.next, |frame| frame.end().max(self.next))
    }

    /// Whether a frame waits that was not sent whole.
    pub(super) fn has_unsent(&self) -> bool {
        self.next < self.frame_number()
    }

    /// Whether everything has arrived.
    pub(super) fn is_done(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends a frame that was sealed as number [`Outbound::frame_number`].
    pub(super) fn push(&mut self, image: Image) {
        let number = self.frame_number();
        self.frames.push_back(Frame { number, image });
    }

    /// Forgets what was not yet begun to be sent.
    pub(super) fn clear_unsent(&mut self) {
        let next = self.next;
        self.frames.retain(|frame| frame.number < next);
    }

    /// Forgets everything. Returns bytes that are not under way any more.
    pub(super) fn clear(&mut self) -> usize {
        self.frames.clear();
        (self.lost, self.armed, self.lose_at) = (0, 0, None);
        let flights = self.flight.drain(..);
        let under_way = flights.filter(|flight| flight.state == State::UnderWay);
        under_way.map(|flight| flight.packet_bytes).sum()
    }

    /// Whether a frame was begun and got no further for long, as others go first. The other end
    /// would give it up.
    pub(super) fn is_starved(&self, now: Instant) -> bool {
        let begun = self.frames.back().is_some_and(|frame| frame.number < self.next);
        begun && self.has_unsent() && now.since(self.sent_at) >= STARVED_AFTER
    }

    fn frame(&self, number: u64) -> Option<&Frame> {
        let at = self.frames.partition_point(|frame| frame.end() <= number);
        self.frames.get(at).filter(|frame| frame.number <= number)
    }

    /// The fragment to send next: the first lost one, or the next new one if `window` fragments do
    /// not fill with it.
    pub(super) fn candidate(&self, window: usize) -> Option<Candidate> {
        let number = if self.lost > 0 {
            let at = self.flight.iter().position(|flight| flight.state == State::Lost)?;
            self.base() + at as u64
        } else if self.has_unsent() && self.flight.len() < window.min(FRAGMENTS_WINDOW.into()) {
            self.next
        } else {
            return None;
        };
        let frame = self.frame(number)?;
        let content_bytes = frame.image.fragment(number - frame.number).len();
        Some(Candidate { lane: self.lane, number, content_bytes })
    }

    /// Header and content of a fragment.
    pub(super) fn fragment(&self, candidate: &Candidate) -> Option<(Header, &[u8])> {
        let frame = self.frame(candidate.number)?;
        let header = Header {
            lane: self.lane,
            first: candidate.number == frame.number,
            last: candidate.number + 1 == frame.end(),
            ack: false,
            sequence: fragment::sequence(candidate.number),
        };
        Some((header, frame.image.fragment(candidate.number - frame.number)))
    }

    /// A fragment leaves, on a link that repeats by itself.
    pub(super) fn on_sent_once(&mut self, now: Instant, candidate: &Candidate) {
        self.sent_at = now;
        self.next = candidate.number + 1;
        while self.frames.front().is_some_and(|frame| frame.end() <= self.next) {
            self.frames.pop_front();
        }
    }

    /// A fragment leaves; says whether it was sent before.
    pub(super) fn on_sent(&mut self, candidate: &Candidate, departure: Departure) -> bool {
        self.order += 1;
        self.sent_at = departure.at;
        let order = self.order;
        let packet_bytes = HEADER_BYTES + candidate.content_bytes;
        let at = candidate.number.checked_sub(self.base());
        let at = at.and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
        if let Some(flight) = self.flight.get_mut(at) {
            if flight.state == State::Lost {
                self.lost -= 1;
                self.armed += usize::from(!flight.quiet);
            }
            flight.state = State::UnderWay;
            (flight.departure, flight.order) = (departure, order);
            flight.sent = flight.sent.saturating_add(1);
            return true;
        }
        let quiet = self.frame(candidate.number).is_some_and(|frame| frame.image.quiet);
        self.armed += usize::from(!quiet);
        self.flight.push_back(Flight {
            state: State::UnderWay,
            first_at: departure.at,
            departure,
            order,
            packet_bytes,
            sent: 1,
            cut: 0,
            quiet,
        });
        self.next = candidate.number + 1;
        false
    }

    /// Takes an acknowledgement; `None` if it speaks of what was never sent.
    pub(super) fn on_ack(&mut self, now: Instant, ack: &Ack, pace: &mut Pace) -> Option<Arrived> {
        let base = self.base();
        let ahead = fragment::ahead(ack.cumulative, fragment::sequence(base));
        let mut arrived = Arrived::default();
        if usize::from(ahead) > self.flight.len() {
            // One of the past, which came late, says nothing new.
            return (SEQUENCES - ahead <= FRAGMENTS_WINDOW).then_some(arrived);
        }
        let mut newest: Option<(u64, Departure, bool)> = None;
        for _ in 0..ahead {
            let Some(flight) = self.flight.pop_front() else { break };
            self.arrive(now, &flight, &mut arrived, &mut newest, pace);
        }
        for bit in 0..Ack::BITS as usize {
            let at = usize::from(ack.offset) + bit + 1;
            let Some(flight) = self.flight.get(at) else { break };
            let told = ack.bitmap >> bit & 1 == 1;
            match (told, flight.state) {
                (true, State::UnderWay | State::Lost) => {
                    let Some(flight) = self.flight.get_mut(at) else { break };
                    let before = Flight { ..*flight };
                    flight.state = State::Arrived;
                    self.arrive(now, &before, &mut arrived, &mut newest, pace);
                }
                // What came early turned out to be cut.
                (false, State::Arrived) => {
                    let Some(flight) = self.flight.get_mut(at) else { break };
                    flight.state = State::Lost;
                    self.lost += 1;
                }
                _ => {}
            }
        }
        // It is missing though it was told to be there: it turned out to be cut.
        if let Some(flight) =
            self.flight.front_mut().filter(|flight| flight.state == State::Arrived)
        {
            flight.state = State::Lost;
            self.lost += 1;
        }
        if let Some(flight) = self.flight.front_mut().filter(|_| ack.cut) {
            flight.cut = flight.cut.saturating_add(1);
            if flight.state == State::UnderWay {
                flight.state = State::Lost;
                arrived.left_bytes += flight.packet_bytes;
                self.lost += 1;
                self.armed -= usize::from(!flight.quiet);
            }
        }
        let begin = self.base();
        while self.frames.front().is_some_and(|frame| frame.end() <= begin) {
            self.frames.pop_front();
        }
        if let Some((order, departure, first)) = newest {
            arrived.newest = Some((departure, first));
            self.newest = self.newest.max(order);
        }
        Some(arrived)
    }

    fn arrive(
        &mut self,
        now: Instant,
        flight: &Flight,
        arrived: &mut Arrived,
        newest: &mut Option<(u64, Departure, bool)>,
        pace: &mut Pace,
    ) {
        match flight.state {
            State::Arrived | State::GivenUp => return,
            State::Lost => self.lost -= 1,
            State::UnderWay => {
                arrived.left_bytes += flight.packet_bytes;
                self.armed -= usize::from(!flight.quiet);
            }
        }
        arrived.largest_bytes = arrived.largest_bytes.max(flight.packet_bytes);
        pace.on_delivered(now, flight.packet_bytes);
        // What was sent again a moment ago had arrived before: that says nothing of what left since.
        let is_earlier = flight.sent > 1 && now.since(flight.departure.at) < pace.rtt_min();
        if !is_earlier && newest.is_none_or(|(order, ..)| order < flight.order) {
            // What is quiet may be acknowledged much later.
            let is_prompt = flight.sent == 1 && !flight.quiet;
            *newest = Some((flight.order, flight.departure, is_prompt));
        }
    }

    /// Takes fragments for lost that left well before one which has arrived; returns their bytes.
    pub(super) fn lose(&mut self, now: Instant, after: Duration) -> usize {
        let (mut bytes, mut lost, mut armed) = (0, 0, 0);
        self.lose_at = None;
        let newest = self.newest;
        let early = |flight: &&mut Flight| flight.state == State::UnderWay && flight.order < newest;
        for flight in self.flight.iter_mut().filter(early) {
            let at = flight.departure.at + after;
            if flight.order + REORDERED_MAX <= newest || at <= now {
                flight.state = State::Lost;
                bytes += flight.packet_bytes;
                lost += 1;
                armed += usize::from(!flight.quiet);
            } else {
                self.lose_at = Some(self.lose_at.map_or(at, |before| before.min(at)));
            }
        }
        self.lost += lost;
        self.armed -= armed;
        bytes
    }

    /// When to call [`Outbound::lose`] though nothing more arrived.
    pub(super) fn lose_at(&self) -> Option<Instant> {
        self.lose_at
    }

    /// Nothing was heard of what left: the oldest that somebody waits for is to be sent again.
    /// Returns its bytes.
    pub(super) fn probe(&mut self) -> Option<usize> {
        let waits = |flight: &&mut Flight| flight.state == State::UnderWay && !flight.quiet;
        let flight = self.flight.iter_mut().find(waits)?;
        flight.state = State::Lost;
        self.lost += 1;
        self.armed -= 1;
        Some(flight.packet_bytes)
    }

    /// The other end sends again what had arrived: what told it so was lost. Somebody waits for it
    /// after all.
    pub(super) fn wake(&mut self) {
        for flight in &mut self.flight {
            if core::mem::take(&mut flight.quiet) && flight.state == State::UnderWay {
                self.armed += 1;
            }
        }
    }

    /// How many fragments are out that somebody waits for.
    pub(super) fn armed(&self) -> usize {
        self.armed
    }

    /// Whether a lost fragment waits to be sent again.
    pub(super) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// When the oldest fragment that has not arrived was first sent.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let waits = |flight: &&Flight| {
            !flight.quiet && matches!(flight.state, State::UnderWay | State::Lost)
        };
        self.flight.iter().find(waits).map(|flight| flight.first_at)
    }

    /// The size of a lost packet that was sent in vain again and again, and when it first was unless
    /// it is known to come cut, or is larger than packets are now.
    pub(super) fn in_vain(
        &self,
        packet_bytes: usize,
        greets: bool,
    ) -> Option<(usize, Option<Instant>)> {
        if self.lost == 0 {
            return None;
        }
        let mut lost = self.flight.iter().filter(|flight| flight.state == State::Lost);
        lost.find_map(|flight| {
            let since = match flight {
                Flight { cut: CUT_IN_VAIN.., .. } => None,
                flight if flight.packet_bytes > packet_bytes => None,
                // Nobody may have answered anything yet.
                Flight { sent: GREETED_IN_VAIN.., .. } if greets => None,
                Flight { sent: SENT_IN_VAIN.., .. } => Some(flight.first_at),
                _ => return None,
            };
            Some((flight.packet_bytes, since))
        })
    }

    /// Gives frames with fragments that do not fit any more new ones. Returns bytes that are not
    /// under way any more.
    pub(super) fn cut_again(&mut self, seals: Option<&Seals>, layout: Layout) -> usize {
        let base = self.base();
        let missing = |frame: &Frame| {
            (frame.number.max(base)..frame.end()).any(|number| {
                let at = usize::try_from(number - base).unwrap_or(usize::MAX);
                let here = self.flight.get(at).is_none_or(|flight| flight.state != State::Arrived);
                here && frame.image.fragment(number - frame.number).len() > layout.content_bytes
            })
        };
        let Some(at) = self.frames.iter().position(missing) else { return 0 };
        let given_up = self.frames.split_off(at);
        let Some(first) = given_up.front().map(|frame| frame.number) else { return 0 };
        let from = first.max(base);
        if first < self.next {
            let (lane, sequence) = (self.lane, fragment::sequence(self.next));
            let header = Header { lane, first: true, last: true, ack: false, sequence };
            let skip = Skip { from: fragment::sequence(from), again: true };
            let image = Image::skip(&header, skip);
            self.frames.push_back(Frame { number: self.next, image });
        }
        for frame in &given_up {
            let number = self.frame_number();
            let again = frame.image.again(seals, self.lane, frame.number, number, layout);
            self.frames.extend(again.map(|image| Frame { number, image }));
        }
        let kept = usize::try_from(from - base).unwrap_or(usize::MAX);
        let mut bytes = 0;
        for flight in self.flight.iter_mut().skip(kept) {
            match core::mem::replace(&mut flight.state, State::GivenUp) {
                State::Arrived | State::GivenUp => {}
                State::Lost => self.lost -= 1,
                State::UnderWay => {
                    bytes += flight.packet_bytes;
                    self.armed -= usize::from(!flight.quiet);
                }
            }
        }
        bytes
    }
}
