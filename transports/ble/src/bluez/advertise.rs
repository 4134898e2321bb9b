//! Advertising: the beacon on the air.

use tokio::sync::{mpsc, watch};
use zbus::Connection;

use super::bus::{AdvertisingManagerProxy, Options};
use crate::beacon::Advertised;
use crate::gatt::SERVICE;

const PATH: &str = "/org/hedgerow/advertisement";

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

fn path() -> zbus::ObjectPath<'static> {
    zbus::ObjectPath::try_from(PATH).expect("the path is well formed")
}
