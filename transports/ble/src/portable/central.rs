//! Scanning, and what is heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use btleplug::api::{
    Central as _, CentralEvent, Peripheral as _, PeripheralProperties, ScanFilter,
};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use futures_util::StreamExt as _;
use hedgerow_driver::{Endpoint, NodeGone, Reports, Sighting};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::beacon::{Advertised, NO_COMPANY};
use crate::duty::{Situation, turn_for};
use crate::gatt::Uuids;
use crate::link::BleLinks;

/// Peripherals that are remembered to be dialled; the system forgets them by its own rules.
const PERIPHERALS_MAX: usize = 1_024;

/// The peripherals that showed a beacon, by endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<String, Peripheral>>>);

impl Known {
    pub(super) fn find(&self, endpoint: &Endpoint) -> Option<Peripheral> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(endpoint.as_str()).cloned()
    }

    fn note(&self, endpoint: &Endpoint, peripheral: Peripheral) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < PERIPHERALS_MAX || known.contains_key(endpoint.as_str()) {
            known.insert(endpoint.as_str().to_owned(), peripheral);
        }
    }
}

/// The system's name for a device: an address, or on Apple's systems a number of its own.
fn endpoint(id: &PeripheralId) -> Endpoint {
    Endpoint::new(&format!("{id}/ble"))
}

/// The beacon, wherever it stands.
fn shown(properties: &PeripheralProperties, uuids: &Uuids) -> Option<Advertised> {
    let data = properties.service_data.get(&uuids.service);
    let data = data.or_else(|| properties.manufacturer_data.get(&NO_COMPANY));
    if let Some(shown) = data.and_then(|data| Advertised::decode(data).ok()) {
        return Some(shown);
    }
    let names = [&properties.advertisement_name, &properties.local_name];
    names.into_iter().flatten().find_map(|name| Advertised::from_name(name).ok())
}

/// Scans in turns until the system refuses.
pub(super) async fn scan(adapter: &Adapter, links: &BleLinks) -> btleplug::Result<()> {
    let mut standing = links.standing();
    let mut quiet_since = Instant::now();
    loop {
        let links_now = *standing.borrow_and_update();
        let turn = turn_for(Situation {
            links: links_now,
            has_room: links.free(links_now) > 0,
            quiet: quiet_since.elapsed(),
        });
        adapter.start_scan(ScanFilter { services: vec![Uuids::new().service] }).await?;
        sleep(turn.scan).await;
        adapter.stop_scan().await?;
        tokio::select! {
            () = sleep(turn.rest) => {}
            _ = standing.changed() => quiet_since = Instant::now(),
        }
    }
}

/// Why the reports of what is heard ended.
pub(super) enum Deaf {
    NodeGone,
    Refused(btleplug::Error),
}

impl From<NodeGone> for Deaf {
    fn from(_: NodeGone) -> Self {
        Self::NodeGone
    }
}

impl From<btleplug::Error> for Deaf {
    fn from(error: btleplug::Error) -> Self {
        Self::Refused(error)
    }
}

/// Reports what is heard.
pub(super) async fn sight(adapter: &Adapter, known: &Known, reports: &Reports) -> Result<(), Deaf> {
    let uuids = Uuids::new();
    let mut events = adapter.events().await?;
    while let Some(event) = events.next().await {
        let (CentralEvent::DeviceDiscovered(id)
        | CentralEvent::DeviceUpdated(id)
        | CentralEvent::ServiceDataAdvertisement { id, .. }
        | CentralEvent::ManufacturerDataAdvertisement { id, .. }) = event
        else {
            continue;
        };
        // One that is gone meanwhile is seen again or not at all.
        let Ok(peripheral) = adapter.peripheral(&id).await else { continue };
        let properties = match peripheral.properties().await {
            Ok(Some(properties)) => properties,
            Ok(None) => continue,
            Err(error) => {
                debug!(%id, %error, "a device without properties");
                continue;
            }
        };
        if let Some(shown) = shown(&properties, &uuids) {
            let endpoint = endpoint(&id);
            known.note(&endpoint, peripheral);
            reports.sighted(Sighting { endpoint, beacon: Some(shown.beacon) }).await?;
        }
    }
    Ok(())
}
