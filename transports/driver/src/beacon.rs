//! Whose a beacon is, as far as a driver can see.

use hedgerow_core::id::PeerKey;
use hedgerow_core::io::{Beacon, BeaconIdentity};

/// Whether a beacon in a hint may be the neighbour's own: in an open network its address says so, in a
/// closed one only the core can tell.
#[must_use]
pub fn may_be_of(beacon: &Beacon, neighbour: &PeerKey) -> bool {
    match beacon.identity {
        BeaconIdentity::Open { address, .. } => address == neighbour.address(),
        BeaconIdentity::Closed { .. } => true,
    }
}
