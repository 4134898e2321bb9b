//! Who is on a medium, and who is in reach of whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use hedgerow_driver::{Beacon, DialFailure};
use hedgerow_netem::Shape;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::link::LinkEnd;
use crate::way::way;

/// The name of a node on a medium; also its endpoint.
pub(crate) type Name = Arc<str>;

/// Whether two nodes in reach hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    Clear,
    Silent,
}

/// A node that is on the medium now.
pub(crate) struct Station {
    /// What it shows; it accepts links from then on.
    pub(crate) beacon: Option<Beacon>,
    /// Where new links go.
    pub(crate) incoming: mpsc::Sender<LinkEnd>,
    /// Told when what it can see may have changed.
    pub(crate) changed: Arc<Notify>,
    /// A seat for each link it may hold.
    pub(crate) seats: Arc<Semaphore>,
}

/// Two nodes that are, or were, in reach of each other.
struct Reach {
    shape: Shape,
    state: ReachState,
}

enum ReachState {
    /// The links between the two listen to it; dropping it cuts them.
    Standing(watch::Sender<Hearing>),
    Cut,
}

impl Reach {
    fn hearing(&self) -> Option<Hearing> {
        match &self.state {
            ReachState::Standing(hearing) => Some(*hearing.borrow()),
            ReachState::Cut => None,
        }
    }

    fn listen(&self) -> Option<watch::Receiver<Hearing>> {
        match &self.state {
            ReachState::Standing(hearing) => Some(hearing.subscribe()),
            ReachState::Cut => None,
        }
    }
}

/// The state of a medium.
#[derive(Default)]
pub(crate) struct Air {
    pub(crate) stations: BTreeMap<Name, Station>,
    reaches: BTreeMap<(Name, Name), Reach>,
    ways_made: u64,
}

/// The two never were in reach of each other.
pub(crate) struct NoReach;

fn pair(a: &str, b: &str) -> (Name, Name) {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    (low.into(), high.into())
}

impl Air {
    pub(crate) fn connect(&mut self, a: &str, b: &str, shape: Shape) {
        match self.reaches.get_mut(&pair(a, b)) {
            Some(reach) => reach.shape = shape,
            None => {
                self.reaches.insert(pair(a, b), Reach { shape, state: ReachState::Cut });
            }
        }
        let connected = self.mend(a, b);
        assert!(connected.is_ok(), "the reach was just made");
    }

    pub(crate) fn mend(&mut self, a: &str, b: &str) -> Result<(), NoReach> {
        self.change(a, b, |state| match state {
            ReachState::Standing(hearing) => {
                hearing.send_replace(Hearing::Clear);
            }
            ReachState::Cut => *state = ReachState::Standing(watch::Sender::new(Hearing::Clear)),
        })
    }

    pub(crate) fn silence(&mut self, a: &str, b: &str) -> Result<(), NoReach> {
        self.change(a, b, |state| {
            if let ReachState::Standing(hearing) = state {
                hearing.send_replace(Hearing::Silent);
            }
        })
    }

    pub(crate) fn disconnect(&mut self, a: &str, b: &str) -> Result<(), NoReach> {
        self.change(a, b, |state| *state = ReachState::Cut)
    }

    fn change(
        &mut self,
        a: &str,
        b: &str,
        change: impl FnOnce(&mut ReachState),
    ) -> Result<(), NoReach> {
        change(&mut self.reaches.get_mut(&pair(a, b)).ok_or(NoReach)?.state);
        for name in [a, b] {
            if let Some(station) = self.stations.get(name) {
                station.changed.notify_one();
            }
        }
        Ok(())
    }

    /// All that are or were in reach of `name`.
    fn neighbours<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Name, &'a Reach)> {
        self.reaches.iter().filter_map(move |((low, high), reach)| match name {
            name if name == &**low => Some((high, reach)),
            name if name == &**high => Some((low, reach)),
            _ => None,
        })
    }

    /// Tells all in reach of `name` to look again.
    pub(crate) fn tell_neighbours(&self, name: &str) {
        for (other, _) in self.neighbours(name) {
            if let Some(station) = self.stations.get(other) {
                station.changed.notify_one();
            }
        }
    }

    /// Who shows `name` a beacon. Of those it cannot hear now it keeps what it knows, `known`.
    pub(crate) fn seen_by(
        &self,
        name: &str,
        known: &BTreeMap<Name, Beacon>,
    ) -> BTreeMap<Name, Beacon> {
        self.neighbours(name)
            .filter_map(|(other, reach)| {
                let beacon = match reach.hearing()? {
                    Hearing::Clear => self.stations.get(other)?.beacon?,
                    Hearing::Silent => *known.get(other)?,
                };
                Some((other.clone(), beacon))
            })
            .collect()
    }

    /// How far it is from `from` to `to`, and whether they hear each other; `None` out of reach.
    pub(crate) fn path(&self, from: &str, to: &str) -> Option<(Shape, watch::Receiver<Hearing>)> {
        let reach = self.reaches.get(&pair(from, to))?;
        Some((reach.shape, reach.listen()?))
    }

    /// Makes a link: gives `to` its end and returns that of `from`.
    pub(crate) fn join(&mut self, from: &Name, to: &str) -> Result<LinkEnd, DialFailure> {
        let (shape, hearing) = self.path(from, to).ok_or(DialFailure::Unreachable)?;
        let acceptor = self.stations.get(to).ok_or(DialFailure::Unreachable)?;
        if acceptor.beacon.is_none() {
            return Err(DialFailure::Refused);
        }
        let dialler = self.stations.get(from).ok_or(DialFailure::Cancelled)?;
        let seat = dialler.seats.clone().try_acquire_owned().map_err(|_| {
            DialFailure::Unavailable("all links it can hold are taken: close one".into())
        })?;
        let their_seat =
            acceptor.seats.clone().try_acquire_owned().map_err(|_| DialFailure::Refused)?;

        let (to_them, from_us) = way(shape, self.ways_made);
        let (to_us, from_them) = way(shape, self.ways_made + 1);
        let theirs = LinkEnd {
            other: from.clone(),
            shape,
            hearing: hearing.clone(),
            to: to_us,
            from: from_us,
            seat: their_seat,
        };
        acceptor.incoming.try_send(theirs).map_err(|_| DialFailure::Refused)?;
        self.ways_made += 2;
        Ok(LinkEnd { other: to.into(), shape, hearing, to: to_them, from: from_them, seat })
    }
}
