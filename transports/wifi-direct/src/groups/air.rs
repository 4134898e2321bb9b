//! Many radios in one room, on virtual time: the decisions of all of them against each other, over a
//! wpa_supplicant that is as slow and as deaf as real ones. All of a run follows from its seed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::Power;
use crate::name::tests::shown;
use crate::told::tests::group as key;

const SEEDS: u64 = 300;
/// The core gives dials up after this.
const DIAL_TIMEOUT: Duration = Duration::from_secs(40);
/// wpa_supplicant asks again after this, for as long as it is not told otherwise.
const ASKS_EVERY: Duration = Duration::from_secs(2);

/// What comes to a radio.
#[derive(Clone, Debug)]
enum News {
    Sighted(usize),
    Request(usize),
    Knock(usize),
    Invitation(usize),
    NoMore,
    Failed,
    Started {
        group: u64,
        owns: bool,
    },
    Finished,
    Neighbour {
        who: usize,
        group: u64,
    },
    Dial {
        dial: DialId,
        to: usize,
    },
    GiveUp(DialId),
    Unlink,
    /// What a neighbour tells over another link.
    Told {
        from: usize,
        told: Box<Told>,
    },
}

/// What wpa_supplicant is at, for one radio.
#[derive(Clone, Debug, Default)]
struct Supplicant {
    /// Asked for: a negotiation with somebody, by an intent, or to be let into its group.
    asks: Option<(usize, u8, Way)>,
    group: Option<u64>,
    owns: bool,
    /// Those it was in a group with.
    met: BTreeSet<usize>,
    /// When its last signal about a group comes: they keep their order.
    signals: Option<Instant>,
}

struct Station {
    groups: Groups,
    supplicant: Supplicant,
    links: usize,
    dials: BTreeMap<DialId, usize>,
    linked: BTreeSet<DialId>,
    failed: BTreeSet<DialId>,
    /// What it told last, to whom it tells it, and when all of them have heard that.
    told: Option<Told>,
    tells: BTreeSet<usize>,
    heard_at: Instant,
}

struct Air {
    now: Instant,
    random: u64,
    loss_percent: u64,
    next: u64,
    queue: BTreeMap<(Instant, u64), (usize, News)>,
    stations: Vec<Station>,
}

fn device(index: usize) -> DeviceAddress {
    DeviceAddress([2, 0, 0, 0, 0, u8::try_from(index).unwrap()])
}

/// What stands for a station that tells of itself.
fn neighbour(index: usize) -> DeviceAddress {
    DeviceAddress::of(&what(index).beacon)
}

fn index(device: DeviceAddress) -> usize {
    usize::from(device.0[5])
}

/// The key of a node: the nth of those that are keys.
fn peer(index: usize) -> PeerKey {
    (0..=u8::MAX).filter_map(|byte| PeerKey::from_bytes([byte; 32]).ok()).nth(index).unwrap()
}

fn what(index: usize) -> Shown {
    shown(1, u8::try_from(index + 1).unwrap(), Power::Mains)
}

