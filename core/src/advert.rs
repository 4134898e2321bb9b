//! Signed statements of peers about themselves, replicated by state (protocol 5 and 6).
//!
//! [`Database`] holds the newest version of each advert and says what an offered copy means.
//! [`Sync`] is what one neighbour has not seen yet. [`Own`] signs this node's adverts.

mod budget;
mod census;
mod database;
mod floors;
mod holders;
mod own;
mod peer;
mod ranges;
mod sync;
mod verifications;

pub use database::{Age, Changed, Database, Offer, Refusal, Taken};
pub use own::{Heard, Own};
pub use ranges::RangeKey;
pub use sync::{Carrier, Sync, SyncFigures};

use crate::id::PeerKey;
use crate::wire::advert::AdvertKind;

/// Which advert: whose, of what kind, and which of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdvertId {
    /// The owner.
    pub owner: PeerKey,
    /// The kind.
    pub kind: AdvertKind,
    /// Which one of several of that kind.
    pub key: u64,
}
