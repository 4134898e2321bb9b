//! Links that break again and again: told later and later (in the spirit of RFC 2439).
//!
//! A loss is told at once, and so is the first comeback. A link that breaks more than twice a
//! minute has to stand for a while before others may send that way; this node uses it meanwhile.
//! The wait doubles with each break, up to a bound that everybody can sit out, and each half
//! minute without a break takes one off.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::{Address, Instance};
use crate::io::ConnectionType;
use crate::limits::{
    FLAP_BREAKS_MAX, FLAP_FORGIVE, FLAP_HOLD_MIN, FLAP_RECORDS_MAX, FLAP_RESTARTS_FREE,
};
use crate::time::{Duration, Instant, earliest};
use crate::wire::advert::Edge;

/// One end and the medium: several links over it are one edge.
type Way = (Address, ConnectionType);

/// What this node's links are, and which of them may be told.
#[derive(Debug, Default)]
pub(super) struct Damping {
    /// As they are now.
    edges: Vec<Edge>,
    links: BTreeMap<Way, Record>,
    runs: BTreeMap<Address, Run>,
    /// One that was held is not any more.
    steadied: bool,
}

#[derive(Debug)]
struct Record {
    now: Grade,
    /// What others are told: never better than it is.
    told: Grade,
    /// When it may be told as good as it is.
    held_until: Option<Instant>,
    /// It got worse since it last got better: an outage by way of doubt is one break.
    fell: bool,
    breaks: Breaks,
}

/// How good a link is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Gone,
    InDoubt,
    Sound,
}

/// A peer's newest run.
#[derive(Debug)]
struct Run {
    instance: Instance,
    restarts: Breaks,
}

/// How often something broke lately.
#[derive(Clone, Copy, Debug, Default)]
struct Breaks {
    count: u32,
    last: Instant,
}

impl Breaks {
    fn level(&self, now: Instant) -> u32 {
        let forgiven = now.since(self.last).as_micros() / FLAP_FORGIVE.as_micros();
        self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn add(&mut self, now: Instant) {
        *self = Self { count: (self.level(now) + 1).min(FLAP_BREAKS_MAX), last: now };
    }

    /// How long what broke so often must stand: not at all the first time.
    fn hold(&self, now: Instant) -> Duration {
        match self.level(now) {
            0 | 1 => Duration::ZERO,
            level => FLAP_HOLD_MIN * (1 << (level - 2)),
        }
    }
}

impl Damping {
    /// The links as they are now, each way once.
    pub(super) fn set(&mut self, now: Instant, edges: Vec<Edge>) {
        self.release(now);
        let grades: BTreeMap<Way, Grade> =
            edges.iter().map(|edge| ((edge.peer, edge.kind.clone()), Grade::of(edge))).collect();
        for (way, record) in &mut self.links {
            record.set(now, grades.get(way).copied().unwrap_or(Grade::Gone));
        }
        for (way, grade) in grades {
            self.links.entry(way).or_insert_with(|| Record::new(grade));
        }
        self.edges = edges;
        self.forget(now);
    }

    /// A link's handshake showed which run of its peer is there. A restart is no flap, unless it
    /// goes on.
    pub(super) fn on_run(&mut self, now: Instant, peer: Address, instance: Instance) {
        let run = Run { instance, restarts: Breaks::default() };
        let run = self.runs.entry(peer).or_insert(run);
        if run.instance == instance {
            return;
        }
        run.instance = instance;
        if run.restarts.level(now) < FLAP_RESTARTS_FREE {
            let of_peer = self.links.iter_mut().filter(|((address, _), _)| *address == peer);
            for (_, record) in of_peer.filter(|(_, record)| record.fell) {
                record.breaks.count = record.breaks.count.saturating_sub(1);
            }
        }
        run.restarts.add(now);
    }

    /// Lets those that stood long enough be told.
    pub(super) fn release(&mut self, now: Instant) {
        for record in self.links.values_mut() {
            if record.held_until.take_if(|until| *until <= now).is_some() {
                record.told = record.now;
                self.steadied = true;
            }
        }
    }

