//! What becomes of the pings of a session.

use alloc::vec::Vec;

use super::Session;
use crate::bus::event::{BusEvent, PingId};
use crate::bus::reason::PingFailure;
use crate::bus::shared::Shared;
use crate::time::{Duration, Instant};

impl Session {
    /// The packet of a ping was acknowledged after `rtt`.
    pub(in crate::bus) fn on_pong(&mut self, cx: &mut Shared, id: PingId, rtt: Duration, hops: u8) {
        if self.pings.close(id) {
            cx.events.push(BusEvent::Pong { id, peer: self.peer(), rtt, hops });
        }
    }

    pub(in crate::bus) fn on_ping_failed(
        &mut self,
        cx: &mut Shared,
        id: PingId,
        reason: PingFailure,
    ) {
        if self.pings.close(id) {
            cx.events.push(BusEvent::PingFailed { id, peer: self.peer(), reason });
        }
    }

    /// Gives up the pings whose time is over.
    pub(in crate::bus) fn expire_pings(&mut self, cx: &mut Shared, now: Instant, has_path: bool) {
        let unreached = self.keys.is_none() || !has_path;
        let reason = if unreached { PingFailure::NoRoute } else { PingFailure::TimedOut };
        self.fail_pings(cx, self.pings.overdue(now), reason);
    }

    pub(in crate::bus) fn end_pings(&mut self, cx: &mut Shared, reason: PingFailure) {
        self.fail_pings(cx, self.pings.all(), reason);
    }

    fn fail_pings(&mut self, cx: &mut Shared, ids: Vec<PingId>, reason: PingFailure) {
        for id in ids {
            self.on_ping_failed(cx, id, reason);
        }
    }
}
