//! Connections of the radio: one between two devices, whatever number of links it carries.
//!
//! Both ends may have dialled, so the end of one link says nothing about the connection. It is ended
//! once it carries nothing, also where a dial was given up or a process before this one left it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug;
use zbus::Connection;

use super::bus::{DeviceProxy, words};
use super::objects::{DeviceState, Objects, State};

/// A connection that carries no link any more is kept so long: for the next dial, and for the other
/// end's, which may be on its way.
const LINGER: Duration = Duration::from_secs(4);
/// Somebody who came in has so long to find the service and to subscribe.
const NEWCOMER: Duration = Duration::from_secs(15);
/// What is known of the use of a connection is kept so long after its end.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How often connections are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// BlueZ waits 2 s itself, so that what was written last still leaves.
const DISCONNECT_WITHIN: Duration = Duration::from_secs(6);

/// Who uses which connection.
#[derive(Debug, Default)]
pub(super) struct Acls {
    table: Mutex<HashMap<String, Uses>>,
}

#[derive(Debug)]
struct Uses {
    leases: usize,
    /// Nobody has used it since.
    idle_since: Instant,
    /// It carried something that has ended.
    is_spent: bool,
}

/// The right to use a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    acls: Arc<Acls>,
    device: String,
}

impl Acls {
    fn table(&self) -> MutexGuard<'_, HashMap<String, Uses>> {
        // Counts change in one step.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the connection to a device, standing or to be made.
    pub(super) fn lease(self: &Arc<Self>, device: &str) -> Lease {
        let mut table = self.table();
        // Whoever shows beacons can make devices up; what never connected is not looked after.
        table.retain(|_, uses| uses.leases > 0 || uses.idle_since.elapsed() < FORGOTTEN_AFTER);
        let uses = table.entry(device.to_owned()).or_insert(Uses {
            leases: 0,
            idle_since: Instant::now(),
            is_spent: false,
        });
        uses.leases += 1;
        Lease { acls: Arc::clone(self), device: device.to_owned() }
    }

    /// Whether nobody uses it, nor did lately.
    fn is_idle(&self, device: &str, seen: Instant) -> bool {
        match self.table().get(device) {
            Some(uses) => uses.leases == 0 && uses.idle_since.elapsed() >= LINGER,
            None => seen.elapsed() >= NEWCOMER,
        }
    }

    /// Ends the connections of an adapter that carry nothing, until it is dropped.
    pub(super) async fn tidy(&self, connection: &Connection, objects: &Objects, adapter: &str) {
        let mut seen: HashMap<String, Instant> = HashMap::new();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let ours: Vec<String> = {
                let state = objects.state();
                let devices = state.devices_of(adapter);
                // What somebody paired is used by others as well.
                let ours = devices.filter(|(_, d)| d.is_connected() && d.has_service && !d.paired);
                ours.map(|(path, _)| path.clone()).collect()
            };
            seen.retain(|path, _| ours.contains(path));
            self.table().retain(|path, uses| uses.leases > 0 || ours.contains(path));
            if ours.is_empty() {
                // Nothing to look after, and no reason to wake up.
                let connected = |d: &DeviceState| d.is_connected() && d.has_service && !d.paired;
                objects
                    .until(|state| {
                        state.devices_of(adapter).any(|(_, d)| connected(d)).then_some(())
                    })
                    .await;
            }
            for path in ours {
                let since = *seen.entry(path.clone()).or_insert_with(Instant::now);
                if self.is_idle(&path, since) {
                    debug!(device = path, "a connection carries nothing any more");
                    hang_up(connection, &path, || self.is_idle(&path, since)).await;
                }
            }
        }
    }
}

impl Acls {
    /// Ends a connection whose link has ended, before the device is dialled anew: the other end may be
    /// going, and what was on its way must not come to the new link. BlueZ 5.82 does not survive a
    /// subscription to a service that is just being taken away.
    pub(super) async fn begin_anew(
        &self,
        connection: &Connection,
        objects: &Objects,
        device: &str,
    ) {
        // What somebody paired is used by others as well.
        let is_spent = |state: &State| {
            let ours = state.devices.get(device).filter(|device| !device.paired);
            let since = ours.and_then(|device| device.connected_since);
            since.is_some_and(|since| self.is_spent(device, since))
        };
        if is_spent(&objects.state()) {
            debug!(device, "a connection whose link has ended is not used again");
            hang_up(connection, device, || is_spent(&objects.state())).await;
            let gone = objects.until(|state| (!is_spent(state)).then_some(()));
            if timeout(DISCONNECT_WITHIN, gone).await.is_err() {
                debug!(device, "a connection does not end in time");
            }
        }
        if let Some(uses) = self.table().get_mut(device).filter(|uses| uses.leases == 0) {
            uses.is_spent = false;
        }
    }