    /// Whether any was released since this was asked last.
    pub(super) fn take_steadied(&mut self) -> bool {
        core::mem::take(&mut self.steadied)
    }

    /// The links to tell. One that is held is told as it was: in doubt, or not at all.
    pub(super) fn told(&self) -> Vec<Edge> {
        let told = self.edges.iter().filter_map(|edge| {
            let record = self.links.get(&(edge.peer, edge.kind.clone()));
            let told = record.map_or(Grade::Sound, |record| record.told);
            match told {
                Grade::Gone => None,
                Grade::InDoubt => Some(Edge { cost: edge.cost.in_doubt(), ..edge.clone() }),
                Grade::Sound => Some(edge.clone()),
            }
        });
        told.collect()
    }

    /// Whether a link may be relied on: it is not one that came back just now, once more.
    pub(super) fn is_steady(&self, peer: Address, kind: &ConnectionType) -> bool {
        let record = self.links.get(&(peer, kind.clone()));
        record.is_none_or(|record| record.held_until.is_none())
    }

    /// When the next one may be told.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        earliest(self.links.values().map(|record| record.held_until))
    }

    /// Drops what is gone and forgiven; of too many, those that broke longest ago.
    fn forget(&mut self, now: Instant) {
        self.links.retain(|_, record| record.now != Grade::Gone || record.breaks.level(now) > 0);
        while self.links.len() > FLAP_RECORDS_MAX {
            let gone = self.links.iter().filter(|(_, record)| record.now == Grade::Gone);
            let Some(oldest) = gone.min_by_key(|(_, record)| record.breaks.last) else { break };
            let oldest = oldest.0.clone();
            self.links.remove(&oldest);
        }
        let links = &self.links;
        self.runs.retain(|peer, _| links.keys().any(|(address, _)| address == peer));
    }
}

impl Record {
    fn new(grade: Grade) -> Self {
        let breaks = Breaks::default();
        Self { now: grade, told: grade, held_until: None, fell: false, breaks }
    }

    fn set(&mut self, now: Instant, grade: Grade) {
        if grade < self.now && !core::mem::replace(&mut self.fell, true) {
            self.breaks.add(now);
        }
        if grade > self.now {
            self.fell = false;
            self.held_until = Some(now + self.breaks.hold(now));
        }
        self.now = grade;
        self.told = self.told.min(grade);
        if self.held_until.is_some_and(|until| until <= now) {
            self.told = grade;
        }
        if self.told == grade {
            self.held_until = None;
        }
    }
}

