//! A radio that wpa_supplicant looks after.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tracing::debug;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant};

use super::bus::{
    Arguments, INTERFACE, P2P_DEVICE, P2pDeviceProxy, PEER, ROOT, ROOT_PATH, SUPPLICANT, WpsProxy,
    connect, path_text, properties_of, value, words,
};
use super::condition::NoRadio;
use super::events::{Event, of_peer, of_signal};
use crate::WifiDirectConfig;
use crate::address::DeviceAddress;

/// Signals that may wait; the bus keeps the rest.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not 0");
/// How long a device listens, and how often: enough for whoever looks for ten seconds.
const LISTENS_FOR: Duration = Duration::from_millis(450);
const LISTENS_EVERY: Duration = Duration::from_millis(1_000);

/// The radio, and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Radio {
    pub(super) connection: Connection,
    /// Its network interface.
    pub(super) interface: String,
    path: String,
}

/// Which peer an object stands for is in its path.
fn peer_path(radio: &str, device: DeviceAddress) -> Option<zbus::ObjectPath<'static>> {
    let digits = device.to_string().replace(':', "");
    zbus::ObjectPath::try_from(format!("{radio}/Peers/{digits}")).ok()
}

impl Radio {
    /// The radio that the configuration asks for.
    pub(super) async fn find_one(config: &WifiDirectConfig) -> Result<Self, NoRadio> {
        let connection = connect(config.bus.as_deref()).await.map_err(NoRadio::NoBus)?;
        let bus = DBusProxy::new(&connection).await.map_err(NoRadio::NoBus)?;
        let name = zbus::names::BusName::try_from(SUPPLICANT).expect("the name is well formed");
        match bus.name_has_owner(name).await {
            Ok(true) => {}
            Ok(false) => return Err(NoRadio::NoSupplicant),
            Err(error) => return Err(NoRadio::NoBus(error.into())),
        }
        let radios = managed(&connection).await.map_err(NoRadio::Refused)?;
        let is_it = |(name, _): &&(String, String)| match &config.interface {
            Some(wanted) => name == wanted,
            // Not a group, and not what stands for groups to come.
            None => !name.starts_with("p2p-"),
        };
        let Some((interface, path)) = radios.iter().find(is_it).cloned() else {
            let others = radios.into_iter().map(|(name, _)| name).collect();
            return Err(NoRadio::NotManaged { wanted: config.interface.clone(), others });
        };
        let radio = Self { connection, interface, path };
        let properties = properties_of(&radio.connection, &radio.path).await;
        let properties = properties.map_err(NoRadio::Refused)?;
        match properties.get(P2P_DEVICE, "P2PDeviceConfig").await {
            Ok(_) => Ok(radio),
            Err(error) => {
                debug!(error = words(&error), radio.interface, "no Wi-Fi Direct");
                Err(NoRadio::NoGroups { interface: radio.interface })
            }
        }
    }

