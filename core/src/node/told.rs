//! What one neighbour's transports told, and what it is owed.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::TransportId;
use crate::io::{ConnectionType, Hint};
use crate::limits::HINTS_MAX;
use crate::wire::control::HintCopy;

/// The hints between this node and one neighbour.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// What it told, by medium, with its number; of what it took back, the number stays.
    pub(super) heard: BTreeMap<ConnectionType, (u64, Hint)>,
    /// Transports whose hint it is owed.
    pub(super) owed: BTreeSet<TransportId>,
}

impl Hints {
    /// Takes what a neighbour tells; says whether that is news.
    pub(super) fn hear(&mut self, copy: HintCopy) -> bool {
        let HintCopy { medium, sequence, hint } = copy;
        let is_known = match self.heard.get(&medium) {
            Some((newest, _)) if sequence <= *newest => return false,
            Some((_, known)) => *known == hint,
            None if self.heard.len() >= HINTS_MAX => return false,
            None => hint.is_empty(),
        };
        self.heard.insert(medium, (sequence, hint));
        !is_known
    }
}

#[cfg(test)]
impl Hints {
    /// Of how many media something was told.
    pub(super) fn media(&self) -> usize {
        self.heard.len()
    }
}
