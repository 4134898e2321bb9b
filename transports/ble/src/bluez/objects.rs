//! What BlueZ says there is: a copy of its adapters and devices, kept by its signals.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use hedgerow_driver::{ApproximateDistance, Endpoint};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::debug;
use zbus::fdo::{DBusProxy, ObjectManagerProxy};
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath};

use super::bus::{ADAPTER, BLUEZ, DEVICE, Properties, is_device, property};
use crate::beacon::Advertised;
use crate::distance::Hearing;
use crate::gatt::SERVICE;

/// Devices that are remembered, of ours and others. BlueZ forgets those that it does not hear for half
/// a minute; this is for crowds, and for somebody who makes addresses up.
const DEVICES_MAX: usize = 1_024;
/// Signals that may wait while the copy is busy; the bus keeps the rest.
const SIGNALS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not 0");

/// An adapter, as BlueZ describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AdapterState {
    pub(super) address: String,
    pub(super) is_random: bool,
    pub(super) powered: bool,
    pub(super) discovering: bool,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceState {
    pub(super) address: String,
    pub(super) is_random: bool,
    pub(super) has_service: bool,
    /// When the connection that stands was first told of.
    pub(super) connected_since: Option<Instant>,
    pub(super) services_resolved: bool,
    /// Somebody paired it: it is not ours alone.
    pub(super) paired: bool,
    /// How strongly it was heard lately.
    hearing: Hearing,
    pub(super) shown: Option<Advertised>,
    /// Turns of scanning that ended without a word from it.
    turns_unheard: u8,
    /// BlueZ has no object for it any more.
    is_forgotten: bool,
}

impl DeviceState {
    /// Where it is dialled.
    pub(super) fn endpoint(&self) -> Endpoint {
        let kind = if self.is_random { "random" } else { "public" };
        Endpoint::new(&format!("{}/{kind}", self.address))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected_since.is_some()
    }

    fn note_connected(&mut self, is_connected: bool) {
        // What stands and is told of again is the same connection.
        self.connected_since =
            is_connected.then(|| self.connected_since.unwrap_or_else(Instant::now));
    }

    /// BlueZ has no object for it any more.
    fn forget(&mut self) {
        (self.connected_since, self.services_resolved) = (None, false);
        self.hearing = Hearing::default();
        self.is_forgotten = true;
    }
}

/// The copy.
#[derive(Debug, Default)]
pub(super) struct State {
    /// It was looked at once.
    pub(super) is_filled: bool,
    /// The daemon has its name on the bus.
    pub(super) daemon: bool,
    /// How many daemons there were: a new one knows nothing of what the last one was told.
    pub(super) daemons: u64,
    pub(super) adapters: BTreeMap<String, AdapterState>,
    pub(super) devices: BTreeMap<String, DeviceState>,
    /// Devices that were heard since they were asked for.
    pub(super) heard: BTreeMap<String, Heard>,
}

/// What was heard of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It advertises.
    Advertising,
    /// It was not heard for long, or BlueZ has forgotten it.
    Gone,
}

/// The copy, shared.
#[derive(Debug)]
pub(super) struct Objects {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    heard: Notify,
}

