//! Tells the node whom it can see.

use std::collections::BTreeMap;
use std::sync::Arc;

use hedgerow_driver::{Endpoint, NodeGone, Reports, Sighting};
use tokio::sync::Notify;

use crate::air::Name;
use crate::medium::Medium;

/// Reports each change in whom `name` can see, until the node is gone.
///
/// It compares what is there with what it has told, so a busy node gets the newest state and no
/// queue of old ones.
pub(crate) async fn report_sightings(
    medium: Medium,
    name: Name,
    changed: Arc<Notify>,
    reports: Reports,
) -> NodeGone {
    let mut told = BTreeMap::new();
    loop {
        let seen = medium.air().seen_by(&name, &told);
        for gone in told.keys().filter(|&other| !seen.contains_key(other)) {
            if let Err(gone) = reports.lost(Endpoint::new(gone)).await {
                return gone;
            }
        }
        for (other, beacon) in seen.iter().filter(|&(other, now)| told.get(other) != Some(now)) {
            let sighting = Sighting { endpoint: Endpoint::new(other), beacon: Some(*beacon) };
            if let Err(gone) = reports.sighted(sighting).await {
                return gone;
            }
        }
        told = seen;
        changed.notified().await;
    }
}