impl Grade {
    fn of(edge: &Edge) -> Self {
        if edge.cost.is_in_doubt() { Self::InDoubt } else { Self::Sound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::advert::Cost;

    const MS: fn(u64) -> Instant = Instant::from_millis;
    const GOOD: Cost = Cost(40);
    const DOUBT: Cost = Cost(255);

    fn edge(peer: u8, cost: Cost) -> Edge {
        let peer = Address::from_bytes([peer; 8]);
        Edge { peer, kind: ConnectionType::AccessPoint, cost, payload_log2: 16 }
    }

    fn run(number: u8) -> Instance {
        Instance::from_bytes([number; 8])
    }

    /// The link to 1 breaks, and comes back a second later; how long it is held then.
    fn flap(damping: &mut Damping, now: Instant) -> Duration {
        damping.set(now, Vec::new());
        assert_eq!(damping.told(), []);
        let back = now + Duration::from_secs(1);
        damping.set(back, alloc::vec![edge(1, GOOD)]);
        let hold = damping.next_timeout().map_or(Duration::ZERO, |until| until.since(back));
        assert_eq!(damping.told().is_empty(), !hold.is_zero());
        damping.release(back + hold);
        assert_eq!(damping.told(), [edge(1, GOOD)], "held no longer than it says");
        hold
    }

    #[test]
    fn a_comeback_is_told_later_and_later_up_to_a_bound() {
        let mut damping = Damping::default();
        damping.set(MS(0), alloc::vec![edge(1, GOOD)]);
        let holds = (1..12).map(|at| flap(&mut damping, MS(at * 20_000)).as_secs());
        let holds: Vec<_> = holds.collect();
        assert_eq!(holds, [0, 1, 2, 4, 8, 16, 16, 16, 16, 16, 16]);
        assert_eq!((holds[1], holds[FLAP_BREAKS_MAX as usize - 1]), (FLAP_HOLD_MIN.as_secs(), 16));
        // Every half minute without a break takes one off.
        assert_eq!(flap(&mut damping, MS(220_000 + 95_000)).as_secs(), 4);
        assert_eq!(flap(&mut damping, MS(1_000_000)).as_secs(), 0);
    }

    #[test]
    fn what_breaks_less_than_twice_a_minute_is_never_held() {
        let mut damping = Damping::default();
        damping.set(MS(0), alloc::vec![edge(1, GOOD)]);
        assert!((1..100).all(|at| flap(&mut damping, MS(0) + FLAP_FORGIVE * at).is_zero()));
    }

    #[test]
    fn doubt_is_a_break_and_a_held_link_is_told_as_doubtful_as_before() {
        let mut damping = Damping::default();
        for second in 0..20 {
            let cost = if second % 2 == 0 { GOOD } else { DOUBT };
            damping.set(MS(second * 1_000), alloc::vec![edge(1, cost)]);
            let told = damping.told();
            assert_eq!(told.len(), 1, "it stands");
            assert!(second < 5 || told[0].cost.is_in_doubt(), "second {second}");
        }
        damping.set(MS(20_000), alloc::vec![edge(1, GOOD)]);
        assert!(!damping.is_steady(edge(1, GOOD).peer, &ConnectionType::AccessPoint));
        damping.release(MS(36_000));
        assert!(damping.take_steadied() && !damping.take_steadied());
        assert_eq!(damping.told(), [edge(1, GOOD)]);
    }

    #[test]
    fn a_peer_that_restarts_is_no_flapper_unless_it_goes_on() {
        let mut damping = Damping::default();
        let peer = edge(1, GOOD).peer;
        damping.on_run(MS(0), peer, run(0));
        damping.set(MS(0), alloc::vec![edge(1, GOOD)]);
        let holds = (1..=6_u8).map(|at| {
            let now = MS(u64::from(at) * 10_000);
            damping.set(now, Vec::new());
            damping.on_run(now + Duration::from_secs(2), peer, run(at));
            damping.set(now + Duration::from_secs(2), alloc::vec![edge(1, GOOD)]);
            let hold = damping.next_timeout().is_some();
            damping.release(now + Duration::from_secs(9));
            hold
        });
        // The first one is held against nobody anyway.
        let free = holds.take_while(|held| !held).count();
        assert_eq!(free, FLAP_RESTARTS_FREE as usize + 1);
    }

    #[test]
    fn many_strangers_that_come_and_go_take_bounded_memory() {
        let mut damping = Damping::default();
        damping.set(MS(0), alloc::vec![edge(1, GOOD)]);
        for number in 0..1_000_u64 {
            let peer = Address::from_bytes((number + 9_000).to_be_bytes());
            let stranger = Edge { peer, ..edge(1, GOOD) };
            damping.on_run(MS(number), peer, run(1));
            damping.set(MS(number), alloc::vec![edge(1, GOOD), stranger]);
            damping.set(MS(number), alloc::vec![edge(1, GOOD)]);
            assert!(
                damping.links.len() <= FLAP_RECORDS_MAX && damping.runs.len() <= FLAP_RECORDS_MAX
            );
        }
        damping.set(MS(60_000), alloc::vec![edge(1, GOOD)]);
        assert_eq!((damping.links.len(), damping.runs.len()), (1, 0), "forgiven and forgotten");
    }
}
