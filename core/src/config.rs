//! What a host tells a node about itself.

use alloc::string::String;

use bytes::Bytes;

use crate::bus::BusConfig;
use crate::dial::upgrade::UpgradePolicy;
use crate::limits::UNREACHABLE_GRACE;
use crate::time::Duration;
use crate::wire::advert::Abilities;

/// What a node says of itself, and how patient it is.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The device name that others see; cut at 63 bytes.
    pub device_name: String,
    /// The operating system, as a code that hosts agree on; 0 is generic.
    pub os: u8,
    /// The version of the host's software; cut at 32 bytes.
    pub sdk_version: String,
    /// What this node can do for others, beside what every node can.
    pub abilities: Abilities,
    /// The metadata body: serialised JSON that the host has checked; empty for none.
    pub metadata: Bytes,
    /// Whether the boot epoch is above that of every earlier run of this key: the host keeps it, or
    /// the key is new. Else the node asks its first neighbours what it signed before, and publishes
    /// nothing until they had time to answer.
    pub epoch_is_kept: bool,
    /// How long an unreachable peer stays in the graph.
    pub unreachable_grace: Duration,
    /// Faster links to neighbours, over transports that are dialled on demand.
    pub upgrades: UpgradePolicy,
    /// The Bus.
    pub bus: BusConfig,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            device_name: String::from("hedgerow"),
            os: 0,
            sdk_version: String::from(env!("CARGO_PKG_VERSION")),
            abilities: Abilities(0),
            metadata: Bytes::new(),
            epoch_is_kept: true,
            unreachable_grace: UNREACHABLE_GRACE,
            upgrades: UpgradePolicy::default(),
            bus: BusConfig::default(),
        }
    }
}
