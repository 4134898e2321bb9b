//! Our GATT service, as BlueZ asks for it over the bus.

use std::collections::HashMap;
use std::io;

use tokio::sync::{mpsc, watch};
use tracing::debug;
use zbus::fdo::{self, ObjectManager};
use zbus::{Connection, OwnedFd, OwnedObjectPath, OwnedVariant};

use super::bus::{GattManagerProxy, Options, property, words};
use super::socket::ValueSocket;
use crate::beacon::Psm;
use crate::gatt::{INFO, Info, RX, SERVICE, TX, notified_bytes_max};

/// Where the objects are; BlueZ asks for everything below.
const ROOT: &str = "/org/hedgerow/gatt";
const SERVICE_PATH: &str = "/org/hedgerow/gatt/service";
const INFO_PATH: &str = "/org/hedgerow/gatt/service/info";
const RX_PATH: &str = "/org/hedgerow/gatt/service/rx";
const TX_PATH: &str = "/org/hedgerow/gatt/service/tx";

/// Centrals whose sockets may wait to be taken; more are refused, and try again.
const WAITING_MAX: usize = 16;

/// A central has subscribed, or has written for the first time.
#[derive(Debug)]
pub(super) enum Acquired {
    /// What is sent on the socket is notified to the device.
    Notify { device: String, socket: ValueSocket, value_bytes_max: usize },
    /// What the device writes comes from the socket.
    Write { device: String, socket: ValueSocket, value_bytes_max: usize },
}

/// What a call was made for: the device, and the largest value that it can be notified of.
fn central(options: &HashMap<String, OwnedVariant>) -> fdo::Result<(String, usize)> {
    let device: Option<OwnedObjectPath> = property(options, "device");
    let device = device.ok_or_else(|| fdo::Error::InvalidArgs("no device".into()))?;
    let mtu = property(options, "mtu").unwrap_or(23);
    Ok((device.to_string(), notified_bytes_max(mtu)))
}

fn pair() -> fdo::Result<(ValueSocket, OwnedFd)> {
    let (ours, theirs) = ValueSocket::pair().map_err(|error| refuse(&error))?;
    Ok((ours, theirs.into()))
}

fn refuse(error: &io::Error) -> fdo::Error {
    fdo::Error::Failed(error.to_string())
}

struct ServiceObject;

#[zbus::interface(name = "org.bluez.GattService1", introspection_docs = false)]
impl ServiceObject {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &'static str {
        SERVICE
    }

    #[zbus(property)]
    fn primary(&self) -> bool {
        true
    }
}

/// `info`: readable by everybody.
struct InfoObject(watch::Receiver<Option<Info>>);

#[zbus::interface(name = "org.bluez.GattCharacteristic1", introspection_docs = false)]
impl InfoObject {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &'static str {
        INFO
    }

    #[zbus(property)]
    fn service(&self) -> OwnedObjectPath {
        service_path()
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&'static str> {
        vec!["read"]
    }

    fn read_value(&self, options: HashMap<String, OwnedVariant>) -> Vec<u8> {
        let value = self.0.borrow().as_ref().map(Info::encode).unwrap_or_default();
        let offset = property::<u16>(&options, "offset").unwrap_or(0);
        value.get(usize::from(offset)..).unwrap_or_default().to_vec()
    }
}

/// `rx`: packets from centrals.
struct RxObject(mpsc::Sender<Acquired>);

// In the order in which BlueZ calls: a subscription comes before the first write.
#[zbus::interface(
    name = "org.bluez.GattCharacteristic1",
    introspection_docs = false,
    spawn = false
)]
impl RxObject {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &'static str {
        RX
    }

    #[zbus(property)]
    fn service(&self) -> OwnedObjectPath {
        service_path()
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&'static str> {
        vec!["write-without-response"]
    }

    /// That it is there tells BlueZ to ask for a socket.
    #[zbus(property)]
    fn write_acquired(&self) -> bool {
        false
    }

    fn acquire_write(&self, options: HashMap<String, OwnedVariant>) -> fdo::Result<(OwnedFd, u16)> {
        let (device, value_bytes_max) = central(&options)?;
        let (socket, theirs) = pair()?;
        let mtu = property(&options, "mtu").unwrap_or(23);
        hand_over(&self.0, Acquired::Write { device, socket, value_bytes_max })?;
        Ok((theirs, mtu))
    }
}

/// `tx`: packets to centrals.
struct TxObject(mpsc::Sender<Acquired>);

#[zbus::interface(
    name = "org.bluez.GattCharacteristic1",
    introspection_docs = false,
    spawn = false
)]
impl TxObject {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &'static str {
        TX
    }

    #[zbus(property)]
    fn service(&self) -> OwnedObjectPath {
        service_path()
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&'static str> {
        vec!["notify"]
    }

    #[zbus(property)]
    fn notify_acquired(&self) -> bool {
        false
    }

    fn acquire_notify(
        &self,
        options: HashMap<String, OwnedVariant>,
    ) -> fdo::Result<(OwnedFd, u16)> {
        let (device, value_bytes_max) = central(&options)?;
        let (socket, theirs) = pair()?;
        let mtu = property(&options, "mtu").unwrap_or(23);
        hand_over(&self.0, Acquired::Notify { device, socket, value_bytes_max })?;
        Ok((theirs, mtu))
    }
}

fn hand_over(to: &mpsc::Sender<Acquired>, acquired: Acquired) -> fdo::Result<()> {
    to.try_send(acquired).map_err(|_| fdo::Error::LimitsExceeded("too many centrals".into()))
}

fn service_path() -> OwnedObjectPath {
    OwnedObjectPath::try_from(SERVICE_PATH).expect("the path is well formed")
}

/// Puts the objects on the bus. BlueZ knows nothing of them until [`register`].
pub(super) async fn export(
    connection: &Connection,
    info: watch::Receiver<Option<Info>>,
) -> zbus::Result<mpsc::Receiver<Acquired>> {
    let (sender, acquired) = mpsc::channel(WAITING_MAX);
    let server = connection.object_server();
    server.at(SERVICE_PATH, ServiceObject).await?;
    server.at(INFO_PATH, InfoObject(info)).await?;
    server.at(RX_PATH, RxObject(sender.clone())).await?;
    server.at(TX_PATH, TxObject(sender)).await?;
    server.at(ROOT, ObjectManager).await?;
    Ok(acquired)
}

/// Gives the service to an adapter, until the bus connection ends or the adapter goes off.
pub(super) async fn register(connection: &Connection, adapter: &str) -> zbus::Result<()> {
    let manager = GattManagerProxy::new(connection, adapter.to_owned()).await?;
    let root = zbus::ObjectPath::try_from(ROOT).expect("the path is well formed");
    match manager.register_application(&root, Options::new()).await {
        Err(error) if super::bus::error_name(&error) == Some("org.bluez.Error.AlreadyExists") => {
            debug!(adapter, error = words(&error), "the service is there already");
            Ok(())
        }
        registered => registered,
    }
}

/// The channel's number as `info` tells it with a beacon.
pub(super) fn info(beacon: Option<&hedgerow_driver::Beacon>, psm: Option<Psm>) -> Option<Info> {
    Info::of(beacon?, psm)
}
