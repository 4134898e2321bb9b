//! The ways to reach others.

use std::net::{IpAddr, Ipv6Addr};

use hedgerow_core::dial::upgrade::UpgradePolicy;
use hedgerow_core::io::Power;
use serde::{Deserialize, Serialize};

/// One section for each transport.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportsConfig {
    /// The local network.
    pub lan: LanConfig,
    /// Bluetooth LE.
    pub ble: BleConfig,
    /// Wi-Fi Direct.
    pub wifi_direct: WifiDirectConfig,
}

/// Bluetooth LE: peers find each other by advertisements and connect over GATT or L2CAP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BleConfig {
    /// Whether it is used at all. A machine without an adapter is no error.
    pub enabled: bool,
    /// The adapter to use, as `bluetoothctl list` numbers them: `hci0`. The first that is switched
    /// on if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Links at once. Phones and laptops hold 3 to 7, some controllers 20; one that is asked for
    /// more than its hardware holds loses links.
    pub links_max: usize,
    /// Whether L2CAP channels are used where both ends have them: several times as fast as GATT,
    /// which carries what a channel does not.
    pub l2cap: bool,
}

impl Default for BleConfig {
    fn default() -> Self {
        Self { enabled: true, adapter: None, links_max: 5, l2cap: true }
    }
}

#[cfg(feature = "ble")]
impl BleConfig {
    /// The same as the driver takes it.
    #[must_use]
    pub fn driver(&self) -> hedgerow_ble::BleConfig {
        hedgerow_ble::BleConfig {
            adapter: self.adapter.clone(),
            links_max: self.links_max,
            l2cap: self.l2cap,
        }
    }
}

/// Wi-Fi Direct: peers in sight of each other form a small Wi-Fi network of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WifiDirectConfig {
    /// Whether it is used at all. Off by default: looking for peers and being in a group take the
    /// radio from the Wi-Fi network that it may be in.
    pub enabled: bool,
    /// The network interface of the radio, such as `wlan0`; the first that wpa_supplicant looks
    /// after if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The message bus that wpa_supplicant is on, as a D-Bus address; the system's if it is not
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// How this device is powered. Who has most power owns groups, and a group is formed the
    /// sooner the more there is.
    pub power: PowerConfig,
    /// Whether a group is formed for peers that are reachable by other ways, where it is faster.
    pub upgrades: UpgradesConfig,
    /// Whether peers are looked for by radio, and this one shows itself. Without, neighbours over other
    /// links are met all the same, and the radio has rest.
    pub discovery: bool,
}

impl Default for WifiDirectConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            interface: None,
            bus: None,
            power: PowerConfig::default(),
            upgrades: UpgradesConfig::default(),
            discovery: true,
        }
    }
}

/// Whether a faster link is made where a slower one stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradesConfig {
    /// Never; those that others make are used.
    Never,
    /// Where data waits for so long that it pays.
    #[default]
    WhenItPays,
    /// As soon as data waits.
    Always,
}

/// How a device is powered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerConfig {
    /// From the wall.
    #[default]
    Mains,
    /// From a battery.
    Battery,
    /// From one that is nearly empty.
    Low,
}

impl UpgradesConfig {
    /// The same as the core takes it.
    #[must_use]
    pub(crate) fn policy(self) -> UpgradePolicy {
        match self {
            Self::Never => UpgradePolicy::Never,
            Self::WhenItPays => UpgradePolicy::WhenItPays,
            Self::Always => UpgradePolicy::Always,
        }
    }
}

impl PowerConfig {
    /// The same as the core and drivers take it.
    #[must_use]
    pub(crate) fn power(self) -> Power {
        match self {
            Self::Mains => Power::Mains,
            Self::Battery => Power::Battery,
            Self::Low => Power::Low,
        }
    }
}

