//! Fragments become frames again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use bytes::{Buf, BytesMut};

use super::checks::Checks;
use crate::limits::FRAGMENTS_WINDOW;
use crate::link::Violation;
use crate::time::Instant;
use crate::wire::fragment::{
    self, Ack, BRIEF_BYTES, Brief, FRAGMENT_BYTES_BYTES, Header, SKIP_BYTES, Skip,
};
use crate::wire::frame::{PREFIX_BYTES, Prefix};
use crate::wire::lane::Lane;

const WINDOW: u64 = FRAGMENTS_WINDOW as u64;

/// A frame that arrived whole; its seal is still to be opened.
#[derive(Debug)]
pub(in crate::link) struct Whole {
    pub(in crate::link) prefix: Prefix,
    /// The number of its first fragment.
    pub(in crate::link) number: u64,
    pub(in crate::link) body: BytesMut,
}

impl Whole {
    /// What its seal counts by.
    pub(in crate::link) fn nonce(&self) -> u64 {
        super::nonce(self.prefix.lane, self.number)
    }
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was the next one.
    InOrder,
    /// One before it is missing.
    Early,
    /// It had arrived before.
    Repeated,
    /// It was cut on the way, or there is no room for it: as if it had not come.
    Refused { cut: bool },
}

/// What is taken on a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) lane: Lane,
    pub(super) checks: Checks,
    /// The largest body of a control frame, in bytes.
    pub(super) control_bytes_max: usize,
    /// The largest body of a data frame, in bytes.
    pub(super) data_bytes_max: usize,
    /// What may be kept of fragments that wait for a missing one, on all lanes, in bytes.
    pub(super) early_bytes_max: usize,
}

impl Rules {
    fn admit(&self, prefix: Prefix) -> Result<(), Violation> {
        if prefix.lane != self.lane {
            return Err(Violation::Fragments);
        }
        if prefix.data && prefix.lane == Lane::Control {
            return Err(Violation::DataOnControlLane);
        }
        let most = if prefix.data { self.data_bytes_max } else { self.control_bytes_max };
        if prefix.length > most { Err(Violation::FrameTooLarge) } else { Ok(()) }
    }
}

/// One lane.
#[derive(Debug)]
pub(super) struct Inbound {
    /// The first fragment that is missing.
    next: u64,
    early: BTreeMap<u64, Fragment>,
    /// What is given up, by the numbers of the skips that say so.
    skips: BTreeMap<u64, Skip>,
    partial: Option<Partial>,
    ends: Ends,
    /// Frames to come that were delivered before they were given up.
    doubles: u16,
    /// When a fragment was last taken in order.
    moved_at: Instant,
    /// The first and the last number that arrived early and was not told of.
    untold: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Fragment {
    first: bool,
    last: bool,
    content: Box<[u8]>,
}

/// A frame whose last fragment is missing.
#[derive(Debug)]
struct Partial {
    number: u64,
    prefix: Prefix,
    image: BytesMut,
    image_bytes: usize,
    /// Of the content of each fragment but the last.
    fragment_bytes: usize,
}

/// With which of the last fragments a frame ended that was delivered.
#[derive(Debug)]
struct Ends([u64; FRAGMENTS_WINDOW as usize / 64]);

impl Default for Ends {
    fn default() -> Self {
        Self([0; FRAGMENTS_WINDOW as usize / 64])
    }
}

impl Ends {
    fn set(&mut self, number: u64, ends: bool) {
        let (at, bit) = ((number % WINDOW / 64) as usize, number % 64);
        if let Some(word) = self.0.get_mut(at) {
            *word = *word & !(1 << bit) | u64::from(ends) << bit;
        }
    }