impl Air {
    fn new(seed: u64, stations: usize, loss_percent: u64) -> Self {
        let station = |own| {
            let mut groups = Groups::new();
            groups.show(what(own));
            groups.set_radio(true);
            Station {
                groups,
                supplicant: Supplicant::default(),
                links: 0,
                dials: BTreeMap::new(),
                linked: BTreeSet::new(),
                failed: BTreeSet::new(),
                told: None,
                tells: BTreeSet::new(),
                heard_at: Instant::now(),
            }
        };
        let mut air = Self {
            now: Instant::now(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            loss_percent,
            next: 0,
            queue: BTreeMap::new(),
            stations: (0..stations).map(station).collect(),
        };
        for of in 0..stations {
            air.sight_all(of, 0, 1);
        }
        air
    }

    /// Radios that hear nothing of each other, whose nodes are linked in a line by something else.
    fn linked(seed: u64, stations: usize) -> Self {
        let mut air = Self::new(seed, stations, 100);
        air.queue.clear();
        air.link_in_a_line();
        air
    }

    fn link_in_a_line(&mut self) {
        for of in 1..self.stations.len() {
            self.stations[of].tells.insert(of - 1);
            self.stations[of - 1].tells.insert(of);
        }
        self.spread();
    }

    /// What nodes have to tell goes over their links, in order.
    fn spread(&mut self) {
        for of in 0..self.stations.len() {
            let told = self.stations[of].groups.tells();
            if self.stations[of].told == told {
                continue;
            }
            self.stations[of].told.clone_from(&told);
            let at = self.after(20, 400).max(self.stations[of].heard_at);
            self.stations[of].heard_at = at;
            for to in self.stations[of].tells.clone() {
                let told = Box::new(told.clone().unwrap());
                self.tell(at, to, News::Told { from: of, told });
            }
        }
    }

    /// Below `end`, by xorshift.
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn after(&mut self, low_ms: u64, high_ms: u64) -> Instant {
        self.now + Duration::from_millis(low_ms + self.below(high_ms - low_ms))
    }

    fn tell(&mut self, at: Instant, to: usize, news: News) {
        self.next += 1;
        self.queue.insert((at, self.next), (to, news));
    }

    fn signal(&mut self, low_ms: u64, high_ms: u64, to: usize, news: News) {
        let at = self.after(low_ms, high_ms);
        let at = self.stations[to].supplicant.signals.map_or(at, |last| last.max(at));
        self.stations[to].supplicant.signals = Some(at);
        self.tell(at, to, news);
    }

    /// A frame that may be lost.
    fn send(&mut self, to: usize, news: News) {
        let at = self.after(5, 300);
        if self.below(100) >= self.loss_percent {
            self.tell(at, to, news);
        }
    }

    fn sight_all(&mut self, of: usize, low_ms: u64, high_ms: u64) {
        for other in (0..self.stations.len()).filter(|other| *other != of) {
            let at = self.after(low_ms, high_ms);
            self.tell(at, of, News::Sighted(other));
        }
    }

    /// Plays until nothing happens any more, or this is over.
    fn play(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timeout = self.stations.iter().filter_map(|s| s.groups.next_timeout()).min();
            let news = self.queue.first_key_value().map(|((at, _), _)| *at);
            let asking = self.stations.iter().any(|s| s.supplicant.asks.is_some());
            let again = asking.then(|| self.now + ASKS_EVERY);
            let Some(at) = [timeout, news, again].into_iter().flatten().min() else { break };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            if news.is_some_and(|news| news <= self.now) {
                if let Some((_, (to, news))) = self.queue.pop_first() {
                    self.happen(to, news);
                }
            } else if timeout.is_some_and(|timeout| timeout <= self.now) {
                for station in &mut self.stations {
                    station.groups.on_timeout(self.now);
                }
            } else {
                (0..self.stations.len()).for_each(|of| self.ask(of));
            }
            (0..self.stations.len()).for_each(|of| self.obey(of));
            self.spread();
        }
        self.now = end;
    }

    fn happen(&mut self, to: usize, news: News) {
        let now = self.now;
        let station = &mut self.stations[to];
        let is_in = |group| station.supplicant.group == Some(group);
        match news {
            News::Sighted(other) => {
                let owns = self.stations[other].supplicant.owns;
                self.stations[to].groups.on_device(now, device(other), what(other), owns);
            }
            News::Request(from) => station.groups.on_request(now, device(from)),
            News::Knock(from) => station.groups.on_knock(device(from)),
            News::Invitation(from) => station.groups.on_invitation(now, device(from)),
            News::NoMore => station.groups.on_no_more(),
            News::Failed => station.groups.on_not_negotiated("no"),
            News::Started { group, owns } if is_in(group) => {
                let key = key(neighbour(to), group);
                let Key { mhz, name, passphrase, .. } = key;
                let secret = owns.then_some(Secret { mhz, name, passphrase });
                station.groups.on_started(now, owns, secret);
            }
            News::Told { from, told } => {
                station.groups.on_told(now, peer(from), Some(*told));
            }
            News::Finished => {
                station.links = 0;
                station.groups.on_links(now, 0);
                station.groups.on_finished(now);
            }
            News::Neighbour { who, group } if is_in(group) => {
                let at = Endpoint::new(&format!("[fe80::{who}%1]:1"));
                station.groups.on_neighbour(at, what(who).beacon);
            }
            News::Dial { dial, to: other } => {
                station.dials.insert(dial, other);
                let whom = station.groups.whom();
                let is_it = |beacon: &&DeviceAddress| whom[beacon] == what(other).beacon;
                let at = whom.keys().find(is_it).copied().unwrap_or(device(other));
                station.groups.on_dial(now, dial, at);
                self.tell(now + DIAL_TIMEOUT, to, News::GiveUp(dial));
            }
            News::GiveUp(dial) => {
                if !station.linked.contains(&dial) && !station.failed.contains(&dial) {
                    assert!(station.groups.on_cancel(dial), "{to} forgot {dial:?}");
                }
            }
            News::Unlink => {
                station.links = 0;
                station.groups.on_links(now, 0);
            }
            // The group has ended meanwhile, and that is told next.
            News::Started { .. } | News::Neighbour { .. } => {}
        }
    }