#[cfg(feature = "wifi-direct")]
impl WifiDirectConfig {
    /// The same as the driver takes it.
    #[must_use]
    pub fn driver(&self) -> hedgerow_wifi_direct::WifiDirectConfig {
        hedgerow_wifi_direct::WifiDirectConfig {
            interface: self.interface.clone(),
            bus: self.bus.clone(),
            power: self.power.power(),
            discovery: self.discovery,
        }
    }
}

/// The local network: peers find each other over multicast DNS and connect over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LanConfig {
    /// Whether it is used at all.
    pub enabled: bool,
    /// Whether this node shows itself over multicast DNS and looks for others. Without it only
    /// `connect.tcp_servers`, and addresses that neighbours tell, are dialled.
    pub mdns_enabled: bool,
    /// Whether this node tells its neighbours, over links of whatever medium, where it listens, and
    /// dials what they tell: so those meet on the local network that multicast DNS does not reach.
    pub exchange_addresses: bool,
    /// The TCP port to listen on; 0 lets the system choose, which is fine where multicast DNS
    /// tells it to others.
    pub port: u16,
    /// The address to listen on; `::` is every address, IPv4 included. One address is shown over
    /// multicast DNS on its own interface only, and one of loopback nowhere.
    pub listen_ip: IpAddr,
    /// Where peers are looked for.
    pub interfaces: InterfacesConfig,
}

impl Default for LanConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            mdns_enabled: true,
            exchange_addresses: true,
            port: 0,
            listen_ip: Ipv6Addr::UNSPECIFIED.into(),
            interfaces: InterfacesConfig::default(),
        }
    }
}

/// The network interfaces on which this node shows itself over multicast DNS and looks for
/// others, and whose addresses it tells its neighbours. A `*` stands for any run of characters: `eth*`.
///
/// With both lists empty it is every interface that is up and has an address, but for loopback,
/// point-to-point interfaces (VPN tunnels, modems), ports of a bridge, and the bridges that
/// container engines and virtual machine monitors make for themselves (`docker0`, `virbr0`).
///
/// The addresses of point-to-point interfaces are told as well, unless a list is against it. Links to
/// `connect.tcp_servers` and to what neighbours tell, and links that others make, may use any
/// interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterfacesConfig {
    /// If not empty, these and no others, also those that are passed over by default; but never
    /// loopback and point-to-point interfaces, where multicast DNS finds nobody.
    pub allow: Vec<String>,
    /// Never these, whatever `allow` says.
    pub deny: Vec<String>,
}

#[cfg(feature = "lan")]
impl InterfacesConfig {
    /// The same as the local network takes it.
    #[must_use]
    pub fn rules(&self) -> hedgerow_lan::InterfaceRules {
        hedgerow_lan::InterfaceRules { allow: self.allow.clone(), deny: self.deny.clone() }
    }
}

/// Whom a node dials without having seen them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectConfig {
    /// Nodes that listen on a known address: `host:port`, `192.168.1.7:4040` or
    /// `[2001:db8::7]:4040`. Dialled until they answer, again whenever the link is lost.
    pub tcp_servers: Vec<String>,
}

/// Where a node can be dialled at an address of one's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// A fixed address for the `connect.tcp_servers` of others. It takes the place of
    /// `transports.lan.listen_ip` and `transports.lan.port`: a node has one TCP listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpListenConfig>,
}

/// A fixed TCP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpListenConfig {
    /// The address of the interface; `::` is every address, IPv4 included.
    #[serde(default = "unspecified")]
    pub interface_ip: IpAddr,
    /// The port, not 0: others must know it.
    pub port: u16,
}

fn unspecified() -> IpAddr {
    Ipv6Addr::UNSPECIFIED.into()
}

impl super::Config {
    /// Where the TCP listener of this node belongs: `listen.tcp` if given, else the address of
    /// `transports.lan`.
    #[must_use]
    pub fn tcp_listener(&self) -> (IpAddr, u16) {
        let lan = &self.transports.lan;
        let lan = TcpListenConfig { interface_ip: lan.listen_ip, port: lan.port };
        let chosen = self.listen.tcp.unwrap_or(lan);
        (chosen.interface_ip, chosen.port)
    }
}