    fn count(&self, from: u64, to: u64) -> u16 {
        let is_set = |number: &u64| {
            let word = self.0.get((number % WINDOW / 64) as usize);
            word.is_some_and(|word| word >> (number % 64) & 1 == 1)
        };
        let count = (from.max(to.saturating_sub(WINDOW))..to).filter(is_set).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }
}

impl Inbound {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: 0,
            early: BTreeMap::new(),
            skips: BTreeMap::new(),
            partial: None,
            ends: Ends::default(),
            doubles: 0,
            moved_at: now,
            untold: None,
        }
    }

    /// The number that a sequence number stands for, if it is not of the past.
    fn number(&self, sequence: u16) -> Option<u64> {
        let ahead = u64::from(fragment::ahead(sequence, fragment::sequence(self.next)));
        (ahead < WINDOW).then_some(self.next + ahead)
    }

    /// Takes a fragment. `early_bytes` are kept of fragments on all lanes.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        header: Header,
        content: BytesMut,
        early_bytes: &mut usize,
        rules: Rules,
    ) -> Result<(Taken, Option<Whole>), Violation> {
        let Header { first, last, .. } = header;
        let Some(number) = self.number(header.sequence) else { return Ok((Taken::Repeated, None)) };
        if number > self.next {
            let (first, last) = self.untold.unwrap_or((number, number));
            self.untold = Some((first.min(number), last.max(number)));
        }
        if self.early.contains_key(&number) || self.skips.contains_key(&number) {
            return Ok((Taken::Repeated, None));
        }
        if first && last && content.len() == SKIP_BYTES {
            let skip = content.first_chunk().and_then(|bytes| Skip::decode(&header, *bytes));
            let Some(skip) = skip else { return Ok((Taken::Refused { cut: true }, None)) };
            self.skips.insert(number, skip);
            return Ok((Taken::InOrder, None));
        }
        if number > self.next {
            if *early_bytes + content.len() > rules.early_bytes_max {
                return Ok((Taken::Refused { cut: false }, None));
            }
            *early_bytes += content.len();
            let content = content[..].into();
            if self.early.is_empty() && self.partial.is_none() {
                self.moved_at = now;
            }
            self.early.insert(number, Fragment { first, last, content });
            return Ok((Taken::Early, None));
        }
        match self.append(number, first, last, content, rules)? {
            Added::Cut => Ok((Taken::Refused { cut: true }, None)),
            added => Ok((Taken::InOrder, self.advance_over(now, number, added))),
        }
    }

    /// The next frame that fragments kept before make whole. Counts those that turn out to be cut.
    pub(super) fn pull(
        &mut self,
        now: Instant,
        early_bytes: &mut usize,
        rules: Rules,
        cut: &mut u64,
    ) -> Result<Option<Whole>, Violation> {
        loop {
            if let Some((number, skip, from)) = self.skip_due() {
                self.apply(now, number, skip, from, early_bytes);
                continue;
            }
            let Some(fragment) = self.early.remove(&self.next) else { return Ok(None) };
            *early_bytes -= fragment.content.len();
            let Fragment { first, last, content } = fragment;
            let number = self.next;
            match self.append(number, first, last, content[..].into(), rules)? {
                Added::Cut => {
                    *cut += 1;
                    return Ok(None);
                }
                added => {
                    if let Some(whole) = self.advance_over(now, number, added) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }

    /// A skip whose time has come: all before what it gives up is there.
    fn skip_due(&self) -> Option<(u64, Skip, u64)> {
        let from = |number: u64, skip: &Skip| {
            let span = fragment::ahead(fragment::sequence(number), skip.from);
            number.saturating_sub(span.into())
        };
        let mut skips =
            self.skips.iter().map(|(number, skip)| (*number, *skip, from(*number, skip)));
        skips.find(|(_, _, from)| *from <= self.next)
    }

    fn apply(&mut self, now: Instant, number: u64, skip: Skip, from: u64, early_bytes: &mut usize) {
        // Of the frames given up, those that came follow again, and so do those of a skip before.
        let came = self.ends.count(from, self.next) + self.doubles;
        self.doubles = if skip.again { came } else { 0 };
        self.partial = None;
        let later = self.early.split_off(&(number + 1));
        let given_up = core::mem::replace(&mut self.early, later);
        *early_bytes -= given_up.values().map(|fragment| fragment.content.len()).sum::<usize>();
        self.skips = self.skips.split_off(&(number + 1));
        for given_up in from.max((number + 1).saturating_sub(WINDOW))..=number {
            self.ends.set(given_up, false);
        }
        self.advance(now, number + 1);
    }

    fn advance(&mut self, now: Instant, next: u64) {
        self.next = next;
        self.moved_at = now;
    }

    /// Goes on behind a fragment that was taken; gives the frame that it ends.
    fn advance_over(&mut self, now: Instant, number: u64, added: Added) -> Option<Whole> {
        self.ends.set(number, matches!(added, Added::Double | Added::Whole(_)));
        self.advance(now, number + 1);
        match added {
            Added::Cut | Added::Part => None,
            Added::Double | Added::Whole(_) if self.doubles > 0 => {
                self.doubles -= 1;
                None
            }
            Added::Double => None,
            Added::Whole(whole) => Some(whole),
        }
    }

    /// Adds the next fragment to its frame.
    fn append(
        &mut self,
        number: u64,
        first: bool,
        last: bool,
        content: BytesMut,
        rules: Rules,
    ) -> Result<Added, Violation> {
        if self.doubles > 0 && rules.lane == Lane::Control {
            // It may be of the handshake, laid out by the rules of that.
            return Ok(if last { Added::Double } else { Added::Part });
        }
        if first != self.partial.is_none() {
            return Err(Violation::Fragments);
        }
        if first && last {
            return single(number, content, rules);
        }
        let Some(partial) = &mut self.partial else {
            let Some(partial) = Partial::begin(number, content, rules)? else {
                return Ok(Added::Cut);
            };
            self.partial = Some(partial);
            return Ok(Added::Part);
        };
        let missing = partial.image_bytes - partial.image.len();
        if last != (missing <= partial.fragment_bytes) {
            return Err(Violation::Fragments);
        }
        if content.len() != missing.min(partial.fragment_bytes) {
            return Ok(Added::Cut);
        }
        partial.image.extend_from_slice(&content);
        match self.partial.take_if(|_| last) {
            Some(partial) => partial.finish(rules).map(Added::Whole),
            None => Ok(Added::Part),
        }
    }

    /// What has arrived; `lane` is this one's name. With an offset it tells of what was not told yet.
    pub(super) fn ack(&self, lane: Lane, has_offset: bool) -> Ack {
        let bits = u64::from(Ack::BITS);
        let first = self.next + 1;
        let from = match self.untold {
            // Those before the newest may have been told in vain: as many of them as there is room.
            Some((untold, last)) if has_offset => {
                untold.min((last + 1).saturating_sub(bits)).max(first)
            }
            _ => first,
        };
        let early = self.early.range(from..from + bits).map(|(number, _)| number);
        let skips = self.skips.range(from..from + bits).map(|(number, _)| number);
        let bitmap = early.chain(skips).fold(0, |bitmap, number| bitmap | 1 << (number - from));
        let cumulative = fragment::sequence(self.next);
        let offset = u16::try_from(from - first).unwrap_or_default();
        Ack { lane, cumulative, cut: false, offset, bitmap }
    }

    /// An acknowledgement is on its way. Says whether there is more to tell.
    pub(super) fn on_told(&mut self, ack: &Ack) -> bool {
        let end = self.next + 1 + u64::from(ack.offset) + u64::from(Ack::BITS);
        self.untold = self.untold.filter(|(_, last)| *last >= end).map(|(_, last)| (end, last));
        self.untold.is_some()
    }

    /// Fragments that wait for a missing one.
    pub(super) fn waiting(&self) -> usize {
        self.early.len() + self.skips.len()
    }

    /// Since when what is here waits for the rest.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        (self.waiting() > 0 || self.partial.is_some()).then_some(self.moved_at)
    }

    /// Bytes that are kept of a frame under way.
    pub(super) fn partial_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.image.capacity())
    }
}

