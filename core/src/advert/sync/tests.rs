mod hostile;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::id::Instance;
use crate::limits::{ASK_AGAIN_AFTER, ASKED_AGAIN_PER_S, FORGET_AFTER};
use crate::network::Network;
use crate::time::Duration;
use crate::wire::advert::{AdvertHead, AdvertKind};
use crate::wire::control::{AdvertCopy, Decoded, decode};
use crate::wire::ranges::Part;

const START: Instant = Instant::from_millis(1_000);
const ROOM: usize = CONTROL_BYTES_MAX;
/// What stands around messages in a frame: prefix and tag.
const FRAME_BYTES: usize = 20;

/// A key that nobody has, spread over the addresses as true ones are.
fn owner(number: u64) -> PeerKey {
    let mut key = [0x55; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    PeerKey::from_checked(key)
}

/// An advert of the usual size, as nobody signed it.
fn copy(number: u64, kind: AdvertKind, sequence: u64) -> AdvertCopy {
    let head = AdvertHead {
        owner: *owner(number).as_bytes(),
        kind,
        key: 0,
        instance: Instance::from_bytes([1; 8]),
        epoch: 1,
        sequence,
    };
    let mut advert = postcard::to_allocvec(&head).unwrap();
    advert.extend([0; 100]);
    AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: advert.into() }
}

struct Side {
    own: PeerKey,
    database: Database,
    sync: Sync,
    carrier: Carrier,
    adverts: usize,
    /// Bytes of frames without the adverts in them.
    bytes: usize,
    frames: usize,
    /// Whether data goes by the same link.
    busy: bool,
}

impl Side {
    fn new(number: u64, begins: bool) -> Self {
        let own = owner(1_000_000 + number);
        let database = Database::new(Network::open("test").unwrap(), own);
        let carrier = Carrier { key: [0; 32], rate_bytes_per_s: 1_000_000, begins };
        Self {
            own,
            database,
            sync: Sync::new(),
            carrier,
            adverts: 0,
            bytes: 0,
            frames: 0,
            busy: false,
        }
    }

    fn hold(&mut self, number: u64, kind: AdvertKind, sequence: u64) {
        self.database.believe(START, copy(number, kind, sequence));
    }

    /// A profile and an adjacency of each.
    fn hold_peers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.hold(number, AdvertKind::Profile, 1);
            self.hold(number, AdvertKind::Adjacency, 2);
        }
    }

    /// News from elsewhere.
    fn learn(&mut self, number: u64, sequence: u64) {
        let copy = copy(number, AdvertKind::Adjacency, sequence);
        if let Offer::Taken(taken) = self.database.believe(START, copy) {
            self.sync.mark(taken.id, taken.new_peer);
        }
    }

    fn pull(&mut self, now: Instant, room: usize) -> Vec<Control> {
        let mut bytes = Vec::new();
        self.sync.fill(now, &self.database, &self.carrier, room, &mut bytes);
        assert!(bytes.len() <= room, "{} bytes", bytes.len());
        if self.busy {
            self.sync.on_data(now);
        }
        let mut messages = Vec::new();
        let mut rest = bytes.as_slice();
        let mut left = rest.len();
        while let Some(decoded) = decode(&mut rest) {
            let Decoded::Message(message) = decoded else { panic!("{decoded:?}") };
            if matches!(message, Control::Advert(_)) {
                self.adverts += 1;
            } else {
                self.bytes += left - rest.len();
            }
            left = rest.len();
            messages.push(message);
        }
        // A frame that is there for adverts costs them, too.
        let is_ours = messages.iter().any(|message| !matches!(message, Control::Advert(_)));
        self.bytes += if is_ours { FRAME_BYTES } else { 0 };
        self.frames += usize::from(is_ours);
        messages
    }

    fn take(&mut self, now: Instant, key: &RangeKey, message: Control) {
        match message {
            Control::Ranges(ranges) => {
                let own = self.own.address();
                self.sync.on_ranges(now, &self.database, own, key, &ranges);
            }
            Control::Advert(copy) => {
                let offer = self.database.believe(now, copy);
                self.sync.on_offer(now, offer);
            }
            Control::Want(want) => self.sync.on_want(&self.database, &want),
            other => panic!("{other:?}"),
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.database.stamps(Range::ALL).map(|(stamp, _)| stamp).collect()
    }
}

/// Two neighbours, their link and what is on its way.
struct Pair {
    now: Instant,
    sides: [Side; 2],
    flying: [VecDeque<(RangeKey, Control)>; 2],
    links: u8,
}

