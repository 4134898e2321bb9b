//! Dialling: connect, find the service, and take the best way that works.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use hedgerow_driver::{DialFailure, Endpoint};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use zbus::fdo::ObjectManagerProxy;

use super::bus::{
    BLUEZ, CHARACTERISTIC, CharacteristicProxy, DeviceProxy, Options, error_name, property, words,
};
use super::channel::Channel;
use super::endpoint::DeviceAddress;
use super::socket::ValueSocket;
use super::station::Station;
use crate::beacon::Psm;
use crate::gatt::{INFO, Info, RX, TX, value_bytes_max};
use crate::link::{Carrier, Medium};

/// The radio gives an attempt up by itself now and then; the next one succeeds.
const ATTEMPTS: usize = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);
/// How long an end that connected to us has to make its link, before we make ours over the connection.
const THEIRS_FIRST_FOR: Duration = Duration::from_secs(2);
/// From a connection to the other end's table of services.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);
/// One read, subscription or acquisition.
const OPERATION_WITHIN: Duration = Duration::from_secs(5);
/// A device whose channel did not work is asked for another one only after this.
const CHANNEL_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Devices that are remembered for that; the oldest gives way.
const FAILURES_MAX: usize = 64;

/// What a dial came to: how packets are carried.
#[derive(Debug)]
pub(super) enum Way {
    Values(Values),
    Channel(Channel),
}

/// Values written to `rx` and notified by `tx`, of a device that we connected to.
#[derive(Debug)]
pub(super) struct Values {
    write: ValueSocket,
    notify: ValueSocket,
    value_bytes_max: usize,
}

impl Carrier for Values {
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        self.write.send(packet).await
    }

    async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        self.notify.recv(buffer).await
    }
}

impl Way {
    pub(super) fn medium(&self) -> Medium {
        match self {
            Self::Values(values) => Medium::Gatt(values.value_bytes_max),
            Self::Channel(channel) => Medium::Channel(channel.packet_bytes_max()),
        }
    }
}

impl Carrier for Way {
    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Values(values) => values.send(packet).await,
            Self::Channel(channel) => channel.send(packet).await,
        }
    }

    async fn recv(&self, buffer: &mut BytesMut) -> io::Result<bool> {
        match self {
            Self::Values(values) => values.recv(buffer).await,
            Self::Channel(channel) => channel.recv(buffer).await,
        }
    }
}

/// Devices whose channels did not work.
#[derive(Debug, Default)]
pub(super) struct ChannelFailures(Mutex<HashMap<String, Instant>>);

impl ChannelFailures {
    fn is_worth_a_try(&self, device: &str) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(device).is_none_or(|at| at.elapsed() >= CHANNEL_AGAIN_AFTER)
    }

    fn note(&self, device: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= FAILURES_MAX
            && let Some(oldest) = failures.iter().min_by_key(|(_, at)| **at).map(|(d, _)| d.clone())
        {
            failures.remove(&oldest);
        }
        failures.insert(device.to_owned(), Instant::now());
    }
}

/// Dials a device that was seen. The caller holds the lease of its connection.
pub(super) async fn dial(
    station: &Station,
    device: DeviceAddress,
    failures: &ChannelFailures,
    may_use_channels: bool,
) -> Result<Way, DialFailure> {
    let path = station.device_path(device.address);
    let seen = station.objects.device(&path).ok_or(DialFailure::Unreachable)?;
    let (shown, mut is_theirs) = (seen.shown, seen.is_connected());
    tokio::select! {
        connected = connect(station, &path) => {
            connected?;
            debug!(device = path, "connected");
            resolve(station, &path).await?;
        }
        // The other end was quicker; BlueZ would leave our call without an answer.
        () = resolved(station, &path) => is_theirs = true,
    }
    debug!(device = path, is_theirs, "services are known");
    if is_theirs {
        // Its link is on the way. Once that is up this dial is given up, and no second one is made.
        sleep(THEIRS_FIRST_FOR).await;
    }
    let service = Service::find(station, &path).await?;
    if may_use_channels && failures.is_worth_a_try(&path) {
        let told = service.psm(station).await;
        if let Some(psm) = told.or(shown.and_then(|shown| shown.psm)) {
            match open_channel(station, device, psm).await {
                Ok(channel) => return Ok(Way::Channel(channel)),
                Err(error) => {
                    debug!(device = path, %error, "no channel: values carry the link");
                    failures.note(&path);
                }
            }
        }
    }
    service.subscribe(station).await.map(Way::Values)
}

/// Waits for the other end's table of services.
async fn resolve(station: &Station, path: &str) -> Result<(), DialFailure> {
    // The word that it is connected may be read after the answer to the call.
    let mut was_connected = false;
    let resolved = station.objects.until(|state| match state.devices.get(path) {
        Some(device) if device.is_connected() => {
            was_connected = true;
            device.services_resolved.then_some(true)
        }
        _ => was_connected.then_some(false),
    });
    match timeout(RESOLVED_WITHIN, resolved).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(DialFailure::Other("it disconnected".into())),
        Err(_) => Err(DialFailure::Other("its services were not found in time".into())),
    }
}