/// What a fragment in its turn was.
enum Added {
    /// Cut on the way.
    Cut,
    Part,
    /// The last of a frame that was delivered before.
    Double,
    Whole(Whole),
}

impl Partial {
    /// A frame's first fragment, if the frame takes several; `None` if it was cut.
    fn begin(number: u64, content: BytesMut, rules: Rules) -> Result<Option<Self>, Violation> {
        let mut head = &content[..];
        let prefix = crate::wire::take::<PREFIX_BYTES>(&mut head);
        let bytes = crate::wire::take::<FRAGMENT_BYTES_BYTES>(&mut head);
        let (Some(prefix), Some(bytes)) = (prefix, bytes) else { return Ok(None) };
        let (prefix, fragment_bytes) = (Prefix::decode(prefix), u16::from_be_bytes(bytes).into());
        rules.admit(prefix)?;
        let image_bytes =
            PREFIX_BYTES + FRAGMENT_BYTES_BYTES + prefix.length + rules.checks.bytes(prefix.data);
        if fragment_bytes <= PREFIX_BYTES + FRAGMENT_BYTES_BYTES || fragment_bytes >= image_bytes {
            return Err(Violation::Fragments);
        }
        let is_whole = content.len() == fragment_bytes;
        Ok(is_whole.then_some(Self { number, prefix, image: content, image_bytes, fragment_bytes }))
    }

    fn finish(self, rules: Rules) -> Result<Whole, Violation> {
        let Self { number, prefix, mut image, .. } = self;
        rules.checks.take(prefix.data, &mut image)?;
        image.advance(PREFIX_BYTES + FRAGMENT_BYTES_BYTES);
        Ok(Whole { prefix, number, body: image })
    }
}

/// A frame in one fragment.
fn single(number: u64, mut content: BytesMut, rules: Rules) -> Result<Added, Violation> {
    let Some(brief) = content.first_chunk().map(|bytes| Brief::decode(*bytes)) else {
        return Ok(Added::Cut);
    };
    if brief.content_bytes != content.len() {
        return Ok(Added::Cut);
    }
    rules.checks.take(brief.data, &mut content)?;
    content.advance(BRIEF_BYTES.min(content.len()));
    let prefix = Prefix { lane: rules.lane, data: brief.data, length: content.len() };
    rules.admit(prefix)?;
    Ok(Added::Whole(Whole { prefix, number, body: content }))
}
