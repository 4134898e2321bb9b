//! Keys, networks and randomness that are the same in every run.

use std::sync::{Arc, LazyLock};

use hedgerow_core::crypto::aead::AeadProvider;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::id::{BootEpoch, Instance, PeerKey};
use hedgerow_core::identity::Identity;
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;

/// A deterministic generator (splitmix64): the same input must give the same run.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.number().to_le_bytes();
            chunk.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        }
    }
}

/// How many there are.
pub const COUNT: usize = 6;

static IDENTITIES: LazyLock<[Identity; COUNT]> = LazyLock::new(|| {
    std::array::from_fn(|number| Identity::generate(&mut Seeded(1_000 + number as u64)))
});
static NETWORK: LazyLock<Network> =
    LazyLock::new(|| Network::open("fuzz").expect("a short name is a network's"));

/// One of them, whatever the number.
pub fn identity(number: usize) -> &'static Identity {
    &IDENTITIES[number % COUNT]
}

/// Its key.
pub fn key(number: usize) -> PeerKey {
    identity(number).peer_key()
}

/// Where they all are.
pub fn network() -> &'static Network {
    &NETWORK
}

/// One of them as a node in its nth run.
pub fn local(number: usize, epoch: BootEpoch, aead: Arc<dyn AeadProvider>) -> Local {
    let instance = number as u64 * 1_000 + epoch;
    Local {
        identity: identity(number).clone(),
        network: network().clone(),
        instance: Instance::from_bytes(instance.to_be_bytes()),
        epoch,
        aead,
        verifier: Arc::new(Strict),
    }
}
