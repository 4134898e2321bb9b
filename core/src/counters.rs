//! What was dropped, refused or skipped, by cause.

use crate::advert::SyncFigures;

/// Counts every limit that was hit and every rule that was broken. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Counters {
    /// Links whose handshake failed.
    pub handshakes_failed: u64,
    /// Links closed because the peer broke the protocol.
    pub violations: u64,
    /// Newcomers turned away because a transport had no room.
    pub turned_away: u64,
    /// Redundant links given up, so that peers that cannot be reached otherwise have a slot.
    pub made_room: u64,
    /// Links whose handshake was under way, closed to make room for newer ones.
    pub handshakes_crowded_out: u64,
    /// Control messages of unknown kinds, skipped.
    pub control_skipped: u64,
    /// Control messages that a full queue refused.
    pub control_dropped: u64,
    /// Adverts refused: malformed, forged, expired, or the table was full.
    pub adverts_refused: u64,
    /// Adverts whose signature could not be checked in time; they are asked for again.
    pub adverts_deferred: u64,
    /// How often adverts waited because a neighbour's budget for them was used up.
    pub sync_budget_empty: u64,
    /// Neighbours' ranges of adverts that came too fast to be looked at; they are compared later.
    pub ranges_put_off: u64,
    /// Owners that full neighbours refused and that were too many to remember.
    pub refusals_forgotten: u64,
    /// Own links that did not fit into the adjacency.
    pub edges_left_out: u64,
    /// Metadata bodies not fetched because the cache was full.
    pub bodies_refused: u64,
    /// Metadata bodies that came whole and were not what their owner signed.
    pub bodies_broken: u64,
    /// Neighbours' questions for metadata that were not noted: too many were open.
    pub bodies_busy: u64,
    /// Sightings refused because a table was full.
    pub sightings_refused: u64,
    /// Frames relayed for others.
    pub relayed: u64,
    /// Frames dropped: no route to their destination.
    pub dropped_no_route: u64,
    /// Frames dropped: their hop limit was used up.
    pub dropped_hop_limit: u64,
    /// Frames dropped: the way led back to where they came from.
    pub dropped_backwards: u64,
    /// Frames dropped: the queue for the next hop was full.
    pub dropped_queue_full: u64,
    /// Frames dropped: they outlived their lifetime while they waited.
    pub dropped_expired: u64,
    /// Frames dropped: too big for the next link; their source was told.
    pub dropped_too_big: u64,
    /// Traces not begun: too many were under way.
    pub traces_refused: u64,
    /// Hops' answers in traces of others that were not given: too many in a second.
    pub trace_tells_over_rate: u64,
    /// Hops' answers that nobody had asked for, that came too late, or that were forged.
    pub trace_tells_ignored: u64,
    /// Events lost because the host did not take them.
    pub events_lost: u64,
    /// What the Bus did, and every limit it hit.
    pub bus: crate::bus::Counters,
}

impl Counters {
    /// What a neighbour's limits did, in addition.
    pub(crate) fn add_sync(&mut self, figures: SyncFigures) {
        self.sync_budget_empty += figures.budget_empty;
        self.ranges_put_off += figures.ranges_put_off;
        self.refusals_forgotten += figures.refusals_forgotten;
    }
}