    async fn proxy(&self) -> zbus::Result<P2pDeviceProxy<'static>> {
        P2pDeviceProxy::new(&self.connection, self.path.clone()).await
    }

    /// Shows a name to whoever looks, and lets whoever was let in once come back without asking.
    pub(super) async fn show(&self, name: &str) -> zbus::Result<()> {
        let config = Arguments::from([
            ("DeviceName", Variant::new(name)),
            ("PersistentReconnect", Variant::new(true)),
            ("NoGroupIface", Variant::new(false)),
        ]);
        let properties = properties_of(&self.connection, &self.path).await?;
        properties.set(P2P_DEVICE, "P2PDeviceConfig", &Variant::new(config)).await
    }

    /// Looks for devices.
    pub(super) async fn find(&self, time: Duration) -> zbus::Result<()> {
        let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        self.proxy().await?.find(Arguments::from([("Timeout", Variant::new(seconds))])).await
    }

    /// Answers those who look, now and then.
    pub(super) async fn listen(&self) -> zbus::Result<()> {
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let arguments = Arguments::from([
            ("period", Variant::new(millis(LISTENS_FOR))),
            ("interval", Variant::new(millis(LISTENS_EVERY))),
        ]);
        self.proxy().await?.extended_listen(arguments).await
    }

    /// Forms a group with a device, or joins the one that it owns. What comes of it is told by
    /// signals.
    pub(super) async fn connect(
        &self,
        device: DeviceAddress,
        intent: u8,
        joins: bool,
    ) -> zbus::Result<()> {
        let Some(path) = peer_path(&self.path, device) else { return Ok(()) };
        let mut arguments = Arguments::from([
            ("peer", Variant::new(path)),
            ("wps_method", Variant::new("pbc")),
            ("persistent", Variant::new(true)),
        ]);
        if joins {
            arguments.insert("join", Variant::new(true));
        } else {
            arguments.insert("go_intent", Variant::new(i32::from(intent)));
        }
        self.proxy().await?.connect(arguments).await.map(drop)
    }

    /// Gives up forming a group.
    pub(super) async fn abandon(&self) -> zbus::Result<()> {
        self.proxy().await?.cancel().await
    }

    /// Asks a device to join the group at `group`.
    pub(super) async fn invite(&self, group: &str, device: DeviceAddress) -> zbus::Result<()> {
        let Some(path) = peer_path(&self.path, device) else { return Ok(()) };
        let proxy = P2pDeviceProxy::new(&self.connection, group.to_owned()).await?;
        proxy.invite(Arguments::from([("peer", Variant::new(path))])).await
    }

    /// Lets a device into the group at `group`, which this radio owns: pushes the button.
    pub(super) async fn admit(&self, group: &str, device: DeviceAddress) -> zbus::Result<()> {
        let arguments = Arguments::from([
            ("Role", Variant::new("registrar")),
            ("Type", Variant::new("pbc")),
            ("P2PDeviceAddress", Variant::new(device.0.to_vec())),
        ]);
        WpsProxy::new(&self.connection, group.to_owned()).await?.start(arguments).await.map(drop)
    }

    /// Says no to a device.
    pub(super) async fn reject(&self, device: DeviceAddress) -> zbus::Result<()> {
        let Some(path) = peer_path(&self.path, device) else { return Ok(()) };
        self.proxy().await?.reject_peer(&path).await
    }

    /// Leaves the group at `group`.
    pub(super) async fn leave(&self, group: &str) -> zbus::Result<()> {
        P2pDeviceProxy::new(&self.connection, group.to_owned()).await?.disconnect().await
    }

    /// What the devices in sight are like.
    pub(super) async fn devices(&self) -> zbus::Result<Vec<Event>> {
        let properties = properties_of(&self.connection, &self.path).await?;
        let peers = value::<Vec<OwnedObjectPath>>(properties.get(P2P_DEVICE, "Peers").await?);
        let mut devices = Vec::new();
        for path in peers.unwrap_or_default() {
            devices.extend(self.device(&path_text(path)).await);
        }
        Ok(devices)
    }

    /// What one device is like, if it is one of ours and still there.
    async fn device(&self, path: &str) -> Option<Event> {
        let properties = properties_of(&self.connection, path).await.ok()?;
        of_peer(path, &properties.get_all(PEER).await.ok()?)
    }

    /// Tells what happens until wpa_supplicant is gone.
    pub(super) async fn follow(&self, events: &mpsc::Sender<Event>) -> zbus::Result<()> {
        let signals = MatchRule::builder().msg_type(Type::Signal).sender(SUPPLICANT).build()?;
        let mut signals =
            MessageStream::for_match_rule(signals, &self.connection, Some(SIGNALS_MAX)).await?;
        let bus = DBusProxy::new(&self.connection).await?;
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, SUPPLICANT)]).await?;
        // What was in sight before anybody listened.
        for event in self.devices().await? {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        loop {
            let signal = tokio::select! {
                _ = owners.next() => return Ok(()),
                signal = signals.next() => match signal {
                    Some(signal) => signal?,
                    None => return Ok(()),
                },
            };
            let told = match of_signal(&signal) {
                Some(Event::Look(path)) => self.device(&path).await.into_iter().collect(),
                // Who was in sight before may own a group by now, and nobody is told of that.
                Some(Event::FindStopped) => {
                    let mut told = self.devices().await?;
                    told.push(Event::FindStopped);
                    told
                }
                event => event.into_iter().collect::<Vec<_>>(),
            };
            for event in told {
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// The interfaces that wpa_supplicant looks after, with their paths.
async fn managed(connection: &Connection) -> zbus::Result<Vec<(String, String)>> {
    let root = properties_of(connection, ROOT_PATH).await?;
    let paths = value::<Vec<OwnedObjectPath>>(root.get(ROOT, "Interfaces").await?);
    let mut radios = Vec::new();
    for path in paths.unwrap_or_default().into_iter().map(path_text) {
        let properties = properties_of(connection, &path).await?;
        // One that goes away in this moment is none.
        let name = properties.get(INTERFACE, "Ifname").await.ok().and_then(value::<String>);
        radios.extend(name.map(|name| (name, path)));
    }
    Ok(radios)
}