impl Pair {
    fn new() -> Self {
        let sides = [Side::new(0, true), Side::new(1, false)];
        Self { now: START, sides, flying: Default::default(), links: 0 }
    }

    fn of(shared: u64, more: [&[u64]; 2]) -> Self {
        let mut pair = Self::new();
        for (side, more) in pair.sides.iter_mut().zip(more) {
            side.hold_peers((0..shared).chain(more.iter().copied()));
        }
        pair
    }

    fn pull(&mut self, from: usize, room: usize) -> bool {
        let key = self.sides[from].carrier.key;
        let messages = self.sides[from].pull(self.now, room);
        let any = !messages.is_empty();
        self.flying[1 - from].extend(messages.into_iter().map(|message| (key, message)));
        any
    }

    fn land(&mut self, at: usize) -> bool {
        let Some((key, message)) = self.flying[at].pop_front() else { return false };
        self.sides[at].take(self.now, &key, message);
        true
    }

    /// A side's adverts travel over another link from now on; `lost`: what was on its way is gone.
    fn relink(&mut self, number: usize, lost: bool) {
        self.links += 1;
        self.sides[number].carrier.key = [self.links; 32];
        if lost {
            self.flying[1 - number].clear();
        }
    }

    /// Until nobody has anything to say, timers included.
    fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let mut any = false;
            for number in 0..2 {
                any |= self.pull(number, ROOM);
                while self.land(1 - number) {
                    any = true;
                }
            }
            if any {
                continue;
            }
            let timers = self.sides.iter().map(|side| side.sync.next_timeout());
            let Some(next) = earliest(timers) else { return };
            assert!(next >= self.now, "a timer in the past");
            self.now = next;
            for side in &mut self.sides {
                side.sync.handle_timeout(next);
                let timer = side.sync.next_timeout();
                assert!(timer.is_none_or(|at| at > next), "{timer:?} at {next:?}");
            }
        }
        panic!("they do not come to rest");
    }

    fn assert_equal(&self) {
        assert_eq!(self.sides[0].stamps(), self.sides[1].stamps());
    }

    /// Bytes without adverts, adverts, and frames of both.
    fn cost(&self) -> (usize, usize, usize) {
        let [a, b] = &self.sides;
        (a.bytes + b.bytes, a.adverts + b.adverts, a.frames + b.frames)
    }
}

#[test]
fn both_ends_get_the_newest_and_only_differences_travel() {
    let mut pair = Pair::of(30, [&[60], &[70]]);
    pair.sides[0].hold(50, AdvertKind::Profile, 2);
    pair.sides[1].hold(50, AdvertKind::Profile, 3);
    pair.settle();
    pair.assert_equal();
    assert_eq!((pair.sides[0].adverts, pair.sides[1].adverts), (2, 3));
}

/// What a comparison costs at 1,000 nodes, which have 2,000 adverts.
#[test]
fn cost_of_a_comparison_follows_what_differs() {
    let row = |name: &str, differ: [(u64, u64); 2], peers: [u64; 2]| -> String {
        let mut pair = Pair::new();
        for (side, peers) in pair.sides.iter_mut().zip(peers) {
            side.hold_peers(0..peers);
        }
        for (side, (count, step)) in pair.sides.iter_mut().zip(differ) {
            // Spread over all, and not the same on both sides.
            (0..count).for_each(|n| side.hold(n * 9 + step, AdvertKind::Adjacency, 3));
        }
        pair.settle();
        pair.assert_equal();
        let (bytes, adverts, frames) = pair.cost();
        format!("{name:<28} {bytes:>6} {adverts:>6} {frames:>6}\n")
    };
    let table = [
        row("equal", [(0, 0), (0, 0)], [1_000, 1_000]),
        row("one differs", [(1, 0), (0, 0)], [1_000, 1_000]),
        row("one of each differs", [(1, 0), (1, 4)], [1_000, 1_000]),
        row("two of each differ", [(2, 0), (2, 4)], [1_000, 1_000]),
        row("five of each differ", [(5, 0), (5, 4)], [1_000, 1_000]),
        row("a tenth of the peers differs", [(50, 0), (50, 4)], [1_000, 1_000]),
        row("a node without any beside all", [(0, 0), (0, 0)], [0, 1_000]),
        row("all beside a node without any", [(0, 0), (0, 0)], [1_000, 0]),
    ];
    assert_eq!(table.concat(), COSTS);
}

