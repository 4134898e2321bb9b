//! A node's presence on a medium.

use std::sync::Arc;

use hedgerow_driver::Beacon;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::air::{Name, Station};
use crate::link::LinkEnd;
use crate::medium::Medium;

/// Links that came in and that the driver has not looked at; more are refused.
const BACKLOG: usize = 16;
/// Links a driver accepts beyond what its node may hold, so that the node can tell newcomers
/// that it is at capacity. More are refused.
const NEWCOMERS_MAX: usize = 4;

/// Another node is on the medium under this name.
pub(crate) struct NameTaken;

/// A node on a medium; it leaves when this is dropped.
pub(crate) struct Attached {
    pub(crate) medium: Medium,
    pub(crate) name: Name,
    pub(crate) changed: Arc<Notify>,
}

impl Attached {
    pub(crate) fn new(
        medium: Medium,
        name: Name,
        links_max: usize,
    ) -> Result<(Self, mpsc::Receiver<LinkEnd>), NameTaken> {
        let (incoming, receiver) = mpsc::channel(BACKLOG);
        let changed = Arc::new(Notify::new());
        let seats = links_max.saturating_add(NEWCOMERS_MAX).min(Semaphore::MAX_PERMITS);
        let station = Station {
            beacon: None,
            incoming,
            changed: changed.clone(),
            seats: Arc::new(Semaphore::new(seats)),
        };
        {
            let mut air = medium.air();
            if air.stations.contains_key(&name) {
                return Err(NameTaken);
            }
            air.stations.insert(name.clone(), station);
        }
        Ok((Self { medium, name, changed }, receiver))
    }

    /// Shows `beacon` to all in reach, and accepts links.
    pub(crate) fn advertise(&self, beacon: Beacon) {
        let mut air = self.medium.air();
        if let Some(station) = air.stations.get_mut(&self.name) {
            station.beacon = Some(beacon);
        }
        air.tell_neighbours(&self.name);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut air = self.medium.air();
        air.stations.remove(&self.name);
        air.tell_neighbours(&self.name);
    }
}
