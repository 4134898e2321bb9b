//! Scanning in turns, and what is heard.

use std::time::Duration;

use hedgerow_driver::{NodeGone, Reports, Sighting};
use tokio::time::{Instant, sleep};
use tracing::{debug, trace};
use zbus::Variant;

use super::bus::{AdapterProxy, Options, error_name, words};
use super::objects::Heard;
use super::station::Station;
use crate::duty::{Situation, turn_for};
use crate::gatt::SERVICE;
use crate::link::BleLinks;

/// Turns without a word after which somebody counts as gone. One can be missed while the radio is
/// busy with links.
const TURNS_UNHEARD_MAX: u8 = 3;

/// Scans in turns until BlueZ refuses.
pub(super) async fn scan(station: &Station, links: &BleLinks) -> zbus::Result<()> {
    let adapter = AdapterProxy::new(&station.connection, station.adapter.clone()).await?;
    let mut standing = links.standing();
    let mut quiet_since = Instant::now();
    loop {
        let links_now = *standing.borrow_and_update();
        let situation = Situation {
            links: links_now,
            has_room: links.free(links_now) > 0,
            quiet: quiet_since.elapsed(),
        };
        let turn = turn_for(situation);
        start(&adapter).await?;
        sleep(turn.scan).await;
        stop(&adapter).await?;
        trace!(?turn, adapter = station.adapter, "a turn of scanning is over");
        for (path, device) in station.objects.end_turn(&station.adapter, TURNS_UNHEARD_MAX) {
            if !device.paired {
                forget(&adapter, &path).await;
            }
        }
        tokio::select! {
            () = sleep(turn.rest) => {}
            // Somebody came or went: whoever is alone looks at once.
            _ = standing.changed() => quiet_since = Instant::now(),
        }
    }
}

/// Begins a turn. Low energy only: an inquiry would take the radio for seconds, links or not.
async fn start(adapter: &AdapterProxy<'_>) -> zbus::Result<()> {
    let filter = Options::from([
        ("UUIDs", Variant::new(vec![SERVICE])),
        ("Transport", Variant::new("le")),
        ("DuplicateData", Variant::new(false)),
    ]);
    adapter.set_discovery_filter(filter).await?;
    match adapter.start_discovery().await {
        // The last turn was not ended, as by a call that took too long.
        Err(error) if error_name(&error) == Some("org.bluez.Error.InProgress") => Ok(()),
        started => started,
    }
}

async fn stop(adapter: &AdapterProxy<'_>) -> zbus::Result<()> {
    match adapter.stop_discovery().await {
        // BlueZ ended it by itself.
        Err(error) if error_name(&error) == Some("org.bluez.Error.Failed") => Ok(()),
        stopped => stopped,
    }
}

/// Lets BlueZ forget a device that we once connected to: addresses change, and it would keep all.
async fn forget(adapter: &AdapterProxy<'_>, path: &str) {
    let Ok(device) = zbus::ObjectPath::try_from(path) else { return };
    if let Err(error) = adapter.remove_device(&device).await {
        debug!(device = path, error = words(&error), "BlueZ does not forget it");
    }
}

/// Reports what is heard.
pub(super) async fn sight(station: &Station, reports: &Reports) -> Result<(), NodeGone> {
    loop {
        for (path, device, heard) in station.objects.heard().await {
            if !path.starts_with(&format!("{}/", station.adapter)) {
                continue;
            }
            let endpoint = device.endpoint();
            match (heard, device.shown) {
                (Heard::Advertising, Some(shown)) => {
                    let beacon = Some(shown.beacon);
                    reports.sighted(Sighting { endpoint, beacon }).await?;
                }
                (Heard::Advertising, None) => {}
                (Heard::Gone, _) => reports.lost(endpoint).await?,
            }
        }
        // A crowd is told in bursts.
        sleep(Duration::from_millis(20)).await;
    }
}