/// Bytes of frames and messages without adverts; adverts; frames.
const COSTS: &str = "\
equal                            34      0      1
one differs                     521      1      6
one of each differs             794      2      6
two of each differ             1352      4      6
five of each differ            2661     10      6
a tenth of the peers differs  14921    100     20
a node without any beside all     27   2000      1
all beside a node without any     61   2000      2
";

#[test]
fn a_change_during_the_comparison_is_not_lost() {
    let mut pair = Pair::of(0, [&[], &(10..80).collect::<Vec<_>>()]);
    pair.pull(0, ROOM);
    pair.sides[0].learn(99, 1);
    pair.settle();
    pair.assert_equal();
}

#[test]
fn a_slow_neighbour_gets_the_newest_version_only() {
    let mut pair = Pair::new();
    pair.settle();
    (1..100).for_each(|sequence| pair.sides[0].learn(9, sequence));
    assert_eq!(pair.sides[0].sync.waiting(), 1);
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.sides[0].adverts, 1);
}

#[test]
fn what_a_lost_link_swallowed_is_found_whoever_lost_it() {
    for loser in 0..2 {
        let mut pair = Pair::of(300, [&[], &[]]);
        pair.settle();
        pair.sides[loser].learn(7, 5);
        pair.pull(loser, ROOM);
        pair.relink(loser, true);
        pair.settle();
        pair.assert_equal();
        assert_eq!(pair.sides[loser].adverts, 2, "sent once more");
        assert!(pair.now <= START + 2 * OPENING_PATIENCE);
    }
}

#[test]
fn who_begins_late_finds_the_same() {
    // The other end's first words come before this end is pulled at all.
    let mut pair = Pair::of(100, [&[200], &[300]]);
    pair.pull(0, ROOM);
    while pair.land(1) {}
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.now, START, "nobody waited for an opening that had come");
}

#[test]
fn what_could_not_be_checked_in_time_is_asked_for_again() {
    let mut pair = Pair::of(0, [&[], &[9]]);
    pair.settle();
    let sent = pair.sides[1].adverts;
    let now = pair.now;
    let again = &mut pair.sides[0].sync;
    again.on_offer(now, Offer::Busy { owner: owner(9).address() });
    let due = again.next_timeout().unwrap();
    assert_eq!(due, now + Duration::from_secs(1));
    again.handle_timeout(due);
    assert_eq!(again.next_timeout(), None, "due, not in the past");
    pair.settle();
    assert_eq!(pair.sides[1].adverts, sent + 2, "sent again though they were sent before");
}

#[test]
fn no_more_is_asked_for_again_in_a_second_than_can_be_checked() {
    let mut side = Side::new(0, true);
    let asked_again = ASKED_AGAIN_PER_S as usize;
    for number in 0..asked_again as u64 + 1 {
        side.sync.on_offer(START, Offer::Busy { owner: owner(number).address() });
    }
    let mut wants = |now| {
        side.sync.handle_timeout(now);
        let pulled = core::iter::from_fn(|| Some(side.pull(now, ROOM)).filter(|m| !m.is_empty()));
        let asks = |message: &Control| matches!(message, Control::Want(_));
        pulled.flatten().filter(asks).count()
    };
    assert_eq!(wants(START + ASK_AGAIN_AFTER), asked_again);
    assert_eq!(wants(START + ASK_AGAIN_AFTER * 2), 1);
}

#[test]
fn more_that_could_not_be_checked_than_is_remembered_is_found_by_a_comparison() {
    let mut pair = Pair::of(0, [&[], &[]]);
    pair.settle();
    pair.sides[1].hold_peers(0..1_500);
    let (a, now) = (&mut pair.sides[0], pair.now);
    (0..1_500).for_each(|n| a.sync.on_offer(now, Offer::Busy { owner: owner(n).address() }));
    pair.settle();
    pair.assert_equal();
    assert_eq!(pair.sides[1].adverts, 3_000, "each of them once");
    assert!(pair.now.since(now) >= Duration::from_secs(8), "128 owners a second");
}

#[test]
fn owners_that_are_forgotten_are_forgotten_here_too() {
    let mut pair = Pair::of(0, [&[], &[]]);
    (10..20).for_each(|number| pair.sides[0].learn(number, 1));
    assert_eq!(pair.sides[0].sync.waiting(), 10);
    let side = &mut pair.sides[0];
    let later = START + FORGET_AFTER;
    side.database.note_reachable(later, &owner(12));
    side.database.expire(later);
    side.sync.forget(&side.database, &owner(0));
    assert_eq!(side.sync.dirty.keys().map(|id| id.owner).collect::<Vec<_>>(), [owner(12)]);
}

