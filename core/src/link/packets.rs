//! Frames on a packet-shaped link: cut, repeated, put together again (protocol 4.5).
//!
//! What leaves is chosen packet by packet, so that a control frame never waits for more than the
//! fragment that is on its way. Fragments that are lost are sent again one by one, each lane by
//! itself. Nothing is sent by a timer alone but what nobody answered for.

mod checks;
mod image;
mod inbound;
mod outbound;
mod owed;
mod pace;

use bytes::{Buf, Bytes, BytesMut};

use checks::Checks;
use image::nonce;
pub(super) use image::{Image, Layout, PAYLOAD_ROOM_BYTES};
pub(super) use inbound::Whole;
use inbound::{Inbound, Rules, Taken};
use outbound::{Candidate, Outbound};
use owed::Owed;
use pace::Pace;

use super::Violation;
use super::seal::Seals;
use crate::crypto::aead::TAG_BYTES;
use crate::crypto::noise::HANDSHAKE_BYTES_MAX;
use crate::limits::{
    CONTROL_BYTES_MAX, FRAGMENTS_EARLY_BYTES_MAX, FRAGMENTS_STALLED, FRAGMENTS_WINDOW,
    PACKET_BYTES_MAX, PACKET_BYTES_MIN,
};
use crate::time::{Instant, earliest};
use crate::wire::fragment::{Ack, HEADER_BYTES, Header};
use crate::wire::frame::{DATA_OVERHEAD_BYTES, PREFIX_BYTES};
use crate::wire::handshake::PREAMBLE_BYTES;
use crate::wire::lane::Lane;

/// Packets of the normal lane for each one of the bulk lane while both have some.
const NORMAL_PER_BULK: u8 = 8;
/// Packets by which control and realtime may exceed what may be under way.
const URGENT_PACKETS: usize = 2;
/// Sizes to try, the next smaller one each, when packets of a size never arrive: whole link-layer
/// PDUs of Bluetooth 4.2, the MTU of iOS, and the smallest there is.
const SIZES: [usize; 4] = [495, 244, 182, PACKET_BYTES_MIN];
/// Bytes of the buffer that packets are written into, one behind the other.
const BUFFER_BYTES: usize = 4 * 1_024;

/// Where the next frame of a lane comes from.
pub(super) trait Frames {
    /// The next frame of a lane, to be sealed under `number`.
    fn next(&mut self, now: Instant, lane: Lane, number: u64, layout: Layout) -> Option<Image>;
}

/// What fragments did, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFigures {
    /// Fragments that were sent again.
    pub repeated: u64,
    /// Fragments that came cut and were not acknowledged.
    pub cut: u64,
    /// Fragments that came twice.
    pub doubled: u64,
    /// Fragments that were refused for want of room.
    pub crowded: u64,
    /// How often packets were made smaller because larger ones never arrived.
    pub shrunk: u64,
}

/// What a packet-shaped link does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketView {
    /// The largest packet that this end sends, in bytes.
    pub packet_bytes: usize,
    /// The largest rate of delivery of the last rounds, in bytes a second.
    pub rate_bytes_per_s: u64,
    /// Bytes that were sent and are neither acknowledged nor lost.
    pub under_way_bytes: usize,
    /// Bytes of frames that have not arrived whole.
    pub held_bytes: usize,
    /// What fragments did so far.
    pub figures: PacketFigures,
}

/// One lane, both ways.
#[derive(Debug)]
struct Way {
    inbound: Inbound,
    owed: Owed,
    outbound: Outbound,
}

/// One packet-shaped link, both ways.
#[derive(Debug)]
pub(super) struct Packets {
    packet_bytes: usize,
    is_ordered: bool,
    /// The handshake is under way: nothing is sealed, and there is the control lane alone.
    greets: bool,
    data_bytes_max: usize,
    window_theirs: usize,
    ways: [Way; 4],
    /// Bytes of fragments that wait for a missing one.
    early_bytes: usize,
    /// Bytes that were sent and are neither acknowledged nor lost.
    under_way: usize,
    pace: Pace,
    /// When what left last is asked after.
    probe_at: Option<Instant>,
    /// One packet may leave though enough are under way.
    probing: bool,
    normal_in_a_row: u8,
    /// When a packet of a size last arrived, by how many of [`SIZES`] are at most as large.
    arrived_at: [Instant; SIZES.len() + 1],
    /// When the other end last acknowledged anything, or said again what it has.
    answered_at: Instant,
    /// The link is closing: that takes as long as the link gives it.
    closes: bool,
    buffer: BytesMut,
    figures: PacketFigures,
}

