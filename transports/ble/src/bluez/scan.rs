//! Scanning in turns, and what is heard.

use std::time::Duration;

use hedgerow_driver::{NodeGone, Reports, Sighting};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
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

/// Of a turn, this much is scanned whoever dials: who cannot be reached must not keep others unseen.
const SCANNED_MIN: Duration = Duration::from_millis(1_500);
/// How long a dial keeps the next turn waiting.
const CONNECTED_WITHIN: Duration = Duration::from_secs(4);

/// The kernel ends a scan that a daemon left behind after 10.24 s.
const IN_PROGRESS_MAX: Duration = Duration::from_secs(15);
/// Between attempts to begin a turn.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Lets a turn's time pass, until somebody is dialled. A controller tells of a device once in a scan,
/// and the kernel connects when it hears of one: who was heard already would wait for the next turn.
/// Returns whether the turn was whole.
async fn listen(time: Duration, connecting: &mut watch::Receiver<usize>) -> bool {
    let end = Instant::now() + time;
    sleep(time.min(SCANNED_MIN)).await;
    timeout_at(end, connecting.wait_for(|dials| *dials > 0)).await.is_err()
}

/// Leaves the radio to who connects.
async fn give_way(connecting: &mut watch::Receiver<usize>) {
    let _ = timeout(CONNECTED_WITHIN, connecting.wait_for(|dials| *dials == 0)).await;
}

/// Scans in turns until BlueZ refuses.
pub(super) async fn scan(station: &Station, links: &BleLinks) -> zbus::Result<()> {
    let adapter = AdapterProxy::new(&station.connection, station.adapter.clone()).await?;
    let (mut standing, mut connecting) = (links.standing(), links.connecting());
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
        let was_whole = listen(turn.scan, &mut connecting).await;
        stop(&adapter).await?;
        trace!(?turn, was_whole, adapter = station.adapter, "a turn of scanning is over");
        // A second and a half is hardly longer than from one advertisement to the next: who was not
        // heard in that may well be there.
        if was_whole {
            end_turn(station, &adapter).await;
        }
        links.tell_distances(|endpoint| station.distance(endpoint));
        tokio::select! {
            () = sleep(turn.rest) => {}
            // Somebody came or went: whoever is alone looks at once.
            _ = standing.changed() => quiet_since = Instant::now(),
        }
        give_way(&mut connecting).await;
    }
}

/// Those who were not heard for long are gone.
async fn end_turn(station: &Station, adapter: &AdapterProxy<'_>) {
    for (path, device) in station.objects.end_turn(&station.adapter, TURNS_UNHEARD_MAX) {
        if !device.paired {
            forget(adapter, &path).await;
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
    let since = Instant::now();
    loop {
        match adapter.start_discovery().await {
            Err(error) if error_name(&error) == Some("org.bluez.Error.InProgress") => {
                if since.elapsed() > IN_PROGRESS_MAX {
                    debug!(
                        "BlueZ says that it scans already: this turn hears what it tells of that"
                    );
                    return Ok(());
                }
            }
            started => return started,
        }
        // The last turn was not ended, as by a call that took too long; or a daemon that is gone began
        // what the kernel goes on with, and nobody is told of.
        stop(adapter).await?;
        sleep(AGAIN_AFTER).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_when_somebody_is_dialled_and_not_at_once() {
        let (connecting, mut dials) = watch::channel(0);
        let turn = Duration::from_secs(9);
        for (dial_at, over_after) in [(None, 9_000), (Some(4_000), 4_000), (Some(0), 1_500)] {
            connecting.send_replace(0);
            let begin = Instant::now();
            let dial = async {
                let Some(ms) = dial_at else { return };
                sleep(Duration::from_millis(ms)).await;
                connecting.send_replace(1);
            };
            let (was_whole, ()) = tokio::join!(listen(turn, &mut dials), dial);
            assert_eq!(begin.elapsed().as_millis(), over_after, "dialled at {dial_at:?}");
            assert_eq!(was_whole, dial_at.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dial_keeps_the_next_turn_waiting_but_not_for_long() {
        let (connecting, mut dials) = watch::channel(1);
        let begin = Instant::now();
        give_way(&mut dials).await;
        assert_eq!(begin.elapsed(), CONNECTED_WITHIN);
        connecting.send_replace(0);
        let begin = Instant::now();
        give_way(&mut dials).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