    /// What a wpa_supplicant does that has been asked for something.
    fn ask(&mut self, of: usize) {
        let Some((with, intent, way)) = self.stations[of].supplicant.asks else { return };
        let other = &self.stations[with].supplicant;
        match (way, other.asks) {
            (Way::Joined, _) => self.send(with, News::Knock(of)),
            (_, Some((back, theirs, Way::Again | Way::Negotiated)))
                if back == of && other.group.is_none() =>
            {
                self.form(of, with, intent > theirs);
            }
            _ => self.send(with, News::Request(of)),
        }
    }

    /// Two are in a new group.
    fn form(&mut self, one: usize, other: usize, one_owns: bool) {
        self.next += 1;
        let (group, owner) = (self.next, if one_owns { one } else { other });
        for of in [one, other] {
            self.enter(of, group, of == owner);
        }
    }

    fn enter(&mut self, of: usize, group: u64, owns: bool) {
        let inside: Vec<usize> = (0..self.stations.len())
            .filter(|other| self.stations[*other].supplicant.group == Some(group))
            .collect();
        let supplicant = &mut self.stations[of].supplicant;
        assert_eq!(supplicant.group, None, "{of} is in a group already");
        (supplicant.asks, supplicant.group, supplicant.owns) = (None, Some(group), owns);
        self.signal(100, 600, of, News::Started { group, owns });
        for other in inside {
            self.stations[of].supplicant.met.insert(other);
            self.stations[other].supplicant.met.insert(of);
            for (to, who) in [(of, other), (other, of)] {
                let at = self.after(1_000, 2_500);
                self.tell(at, to, News::Neighbour { who, group });
            }
        }
    }

    /// Enters the group of a key, if that still stands.
    fn enter_by(&mut self, of: usize, key: &Key) {
        let owner = (0..self.stations.len()).find(|of| neighbour(*of) == key.owner);
        let owner = &self.stations[owner.unwrap()].supplicant;
        let is_it = |group: &u64| key.name == format!("DIRECT-{group}-hedgerow");
        let group = owner.group.filter(|group| owner.owns && is_it(group));
        match group.filter(|_| self.stations[of].supplicant.group.is_none()) {
            Some(group) => self.enter(of, group, false),
            None => self.signal(1_000, 10_000, of, News::Finished),
        }
    }

    fn leave(&mut self, of: usize) {
        let Some(group) = self.stations[of].supplicant.group else { return };
        let owned = self.stations[of].supplicant.owns;
        for other in 0..self.stations.len() {
            let supplicant = &mut self.stations[other].supplicant;
            if supplicant.group == Some(group) && (owned || other == of) {
                (supplicant.group, supplicant.owns) = (None, false);
                self.signal(10, 500, other, News::Finished);
            }
        }
    }

