//! Our GATT service, as BlueZ asks for it over the bus.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::debug;
use zbus::connection::Builder;
use zbus::fdo::ObjectManager;
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

/// Centrals whose sockets may wait to be taken; more are hung up on, and try again.
const WAITING_MAX: usize = 16;
/// How long our end of a socket for what a central writes stays open at least: BlueZ writes the first
/// values when it has the answer, and they must not fail (see [`Refusal`]).
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(1);

/// A central has subscribed, or has written for the first time.
#[derive(Debug)]
pub(super) enum Acquired {
    /// What is sent on the socket is notified to the device.
    Notify { device: String, socket: ValueSocket, value_bytes_max: usize },
    /// What the device writes comes from the socket.
    Write { device: String, socket: ValueSocket, value_bytes_max: usize },
}

/// A refusal by the one name that BlueZ heeds in answer to both calls.
///
/// After any other error of `AcquireWrite`, or a socket that nobody holds any more, BlueZ 5.82 writes
/// the values by calls of their own, and forgets about them: where the service is gone before the
/// answers are there, it may crash.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.bluez.Error")]
enum Refusal {
    /// With a text that is no number: BlueZ takes one for an error code of ATT.
    Failed(String),
}

impl Refusal {
    fn new(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
}

/// The device that a call is about, and the MTU of its connection.
fn central(options: &HashMap<String, OwnedVariant>) -> Result<(String, u16), Refusal> {
    let device: Option<OwnedObjectPath> = property(options, "device");
    let device = device.ok_or_else(|| Refusal::new("no device"))?;
    // Without a word on it, the one that every device has.
    Ok((device.to_string(), property(options, "mtu").unwrap_or(23)))
}

/// Gives the acceptor what was acquired. Where too much waits for it, that is dropped.
fn hand_in(to: &mpsc::Sender<Acquired>, acquired: Acquired) -> Result<(), Refusal> {
    match to.try_send(acquired) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(acquired)) => {
            debug!(?acquired, "too many centrals at once");
            Ok(())
        }
        Err(TrySendError::Closed(_)) => Err(Refusal::new("the node is leaving")),
    }
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

    fn acquire_write(
        &self,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(OwnedFd, u16), Refusal> {
        let (device, mtu) = central(&options)?;
        let (socket, theirs) = ValueSocket::pair().map_err(Refusal::new)?;
        let held = socket.hold().map_err(Refusal::new)?;
        let value_bytes_max = notified_bytes_max(mtu);
        hand_in(&self.0, Acquired::Write { device, socket, value_bytes_max })?;
        tokio::spawn(async move {
            sleep(HANDED_OVER_WITHIN).await;
            drop(held);
        });
        Ok((theirs.into(), mtu))
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
    ) -> Result<(OwnedFd, u16), Refusal> {
        let (device, mtu) = central(&options)?;
        let (socket, theirs) = ValueSocket::pair().map_err(Refusal::new)?;
        let value_bytes_max = notified_bytes_max(mtu);
        hand_in(&self.0, Acquired::Notify { device, socket, value_bytes_max })?;
        Ok((theirs.into(), mtu))
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use zbus::DBusError;

    use super::*;

    fn of(device: &'static str) -> HashMap<String, OwnedVariant> {
        let device = zbus::ObjectPath::from_static_str_unchecked(device);
        let device = zbus::Variant::from(device).try_into().unwrap();
        HashMap::from([("device".to_owned(), device)])
    }

    fn end_of((theirs, _mtu): (OwnedFd, u16)) -> UnixDatagram {
        UnixDatagram::from(std::os::fd::OwnedFd::from(theirs))
    }

    #[tokio::test]
    async fn a_node_that_leaves_refuses_by_the_name_that_bluez_heeds() {
        let (sender, acquired) = mpsc::channel(1);
        let (rx, tx) = (RxObject(sender.clone()), TxObject(sender));
        let nobody = tx.acquire_notify(HashMap::new()).unwrap_err();
        drop(acquired);
        let write = rx.acquire_write(of("/a")).unwrap_err();
        let notify = tx.acquire_notify(of("/a")).unwrap_err();
        for refusal in [nobody, write, notify] {
            assert_eq!(refusal.name().as_str(), "org.bluez.Error.Failed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn first_values_find_the_socket_open_though_nobody_wants_them() {
        let (sender, mut acquired) = mpsc::channel(1);
        let rx = RxObject(sender);
        let taken_and_dropped = end_of(rx.acquire_write(of("/a")).unwrap());
        drop(acquired.recv().await.unwrap());
        let _taken_later = rx.acquire_write(of("/b")).unwrap();
        let one_too_many = end_of(rx.acquire_write(of("/c")).unwrap());
        sleep(HANDED_OVER_WITHIN / 2).await;
        for theirs in [&taken_and_dropped, &one_too_many] {
            assert_eq!(theirs.send(b"value").unwrap(), 5);
        }
        sleep(HANDED_OVER_WITHIN).await;
        for theirs in [taken_and_dropped, one_too_many] {
            assert!(theirs.send(b"value").is_err(), "nobody holds the other end any more");
        }
    }
}