impl Objects {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            heard: Notify::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before something could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds what it looks for.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = look(&self.state()) {
                return found;
            }
            changed.changed().await.expect("the sender is in self");
        }
    }

    /// A device by its path.
    pub(super) fn device(&self, path: &str) -> Option<DeviceState> {
        self.state().devices.get(path).cloned()
    }

    /// About how far away a device is, if it was heard lately.
    pub(super) fn distance(&self, path: &str) -> Option<ApproximateDistance> {
        self.state().devices.get(path)?.hearing.distance()
    }

    /// Waits until devices were heard or are gone, and takes them.
    pub(super) async fn heard(&self) -> Vec<(String, DeviceState, Heard)> {
        loop {
            {
                let mut state = self.state();
                if !state.heard.is_empty() {
                    let heard = std::mem::take(&mut state.heard).into_iter();
                    let devices = heard.filter_map(|(path, heard)| {
                        let device = state.devices.get(&path).cloned()?;
                        // One that is only silent is still told of by its changes alone.
                        if device.is_forgotten {
                            state.devices.remove(&path);
                        }
                        Some((path, device, heard))
                    });
                    return devices.collect();
                }
            }
            self.heard.notified().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let any_heard = {
            let mut state = self.state();
            change(&mut state);
            !state.heard.is_empty()
        };
        self.changed.send_replace(());
        if any_heard {
            self.heard.notify_one();
        }
    }

    /// A turn of scanning is over. Returns the peers that an adapter has not heard for `turns_max` of
    /// them; they count as gone.
    pub(super) fn end_turn(&self, adapter: &str, turns_max: u8) -> Vec<(String, DeviceState)> {
        let mut gone = Vec::new();
        self.change(|state| {
            let paths: Vec<_> = state.devices_of(adapter).map(|(path, _)| path.clone()).collect();
            for path in paths {
                let Some(device) = state.devices.get_mut(&path) else { continue };
                device.hearing.end_turn();
                if device.shown.is_none() {
                    continue;
                }
                if device.is_connected() {
                    device.turns_unheard = 0;
                    continue;
                }
                device.turns_unheard = device.turns_unheard.saturating_add(1);
                if device.turns_unheard >= turns_max {
                    gone.push((path.clone(), device.clone()));
                    state.heard.insert(path, Heard::Gone);
                }
            }
        });
        gone
    }

    /// Keeps the copy until the bus is gone.
    pub(super) async fn follow(&self, connection: &Connection) -> zbus::Result<()> {
        let signals = MatchRule::builder().msg_type(Type::Signal).sender(BLUEZ).build()?;
        let mut signals =
            MessageStream::for_match_rule(signals, connection, Some(SIGNALS_MAX)).await?;
        let bus = DBusProxy::new(connection).await?;
        let mut owners = bus.receive_name_owner_changed_with_args(&[(0, BLUEZ)]).await?;
        if bus.name_has_owner(BLUEZ.try_into()?).await? {
            self.fill(connection).await?;
        } else {
            self.change(State::clear);
        }
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Some(signal) => self.on_signal(&signal?),
                    None => return Ok(()),
                },
                owner = owners.next() => match owner {
                    Some(owner) => {
                        self.change(State::clear);
                        if owner.args()?.new_owner().is_some() {
                            self.fill(connection).await?;
                        }
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    async fn fill(&self, connection: &Connection) -> zbus::Result<()> {
        let manager = ObjectManagerProxy::new(connection, BLUEZ, "/").await?;
        // A daemon that ends while it is asked: the next change of owner tells.
        let Ok(objects) = manager.get_managed_objects().await else { return Ok(()) };
        self.change(|state| {
            state.is_filled = true;
            state.daemon = true;
            for (path, interfaces) in objects {
                for (interface, properties) in interfaces {
                    state.update(&path, interface.as_str(), &properties);
                }
            }
        });
        Ok(())
    }

    fn on_signal(&self, signal: &zbus::Message) {
        let header = signal.header();
        let (Some(member), Some(path)) = (header.member(), header.path()) else { return };
        let body = signal.body();
        match member.as_str() {
            "PropertiesChanged" => {
                let Ok((interface, properties, _)) =
                    body.deserialize::<(String, Properties, Vec<String>)>()
                else {
                    return;
                };
                let path = path.to_owned().into();
                self.change(|state| state.update(&path, &interface, &properties));
            }
            "InterfacesAdded" => {
                let Ok((path, interfaces)) =
                    body.deserialize::<(OwnedObjectPath, BTreeMap<String, Properties>)>()
                else {
                    return;
                };
                self.change(|state| {
                    state.daemon = true;
                    for (interface, properties) in &interfaces {
                        state.update(&path, interface, properties);
                    }
                });
            }
            "InterfacesRemoved" => {
                let Ok((path, interfaces)) = body.deserialize::<(OwnedObjectPath, Vec<String>)>()
                else {
                    return;
                };
                self.change(|state| state.remove(path.as_str(), &interfaces));
            }
            _ => {}
        }
    }
}

impl State {
    /// The daemon is gone, or another one is there.
    fn clear(&mut self) {
        self.is_filled = true;
        self.daemon = false;
        self.daemons += 1;
        self.adapters.clear();
        for (path, device) in &mut self.devices {
            device.forget();
            self.heard.insert(path.clone(), Heard::Gone);
        }
    }

    fn remove(&mut self, path: &str, interfaces: &[String]) {
        if interfaces.iter().any(|interface| interface == ADAPTER) {
            self.adapters.remove(path);
        }
        if interfaces.iter().any(|interface| interface == DEVICE)
            && let Some(device) = self.devices.get_mut(path)
        {
            device.forget();
            self.heard.insert(path.to_owned(), Heard::Gone);
        }
    }

    fn update(&mut self, path: &OwnedObjectPath, interface: &str, properties: &Properties) {
        match interface {
            ADAPTER => {
                let adapter = self.adapters.entry(path.to_string()).or_default();
                update_adapter(adapter, properties);
            }
            DEVICE => self.update_device(path, properties),
            _ => {}
        }
    }

    fn update_device(&mut self, path: &OwnedObjectPath, properties: &Properties) {
        let mut device = self.devices.get(path.as_str()).cloned().unwrap_or_default();
        update_device(&mut device, properties);
        // Also one that does not show our service: when it does, only that is told.
        if device.address.is_empty() || !self.make_room(path.as_str(), device.has_service) {
            return;
        }
        // Only what is on the air has a strength.
        if device.shown.is_some() && properties.contains_key("RSSI") {
            device.turns_unheard = 0;
            self.heard.insert(path.to_string(), Heard::Advertising);
        }
        self.devices.insert(path.to_string(), device);
    }

    /// Whether there is a place for a device; strangers give way to those with our service.
    fn make_room(&mut self, path: &str, has_service: bool) -> bool {
        if self.devices.len() < DEVICES_MAX || self.devices.contains_key(path) {
            return true;
        }
        let is_stranger = |device: &DeviceState| !device.has_service && !device.is_connected();
        let stranger = self.devices.iter().find(|(_, device)| is_stranger(device));
        match stranger.map(|(path, _)| path.clone()).filter(|_| has_service) {
            Some(stranger) => {
                self.devices.remove(&stranger);
                true
            }
            None => {
                debug!(path, "more Bluetooth devices than are remembered: passed over");
                false
            }
        }
    }

    /// The devices of an adapter.
    pub(super) fn devices_of<'a>(
        &'a self,
        adapter: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a DeviceState)> {
        self.devices.iter().filter(move |(path, _)| {
            OwnedObjectPath::try_from(path.as_str()).is_ok_and(|path| is_device(&path, adapter))
        })
    }
}

fn update_adapter(adapter: &mut AdapterState, properties: &Properties) {
    if let Some(address) = property(properties, "Address") {
        adapter.address = address;
    }
    if let Some(kind) = property::<String>(properties, "AddressType") {
        adapter.is_random = kind == "random";
    }
    if let Some(powered) = property(properties, "Powered") {
        adapter.powered = powered;
    }
    if let Some(discovering) = property(properties, "Discovering") {
        adapter.discovering = discovering;
    }
}

fn update_device(device: &mut DeviceState, properties: &Properties) {
    if let Some(address) = property(properties, "Address") {
        // Only whole objects tell it.
        device.address = address;
        device.is_forgotten = false;
    }
    if let Some(kind) = property::<String>(properties, "AddressType") {
        device.is_random = kind == "random";
    }
    if let Some(uuids) = property::<Vec<String>>(properties, "UUIDs") {
        // Of a connected device these are its services, of another one what it advertises.
        device.has_service |= uuids.iter().any(|uuid| uuid == SERVICE);
    }
    if let Some(connected) = property(properties, "Connected") {
        device.note_connected(connected);
    }
    if let Some(resolved) = property(properties, "ServicesResolved") {
        device.services_resolved = resolved;
        // Where both ends connect at once, BlueZ may forget to say so.
        device.note_connected(device.is_connected() || resolved);
    }
    if let Some(paired) = property(properties, "Paired") {
        device.paired = paired;
    }
    // That BlueZ takes both back at the end of a turn is no news: they age by turns.
    if let Some(tx_power_dbm) = property(properties, "TxPower") {
        device.hearing.note_tx_power(tx_power_dbm);
    }
    if let Some(rssi_dbm) = property(properties, "RSSI") {
        device.hearing.note(rssi_dbm);
    }
    if let Some(shown) = shown(properties) {
        device.shown = Some(shown);
    }
}

/// The beacon, wherever it stands. A name is also what a device is called, which BlueZ reads when it
/// is connected: one that is no beacon changes nothing.
fn shown(properties: &Properties) -> Option<Advertised> {
    let bytes =
        |value: &zbus::OwnedVariant| -> Option<Vec<u8>> { value.try_clone().ok()?.try_into().ok() };
    let data = property::<std::collections::HashMap<String, zbus::OwnedVariant>>(
        properties,
        "ServiceData",
    );
    if let Some(value) = data.as_ref().and_then(|data| data.get(SERVICE))
        && let Some(shown) = bytes(value).and_then(|bytes| Advertised::decode(&bytes).ok())
    {
        return Some(shown);
    }
    let data = property::<std::collections::HashMap<u16, zbus::OwnedVariant>>(
        properties,
        "ManufacturerData",
    );
    if let Some(value) = data.as_ref().and_then(|data| data.get(&crate::beacon::NO_COMPANY))
        && let Some(shown) = bytes(value).and_then(|bytes| Advertised::decode(&bytes).ok())
    {
        return Some(shown);
    }
    Advertised::from_name(&property::<String>(properties, "Name")?).ok()
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    const ADAPTER_PATH: &str = "/org/bluez/hci0";
    const PATH: &str = "/org/bluez/hci0/dev_00_AA_01_00_00_42";
    /// The beacon of an open network, as a name.
    const NAME: &str = "AQIFgd6tvu8BAgMEBQYHCA";

    fn properties(all: &[(&str, Variant<'static>)]) -> Properties {
        let owned = |(name, value): &(&str, Variant<'static>)| {
            ((*name).to_owned(), value.try_to_owned().unwrap())
        };
        all.iter().map(owned).collect()
    }

    fn update(objects: &Objects, all: &[(&str, Variant<'static>)]) {
        let path = OwnedObjectPath::try_from(PATH).unwrap();
        objects.change(|state| state.update(&path, DEVICE, &properties(all)));
    }

    fn add(objects: &Objects) {
        let address = Variant::new("00:AA:01:00:00:42");
        let uuids = Variant::new(vec![SERVICE]);
        update(objects, &[("Address", address), ("UUIDs", uuids), ("Name", Variant::new(NAME))]);
    }

    async fn heard(objects: &Objects) -> Option<Heard> {
        let heard = tokio::time::timeout(std::time::Duration::ZERO, objects.heard()).await.ok()?;
        heard.first().map(|(_, _, heard)| *heard)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_strength_is_on_the_air_and_who_has_none_is_a_memory() {
        let objects = Objects::new();
        add(&objects);
        assert_eq!(heard(&objects).await, None);
        update(&objects, &[("RSSI", Variant::new(-60i16))]);
        assert_eq!(heard(&objects).await, Some(Heard::Advertising));
        assert_eq!(heard(&objects).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_three_turns_is_gone_and_comes_back_by_a_word() {
        let objects = Objects::new();
        add(&objects);
        for turn in 1..3 {
            assert_eq!(objects.end_turn(ADAPTER_PATH, 3), [], "{turn}");
        }
        assert_eq!(objects.end_turn(ADAPTER_PATH, 3).len(), 1);
        assert_eq!(heard(&objects).await, Some(Heard::Gone));
        // BlueZ keeps those that are paired, and tells of changes alone.
        update(&objects, &[("RSSI", Variant::new(-60i16))]);
        assert_eq!(heard(&objects).await, Some(Heard::Advertising));
    }

    fn centimetres(objects: &Objects) -> Option<u32> {
        objects.distance(PATH).map(ApproximateDistance::centimetres)
    }

    #[test]
    fn a_device_is_as_far_away_as_its_strength_says_until_it_is_silent_for_three_turns() {
        let objects = Objects::new();
        add(&objects);
        assert_eq!(centimetres(&objects), None);
        // An emulated controller does not know.
        update(&objects, &[("RSSI", Variant::new(127i16))]);
        assert_eq!(centimetres(&objects), None);
        update(&objects, &[("RSSI", Variant::new(-65i16)), ("Connected", Variant::new(true))]);
        assert_eq!(centimetres(&objects), Some(200));
        update(&objects, &[("TxPower", Variant::new(6i16))]);
        assert_eq!(centimetres(&objects), Some(398));
        for turn in 1..3 {
            objects.end_turn(ADAPTER_PATH, 3);
            assert_eq!(centimetres(&objects), Some(398), "{turn}");
        }
        objects.end_turn(ADAPTER_PATH, 3);
        assert_eq!(centimetres(&objects), None, "also of one that is connected");
    }

    #[test]
    fn how_far_away_a_device_was_is_forgotten_with_it() {
        let forgets: [fn(&mut State); 2] =
            [State::clear, |state| state.remove(PATH, &[DEVICE.to_owned()])];
        for forget in forgets {
            let objects = Objects::new();
            add(&objects);
            update(&objects, &[("RSSI", Variant::new(-65i16))]);
            assert_eq!(centimetres(&objects), Some(200));
            objects.change(forget);
            add(&objects);
            assert_eq!(centimetres(&objects), None);
        }
    }

    #[test]
    fn strangers_are_left_alone() {
        let objects = Objects::new();
        let stranger = [("Address", Variant::new("00:AA:01:00:00:42"))];
        update(&objects, &stranger);
        for _ in 0..5 {
            assert_eq!(objects.end_turn(ADAPTER_PATH, 3), []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_daemon_that_knows_a_device_still_is_no_end_of_it() {
        let objects = Objects::new();
        add(&objects);
        objects.change(State::clear);
        add(&objects);
        assert_eq!(heard(&objects).await, Some(Heard::Gone));
        update(&objects, &[("RSSI", Variant::new(-60i16))]);
        assert_eq!(heard(&objects).await, Some(Heard::Advertising));
        objects.change(|state| state.remove(PATH, &[DEVICE.to_owned()]));
        assert_eq!(heard(&objects).await, Some(Heard::Gone));
        assert!(objects.device(PATH).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_service_comes_back_is_heard_though_bluez_tells_only_what_changed() {
        let objects = Objects::new();
        let address = Variant::new("00:AA:01:00:00:42");
        let uuids = Variant::new(vec!["00001800-0000-1000-8000-00805f9b34fb"]);
        update(&objects, &[("Address", address), ("UUIDs", uuids)]);
        let uuids = Variant::new(vec![SERVICE]);
        let rssi = Variant::new(-60i16);
        update(&objects, &[("UUIDs", uuids), ("Name", Variant::new(NAME)), ("RSSI", rssi)]);
        assert_eq!(heard(&objects).await, Some(Heard::Advertising));
    }

    #[test]
    fn a_crowd_of_strangers_gives_way_and_is_bounded() {
        let objects = Objects::new();
        let mut state = objects.state();
        for number in 0..DEVICES_MAX + 10 {
            let path = format!("{ADAPTER_PATH}/dev_{number}");
            let path = OwnedObjectPath::try_from(path.as_str()).unwrap();
            state.update(&path, DEVICE, &properties(&[("Address", Variant::new("stranger"))]));
        }
        assert_eq!(state.devices.len(), DEVICES_MAX);
        drop(state);
        add(&objects);
        assert!(objects.device(PATH).is_some());
        assert_eq!(objects.state().devices.len(), DEVICES_MAX);
    }

    #[test]
    fn a_name_that_is_no_beacon_changes_nothing() {
        let objects = Objects::new();
        add(&objects);
        let shown = objects.device(PATH).unwrap().shown;
        assert!(shown.is_some());
        update(&objects, &[("Name", Variant::new("BlueZ 5.82"))]);
        assert_eq!(objects.device(PATH).unwrap().shown, shown);
    }

    #[test]
    fn services_that_are_known_mean_a_connection() {
        let objects = Objects::new();
        add(&objects);
        update(&objects, &[("ServicesResolved", Variant::new(true))]);
        assert!(objects.device(PATH).unwrap().is_connected());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_as_old_as_the_first_word_of_it() {
        let objects = Objects::new();
        add(&objects);
        let told = |connected| {
            update(&objects, &[("Connected", Variant::new(connected))]);
            objects.device(PATH).unwrap().connected_since
        };
        let first = told(true).unwrap();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        update(&objects, &[("ServicesResolved", Variant::new(true))]);
        assert_eq!(told(true), Some(first));
        assert_eq!(told(false), None);
        assert!(told(true).unwrap() > first, "it is another one");
    }
}
