//! The rules that every report is held against.

use std::collections::{BTreeMap, BTreeSet};

use super::{Breach, require};
use crate::{
    ApproximateDistance, Beacon, Condition, ConditionState, DialId, Endpoint, Hint, LinkId,
    LinkOrigin, LinkUp, TransportId,
};

/// What a driver has said so far.
#[derive(Debug)]
pub(super) struct Ledger {
    transport: TransportId,
    pub(super) has_advertised: bool,
    up: BTreeSet<LinkId>,
    down: BTreeSet<LinkId>,
    /// What was said last of links whose distance is known.
    distances: BTreeMap<LinkId, ApproximateDistance>,
    asked: BTreeSet<DialId>,
    answered: BTreeSet<DialId>,
    /// Who is to be seen.
    pub(super) seen: BTreeMap<Endpoint, Option<Beacon>>,
    /// What those at neighbours are told.
    pub(super) hint: Hint,
    /// Reports that are of no link and no dial: sightings, losses, hints and conditions.
    pub(super) aside: usize,
}

impl Ledger {
    pub(super) fn new(transport: TransportId) -> Self {
        Self {
            transport,
            has_advertised: false,
            up: BTreeSet::new(),
            down: BTreeSet::new(),
            distances: BTreeMap::new(),
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            seen: BTreeMap::new(),
            hint: Hint::default(),
            aside: 0,
        }
    }

    pub(super) fn ask(&mut self, dial: DialId) {
        self.asked.insert(dial);
    }

    /// Dials without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len() - self.answered.len()
    }

    pub(super) fn is_up(&self, link: LinkId) -> bool {
        self.up.contains(&link) && !self.down.contains(&link)
    }

    pub(super) fn on_up(&mut self, up: &LinkUp) -> Result<(), Breach> {
        let link = up.link;
        require(link.transport == self.transport, || {
            format!("{link:?} is not a number from `Reports::next_link`")
        })?;
        require(self.up.insert(link), || format!("the number of {link:?} was used before"))?;
        match up.origin {
            LinkOrigin::Dialled(dial) => self.on_answer(dial),
            LinkOrigin::Accepted => require(self.has_advertised, || {
                format!("{link:?} came in before the first `Advertise`")
            }),
        }
    }

    pub(super) fn on_answer(&mut self, dial: DialId) -> Result<(), Breach> {
        require(self.asked.contains(&dial), || format!("{dial:?} was answered but never asked"))?;
        require(self.answered.insert(dial), || format!("{dial:?} was answered twice"))
    }

    /// `what` was said of a link.
    pub(super) fn on_word(&self, link: LinkId, what: &str) -> Result<(), Breach> {
        require(self.up.contains(&link), || {
            format!("{what} was reported of {link:?}, which was not announced")
        })?;
        require(!self.down.contains(&link), || {
            format!("{what} was reported of {link:?} after its `LinkDown`")
        })
    }

    pub(super) fn on_distance(
        &mut self,
        link: LinkId,
        distance: Option<ApproximateDistance>,
    ) -> Result<(), Breach> {
        self.on_word(link, "a distance")?;
        let before = match distance {
            Some(distance) => self.distances.insert(link, distance),
            None => self.distances.remove(&link),
        };
        require(before != distance, || {
            format!("the distance of {link:?} was reported though it has not changed: {distance:?}")
        })
    }

    pub(super) fn on_down(&mut self, link: LinkId) -> Result<(), Breach> {
        self.on_word(link, "`LinkDown`")?;
        self.down.insert(link);
        Ok(())
    }

    pub(super) fn on_condition(condition: &Condition) -> Result<(), Breach> {
        let is_ok = condition.state == ConditionState::Ok;
        require(is_ok == condition.detail.is_empty(), || {
            format!("a condition says what to do unless all is well: {condition:?}")
        })
    }
}