    fn obey(&mut self, of: usize) {
        while let Some(order) = self.stations[of].groups.poll() {
            let supplicant = &mut self.stations[of].supplicant;
            match order {
                Order::Connect { device, intent, way } => {
                    if supplicant.group.is_some() {
                        continue;
                    }
                    let with = index(device);
                    let knows = way == Way::Again && supplicant.met.contains(&with);
                    if !knows {
                        supplicant.asks = Some((with, intent, way));
                        self.ask(of);
                    } else if self.is_free(with) && self.below(100) >= self.loss_percent {
                        self.form(of, with, intent > 7);
                    } else {
                        self.send(of, News::NoMore);
                    }
                }
                Order::Make if supplicant.group.is_some() => {}
                Order::Make => {
                    self.next += 1;
                    self.enter(of, self.next, true);
                }
                Order::Enter(key) => self.enter_by(of, &key),
                Order::Abandon => supplicant.asks = None,
                Order::Invite(device) => self.send(index(device), News::Invitation(of)),
                Order::Admit(device) => {
                    let (group, who) = (supplicant.group, index(device));
                    let asks = self.stations[who].supplicant.asks;
                    if let (Some(group), Some((owner, _, Way::Joined))) = (group, asks)
                        && owner == of
                    {
                        self.enter(who, group, false);
                    }
                }
                Order::Reject(device) => {
                    let who = index(device);
                    if self.stations[who].supplicant.asks.is_some_and(|asks| asks.0 == of) {
                        self.stations[who].supplicant.asks = None;
                        self.send(who, News::Failed);
                    }
                }
                Order::Leave => self.leave(of),
                Order::Forget => {
                    for other in 0..self.stations.len() {
                        self.stations[of].groups.on_device_lost(device(other));
                    }
                    self.sight_all(of, 500, 3_000);
                }
                Order::Dial { dial, .. } => {
                    self.answer(of, dial, true);
                    let other = self.stations[of].dials[&dial];
                    for end in [of, other] {
                        let station = &mut self.stations[end];
                        station.links += 1;
                        station.groups.on_links(self.now, station.links);
                    }
                }
                Order::Failed(dial, _) => self.answer(of, dial, false),
            }
        }
    }

    fn is_free(&self, of: usize) -> bool {
        let supplicant = &self.stations[of].supplicant;
        supplicant.group.is_none() && supplicant.asks.is_none()
    }

    fn answer(&mut self, of: usize, dial: DialId, is_linked: bool) {
        let station = &mut self.stations[of];
        let answered = station.linked.contains(&dial) || station.failed.contains(&dial);
        assert!(!answered, "{of} answers {dial:?} twice");
        if is_linked {
            station.linked.insert(dial)
        } else {
            station.failed.insert(dial)
        };
    }

    fn dial(&mut self, at_ms: u64, from: usize, to: usize) -> DialId {
        self.next += 1;
        let (at, dial) = (self.now + Duration::from_millis(at_ms), DialId(self.next));
        self.tell(at, from, News::Dial { dial, to });
        dial
    }

