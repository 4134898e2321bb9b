//! What a node is told: one [`Config`], read from TOML or JSON, or made in code.
//!
//! ```
//! use hedgerow::config::Config;
//!
//! let config = Config::from_toml_str(
//!     r#"
//!     device_name = "kitchen"
//!     connect.tcp_servers = ["192.168.1.7:4040"]
//!
//!     [network]
//!     name = "home"
//!     "#,
//! )?;
//! assert_eq!(config.validate(), []);
//! # Ok::<(), hedgerow::config::ConfigError>(())
//! ```
//!
//! What stands in no file has its default, and `Config::default()` is what an empty file gives.
//! A key that does not exist is an error, never ignored.

mod bus;
mod environment;
mod error;
mod load;
mod network;
mod presence;
mod transports;
mod validate;

use hedgerow_core::limits::DEVICE_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

pub use bus::{BusConfig, WhenFull};
pub use environment::Environment;
pub use error::{ConfigError, Place, Problem, Problems};
pub use network::NetworkConfig;
pub use presence::PresenceConfig;
pub use transports::{
    BleConfig, ConnectConfig, InterfacesConfig, LanConfig, ListenConfig, PowerConfig,
    TcpListenConfig, TransportsConfig, UpgradesConfig, WifiDirectConfig,
};

/// Everything a node can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What this node calls itself; the host's name if it is not given. Need not be unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// Whom it may meet.
    pub network: NetworkConfig,
    /// The ways to reach others.
    pub transports: TransportsConfig,
    /// Whom it dials without having seen them.
    pub connect: ConnectConfig,
    /// Where it can be dialled at an address of one's choice.
    pub listen: ListenConfig,
    /// The presence graph.
    pub presence: PresenceConfig,
    /// Messages and streams.
    pub bus: BusConfig,
}

impl Config {
    /// The name that this node shows: the one given, or else the host's. Cut at 63 bytes,
    /// between characters.
    #[must_use]
    pub fn effective_device_name(&self) -> String {
        let host = || gethostname::gethostname().to_string_lossy().into_owned();
        let mut name = self.device_name.clone().unwrap_or_else(host);
        let fits = (0..=DEVICE_NAME_BYTES_MAX.min(name.len())).rev();
        let end = fits.into_iter().find(|&at| name.is_char_boundary(at));
        name.truncate(end.unwrap_or(0));
        name
    }
}

#[cfg(test)]
mod tests;
