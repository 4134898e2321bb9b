//! How much of the time is spent on scanning.
//!
//! Scanning is what Bluetooth costs a battery: about a tenth of a phone's idle drain while it is
//! on. A node without links looks hard, one with links looks for newcomers now and then, since those
//! see it as well; a full one looks for islands.

use std::time::Duration;

/// A turn of scanning and the rest after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) scan: Duration,
    pub(crate) rest: Duration,
}

/// What the duty follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Links that stand.
    pub(crate) links: usize,
    /// Whether it takes more.
    pub(crate) has_room: bool,
    /// Since links or adapters last changed.
    pub(crate) quiet: Duration,
}

const fn turn(scan_s: u64, rest_s: u64) -> Turn {
    Turn { scan: Duration::from_secs(scan_s), rest: Duration::from_secs(rest_s) }
}

/// Alone, and just begun: nine tenths of the time.
const SEARCHING: Turn = turn(9, 1);
/// Alone for long: a third, so that somebody who comes is seen within half a minute.
const WAITING: Turn = turn(5, 10);
/// Among others who just came: who else is there?
const JOINING: Turn = turn(5, 5);
/// Settled: a tenth.
const SETTLED: Turn = turn(4, 36);
/// Full: a thirtieth.
const FULL: Turn = turn(4, 116);

const SEARCH_FOR: Duration = Duration::from_secs(120);
const JOIN_FOR: Duration = Duration::from_secs(30);

/// The turn for a situation.
pub(crate) fn turn_for(situation: Situation) -> Turn {
    match situation {
        Situation { links: 0, quiet, .. } if quiet < SEARCH_FOR => SEARCHING,
        Situation { links: 0, .. } => WAITING,
        Situation { quiet, has_room: true, .. } if quiet < JOIN_FOR => JOINING,
        Situation { has_room: true, .. } => SETTLED,
        Situation { has_room: false, .. } => FULL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(links: usize, has_room: bool, quiet_s: u64) -> u32 {
        let quiet = Duration::from_secs(quiet_s);
        let turn = turn_for(Situation { links, has_room, quiet });
        u32::try_from(turn.scan.as_secs() * 100 / (turn.scan + turn.rest).as_secs()).unwrap()
    }

    #[test]
    fn who_is_alone_looks_hard_and_who_is_settled_seldom() {
        assert_eq!(share(0, true, 0), 90);
        assert_eq!(share(0, true, 3_600), 33);
        assert_eq!(share(1, true, 0), 50);
        assert_eq!(share(1, true, 60), 10);
        assert_eq!(share(6, false, 0), 3);
    }
}
