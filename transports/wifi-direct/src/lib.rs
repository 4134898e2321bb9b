//! Wi-Fi Direct as a Hedgerow transport: devices that see each other form a group, a small Wi-Fi
//! network of their own, and carry links over TCP in it.
//!
//! Forming a group takes seconds and the radio, so the transport is dialled on demand: for peers that
//! are out of reach otherwise, and where a faster link pays.
//!
//! # What it does not do
//!
//! It does not decide whom to dial, and does not encrypt: that is the core's. Whoever joins a group
//! by the push of a button is in a network with strangers, and no more.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what decides about groups is not used there yet")
)]

mod address;
mod groups;
mod name;
mod owner;
#[cfg(target_os = "linux")]
mod supplicant;
mod told;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use std::time::Duration;

pub use hedgerow_driver::Power;
use hedgerow_driver::{
    Condition, ConnectionType, Dialling, Driver, DriverFuture, LinkEstimate, Port, TransportProfile,
};
#[cfg(target_os = "linux")]
use supplicant as platform;
#[cfg(not(target_os = "linux"))]
use unsupported as platform;

/// A group forms within 2 to 10 s, its addresses are usable 2 s later, and finding each other in it
/// takes a moment.
const DIAL_TIMEOUT: Duration = Duration::from_secs(40);
/// A radio forms one group at a time; within a group several peers may be dialled.
const DIALS_MAX: usize = 4;
/// Links in a group: what common access points in phones hold.
const LINKS_MAX: usize = 8;

/// What a group carries: common radios with one stream at 2.4 GHz.
const PROMISE: LinkEstimate =
    LinkEstimate { rate_bytes_per_s: 5_000_000, delay: Duration::from_millis(3) };

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WifiDirectConfig {
    /// The network interface of the radio, such as `wlan0`; the first that can do it if it is not
    /// given.
    pub interface: Option<String>,
    /// The message bus that wpa_supplicant is on, such as `unix:path=/run/dbus/system_bus_socket`;
    /// the system's if it is not given.
    pub bus: Option<String>,
    /// How this device is powered: who has most owns groups.
    pub power: Power,
    /// Whether devices are looked for, and this one shows itself. Without, those that another link leads
    /// to are met all the same, and the radio has rest.
    pub discovery: bool,
}

impl Default for WifiDirectConfig {
    fn default() -> Self {
        Self { interface: None, bus: None, power: Power::default(), discovery: true }
    }
}

/// The driver of Wi-Fi Direct.
#[derive(Debug)]
pub struct WifiDirect {
    config: WifiDirectConfig,
}

impl WifiDirect {
    /// A driver that looks for its radio once it runs, and as often as that goes away.
    #[must_use]
    pub fn new(config: WifiDirectConfig) -> Self {
        Self { config }
    }
}

/// The condition in which a driver with this configuration would be now; nothing is changed by
/// looking.
///
/// # Cancel safety
/// Dropping the future ends the look.
pub async fn look(config: &WifiDirectConfig) -> Condition {
    platform::look(config).await
}

impl Driver for WifiDirect {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::P2PWiFi,
            links_max: LINKS_MAX,
            dials_max: DIALS_MAX,
            dial_timeout: DIAL_TIMEOUT,
            dialled: Dialling::OnDemand { promise: PROMISE },
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(platform::run(self.config, port))
    }
}
