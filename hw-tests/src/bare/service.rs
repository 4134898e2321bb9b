//! A service with a characteristic to write and one that notifies, and nothing else.

use std::collections::HashMap;

use anyhow::Context;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::mpsc;
use zbus::fdo;
use zbus::{Connection, ObjectPath, OwnedFd, OwnedObjectPath, OwnedVariant, Variant};

use super::line::{Line, from_bluez};

const SERVICE: &str = "b0a4e001-7d31-4f1c-9a52-1f6b1c0f5d10";
/// What centrals write to.
pub(crate) const WRITTEN: &str = "b0a4e002-7d31-4f1c-9a52-1f6b1c0f5d10";
/// What notifies centrals.
pub(crate) const NOTIFIED: &str = "b0a4e003-7d31-4f1c-9a52-1f6b1c0f5d10";

pub(super) const ROOT: &str = "/bare";
const SERVICE_PATH: &str = "/bare/service";
const PATHS: [&str; 2] = ["/bare/service/written", "/bare/service/notified"];

type Options = HashMap<String, OwnedVariant>;

#[zbus::proxy(interface = "org.bluez.GattManager1", default_service = "org.bluez")]
trait GattManager {
    fn register_application(
        &self,
        application: &ObjectPath<'_>,
        options: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;
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

/// Either of both: BlueZ asks for a socket as the flags have it.
struct CharacteristicObject {
    uuid: &'static str,
    flag: &'static str,
    acquired: mpsc::Sender<Line>,
}

#[zbus::interface(name = "org.bluez.GattCharacteristic1", introspection_docs = false)]
impl CharacteristicObject {
    #[zbus(property, name = "UUID")]
    fn uuid(&self) -> &'static str {
        self.uuid
    }

    #[zbus(property)]
    fn service(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from(SERVICE_PATH).expect("the path is well formed")
    }

    #[zbus(property)]
    fn flags(&self) -> Vec<&'static str> {
        vec![self.flag]
    }

    #[zbus(property)]
    fn write_acquired(&self) -> bool {
        false
    }

    #[zbus(property)]
    fn notify_acquired(&self) -> bool {
        false
    }

    fn acquire_write(&self, options: Options) -> fdo::Result<(OwnedFd, u16)> {
        self.hand_out(&options)
    }

    fn acquire_notify(&self, options: Options) -> fdo::Result<(OwnedFd, u16)> {
        self.hand_out(&options)
    }
}

impl CharacteristicObject {
    /// Makes a socket, keeps one end of it and gives BlueZ the other.
    fn hand_out(&self, options: &Options) -> fdo::Result<(OwnedFd, u16)> {
        let failed = |error: &dyn std::fmt::Display| fdo::Error::Failed(error.to_string());
        let mtu = options.get("mtu").and_then(|mtu| u16::try_from(mtu.try_clone().ok()?).ok());
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .map_err(|error| failed(&error))?;
        let line = from_bluez(ours).map_err(|error| failed(&error))?;
        self.acquired.try_send(line).map_err(|error| failed(&error))?;
        Ok((theirs.into(), mtu.unwrap_or(23)))
    }
}

/// The service, for as long as the connection to the bus stands. One central at a time.
pub(crate) struct Service {
    written: mpsc::Receiver<Line>,
    notified: mpsc::Receiver<Line>,
}

impl Service {
    /// Gives the service to an adapter (`hci0`).
    pub(crate) async fn register(connection: &Connection, adapter: &str) -> anyhow::Result<Self> {
        let (to_written, written) = mpsc::channel(1);
        let (to_notified, notified) = mpsc::channel(1);
        let server = connection.object_server();
        server.at(SERVICE_PATH, ServiceObject).await?;
        let characteristics =
            [(WRITTEN, "write-without-response", to_written), (NOTIFIED, "notify", to_notified)];
        for (path, (uuid, flag, acquired)) in PATHS.into_iter().zip(characteristics) {
            server.at(path, CharacteristicObject { uuid, flag, acquired }).await?;
        }
        let manager = GattManagerProxy::new(connection, format!("/org/bluez/{adapter}")).await?;
        let root = ObjectPath::try_from(ROOT).expect("the path is well formed");
        let registered = manager.register_application(&root, HashMap::new()).await;
        registered.with_context(|| format!("no service at {adapter}"))?;
        Ok(Self { written, notified })
    }

    /// The end that gives what the central writes, once it has asked for its own.
    pub(crate) async fn written(&mut self) -> anyhow::Result<Line> {
        self.written.recv().await.context("the bus is gone")
    }

    /// The end that takes what the central is to be notified of.
    pub(crate) async fn notified(&mut self) -> anyhow::Result<Line> {
        self.notified.recv().await.context("the bus is gone")
    }
}
