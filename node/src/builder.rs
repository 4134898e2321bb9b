//! How a node is made.

use std::net::SocketAddr;
use std::sync::Arc;

use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::id::Instance;
use hedgerow_core::identity::Identity;
use hedgerow_core::local::Local;
use hedgerow_core::network::{InvalidNetworkName, Network, NetworkSecret};
use hedgerow_driver::{ConnectionType, Disabled, Driver};

use crate::cipher::{self, AeadProvider};
use crate::config::{Config, ConfigError};
use crate::home::{Home, HomeError, load_network_secret};
use crate::mesh::Mesh;
use crate::presence::metadata::Metadata;
use crate::runtime::{self, Entropic};

/// Configures a node; see [`Mesh::builder`].
#[derive(Default)]
pub struct MeshBuilder {
    config: Config,
    secret: Option<NetworkSecret>,
    identity: Option<Identity>,
    home: Option<Home>,
    metadata: Metadata,
    drivers: Vec<Box<dyn Driver>>,
    ciphers: Option<Arc<dyn AeadProvider>>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network's name is empty or too long.
    #[error(transparent)]
    Network(#[from] InvalidNetworkName),
    /// The home folder or a secret file cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// More transports than there are numbers for.
    #[error("a node has at most {limit} transports, these are {found}; leave some out")]
    TooManyTransports {
        /// How many there may be.
        limit: usize,
        /// How many were given, with the local network.
        found: usize,
    },
    /// There is no tokio runtime to run the node in.
    #[error("a node runs inside a tokio runtime with time and io enabled; call start() from one")]
    NoRuntime,
}

impl std::fmt::Debug for MeshBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeshBuilder")
            .field("config", &self.config)
            .field("drivers", &self.drivers.len())
            .finish_non_exhaustive()
    }
}

/// Everything a runtime needs to begin.
pub(crate) struct Start {
    pub(crate) config: Config,
    pub(crate) local: Local,
    /// Nobody has kept the epoch of a key that came without a home.
    pub(crate) epoch_is_kept: bool,
    pub(crate) metadata: Metadata,
    pub(crate) drivers: Vec<Box<dyn Driver>>,
    pub(crate) listen_addresses: Vec<SocketAddr>,
    /// Keeps the home folder locked while the node runs.
    pub(crate) home: Option<Home>,
}

impl MeshBuilder {
    /// Replaces the whole configuration.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets the device name that others see; the default is the host name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.config.device_name = Some(name.to_owned());
        self
    }

    /// Sets the network; nodes meet only inside one.
    #[must_use]
    pub fn network(mut self, name: &str) -> Self {
        name.clone_into(&mut self.config.network.name);
        self
    }

    /// Closes the network: only nodes with the same secret get in.
    #[must_use]
    pub fn network_secret(mut self, secret: NetworkSecret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Takes key and boot epoch from a home folder, and keeps it locked while the node runs.
    /// Without one, and without [`MeshBuilder::identity`], the node has a fresh key in memory.
    #[must_use]
    pub fn home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// Sets the identity, over the home folder's.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the metadata the node starts with; [`crate::presence::metadata`] makes it.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Adds a transport beside those of the configuration.
    #[must_use]
    pub fn driver(mut self, driver: impl Driver) -> Self {
        self.drivers.push(Box::new(driver));
        self
    }

    /// Sets what seals links and sessions, over [`crate::cipher`]'s choice.
    ///
    /// ```
    /// use hedgerow::Mesh;
    /// use hedgerow::cipher::{Aead, AeadProvider, Portable};
    ///
    /// /// Where code of another language must stay out: pure Rust, and never AES.
    /// struct PureRust;
    ///
    /// impl AeadProvider for PureRust {
    ///     fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
    ///         Portable.chacha20_poly1305(key)
    ///     }
    /// }
    ///
    /// let builder = Mesh::builder().ciphers(PureRust);
    /// ```
    #[must_use]
    pub fn ciphers(mut self, provider: impl AeadProvider + 'static) -> Self {
        self.ciphers = Some(Arc::new(provider));
        self
    }

    /// Uses only the drivers that it is given: what the configuration would use is still shown, as
    /// disabled.
    #[must_use]
    pub fn own_drivers_only(mut self) -> Self {
        self.config.transports.lan.enabled = false;
        self.config.transports.ble.enabled = false;
        self.config.transports.wifi_direct.enabled = false;
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    /// [`StartError`]. A transport that cannot work is not one: it shows as that transport's
    /// condition, and the node runs without it.
    ///
    /// # Cancel safety
    /// Nothing runs until it returns.
    #[allow(clippy::unused_async, reason = "so that it can only be called inside a runtime")]
    pub async fn start(self) -> Result<Mesh, StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        let config = self.config.validated()?;
        let secret = match (self.secret, &config.network.secret_file) {
            (Some(secret), _) => Some(secret),
            (None, Some(file)) => Some(load_network_secret(file)?),
            (None, None) => None,
        };
        let network = match secret {
            None => Network::open(&config.network.name)?,
            Some(secret) => Network::closed(&config.network.name, &secret)?,
        };
        let mut home = self.home;
        let mut entropy = Entropic;
        let epoch = match &mut home {
            Some(home) => home.next_boot_epoch()?,
            None => 0,
        };
        let epoch_is_kept = home.is_some() || self.identity.is_none();
        let identity = self
            .identity
            .or_else(|| home.as_ref().map(|home| home.identity().clone()))
            .unwrap_or_else(|| Identity::generate(&mut entropy));
        let mut instance = [0; 8];
        hedgerow_core::entropy::Entropy::fill(&mut entropy, &mut instance);
        let local = Local {
            identity,
            network,
            instance: Instance::from_bytes(instance),
            epoch,
            aead: self.ciphers.unwrap_or_else(cipher::fastest),
            verifier: Arc::new(Strict),
        };
        let mut drivers = self.drivers;
        let listen_addresses = add_lan(&config, &mut drivers);
        add_ble(&config, &mut drivers);
        add_wifi_direct(&config, &mut drivers);
        let (limit, found) = (usize::from(u8::MAX), drivers.len());
        if found > limit {
            return Err(StartError::TooManyTransports { limit, found });
        }
        let metadata = self.metadata;
        let start =
            Start { config, local, epoch_is_kept, metadata, drivers, listen_addresses, home };
        Ok(runtime::start(start))
    }
}

