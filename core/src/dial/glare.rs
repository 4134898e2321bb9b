//! Two links to one peer over one transport: which stays.

use crate::id::{Instance, PeerKey};

/// A link that stands beside another one to the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The run of the peer that this link's handshake showed.
    pub instance: Instance,
    /// Whose key it was that dialled.
    pub dialler: PeerKey,
    /// The handshake hash: the same at both ends.
    pub hash: [u8; 32],
}

/// Whether the first of two links stays. Both ends come to the same answer.
///
/// To be asked only when both links belong to the same run of the peer and both have proven
/// themselves alive; a link of an older run goes at once, whatever this says.
#[must_use]
pub fn keeps_first(first: &Standing, second: &Standing) -> bool {
    // The lower key's dial stays; two dials of one side are told apart by the hash.
    (first.dialler, first.hash) <= (second.dialler, second.hash)
}
