//! A central: connects to a device, looks at what it has, reads and writes.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::sleep;
use zbus::fdo::ObjectManagerProxy;
use zbus::{Connection, OwnedFd, OwnedVariant, Variant};

use super::BLUEZ;
use super::line::{Line, from_bluez};

const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";
/// Between looks at a device. BlueZ has other things to do as well.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Attempts to connect.
const ATTEMPTS: usize = 8;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

type Options<'a> = HashMap<&'a str, Variant<'a>>;

#[zbus::proxy(interface = "org.bluez.Device1", default_service = "org.bluez")]
trait Device {
    fn connect(&self) -> zbus::Result<()>;
    fn disconnect(&self) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn connected(&self) -> zbus::Result<bool>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn services_resolved(&self) -> zbus::Result<bool>;
}

#[zbus::proxy(interface = "org.bluez.GattCharacteristic1", default_service = "org.bluez")]
trait GattCharacteristic {
    fn read_value(&self, options: Options<'_>) -> zbus::Result<Vec<u8>>;
    fn write_value(&self, value: &[u8], options: Options<'_>) -> zbus::Result<()>;
    fn acquire_write(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, u16)>;
    fn acquire_notify(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, u16)>;
}

#[zbus::proxy(interface = "org.bluez.Adapter1", default_service = "org.bluez")]
trait Adapter {
    fn set_discovery_filter(&self, properties: Options<'_>) -> zbus::Result<()>;
    fn start_discovery(&self) -> zbus::Result<()>;
    fn stop_discovery(&self) -> zbus::Result<()>;
}

/// A node's service (protocol 2.2).
const NODE: &str = "3e1c0001-95b7-4d08-a5c6-6bd1f4a27e90";
const INFO: &str = "3e1c0002-95b7-4d08-a5c6-6bd1f4a27e90";
const RX: &str = "3e1c0003-95b7-4d08-a5c6-6bd1f4a27e90";
const TX: &str = "3e1c0004-95b7-4d08-a5c6-6bd1f4a27e90";

/// Scans on an adapter (`hci0`) until a device with this address shows a node's service.
pub(crate) async fn discover(
    connection: &Connection,
    adapter: &str,
    address: &str,
) -> anyhow::Result<()> {
    let own = AdapterProxy::new(connection, format!("/org/bluez/{adapter}")).await?;
    let filter =
        [("Transport", Variant::from("le")), ("UUIDs", Variant::from(vec![NODE.to_owned()]))];
    own.set_discovery_filter(Options::from(filter)).await.context("SetDiscoveryFilter")?;
    own.start_discovery().await.context("StartDiscovery")?;
    let manager = ObjectManagerProxy::new(connection, BLUEZ, "/").await?;
    let device = device_path(adapter, address);
    loop {
        let objects = manager.get_managed_objects().await?;
        let found = objects.iter().find(|(path, _)| path.as_str() == device);
        let properties = found.and_then(|(_, interfaces)| {
            interfaces.iter().find(|(name, _)| name.as_str() == "org.bluez.Device1")
        });
        let uuids = properties.and_then(|(_, properties)| properties.get("UUIDs"));
        let uuids = uuids.and_then(|uuids| Vec::<String>::try_from(uuids.try_clone().ok()?).ok());
        if uuids.is_some_and(|uuids| uuids.iter().any(|uuid| uuid == NODE)) {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    own.stop_discovery().await.context("StopDiscovery")
}

fn device_path(adapter: &str, address: &str) -> String {
    format!("/org/bluez/{adapter}/dev_{}", address.replace(':', "_"))
}

/// What a node shows to everybody.
pub(crate) struct NodeService<'a> {
    pub(crate) info: Characteristic<'a>,
    pub(crate) rx: Characteristic<'a>,
    pub(crate) tx: Characteristic<'a>,
}

/// A central of one device.
pub(crate) struct Central<'a> {
    connection: &'a Connection,
    /// The path of the device's object.
    path: String,
    device: DeviceProxy<'a>,
}

impl<'a> Central<'a> {
    /// The central on an adapter (`hci0`) for the device with an address.
    pub(crate) async fn new(
        connection: &'a Connection,
        adapter: &str,
        address: &str,
    ) -> anyhow::Result<Self> {
        let path = device_path(adapter, address);
        let device = DeviceProxy::new(connection, path.clone()).await?;
        Ok(Self { connection, path, device })
    }

    /// Connects, once the last connection is over, and waits until BlueZ knows the device's
    /// services.
    pub(crate) async fn connect(&self) -> anyhow::Result<()> {
        while self.device.connected().await.unwrap_or(false) {
            sleep(LOOK_EVERY).await;
        }
        let mut attempt = 1;
        while let Err(error) = self.device.connect().await {
            // The radio gives an attempt up now and then, with or without a word.
            let may_pass = !error.to_string().contains("UnknownObject");
            ensure!(may_pass && attempt < ATTEMPTS, "connecting {}: {error}", self.path);
            attempt += 1;
            sleep(BETWEEN_ATTEMPTS).await;
        }
        while !self.device.services_resolved().await? {
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends the connection, whoever uses it.
    pub(crate) async fn disconnect(&self) -> anyhow::Result<()> {
        self.device.disconnect().await.with_context(|| format!("disconnecting {}", self.path))
    }

    /// A node's service; waits until it is there.
    pub(crate) async fn node_service(&self) -> anyhow::Result<NodeService<'a>> {
        let [info, rx, tx] = [INFO, RX, TX].map(|uuid| self.characteristic(uuid));
        Ok(NodeService { info: info.await?, rx: rx.await?, tx: tx.await? })
    }

    /// The device's characteristic of a UUID; waits until it is there.
    pub(crate) async fn characteristic(&self, uuid: &str) -> anyhow::Result<Characteristic<'a>> {
        let manager = ObjectManagerProxy::new(self.connection, BLUEZ, "/").await?;
        let below = format!("{}/", self.path);
        loop {
            let objects = manager.get_managed_objects().await?;
            let found = objects.into_iter().find(|(path, interfaces)| {
                let of_it = interfaces.iter().find(|(name, _)| name.as_str() == CHARACTERISTIC);
                path.as_str().starts_with(&below)
                    && of_it.is_some_and(|(_, properties)| is_uuid(properties, uuid))
            });
            if let Some((path, _)) = found {
                let proxy = GattCharacteristicProxy::new(self.connection, path).await?;
                return Ok(Characteristic(proxy));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn is_uuid(properties: &HashMap<String, OwnedVariant>, uuid: &str) -> bool {
    let found = properties.get("UUID").and_then(|value| value.try_clone().ok());
    found.and_then(|value| String::try_from(value).ok()).is_some_and(|found| found == uuid)
}

/// A characteristic of a device.
pub(crate) struct Characteristic<'a>(GattCharacteristicProxy<'a>);

impl Characteristic<'_> {
    pub(crate) async fn read(&self) -> anyhow::Result<Vec<u8>> {
        self.0.read_value(Options::new()).await.context("reading a value")
    }

    /// Writes a value without waiting for a response.
    pub(crate) async fn write(&self, value: &[u8]) -> anyhow::Result<()> {
        let options = Options::from([("type", Variant::from("command"))]);
        self.0.write_value(value, options).await.context("writing a value")
    }

    /// The socket whose packets are written, and how long they may be.
    pub(crate) async fn writing(&self) -> anyhow::Result<(Line, usize)> {
        line(self.0.acquire_write(Options::new()).await.context("AcquireWrite")?)
    }

    /// The socket whose packets were notified, and how long they may be.
    pub(crate) async fn notified(&self) -> anyhow::Result<(Line, usize)> {
        line(self.0.acquire_notify(Options::new()).await.context("AcquireNotify")?)
    }
}

fn line((socket, mtu): (OwnedFd, u16)) -> anyhow::Result<(Line, usize)> {
    let Some(value_bytes) = usize::from(mtu).checked_sub(3) else { bail!("an MTU of {mtu}") };
    Ok((from_bluez(socket.into())?, value_bytes.min(512)))
}