    /// Every dial was answered, and no radio is kept busy for nothing.
    fn is_at_rest(&self) {
        for (of, station) in self.stations.iter().enumerate() {
            let answered = station.linked.len() + station.failed.len();
            assert_eq!(station.dials.len(), answered, "{of} left a dial without an answer");
            assert!(station.groups.is_free(), "{of} is {:?}", station.groups.phase);
            assert_eq!(station.supplicant.group, None, "{of} is in a group");
            assert!(station.supplicant.asks.is_none(), "{of} asks for {:?}", station.supplicant);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_dial_when_they_like_meet_and_meet_again() {
    for seed in 0..SEEDS {
        let mut air = Air::new(seed, 2, 0);
        for round in 0..3 {
            let (one, other) = (air.below(2_000), air.below(2_000));
            let dials = [air.dial(one, 0, 1), air.dial(other, 1, 0)];
            air.play(Duration::from_secs(15));
            let met = [0, 1].map(|of| air.stations[of].linked.contains(&dials[of]));
            assert!(met[0] && met[1], "seed {seed}, round {round}: {met:?}");
            let owners = air.stations.iter().filter(|station| station.supplicant.owns).count();
            assert_eq!(owners, 1, "seed {seed}, round {round}");
            for of in 0..2 {
                let at = air.after(0, 3_000);
                air.tell(at, of, News::Unlink);
            }
            air.play(Duration::from_secs(60));
            air.is_at_rest();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_third_one_meets_both_in_their_group() {
    for seed in 0..SEEDS {
        let mut air = Air::new(seed, 3, 0);
        air.dial(0, 0, 1);
        air.play(Duration::from_secs(10));
        let owner = usize::from(air.stations[1].supplicant.owns);
        // Nobody has told it who owns the group.
        let dial = air.dial(0, 2, owner);
        air.play(Duration::from_secs(20));
        let back = air.dial(0, 2, 1 - owner);
        air.play(Duration::from_secs(20));
        let group = air.stations[owner].supplicant.group;
        assert!(group.is_some() && air.stations[2].supplicant.group == group, "seed {seed}");
        let linked = &air.stations[2].linked;
        assert!(linked.contains(&back) || linked.contains(&dial), "seed {seed}: {linked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_dials_whom_over_an_air_that_loses_a_third_each_dial_is_answered_once() {
    for seed in 0..SEEDS {
        let mut air = Air::new(seed, 6, 33);
        if seed % 2 == 1 {
            air.link_in_a_line();
        }
        for _ in 0..30 {
            let (at, from) = (air.below(300_000), air.below(6) as usize);
            let to = (from + 1 + air.below(5) as usize) % 6;
            air.dial(at, from, to);
        }
        for _ in 0..20 {
            let (at, of) = (air.after(0, 300_000), air.below(6) as usize);
            air.tell(at, of, News::Unlink);
        }
        air.play(Duration::from_secs(310));
        // The last dials have come to something by then.
        for of in 0..6 {
            let at = air.now + DIAL_TIMEOUT * 2;
            air.tell(at, of, News::Unlink);
        }
        air.play(Duration::from_secs(300));
        air.is_at_rest();
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_are_linked_meet_without_a_word_by_radio_whoever_dials() {
    for seed in 0..SEEDS {
        let mut air = Air::linked(seed, 2);
        air.play(Duration::from_secs(1));
        for round in 0..3 {
            let (one, other) = (air.below(2_000), air.below(2_000));
            let mut dials = vec![];
            if seed % 3 != 0 {
                dials.push((0, air.dial(one, 0, 1)));
            }
            if seed % 3 != 1 {
                dials.push((1, air.dial(other, 1, 0)));
            }
            air.play(Duration::from_secs(8));
            for (of, dial) in dials {
                assert!(
                    air.stations[of].linked.contains(&dial),
                    "seed {seed}, round {round}: {of}"
                );
            }
            assert!(air.stations[0].supplicant.owns, "the lower label owns it: seed {seed}");
            for of in 0..2 {
                let at = air.after(0, 3_000);
                air.tell(at, of, News::Unlink);
            }
            air.play(Duration::from_secs(60));
            air.is_at_rest();
        }
    }
}

/// The one in the middle is linked to both. Whoever is first, all end up in one group, or are told why
/// not, and nobody is kept busy.
#[tokio::test(start_paused = true)]
async fn of_three_in_a_line_the_middle_one_brings_both_into_one_group() {
    let mut together = 0;
    for seed in 0..SEEDS {
        let mut air = Air::linked(seed, 3);
        air.play(Duration::from_secs(1));
        let (one, other) = (air.below(20_000), air.below(20_000));
        let dials = [air.dial(one, 0, 1), air.dial(other, 2, 1)];
        air.play(Duration::from_secs(45));
        let group = air.stations[1].supplicant.group;
        let met = |of: usize, dial| air.stations[of].linked.contains(&dial);
        if met(0, dials[0]) && met(2, dials[1]) {
            assert!(air.stations.iter().all(|station| station.supplicant.group == group), "{seed}");
            together += 1;
        }
        assert!(met(0, dials[0]) || met(2, dials[1]), "seed {seed}: nobody met");
        for of in 0..3 {
            let at = air.now + DIAL_TIMEOUT;
            air.tell(at, of, News::Unlink);
        }
        air.play(Duration::from_secs(200));
        air.is_at_rest();
    }
    assert!(together > SEEDS * 9 / 10, "{together} of {SEEDS}");
}
