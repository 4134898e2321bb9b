//! A radio that wpa_supplicant looks after.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;
use zbus::fdo::DBusProxy;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, Variant};

use super::bus::{
    Arguments, GROUP, INTERFACE, P2P_DEVICE, P2pDeviceProxy, PEER, Properties, ROOT, ROOT_PATH,
    SUPPLICANT, WpsProxy, connect, path_text, properties_of, property, value, words,
};
use super::condition::NoRadio;
use super::events::{Event, OWNER, of_peer, of_signal};
use super::persistent::last_with;
use crate::WifiDirectConfig;
use crate::address::DeviceAddress;
use crate::groups::Way;
use crate::owner::INTENT_MAX;
use crate::told::{Key, NAME_END, Secret};

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

/// Of two that form their last group again at the same moment, one waits so long for the other.
const HOLDS_BACK: Duration = Duration::from_millis(500);

/// The owner of a group that is to be entered is seen within this, as its channel is known.
const SIGHTED_WITHIN: Duration = Duration::from_secs(1);
const SIGHTED_EVERY: Duration = Duration::from_millis(100);

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

    /// The name that the device has now.
    pub(super) async fn name(&self) -> zbus::Result<Option<String>> {
        let properties = properties_of(&self.connection, &self.path).await?;
        let config = value::<Properties>(properties.get(P2P_DEVICE, "P2PDeviceConfig").await?);
        Ok(config.and_then(|config| property(&config, "DeviceName")))
    }

    /// Gives the device its name of before, and does not answer those who look any more.
    pub(super) async fn hide(&self, name: &str) -> zbus::Result<()> {
        self.configure("DeviceName", name).await?;
        self.end_names_with("").await?;
        let proxy = self.proxy().await?;
        proxy.stop_find().await?;
        proxy.extended_listen(Arguments::new()).await
    }

    async fn configure(&self, key: &str, text: &str) -> zbus::Result<()> {
        let config = Arguments::from([(key, Variant::new(text))]);
        let properties = properties_of(&self.connection, &self.path).await?;
        properties.set(P2P_DEVICE, "P2PDeviceConfig", &Variant::new(config)).await
    }

    /// The names of groups that come about from now on end so.
    pub(super) async fn end_names_with(&self, end: &str) -> zbus::Result<()> {
        self.configure("SsidPostfix", end).await
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
        way: Way,
    ) -> zbus::Result<()> {
        let Some(path) = peer_path(&self.path, device) else { return Ok(()) };
        if way == Way::Again && self.form_again(device, &path, is_owner(intent)).await {
            return Ok(());
        }
        self.end_names_with(NAME_END).await?;
        let mut arguments = Arguments::from([
            ("peer", Variant::new(path)),
            ("wps_method", Variant::new("pbc")),
            ("persistent", Variant::new(true)),
        ]);
        match way {
            Way::Joined => arguments.insert("join", Variant::new(true)),
            Way::Again | Way::Negotiated => {
                arguments.insert("go_intent", Variant::new(i32::from(intent)))
            }
        };
        self.proxy().await?.connect(arguments).await.map(drop)
    }

    /// Makes a group of its own.
    pub(super) async fn make(&self) -> zbus::Result<()> {
        self.end_names_with(NAME_END).await?;
        self.proxy().await?.group_add(Arguments::new()).await
    }

    /// Enters a group by its key, which wpa_supplicant takes for that of a group it was in before.
    pub(super) async fn enter(&self, key: &Key) -> zbus::Result<()> {
        let proxy = self.proxy().await?;
        let owner = self.sighted(key).await;
        let mut group = Arguments::from([
            ("ssid", Variant::new(key.name.as_str())),
            ("psk", Variant::new(key.passphrase.as_str())),
        ]);
        group.extend(owner.map(|owner| ("bssid", Variant::new(owner.to_string()))));
        let group = proxy.add_persistent_group(group).await?;
        let object = Arguments::from([("persistent_group_object", Variant::new(group.clone()))]);
        let entered = proxy.group_add(object).await;
        // It is in by what it has read, and the next group has another key.
        proxy.remove_persistent_group(&group).await?;
        entered
    }

    /// The owner of a group, looked for where that is: whom it has just seen, wpa_supplicant finds again
    /// without going through all channels. `None` costs time, and no more.
    async fn sighted(&self, key: &Key) -> Option<DeviceAddress> {
        let seconds = i32::try_from(SIGHTED_WITHIN.as_secs()).unwrap_or(i32::MAX);
        let arguments = Arguments::from([
            ("Timeout", Variant::new(seconds)),
            ("freq", Variant::new(i32::from(key.mhz))),
        ]);
        if key.mhz == 0 || self.proxy().await.ok()?.find(arguments).await.is_err() {
            return None;
        }
        let began = Instant::now();
        while began.elapsed() < SIGHTED_WITHIN {
            sleep(SIGHTED_EVERY).await;
            let is_owner = |event: &Event| match event {
                Event::Device { shown, owns_group: true, .. } => {
                    DeviceAddress::of(&shown.beacon) == key.owner
                }
                _ => false,
            };
            let seen = self.devices().await.ok()?;
            if let Some(Event::Device { device, .. }) = seen.into_iter().find(is_owner) {
                return Some(device);
            }
        }
        None
    }

    /// Asks a device to form the last group with it again; `false` if there was none.
    async fn form_again(
        &self,
        device: DeviceAddress,
        peer: &zbus::ObjectPath<'static>,
        is_first: bool,
    ) -> bool {
        let asked = async {
            let Some(last) = last_with(&self.connection, &self.path, device).await? else {
                return Ok(false);
            };
            if !is_first {
                sleep(HOLDS_BACK).await;
                if self.group().await?.is_some() {
                    return Ok(true);
                }
            }
            debug!(%device, "the last group is formed again");
            let arguments = Arguments::from([
                ("peer", Variant::new(peer.clone())),
                ("persistent_group_object", Variant::new(last)),
            ]);
            self.proxy().await?.invite(arguments).await.map(|()| true)
        };
        asked.await.unwrap_or_else(|error: zbus::Error| {
            debug!(error = words(&error), "the last group is not formed again");
            false
        })
    }

    /// The group that the radio is in.
    async fn group(&self) -> zbus::Result<Option<Event>> {
        let start = format!("p2p-{}-", self.interface);
        let all = managed(&self.connection).await?;
        let Some((_, path)) = all.into_iter().find(|(name, _)| name.starts_with(&start)) else {
            return Ok(None);
        };
        let properties = properties_of(&self.connection, &path).await?;
        let group = value::<OwnedObjectPath>(properties.get(P2P_DEVICE, "Group").await?);
        // Without one, it is just coming about, which a signal will tell.
        let Some(group) = group.map(path_text).filter(|group| group != "/") else {
            return Ok(None);
        };
        let role = value::<String>(properties.get(P2P_DEVICE, "Role").await?);
        let owns = role.as_deref() == Some(OWNER);
        Ok(Some(Event::Started { path, group, owns, secret: None }))
    }

    /// The name of a group, if it was formed by a node: its end says so.
    async fn name_of_ours(&self, group: &str) -> zbus::Result<Option<String>> {
        let properties = properties_of(&self.connection, group).await?;
        let name = value::<Vec<u8>>(properties.get(GROUP, "SSID").await?);
        let name = name.and_then(|name| String::from_utf8(name).ok());
        Ok(name.filter(|name| name.ends_with(NAME_END)))
    }

    /// What lets others into a group that this device owns.
    async fn secret(&self, group: &str, name: String) -> Option<Secret> {
        let properties = properties_of(&self.connection, group).await.ok()?;
        let passphrase = value::<String>(properties.get(GROUP, "Passphrase").await.ok()?)?;
        let mhz = properties.get(GROUP, "Frequency").await.ok().and_then(value::<u16>);
        Some(Secret { mhz: mhz.unwrap_or(0), name, passphrase })
    }

    /// Forgets the devices in sight, and looks for those that are there.
    pub(super) async fn forget(&self, time: Duration) -> zbus::Result<()> {
        self.proxy().await?.flush().await?;
        self.listen().await?;
        self.find(time).await
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

    /// An event as it is told: of a group, whose it is.
    async fn completed(&self, event: Event) -> Event {
        let Event::Started { path, group, owns, .. } = event else { return event };
        // One that has ended meanwhile is nobody's, and its end is told next.
        let Ok(Some(name)) = self.name_of_ours(&group).await else { return Event::Taken };
        let secret = if owns { self.secret(&group, name).await } else { None };
        Event::Started { path, group, owns, secret }
    }

    /// Tells what happens until wpa_supplicant is gone.
    pub(super) async fn follow(&self, events: &mpsc::Sender<Event>) -> zbus::Result<()> {
        let signals = MatchRule::builder().msg_type(Type::Signal).sender(SUPPLICANT).build()?;
        let mut signals =
            MessageStream::for_match_rule(signals, &self.connection, Some(SIGNALS_MAX)).await?;
        let bus = DBusProxy::new(&self.connection).await?;
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, SUPPLICANT)]).await?;
        // What was there before anybody listened; of a group, also one of a node that crashed.
        let mut before = self.devices().await?;
        before.extend(self.group().await?);
        for event in before {
            let event = self.completed(event).await;
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
                let event = self.completed(event).await;
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Whether a device with this intent becomes the owner.
fn is_owner(intent: u8) -> bool {
    intent > INTENT_MAX / 2
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
