//! The local network as a Hedgerow transport: TCP links between hosts that find each other by
//! multicast DNS, that tell each other their addresses over another link, or that a person
//! configured.
//!
//! ```
//! use hedgerow_lan::{Lan, LanConfig};
//!
//! let lan = Lan::bind(LanConfig { listen: true, ..LanConfig::default() });
//! println!("listening on {:?}", lan.listen_addresses());
//! ```
//!
//! # What it does not do
//!
//! It does not encrypt, does not decide whom to dial and does not dial again: that is the
//! core's. It does not leave the local network except towards configured peers and addresses that
//! neighbours tell, and it does not open ports on a router.

#![forbid(unsafe_code)]

mod accept;
mod audience;
mod condition;
mod dial;
mod discovery;
mod endpoint;
mod hint;
mod interface;
mod link;
mod listen;
mod listeners;
mod responder;
mod run;
mod seen;
mod segment;
mod socket;
mod survey;
mod task;
mod teller;
mod told;
mod txt;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hedgerow_driver::{ConnectionType, Dialling, Driver, DriverFuture, Port, TransportProfile};

pub use audience::LanNews;
pub use interface::{InterfaceRules, Skip};
pub use run::LanService;
pub use survey::{InterfaceStatus, interfaces};

/// Links at once. The core tells a newcomer beyond it `AtCapacity`.
const LINKS_MAX: usize = 64;
/// Dials at once.
const DIALS_MAX: usize = 16;
/// On a local network an answer takes milliseconds; a lost SYN is repeated after 1 and 3 s.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What the driver is to do; by default nothing but dial when asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanConfig {
    /// Find others, and be found, by multicast DNS.
    pub mdns_enabled: bool,
    /// Tell neighbours, over links of whatever medium, where this node listens, and have what they
    /// tell dialled: where multicast DNS is filtered, they meet all the same. [`LanService`] does
    /// neither.
    pub exchange_addresses: bool,
    /// Where multicast DNS may be used, and the interfaces whose addresses are told.
    pub interfaces: InterfaceRules,
    /// Accept links.
    pub listen: bool,
    /// The port to listen on; 0 for any that is free.
    pub port: u16,
    /// The address to listen on; `None` for all of both families.
    pub listen_ip: Option<IpAddr>,
    /// Peers that are always worth a dial: `host:port` with a name, an IPv4 address or an IPv6
    /// address in brackets, `[fe80::1%eth0]:4040`.
    pub peers: Vec<String>,
}

/// The driver of the local network.
#[derive(Debug)]
pub struct Lan {
    config: LanConfig,
    bound: listen::Bound,
}

impl Lan {
    /// Binds the listeners. What could not be bound becomes the condition `ListenFailure` while
    /// the driver runs, and is tried again; dialling works all the same.
    #[must_use]
    pub fn bind(config: LanConfig) -> Self {
        let bound = if config.listen {
            listen::bind(config.listen_ip, config.port)
        } else {
            listen::Bound::default()
        };
        Self { config, bound }
    }

    /// Where it listens, with the real port: `0.0.0.0` and `::` where it listens everywhere.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        self.bound.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

impl Driver for Lan {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::AccessPoint,
            links_max: LINKS_MAX,
            dials_max: DIALS_MAX,
            dial_timeout: DIAL_TIMEOUT,
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        Box::pin(run::run(*self, port))
    }
}