/// Waits until a device is connected, by whomever, and its services are known.
async fn resolved(station: &Station, path: &str) {
    let resolved = |device: &super::objects::DeviceState| device.services_resolved;
    station
        .objects
        .until(|state| state.devices.get(path).filter(|d| resolved(d)).map(|_| ()))
        .await;
}

async fn open_channel(station: &Station, device: DeviceAddress, psm: Psm) -> io::Result<Channel> {
    let mut probe = [0; 8];
    getrandom::fill(&mut probe).map_err(io::Error::other)?;
    Channel::open(station, device, psm, probe).await
}

/// Makes the connection, unless it stands.
async fn connect(station: &Station, path: &str) -> Result<(), DialFailure> {
    let proxy = DeviceProxy::new(&station.connection, path).await.map_err(|e| other(&e))?;
    let mut attempt = 1;
    loop {
        let Err(error) = proxy.connect().await else { return Ok(()) };
        debug!(device = path, error = words(&error), attempt, "not connected");
        let is_passing = match error_name(&error) {
            // An attempt that was given up still runs, or the last connection is just ending.
            Some("org.bluez.Error.InProgress") => {
                let _ = proxy.disconnect().await;
                true
            }
            Some("org.bluez.Error.Failed") => words(&error).contains("abort-by-local"),
            _ => false,
        };
        if !is_passing || attempt == ATTEMPTS {
            return Err(failure(&error));
        }
        attempt += 1;
        sleep(BETWEEN_ATTEMPTS).await;
    }
}

/// The service of a device that is connected.
struct Service {
    info: Option<String>,
    rx: String,
    tx: String,
}

impl Service {
    async fn find(station: &Station, device: &str) -> Result<Self, DialFailure> {
        let manager = ObjectManagerProxy::new(&station.connection, BLUEZ, "/")
            .await
            .map_err(|error| other(&error))?;
        let objects = manager
            .get_managed_objects()
            .await
            .map_err(|error| DialFailure::Other(error.to_string()))?;
        let below = format!("{device}/");
        let mut found = HashMap::new();
        for (path, interfaces) in objects {
            if path.as_str().starts_with(&below)
                && let Some((_, properties)) =
                    interfaces.iter().find(|(name, _)| name.as_str() == CHARACTERISTIC)
                && let Some(uuid) = property::<String>(properties, "UUID")
            {
                found.insert(uuid, path.to_string());
            }
        }
        match (found.remove(RX), found.remove(TX)) {
            (Some(rx), Some(tx)) => Ok(Self { info: found.remove(INFO), rx, tx }),
            _ => Err(DialFailure::Refused),
        }
    }

    /// The channel that the device tells of now.
    async fn psm(&self, station: &Station) -> Option<Psm> {
        let read = async {
            let proxy = CharacteristicProxy::new(&station.connection, self.info.as_deref()?).await;
            proxy.ok()?.read_value(Options::new()).await.ok()
        };
        let value = timeout(OPERATION_WITHIN, read).await.ok()??;
        Info::decode(&value)?.psm
    }

    /// Takes notifications first, so that nothing the other end says is missed.
    async fn subscribe(&self, station: &Station) -> Result<Values, DialFailure> {
        let acquired = async {
            let proxy = CharacteristicProxy::new(&station.connection, &*self.tx).await?;
            let (notify, _) = proxy.acquire_notify(Options::new()).await?;
            let proxy = CharacteristicProxy::new(&station.connection, &*self.rx).await?;
            let (write, mtu) = proxy.acquire_write(Options::new()).await?;
            Ok::<_, zbus::Error>((notify, write, mtu))
        };
        let (notify, write, mtu) = timeout(OPERATION_WITHIN, acquired)
            .await
            .map_err(|_| DialFailure::TimedOut)?
            .map_err(|error| failure(&error))?;
        let socket = |socket: zbus::OwnedFd| {
            ValueSocket::new(socket.into()).map_err(|error| DialFailure::Other(error.to_string()))
        };
        Ok(Values {
            write: socket(write)?,
            notify: socket(notify)?,
            value_bytes_max: value_bytes_max(mtu),
        })
    }
}

fn failure(error: &zbus::Error) -> DialFailure {
    match error_name(error) {
        Some("org.freedesktop.DBus.Error.UnknownObject" | "org.bluez.Error.DoesNotExist") => {
            DialFailure::Unreachable
        }
        Some("org.bluez.Error.NotReady") => {
            DialFailure::Unavailable("the adapter is switched off".into())
        }
        _ => other(error),
    }
}

fn other(error: &zbus::Error) -> DialFailure {
    DialFailure::Other(words(error))
}

/// Where a device is dialled.
pub(super) fn parse(endpoint: &Endpoint) -> Result<DeviceAddress, DialFailure> {
    DeviceAddress::parse(endpoint).ok_or(DialFailure::InvalidEndpoint)
}
