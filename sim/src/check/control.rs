//! What the mesh itself has to say takes a bounded share of every link.

use std::collections::BTreeMap;

use hedgerow_core::id::LinkId;
use hedgerow_core::time::Instant;

use super::{Breach, Checker, View, breach};

/// The share of a link's rate that control messages may take for long: one of so many.
const SHARE: u64 = 10;
/// What every link may carry, however slow it is, in bytes a second.
const RATE_MIN: u64 = 512;
/// What a link may carry at once for each node of the world: the whole map for a newcomer, in bytes.
/// A node has two adverts of 150 bytes on average, which may all change while they are sent.
const BURST_BY_NODE: u64 = 820;
/// Smaller worlds count as this many nodes: what goes wrong makes as much news in them.
const NODES_MIN: usize = 20;

/// One direction of a link: a bucket of what it may still carry, in bytes.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    at: Instant,
    counted: u64,
    left: u64,
}

/// Buckets of all directions of all links that stand.
#[derive(Debug, Default)]
pub struct Control {
    buckets: BTreeMap<(usize, LinkId), Bucket>,
    looked_at: Option<Instant>,
    /// The most that was ever spent of a bucket.
    spent: u64,
}

impl Checker for Control {
    fn name(&self) -> &'static str {
        "control"
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let now = view.now();
        // Ten times a second is often enough for a bucket that holds seconds.
        if self.looked_at.is_some_and(|at| now.since(at).as_millis() < 100) {
            return Ok(());
        }
        self.looked_at = Some(now);
        let burst = BURST_BY_NODE * view.world.hosts().len().max(NODES_MIN) as u64;
        let mut buckets = BTreeMap::new();
        for (node, host) in view.world.hosts().iter().enumerate() {
            for (link, _, sent) in host.links() {
                let medium = &view.world.plan().media[usize::from(link.transport.0)];
                let rate = (medium.estimate.rate_bytes_per_s / SHARE).max(RATE_MIN);
                let bytes = view.control_bytes(node, sent);
                let fresh = Bucket { at: now, counted: 0, left: burst };
                let known = self.buckets.get(&(node, link));
                let bucket = known.filter(|bucket| bucket.counted <= bytes);
                let bucket = *bucket.unwrap_or(&fresh);
                let micros = u128::from(rate) * now.since(bucket.at).as_micros();
                let earned = u64::try_from(micros / 1_000_000).unwrap_or(u64::MAX);
                let has = bucket.left.saturating_add(earned).min(burst);
                let spent = bytes - bucket.counted;
                let Some(left) = has.checked_sub(spent) else {
                    return breach!(
                        "node {node} sent {spent} bytes of control on {link:?} since {:?}, where \
                         {has} were left",
                        bucket.at
                    );
                };
                self.spent = self.spent.max(burst - left);
                buckets.insert((node, link), Bucket { at: now, counted: bytes, left });
            }
        }
        self.buckets = buckets;
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("most control bytes at once", self.spent)]
    }
}
