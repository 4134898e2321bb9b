//! Advertising: the beacon on the air.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use zbus::Connection;

use super::bus::{AdvertisingManagerProxy, Options};
use crate::beacon::Advertised;
use crate::gatt::SERVICE;

const PATH: &str = "/org/hedgerow/advertisement";

/// Between two changes of what is on the air. BlueZ 5.82 loses count of a change that another one
/// follows before the kernel has answered, and crashes if the advertisement is taken back then.
const STANDS_AT_LEAST: Duration = Duration::from_secs(1);

/// Our advertisement, as BlueZ asks for it.
struct Advertisement {
    shown: watch::Receiver<Option<Advertised>>,
    released: mpsc::Sender<()>,
}

#[zbus::interface(name = "org.bluez.LEAdvertisement1", introspection_docs = false)]
impl Advertisement {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &'static str {
        "peripheral"
    }

    #[zbus(property, name = "ServiceUUIDs")]
    fn service_uuids(&self) -> Vec<&'static str> {
        vec![SERVICE]
    }

    /// The only part of a scan response that BlueZ lets one choose.
    #[zbus(property)]
    fn local_name(&self) -> String {
        self.shown.borrow().map(|shown| shown.name()).unwrap_or_default()
    }

    #[zbus(property)]
    fn discoverable(&self) -> bool {
        true
    }

    /// BlueZ has taken it off the air.
    fn release(&self) {
        // One word is enough, however often it is said.
        let _ = self.released.try_send(());
    }
}

/// The advertisement on the bus.
#[derive(Debug)]
pub(super) struct Shown {
    connection: Connection,
    released: mpsc::Receiver<()>,
}

impl Shown {
    /// Puts it on the bus; nothing is on the air until [`Shown::register`].
    pub(super) async fn export(
        connection: &Connection,
        shown: watch::Receiver<Option<Advertised>>,
    ) -> zbus::Result<Self> {
        let (sender, released) = mpsc::channel(1);
        connection.object_server().at(PATH, Advertisement { shown, released: sender }).await?;
        Ok(Self { connection: connection.clone(), released })
    }

    /// Shows it on an adapter.
    pub(super) async fn register(&self, adapter: &str) -> zbus::Result<()> {
        let manager = AdvertisingManagerProxy::new(&self.connection, adapter.to_owned()).await?;
        manager.register_advertisement(&path(), Options::new()).await
    }

    /// Takes it off the air.
    pub(super) async fn unregister(&self, adapter: &str) -> zbus::Result<()> {
        let manager = AdvertisingManagerProxy::new(&self.connection, adapter.to_owned()).await?;
        manager.unregister_advertisement(&path()).await
    }

    /// Says that the beacon is another one now.
    pub(super) async fn tell_change(&self) -> zbus::Result<()> {
        let object = self.connection.object_server().interface::<_, Advertisement>(PATH).await?;
        let advertisement = object.get().await;
        advertisement.local_name_changed(object.signal_emitter()).await
    }

    /// Waits until BlueZ takes it off the air.
    pub(super) async fn released(&mut self) {
        // The sender is on the bus as long as the connection.
        self.released.recv().await;
    }
}

/// When BlueZ may be told that the beacon is another one.
#[derive(Debug)]
pub(super) struct Pace {
    told_at: Instant,
    is_due: bool,
}

impl Pace {
    /// It was put on the air just now.
    pub(super) fn new() -> Self {
        Self { told_at: Instant::now(), is_due: false }
    }

    /// The beacon has changed.
    pub(super) fn note_change(&mut self) {
        self.is_due = true;
    }

    /// BlueZ takes the beacon as it is now: it is told, or the advertisement is put on the air anew.
    pub(super) fn note_told(&mut self) {
        *self = Self::new();
    }

    /// Waits until BlueZ is to be told of a change. Nothing is lost when this is dropped.
    pub(super) async fn due(&self) {
        if !self.is_due {
            std::future::pending::<()>().await;
        }
        sleep_until(self.told_at + STANDS_AT_LEAST).await;
    }
}

fn path() -> zbus::ObjectPath<'static> {
    zbus::ObjectPath::try_from(PATH).expect("the path is well formed")
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_in_a_row_are_told_once_and_not_before_the_last_one_has_stood_for_a_while() {
        let mut pace = Pace::new();
        let is_due = async |pace: &Pace, within| timeout(within, pace.due()).await.is_ok();
        assert!(!is_due(&pace, STANDS_AT_LEAST * 10).await, "nothing has changed");
        pace.note_change();
        assert!(is_due(&pace, Duration::ZERO).await, "it has stood for long");
        pace.note_told();
        for _ in 0..3 {
            sleep(STANDS_AT_LEAST / 4).await;
            pace.note_change();
            assert!(!is_due(&pace, Duration::ZERO).await);
        }
        let since = Instant::now();
        pace.due().await;
        assert_eq!(since.elapsed(), STANDS_AT_LEAST / 4);
        pace.note_told();
        assert!(!is_due(&pace, STANDS_AT_LEAST * 10).await, "all of them are told");
    }
}