#[cfg(feature = "lan")]
fn add_lan(config: &Config, drivers: &mut Vec<Box<dyn Driver>>) -> Vec<SocketAddr> {
    let lan = &config.transports.lan;
    if !lan.enabled {
        let how = "switched off: set transports.lan.enabled = true to use the local network";
        drivers.push(Box::new(Disabled::new(ConnectionType::AccessPoint, how)));
        return Vec::new();
    }
    let (ip, port) = config.tcp_listener();
    let driver = hedgerow_lan::Lan::bind(hedgerow_lan::LanConfig {
        mdns_enabled: lan.mdns_enabled,
        exchange_addresses: lan.exchange_addresses,
        interfaces: lan.interfaces.rules(),
        listen: true,
        port,
        // The unspecified address means every address of both families.
        listen_ip: (!ip.is_unspecified()).then_some(ip),
        peers: config.connect.tcp_servers.clone(),
    });
    let addresses = driver.listen_addresses();
    drivers.push(Box::new(driver));
    addresses
}

#[cfg(feature = "ble")]
fn add_ble(config: &Config, drivers: &mut Vec<Box<dyn Driver>>) {
    let ble = &config.transports.ble;
    if !ble.enabled {
        let how = "switched off: set transports.ble.enabled = true to use Bluetooth";
        drivers.push(Box::new(Disabled::new(ConnectionType::Bluetooth, how)));
        return;
    }
    drivers.push(Box::new(hedgerow_ble::Ble::new(ble.driver())));
}

#[cfg(feature = "wifi-direct")]
fn add_wifi_direct(config: &Config, drivers: &mut Vec<Box<dyn Driver>>) {
    let wifi_direct = &config.transports.wifi_direct;
    if !wifi_direct.enabled {
        let how = "switched off: set transports.wifi_direct.enabled = true to use Wi-Fi Direct";
        drivers.push(Box::new(Disabled::new(ConnectionType::P2PWiFi, how)));
        return;
    }
    drivers.push(Box::new(hedgerow_wifi_direct::WifiDirect::new(wifi_direct.driver())));
}

#[cfg(not(feature = "wifi-direct"))]
fn add_wifi_direct(_: &Config, _: &mut Vec<Box<dyn Driver>>) {}

#[cfg(not(feature = "ble"))]
fn add_ble(_: &Config, _: &mut Vec<Box<dyn Driver>>) {}

#[cfg(not(feature = "lan"))]
fn add_lan(_: &Config, _: &mut Vec<Box<dyn Driver>>) -> Vec<SocketAddr> {
    Vec::new()
}