#[test]
fn a_full_neighbour_is_offered_no_new_owners_until_it_begins_anew() {
    let mut pair = Pair::of(0, [&[9], &[9]]);
    pair.settle();
    let side = &mut pair.sides[0];
    side.learn(10, 1);
    side.learn(9, 5);
    side.sync.on_full(owner(10).address());
    side.learn(10, 2);
    side.learn(11, 1);
    pair.settle();
    assert_eq!(pair.sides[0].adverts, 1, "of the owner that is known there");
    let full = &mut pair.sides[1];
    full.sync.on_offer(START, Offer::NoRoom { owner: owner(10).address() });
    full.sync.forget(&full.database, &owner(0));
    pair.settle();
    pair.assert_equal();
}

#[test]
fn more_refusals_than_are_remembered_are_counted() {
    let mut side = Side::new(0, true);
    let refused = 0..=REFUSED_OWNERS_MAX as u64;
    refused.clone().for_each(|number| side.sync.on_full(owner(number).address()));
    assert_eq!(side.sync.full.as_ref().unwrap().len(), REFUSED_OWNERS_MAX);
    assert_eq!(side.sync.figures().refusals_forgotten, 1);
    for number in refused {
        side.hold(number, AdvertKind::Profile, 1);
        side.learn(number, 2);
    }
    let offered: Vec<_> =
        side.database.ids(None).filter(|id| side.sync.dirty.contains_key(id)).collect();
    assert_eq!(offered.len(), 1, "the one that is forgotten is offered again: {offered:?}");
}

#[test]
fn two_owners_of_one_address_are_both_told() {
    // Nobody can make two such keys in a test: the stamps alone.
    let stamp = |kind, sequence, hash| Stamp {
        owner: owner(1).address(),
        kind,
        key: 0,
        epoch: 1,
        sequence,
        hash,
    };
    let (profile, adjacency) = (AdvertKind::Profile, AdvertKind::Adjacency);
    let [p, q, r] = [stamp(profile, 5, 1), stamp(profile, 3, 2), stamp(profile, 2, 3)];
    let both = [q, p];
    assert!(is_news(&p, &[p], &[]) && is_news(&p, &[p], &[q]) && !is_news(&q, &[q], &[p]));
    assert!(!is_news(&p, &both, &both));
    assert!(is_news(&q, &both, &[p]), "though it is older than the other owner's");
    assert!(is_news(&r, &[r, q, p], &both));
    assert!(!is_news(&p, &both, &[p]));
    assert!(is_news(&stamp(adjacency, 1, 1), &[stamp(adjacency, 1, 1)], &both));
}

#[test]
fn a_stamp_of_this_node_that_it_does_not_hold_is_named() {
    let mut pair = Pair::of(50, [&[], &[1_000_000]]);
    let [a, b] = &mut pair.sides;
    let stamps: Vec<Stamp> = b.database.stamps_at(a.own.address()).map(|(s, _)| s).collect();
    assert_eq!(stamps.len(), 2);
    let parts = vec![Part { last: a.own.address(), content: Content::List(stamps.clone()) }];
    let ranges = Ranges { first: a.own.address(), parts };
    let mine = a.sync.on_ranges(START, &a.database, a.own.address(), &[0; 32], &ranges);
    assert_eq!(mine, stamps);
    assert!(a.pull(START, ROOM).iter().all(|message| !matches!(message, Control::Want(_))));
}

#[test]
fn a_budget_that_is_empty_is_told_and_waited_for() {
    for (busy, rate) in [(true, 20_000 / SYNC_SHARE), (false, 20_000 / SYNC_IDLE_SHARE)] {
        let mut pair = Pair::new();
        pair.sides[0].carrier.rate_bytes_per_s = 20_000;
        pair.sides[0].busy = busy;
        pair.sides[0].hold_peers(0..1_500);
        pair.settle();
        pair.assert_equal();
        let figures = pair.sides[0].sync.figures();
        let burst = 100_000;
        assert!(figures.bytes_sent > 3 * burst && figures.budget_empty > 0, "{figures:?}");
        // The burst at once, then a tenth of the rate, or half while there is nothing else to send.
        let seconds = (figures.bytes_sent - burst) / rate;
        let took = pair.now.since(START).as_secs();
        assert!(took.abs_diff(seconds) <= 2, "{took} s for {figures:?}");
    }
}

