//! Peers nearby find each other, form an encrypted mesh, and talk.
//!
//! - [`presence`]: who is there, and what they say about themselves
//! - [`config`]: what a node is told
//! - [`home`]: where a node keeps its key
//! - [`driver`]: how to bring a transport of one's own

#![forbid(unsafe_code)]

pub mod config;
pub mod home;
pub mod presence;

pub use config::Config;
pub use hedgerow_core::id::{Address, PeerKey};
pub use hedgerow_driver as driver;
pub use home::Home;
pub use presence::{
    Change, Connection, ConnectionType, JsonObject, Peer, PresenceGraph, PresenceOs,
};

/// What most programs need: `use hedgerow::prelude::*`.
pub mod prelude {
    pub use crate::config::Config;
    pub use crate::home::Home;
    pub use crate::presence::{
        Change, Connection, ConnectionType, JsonObject, Peer, PresenceGraph, PresenceOs,
    };
    pub use hedgerow_core::id::{Address, PeerKey};
}
