//! Bluetooth LE as a Hedgerow transport.
//!
//! Devices find each other by advertisements of one service, connect in either role, and carry
//! packets as values of two characteristics, or over an L2CAP channel where both ends have one.
//!
//! # What it does not do
//!
//! It does not pair and needs no pairing: everything it carries is sealed above. It does not decide
//! whom to dial and does not repeat what the radio loses: that is the core's.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what a peripheral and a channel need is not used there yet")
)]

mod beacon;
#[cfg(target_os = "linux")]
mod bluez;
mod distance;
mod duty;
mod gatt;
mod link;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
use bluez as platform;
#[cfg(not(target_os = "linux"))]
use portable as platform;
use std::time::Duration;

use hedgerow_driver::{
    Condition, ConnectionType, Dialling, Driver, DriverFuture, Port, TransportProfile,
};

/// Connecting takes up to some seconds, the other end's table of services some more, and a channel
/// that hangs three.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Radios make one connection after the other; two keep it busy.
const DIALS_MAX: usize = 2;

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BleConfig {
    /// The adapter to use, such as `hci1`; the first that is switched on if it is not given.
    pub adapter: Option<String>,
    /// Links it holds at once.
    pub links_max: usize,
    /// Use L2CAP channels where the other end has them.
    pub l2cap: bool,
}

/// Links that phones and laptops hold without losing some.
pub const LINKS_MAX_DEFAULT: usize = 5;

impl Default for BleConfig {
    fn default() -> Self {
        Self { adapter: None, links_max: LINKS_MAX_DEFAULT, l2cap: true }
    }
}

/// The driver of Bluetooth LE.
#[derive(Debug)]
pub struct Ble {
    config: BleConfig,
}

impl Ble {
    /// A driver that looks for its adapter once it runs, and as often as that goes away.
    #[must_use]
    pub fn new(config: BleConfig) -> Self {
        Self { config }
    }
}

/// The condition in which a driver with this configuration would be now; nothing is changed by
/// looking.
///
/// # Cancel safety
/// Dropping the future ends the look.
pub async fn look(config: &BleConfig) -> Condition {
    platform::look(config.adapter.as_deref()).await
}

impl Driver for Ble {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::Bluetooth,
            links_max: self.config.links_max,
            dials_max: DIALS_MAX,
            dial_timeout: DIAL_TIMEOUT,
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(platform::run(self.config, port))
    }
}
