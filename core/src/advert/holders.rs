//! Who has an address: mostly one peer.

use alloc::vec::Vec;

use crate::id::PeerKey;

/// Who has an address; more than one peer makes it unroutable.
#[derive(Debug)]
pub(super) enum Holders {
    One(PeerKey),
    Several(Vec<PeerKey>),
}

impl Holders {
    pub(super) fn as_slice(&self) -> &[PeerKey] {
        match self {
            Self::One(one) => core::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    pub(super) fn from_vec(holders: Vec<PeerKey>) -> Option<Self> {
        match holders[..] {
            [] => None,
            [one] => Some(Self::One(one)),
            _ => Some(Self::Several(holders)),
        }
    }
}
