//! When what has arrived is acknowledged.

use super::inbound::Taken;
use crate::limits::{FRAGMENT_ACK_DELAY, FRAGMENT_ACK_EVERY};
use crate::time::Instant;

/// Fragments that are reported one by one after one is missing: three tell the sender that it is
/// lost, and the ones behind them wait to be told together.
const EARLY_AT_ONCE: usize = 3;

/// What one lane owes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Fragments since the last acknowledgement.
    fragments: u8,
    /// Something is to be told, whenever a packet has room.
    news: bool,
    /// It is to be told now.
    urgent: bool,
    /// The fragment that is missing came cut.
    cut: bool,
    due: Option<Instant>,
}

impl Owed {
    /// A fragment came; so many wait for a missing one now, and so many did before.
    pub(super) fn on_fragment(
        &mut self,
        now: Instant,
        taken: Taken,
        before: usize,
        waiting: usize,
    ) {
        self.news = true;
        self.fragments = self.fragments.saturating_add(1);
        let is_many = self.fragments >= FRAGMENT_ACK_EVERY;
        self.urgent |= match taken {
            Taken::InOrder => is_many || before > 0,
            Taken::Early => is_many || waiting <= EARLY_AT_ONCE,
            // What told the sender was lost, or has to tell it that something is missing.
            Taken::Repeated | Taken::Refused { .. } => true,
        };
        self.cut |= taken == Taken::Refused { cut: true };
        if !self.urgent {
            self.due.get_or_insert(now + FRAGMENT_ACK_DELAY);
        }
    }

    /// What is to be told does not wait for more.
    pub(super) fn hurry(&mut self) {
        self.urgent |= self.news;
    }

    /// A fragment that had waited for its turn turned out to be cut.
    pub(super) fn on_cut(&mut self) {
        (self.news, self.urgent, self.cut) = (true, true, true);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// What came needs no acknowledgement of its own.
    pub(super) fn on_quiet(&mut self) {
        if self.fragments <= 1 && !self.urgent {
            self.due = None;
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| now >= due) {
            (self.urgent, self.due) = (true, None);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub(super) fn due(&self) -> Option<Instant> {
        if self.urgent { None } else { self.due }
    }

    /// It was told; there may be more than one packet could say.
    pub(super) fn on_told(&mut self, more: bool) {
        *self = Self { news: more, urgent: more, ..Self::default() };
    }
}
