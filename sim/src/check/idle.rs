//! An idle mesh sends keepalives, and nothing else.

use hedgerow_core::limits::KEEPALIVE_INTERVAL;

use super::{Breach, Checker, Phase, View, breach};
use crate::tally::{KEEPALIVE_BYTES_MAX, Sent};

/// What every node had sent when the mesh fell idle.
#[derive(Debug, Default)]
pub struct Idle {
    sent: Option<Vec<Sent>>,
    links: Vec<usize>,
    bytes: u64,
}

impl Checker for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        if view.phase != Phase::Idle {
            return Ok(());
        }
        let hosts = view.world.hosts();
        let Some(before) = &self.sent else {
            self.sent = Some(hosts.iter().map(|host| *host.sent()).collect());
            self.links = hosts.iter().map(|host| host.links().count()).collect();
            return Ok(());
        };
        // Keepalives may come at both ends of the time.
        let each = view.phase_time().as_secs() / KEEPALIVE_INTERVAL.as_secs() + 2;
        self.bytes = 0;
        for (node, host) in hosts.iter().enumerate() {
            let sent = host.sent().since(&before[node]);
            self.bytes += sent.total();
            let links = self.links[node] as u64;
            let allowed = links * each * KEEPALIVE_BYTES_MAX as u64;
            let others = sent.total() - sent.keepalive.bytes;
            if others > 0 || sent.keepalive.bytes > allowed {
                return breach!(
                    "node {node} with {links} links sent {sent:?} in {:?} of rest",
                    view.phase_time()
                );
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("bytes at rest", self.bytes)]
    }
}