#[test]
fn data_that_comes_waits_for_one_frame_and_has_the_link_until_it_is_idle_again() {
    let mut side = Side::new(0, true);
    side.carrier.rate_bytes_per_s = 20_000;
    side.hold_peers(0..3_000);
    side.database.ids(None).for_each(|id| side.sync.mark(id, true));
    let mut now = START;
    let mut told = |side: &mut Side, time: Duration| {
        let (before, end) = (side.sync.figures().bytes_sent, now + time);
        loop {
            let at = side.sync.figures().bytes_sent;
            while !side.pull(now, ROOM).is_empty() {}
            let at_once = side.sync.figures().bytes_sent - at;
            let next = side.sync.next_timeout().unwrap();
            if next > end {
                now = end;
                return (side.sync.figures().bytes_sent - before, at_once);
            }
            now = next;
            side.sync.handle_timeout(now);
        }
    };
    told(&mut side, Duration::from_secs(10));
    let second = Duration::from_secs(1);
    let (idle, at_once) = told(&mut side, second * 10);
    assert!(idle.abs_diff(100_000) < 3_000, "{idle}");
    assert!(at_once <= 2 * CONTROL_BYTES_MAX as u64, "{at_once}");
    side.busy = true;
    told(&mut side, Duration::ZERO);
    let (busy, _) = told(&mut side, second * 10);
    assert!(busy.abs_diff(20_000) < 1_500, "{busy}");
    side.busy = false;
    told(&mut side, SYNC_IDLE_AFTER);
    let (idle, _) = told(&mut side, second * 10);
    assert!(idle.abs_diff(100_000) < 3_000, "{idle}");
}

#[test]
fn every_owner_gets_its_turn_while_one_changes_all_the_time() {
    let mut pair = Pair::new();
    pair.sides[0].carrier.rate_bytes_per_s = 1;
    pair.settle();
    (0..100).for_each(|number| pair.sides[0].learn(number, 1));
    for sequence in 2..120 {
        pair.sides[0].learn(0, sequence);
        pair.pull(0, 200);
        while pair.land(1) {}
    }
    assert_eq!(pair.sides[1].stamps().len(), 100);
}

/// What happens between two neighbours while they compare.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pull(usize, usize),
    Land(usize),
    Learn(usize, u64),
    Relink(usize, bool),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..2_usize, 400..ROOM).prop_map(|(side, room)| Step::Pull(side, room)),
        8 => (0..2_usize).prop_map(Step::Land),
        2 => (0..2_usize, 0..300_u64).prop_map(|(side, owner)| Step::Learn(side, owner)),
        1 => (0..2_usize, any::<bool>()).prop_map(|(side, lost)| Step::Relink(side, lost)),
        1 => (1..2_000_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_two_sets_become_one_whatever_links_lose(
        a in proptest::collection::btree_map(0..300_u64, 1..4_u64, 0..150),
        b in proptest::collection::btree_map(0..300_u64, 1..4_u64, 0..150),
        steps in steps(),
        rate in prop_oneof![Just(0_u64), Just(1_000_000)],
    ) {
        let mut pair = Pair::new();
        for (side, holds) in pair.sides.iter_mut().zip([&a, &b]) {
            side.carrier.rate_bytes_per_s = rate;
            holds.iter().for_each(|(n, sequence)| side.hold(*n, AdvertKind::Profile, *sequence));
        }
        let mut sequence = 10;
        for step in steps {
            match step {
                Step::Pull(side, room) => drop(pair.pull(side, room)),
                Step::Land(side) => drop(pair.land(side)),
                Step::Learn(side, owner) => {
                    sequence += 1;
                    pair.sides[side].learn(owner, sequence);
                }
                Step::Relink(side, lost) => pair.relink(side, lost),
                Step::Wait(ms) => {
                    pair.now += Duration::from_millis(ms);
                    let now = pair.now;
                    pair.sides.iter_mut().for_each(|side| side.sync.handle_timeout(now));
                }
            }
        }
        pair.settle();
        pair.assert_equal();
    }

    #[test]
    fn any_words_of_a_neighbour_are_survived(words in proptest::collection::vec(any::<Vec<u8>>(), 0..50)) {
        let mut side = Side::new(0, true);
        side.hold_peers(0..50);
        for word in words {
            let message = [&[3, u8::try_from(word.len()).unwrap_or(127)], word.as_slice()].concat();
            if let Some(Decoded::Message(message)) = decode(&mut message.as_slice()) {
                side.take(START, &[0; 32], message);
            }
            side.pull(START, ROOM);
        }
        prop_assert!(side.sync.waiting() <= 100);
    }
}
