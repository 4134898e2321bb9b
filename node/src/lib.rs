//! Peers nearby find each other, form an encrypted mesh, and talk.
//!
//! - [`Mesh`]: a running node
//! - [`presence`]: who is there, and what they say about themselves
//! - [`bus`]: messages and streams
//! - [`diagnose`]: how well a peer is reached, and by which way
//! - [`notice`]: what goes wrong around a node, and what to do
//! - [`config`]: what a node is told
//! - [`home`]: where a node keeps its key
//! - [`cipher`]: what seals it all
//! - `lan`: the network interfaces, and which of them are used (feature `lan`)
//! - `ble`, `wifi_direct`: a look at a radio without a node (features `ble`, `wifi-direct`)
//! - [`driver`]: how to bring a transport of one's own
//! - [`memory`]: links inside one process, for tests and demonstrations
//!
//! Run this on two machines of one local network:
//!
//! ```no_run
//! use hedgerow::prelude::*;
//!
//! # async fn node() -> Result<(), Box<dyn std::error::Error>> {
//! let home = Home::open(None)?; // keeps this device's key
//! let mesh = Mesh::builder().name("anna").network("garden").home(home).start().await?;
//! let graph = mesh.presence().wait_for(|graph| !graph.remote_peers.is_empty()).await?;
//! let delivered = mesh.bus().send_reliable(graph.remote_peers[0].peer_key, "hello").await?;
//! println!("in the other's queue after {:?}", delivered.rtt);
//! mesh.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A node runs inside a tokio runtime. All handles are cheap, and every method that waits says
//! what happens when its future is dropped.
//!
//! Features, all on by default: `lan`, the local network; `ble`, Bluetooth LE; `wifi-direct`, Wi-Fi
//! Direct; `accelerated`, ciphers that use what the processor has.

#![forbid(unsafe_code)]

mod builder;
pub mod bus;
pub mod cipher;
pub mod config;
pub mod diagnose;
pub mod home;
mod links;
mod mesh;
pub mod notice;
pub mod presence;
mod runtime;

pub use builder::{MeshBuilder, StartError};
pub use bus::Bus;
pub use config::Config;
#[cfg(feature = "ble")]
pub use hedgerow_ble as ble;
pub use hedgerow_core::counters::Counters;
pub use hedgerow_core::entropy::Entropy;
pub use hedgerow_core::id::{Address, PeerKey};
pub use hedgerow_core::identity::Identity;
pub use hedgerow_core::network::{InvalidNetworkName, NetworkSecret};
pub use hedgerow_driver as driver;
#[cfg(feature = "lan")]
pub use hedgerow_lan as lan;
pub use hedgerow_memory as memory;
#[cfg(feature = "wifi-direct")]
pub use hedgerow_wifi_direct as wifi_direct;
pub use home::Home;
pub use links::{Link, LinkState, Refusal, Stranger, TransportStatus};
pub use mesh::{Mesh, MeshClosed};
pub use presence::{
    Change, Connection, ConnectionType, JsonObject, Peer, Presence, PresenceGraph, PresenceOs,
};

/// What most programs need: `use hedgerow::prelude::*`.
pub mod prelude {
    pub use crate::bus::{Bus, Lane, Message, Reliability, Stream};
    pub use crate::config::Config;
    pub use crate::home::Home;
    pub use crate::mesh::{Mesh, MeshClosed};
    pub use crate::presence::{
        Change, Connection, ConnectionType, JsonObject, Peer, Presence, PresenceGraph,
        PresenceObserver, PresenceOs,
    };
    pub use hedgerow_core::id::{Address, PeerKey};
}

/// The README's code is compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