impl Packets {
    pub(super) fn new(
        now: Instant,
        packet_bytes: usize,
        is_ordered: bool,
        payload_bytes_max: usize,
    ) -> Self {
        let way = |lane: Lane| Way {
            inbound: Inbound::new(now),
            owed: Owed::default(),
            outbound: Outbound::new(now, lane),
        };
        Self {
            packet_bytes: packet_bytes.clamp(PACKET_BYTES_MIN, PACKET_BYTES_MAX),
            is_ordered,
            greets: true,
            data_bytes_max: payload_bytes_max + DATA_OVERHEAD_BYTES - PREFIX_BYTES,
            window_theirs: FRAGMENTS_WINDOW.into(),
            ways: Lane::ALL.map(way),
            early_bytes: 0,
            under_way: 0,
            pace: Pace::new(now),
            probe_at: None,
            probing: false,
            normal_in_a_row: 0,
            arrived_at: [now; SIZES.len() + 1],
            answered_at: now,
            closes: false,
            buffer: BytesMut::new(),
            figures: PacketFigures::default(),
        }
    }

    fn way(&self, lane: Lane) -> &Way {
        let [control, realtime, normal, bulk] = &self.ways;
        match lane {
            Lane::Control => control,
            Lane::Realtime => realtime,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        }
    }

    fn way_mut(&mut self, lane: Lane) -> &mut Way {
        let [control, realtime, normal, bulk] = &mut self.ways;
        match lane {
            Lane::Control => control,
            Lane::Realtime => realtime,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        }
    }

