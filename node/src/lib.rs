//! Peers nearby find each other, form an encrypted mesh, and talk.

#![forbid(unsafe_code)]

pub mod presence;

pub use presence::{
    Change, Connection, ConnectionType, JsonObject, Peer, PresenceGraph, PresenceOs,
};
