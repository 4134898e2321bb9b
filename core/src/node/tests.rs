//! A few whole nodes on virtual wires.

mod adverts;
mod crowd;
mod departures;
mod dials;
mod distances;
mod doubt;
mod evil;
mod failover;
mod far;
mod hints;
mod hostile_adverts;
mod hostile_calls;
mod hostile_mesh;
mod hostile_ranges;
mod hostile_relays;
mod hostile_sybils;
mod idle;
mod limits;
mod messages;
mod metadata;
mod overflow;
mod profile;
mod redial;
mod rejoin;
mod removed;
mod slots;
mod traces;
mod world;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::bus::{BusEvent, Outcome, Reliability, StreamOpen};
use crate::crypto::aead::{Aead, AeadProvider, Portable};
use crate::crypto::verifier::Strict;
use crate::entropy::tests::Seeded;
use crate::id::{DialId, Instance};
use crate::identity::Identity;
use crate::io::{
    ConnectionType, DialFailure, Dialling, Endpoint, Hint, Lane, LinkEstimate, LinkLoss,
    LinkOrigin, LinkShape, LinkUp, Sighting,
};
use crate::limits::UNREACHABLE_GRACE;
use crate::link::{LinkEnd, LinkState, Source};
use crate::network::Network;
use crate::presence::{Change, Metadata};
use crate::wire::advert::Edge;
use evil::{EVIL, Evil};
use world::*;