    fn checks(&self) -> Checks {
        match (self.is_ordered, self.greets) {
            (true, _) => Checks::Never,
            (false, true) => Checks::All,
            (false, false) => Checks::Data,
        }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.packet_bytes, self.checks())
    }

    fn rules(&self, lane: Lane) -> Rules {
        let control_bytes_max = if self.greets {
            PREAMBLE_BYTES + 2 + HANDSHAKE_BYTES_MAX
        } else {
            CONTROL_BYTES_MAX + TAG_BYTES
        };
        let data_bytes_max = self.data_bytes_max;
        // Nobody has shown who is there: a message of the handshake is all there may be.
        let early_bytes_max =
            if self.greets { control_bytes_max } else { FRAGMENTS_EARLY_BYTES_MAX };
        let checks = self.checks();
        Rules { lane, checks, control_bytes_max, data_bytes_max, early_bytes_max }
    }

    /// The handshake is done; the other end takes so many fragments at once.
    pub(super) fn on_established(&mut self, fragments_max: u16) {
        self.greets = false;
        let window = fragments_max.clamp(1, FRAGMENTS_WINDOW);
        self.window_theirs = window.into();
    }

    /// Queues what the handshake has to say.
    pub(super) fn send_clear(&mut self, body: &[u8]) {
        let image = Image::clear(Lane::Control, body, self.layout());
        self.way_mut(Lane::Control).outbound.push(image);
    }

    /// Nothing is sent any more but what the control lane has begun, and one last frame on it.
    pub(super) fn send_last(&mut self, image: impl FnOnce(u64, Layout) -> Image) {
        for lane in Lane::DATA {
            let left_bytes = self.way_mut(lane).outbound.clear();
            self.under_way -= left_bytes.min(self.under_way);
        }
        self.closes = true;
        let layout = self.layout();
        let outbound = &mut self.way_mut(Lane::Control).outbound;
        outbound.clear_unsent();
        let image = image(outbound.frame_number(), layout);
        outbound.push(image);
    }

    /// Nothing is sent any more but the acknowledgement of what came last.
    pub(super) fn send_ack(&mut self) {
        self.closes = true;
        for way in &mut self.ways {
            way.outbound.clear();
        }
        self.under_way = 0;
        self.way_mut(Lane::Control).owed.hurry();
    }

    /// Whether everything that was to be sent has arrived, and what came is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.ways.iter().all(|way| way.outbound.is_done() && !way.owed.is_urgent())
    }

    /// Takes a packet; gives the first frame that it makes whole. [`Packets::pull`] gives the
    /// others of its lane.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        mut packet: BytesMut,
    ) -> Result<Option<Whole>, Violation> {
        let Some(header) = packet.first_chunk().copied() else { return Ok(None) };
        let header = Header::decode(header);
        let mut rest = packet.get(HEADER_BYTES..).unwrap_or_default();
        if header.ack {
            let Some(ack) = Ack::decode(&mut rest) else {
                self.figures.cut += 1;
                return Ok(None);
            };
            let left = rest.len();
            if !self.is_ordered {
                self.on_ack(now, &if left == 0 { ack.bare(&header) } else { ack });
            }
            if left == 0 {
                return Ok(None);
            }
            packet.advance(packet.len() - left);
        } else {
            packet.advance(HEADER_BYTES);
        }
        // Frames of other lanes than the handshake's are sent again until it is over.
        if packet.is_empty() || (self.greets && header.lane != Lane::Control) {
            return Ok(None);
        }
        let (rules, is_ordered) = (self.rules(header.lane), self.is_ordered);
        let mut early_bytes = self.early_bytes;
        let way = self.way_mut(header.lane);
        let before = way.inbound.waiting();
        let (taken, whole) = way.inbound.insert(now, header, packet, &mut early_bytes, rules)?;
        let waiting = way.inbound.waiting();
        if !is_ordered {
            way.owed.on_fragment(now, taken, before, waiting);
        }
        if taken == Taken::Repeated {
            way.outbound.wake();
        }
        self.early_bytes = early_bytes;
        if self.is_ordered && taken != Taken::InOrder {
            return Err(Violation::Fragments);
        }
        match taken {
            Taken::InOrder | Taken::Early => {}
            Taken::Repeated => self.figures.doubled += 1,
            Taken::Refused { cut: true } => self.figures.cut += 1,
            Taken::Refused { cut: false } => self.figures.crowded += 1,
        }
        match whole {
            None if taken == Taken::InOrder => self.pull(now, header.lane),
            whole => Ok(whole),
        }
    }

    /// The next frame of a lane that is whole.
    pub(super) fn pull(&mut self, now: Instant, lane: Lane) -> Result<Option<Whole>, Violation> {
        let rules = self.rules(lane);
        let (mut early_bytes, mut cut) = (self.early_bytes, 0);
        let way = self.way_mut(lane);
        if way.inbound.waiting() == 0 {
            return Ok(None);
        }
        let whole = way.inbound.pull(now, &mut early_bytes, rules, &mut cut);
        if cut > 0 {
            way.owed.on_cut();
        }
        self.early_bytes = early_bytes;
        self.figures.cut += cut;
        whole
    }

    /// The last frame of the control lane needs no acknowledgement of its own.
    pub(super) fn on_quiet(&mut self) {
        self.way_mut(Lane::Control).owed.on_quiet();
    }

    fn on_ack(&mut self, now: Instant, ack: &Ack) {
        let [control, realtime, normal, bulk] = &mut self.ways;
        let way = match ack.lane {
            Lane::Control => control,
            Lane::Realtime => realtime,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        };
        let Some(arrived) = way.outbound.on_ack(now, ack, &mut self.pace) else { return };
        self.answered_at = now;
        self.under_way -= arrived.left_bytes.min(self.under_way);
        let Some((departure, first)) = arrived.newest else { return };
        if let Some(at) = self.arrived_at.get_mut(size_class(arrived.largest_bytes)) {
            *at = now;
        }
        self.pace.on_newest(now, &departure, first);
        self.under_way -= way.outbound.lose(now, self.pace.lost_after()).min(self.under_way);
        self.ask_later(now);
    }

    /// Sets when what is out is asked after.
    fn ask_later(&mut self, now: Instant) {
        let waits = self.ways.iter().any(|way| way.outbound.armed() > 0);
        self.probe_at = waits.then(|| now + self.pace.probe_after());
    }

    /// The next packet to send.
    pub(super) fn poll(&mut self, now: Instant, frames: &mut dyn Frames) -> Option<Bytes> {
        let candidate = self.candidate(now, frames);
        let urgent = self.ways.iter().any(|way| way.owed.is_urgent());
        let room = |candidate: &Candidate| {
            self.packet_bytes.saturating_sub(HEADER_BYTES + candidate.content_bytes)
        };
        let ack = candidate.as_ref().and_then(|candidate| self.ack(Some(room(candidate))));
        match (candidate, ack) {
            // An acknowledgement that is due does not wait for a packet with room.
            (_, None) if urgent => {
                let ack = self.ack(None)?;
                self.on_told(&ack);
                Some(write(&mut self.buffer, Header::bare(&ack), Some(&ack), &[]))
            }
            (None, _) => {
                if self.under_way < self.pace.window(self.packet_bytes) {
                    self.pace.on_idle(self.under_way);
                }
                None
            }
            (Some(candidate), ack) => self.send(now, &candidate, ack),
        }
    }

    /// The fragment that goes next.
    fn candidate(&mut self, now: Instant, frames: &mut dyn Frames) -> Option<Candidate> {
        let full = self.pace.window(self.packet_bytes);
        let urgent = full + URGENT_PACKETS * self.packet_bytes;
        let is_starved = |lane: Lane| self.way(lane).outbound.is_starved(now);
        let order = if is_starved(Lane::Bulk) {
            [Lane::Bulk, Lane::Control, Lane::Realtime, Lane::Normal]
        } else if is_starved(Lane::Normal) {
            [Lane::Normal, Lane::Control, Lane::Realtime, Lane::Bulk]
        } else if self.normal_in_a_row >= NORMAL_PER_BULK {
            [Lane::Control, Lane::Realtime, Lane::Bulk, Lane::Normal]
        } else {
            [Lane::Control, Lane::Realtime, Lane::Normal, Lane::Bulk]
        };
        for lane in order {
            let room = match lane {
                Lane::Control | Lane::Realtime => urgent,
                Lane::Normal | Lane::Bulk => full,
            };
            if !self.is_ordered && self.under_way >= room && !self.probing {
                continue;
            }
            let (layout, window) = (self.layout(), self.window_theirs);
            let is_ordered = self.is_ordered;
            let outbound = &mut self.way_mut(lane).outbound;
            if !outbound.has_unsent() && !outbound.has_lost() {
                let image = frames.next(now, lane, outbound.frame_number(), layout);
                image.into_iter().for_each(|image| outbound.push(image));
            }
            let window = if is_ordered { usize::MAX } else { window };
            if let Some(candidate) = outbound.candidate(window) {
                return Some(candidate);
            }
        }
        None
    }

    /// What is to be acknowledged, the most urgent first: in at most `room` bytes beside a fragment,
    /// or in a packet of its own.
    fn ack(&self, room: Option<usize>) -> Option<Ack> {
        let ways = Lane::ALL.into_iter().zip(&self.ways);
        let owing = ways.filter(|(_, way)| !self.is_ordered && way.owed.has_news());
        let is_bare = room.is_none();
        let acks = owing.filter(|(_, way)| is_bare || !way.owed.is_cut()).map(|(lane, way)| {
            let ack = Ack { cut: way.owed.is_cut(), ..way.inbound.ack(lane, is_bare) };
            (way.owed.is_urgent(), ack)
        });
        let room = room.unwrap_or(self.packet_bytes - HEADER_BYTES);
        let mut fitting = acks.filter(|(_, ack)| ack.encoded_bytes() <= room);
        // Any that is to be told now, else the first that can be told along.
        let first = fitting.next()?;
        if first.0 {
            return Some(first.1);
        }
        Some(fitting.find(|(urgent, _)| *urgent).unwrap_or(first).1)
    }

    fn on_told(&mut self, ack: &Ack) {
        let way = self.way_mut(ack.lane);
        let more = way.inbound.on_told(ack);
        way.owed.on_told(more);
    }

    fn send(&mut self, now: Instant, candidate: &Candidate, ack: Option<Ack>) -> Option<Bytes> {
        let lane = candidate.lane;
        match lane {
            Lane::Normal => self.normal_in_a_row = self.normal_in_a_row.saturating_add(1),
            Lane::Bulk => self.normal_in_a_row = 0,
            Lane::Control | Lane::Realtime => {}
        }
        // The content is borrowed from the lane while it is written.
        let mut buffer = core::mem::take(&mut self.buffer);
        let (header, content) = self.way(lane).outbound.fragment(candidate)?;
        let packet = write(&mut buffer, header, ack.as_ref(), content);
        self.buffer = buffer;
        if let Some(ack) = &ack {
            self.on_told(ack);
        }
        if self.is_ordered {
            self.way_mut(lane).outbound.on_sent_once(now, candidate);
            return Some(packet);
        }
        let departure = self.pace.on_sent(now, self.under_way);
        self.under_way += HEADER_BYTES + candidate.content_bytes;
        if self.way_mut(lane).outbound.on_sent(candidate, departure) {
            self.figures.repeated += 1;
        }
        self.probing = false;
        self.ask_later(now);
        Some(packet)
    }

    /// The link takes packets of another size from now on. `seals` are this end's, once there are
    /// any.
    pub(super) fn set_packet_bytes(&mut self, packet_bytes: usize, seals: Option<&Seals>) {
        let packet_bytes = packet_bytes.clamp(PACKET_BYTES_MIN, PACKET_BYTES_MAX);
        if self.is_ordered {
            // What is half sent cannot be cut again: nobody would say how much of it arrived.
            self.packet_bytes = self.packet_bytes.max(packet_bytes);
        } else {
            self.packet_bytes = packet_bytes;
            self.cut_again(seals);
        }
    }

    fn cut_again(&mut self, seals: Option<&Seals>) {
        let layout = self.layout();
        for way in &mut self.ways {
            self.under_way -= way.outbound.cut_again(seals, layout).min(self.under_way);
        }
    }

    /// The largest packets seem to be lost or cut on the way, whatever the driver said: makes them
    /// smaller.
    pub(super) fn shrink(&mut self, seals: Option<&Seals>) {
        let vain =
            self.ways.iter().filter_map(|way| way.outbound.in_vain(self.packet_bytes, self.greets));
        let too_large = vain.filter(|(bytes, since)| {
            let Some(since) = since else { return true };
            let as_large = self.arrived_at.iter().skip(size_class(*bytes));
            self.answered_at > *since && as_large.copied().all(|at| at <= *since)
        });
        let Some(bytes) = too_large.map(|(bytes, _)| bytes).min() else { return };
        if bytes > self.packet_bytes {
            // Of before: what had arrived turned out to be cut.
            return self.cut_again(seals);
        }
        if let Some(smaller) = SIZES.into_iter().find(|size| *size < bytes) {
            self.figures.shrunk += 1;
            self.set_packet_bytes(smaller, seals);
        }
    }

    /// Does what is due; says whether the link gets no further.
    pub(super) fn handle_timeout(&mut self, now: Instant, seals: Option<&Seals>) -> bool {
        if self.probe_at.is_some_and(|at| now >= at) {
            self.probe_at = None;
            let probe = self.ways.iter_mut().find_map(|way| way.outbound.probe());
            if let Some(bytes) = probe {
                self.under_way -= bytes.min(self.under_way);
                self.probing = true;
                self.pace.on_probe();
            }
        }
        let lost_after = self.pace.lost_after();
        for way in &mut self.ways {
            way.owed.handle_timeout(now);
            if way.outbound.lose_at().is_some_and(|at| now >= at) {
                self.under_way -= way.outbound.lose(now, lost_after).min(self.under_way);
            }
        }
        self.shrink(seals);
        self.stalls_at().is_some_and(|at| now >= at)
    }

    fn stalls_at(&self) -> Option<Instant> {
        let waits = |way: &Way| {
            let both = [way.outbound.waits_since(), way.inbound.waits_since()];
            earliest(both.map(|since| Some(since? + FRAGMENTS_STALLED)))
        };
        if self.is_ordered || self.closes { None } else { earliest(self.ways.iter().map(waits)) }
    }

    /// When to call [`Packets::handle_timeout`], or to send.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let due = self.ways.iter().filter(|_| !self.is_ordered).map(|way| way.owed.due());
        let lose = self.ways.iter().map(|way| way.outbound.lose_at());
        earliest(due.chain(lose).chain([self.probe_at, self.stalls_at()]))
    }

    /// What the link does now.
    pub(super) fn view(&self) -> PacketView {
        let partial = self.ways.iter().map(|way| way.inbound.partial_bytes());
        PacketView {
            packet_bytes: self.packet_bytes,
            rate_bytes_per_s: self.pace.rate(),
            under_way_bytes: self.under_way,
            held_bytes: self.early_bytes + partial.sum::<usize>(),
            figures: self.figures,
        }
    }
}

/// How many of [`SIZES`] a packet is at least as large as.
fn size_class(bytes: usize) -> usize {
    SIZES.iter().filter(|size| bytes >= **size).count()
}

fn write(buffer: &mut BytesMut, header: Header, ack: Option<&Ack>, content: &[u8]) -> Bytes {
    let ack_bytes = ack.map_or(0, Ack::encoded_bytes);
    let bytes = HEADER_BYTES + ack_bytes + content.len();
    if buffer.capacity() < bytes {
        buffer.reserve(BUFFER_BYTES.max(bytes));
    }
    let header = Header { ack: ack.is_some(), ..header };
    buffer.extend_from_slice(&header.encode());
    if let Some(ack) = ack {
        ack.encode(|part| buffer.extend_from_slice(part));
    }
    buffer.extend_from_slice(content);
    buffer.split().freeze()
}
