//! What a node is to itself.

use alloc::sync::Arc;
use core::fmt;

use crate::crypto::aead::AeadProvider;
use crate::crypto::verifier::Verifier;
use crate::id::{Address, BootEpoch, Instance, PeerKey};
use crate::identity::Identity;
use crate::network::Network;

/// This node: who it is, in which network, in which run. Never changes while it runs.
#[derive(Clone)]
pub struct Local {
    /// Its key.
    pub identity: Identity,
    /// Where it meets others.
    pub network: Network,
    /// This run.
    pub instance: Instance,
    /// The boot epoch of this run, persisted before it is used here.
    pub epoch: BootEpoch,
    /// The ciphers.
    pub aead: Arc<dyn AeadProvider>,
    /// The checks of adverts' signatures.
    pub verifier: Arc<dyn Verifier>,
}

impl Local {
    /// This node's peer key.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        self.identity.peer_key()
    }

    /// This node's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.identity.address()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("peer_key", &self.peer_key())
            .field("network", &self.network.name())
            .field("instance", &self.instance)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