    /// Whether a connection carried something that has ended, and carries nothing now. One that came
    /// since is the other end's, and its link is on the way: BlueZ would end it two seconds later.
    fn is_spent(&self, device: &str, connected_since: Instant) -> bool {
        let is_spent =
            |uses: &Uses| uses.is_spent && uses.leases == 0 && connected_since <= uses.idle_since;
        self.table().get(device).is_some_and(is_spent)
    }

    /// Ends all connections that were used, without waiting for it: the driver ends.
    pub(super) async fn hang_up_all(&self, connection: &Connection, objects: &Objects) {
        let mut devices: Vec<_> = self.table().drain().map(|(device, _)| device).collect();
        devices.retain(|device| objects.device(device).is_none_or(|device| !device.paired));
        for device in devices {
            let begun =
                async { DeviceProxy::new(connection, &*device).await?.begin_disconnect().await };
            if let Err(error) = begun.await {
                debug!(device, error = words(&error), "a connection stays behind");
            }
        }
    }
}

impl Lease {
    /// Gives up an attempt to connect. A connection that stands is left to [`Acls::tidy`]: the other
    /// end may be about to use it.
    pub(super) async fn give_up(self, connection: &Connection, objects: &Objects) {
        let (acls, device) = (Arc::clone(&self.acls), self.device.clone());
        drop(self);
        let is_unused = acls.table().get(&device).is_none_or(|uses| uses.leases == 0);
        if is_unused && objects.device(&device).is_none_or(|device| !device.is_connected()) {
            hang_up(connection, &device, || true).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(uses) = self.acls.table().get_mut(&self.device) {
            uses.leases -= 1;
            uses.idle_since = Instant::now();
            uses.is_spent = true;
        }
    }
}

/// Ends a connection if that is still due when BlueZ can be told: it may have ended by itself, and the
/// other end may have connected anew meanwhile.
async fn hang_up(connection: &Connection, device: &str, is_due: impl Fn() -> bool) {
    let ended = timeout(DISCONNECT_WITHIN, async {
        let proxy = DeviceProxy::new(connection, device).await?;
        if is_due() { proxy.disconnect().await } else { Ok(()) }
    });
    if let Ok(Err(error)) = ended.await {
        // It is gone already, or the daemon is.
        debug!(device, error = words(&error), "a connection does not end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_nobody_has_used_it_for_a_while() {
        let acls = Arc::new(Acls::default());
        let long_ago = Instant::now();
        let (first, second) = (acls.lease("a"), acls.lease("a"));
        tokio::time::advance(NEWCOMER).await;
        drop(first);
        tokio::time::advance(LINGER).await;
        assert!(!acls.is_idle("a", long_ago), "the other end's link is carried by it");
        drop(second);
        assert!(!acls.is_idle("a", long_ago), "the next dial may follow at once");
        tokio::time::advance(LINGER).await;
        assert!(acls.is_idle("a", long_ago));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_came_after_the_last_link_is_not_spent() {
        let acls = Arc::new(Acls::default());
        let before = Instant::now();
        let lease = acls.lease("a");
        assert!(!acls.is_spent("a", before), "it carries a link");
        drop(lease);
        assert!(acls.is_spent("a", before), "its link has ended");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!acls.is_spent("a", Instant::now()), "the other end has connected anew");
    }

    #[tokio::test(start_paused = true)]
    async fn devices_that_were_made_up_are_forgotten() {
        let acls = Arc::new(Acls::default());
        let kept = acls.lease("kept");
        for number in 0..100 {
            drop(acls.lease(&format!("{number}")));
        }
        tokio::time::advance(FORGOTTEN_AFTER).await;
        drop(acls.lease("another"));
        assert_eq!(acls.table().len(), 2, "the one that is used and the newest");
        drop(kept);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_has_time_to_subscribe() {
        let acls = Acls::default();
        let seen = Instant::now();
        tokio::time::advance(NEWCOMER / 2).await;
        assert!(!acls.is_idle("a", seen));
        tokio::time::advance(NEWCOMER / 2).await;
        assert!(acls.is_idle("a", seen));
    }
}
