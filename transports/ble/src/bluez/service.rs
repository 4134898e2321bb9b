//! Our GATT service, as BlueZ asks for it over the bus.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tracing::debug;
use zbus::connection::Builder;
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

/// Makes a socket for the central that a call is about, keeps one end of it and gives BlueZ the other.
fn hand_out(
    to: &mpsc::Sender<Acquired>,
    options: &HashMap<String, OwnedVariant>,
    acquired: impl FnOnce(String, ValueSocket, usize) -> Acquired,
) -> fdo::Result<(OwnedFd, u16)> {
    let device: Option<OwnedObjectPath> = property(options, "device");
    let device = device.ok_or_else(|| fdo::Error::InvalidArgs("no device".into()))?;
    // Without a word on it, the one that every device has.
    let mtu = property(options, "mtu").unwrap_or(23);
    let (socket, theirs) =
        ValueSocket::pair().map_err(|error| fdo::Error::Failed(error.to_string()))?;
    to.try_send(acquired(device.to_string(), socket, notified_bytes_max(mtu)))
        .map_err(|_| fdo::Error::LimitsExceeded("too many centrals".into()))?;
    Ok((theirs.into(), mtu))
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
        hand_out(&self.0, &options, |device, socket, value_bytes_max| Acquired::Write {
            device,
            socket,
            value_bytes_max,
        })
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
        hand_out(&self.0, &options, |device, socket, value_bytes_max| Acquired::Notify {
            device,
            socket,
            value_bytes_max,
        })
    }
}

fn service_path() -> OwnedObjectPath {
    OwnedObjectPath::try_from(SERVICE_PATH).expect("the path is well formed")
}

/// The root of the objects goes with the connection itself: one that gets its first object later may
/// miss what BlueZ asks of it at once, which BlueZ then waits for.
pub(super) fn rooted(builder: Builder<'_>) -> Builder<'_> {
    builder.serve_at(ROOT, ObjectManager)
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
