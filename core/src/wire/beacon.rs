//! What a driver shows to strangers (protocol 2).

use alloc::string::String;
use core::fmt::Write as _;

use crate::crypto::hash::{self, Domain};
use crate::entropy::{self, Entropy};
use crate::id::Address;
use crate::limits::{VERSION_HIGHEST, VERSION_LOWEST};
use crate::network::Network;

/// The few bytes a driver shows: in mDNS TXT records, in BLE advertisements.
///
/// A beacon is unauthenticated: it may delay a dial, never prevent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The lowest protocol version the peer speaks.
    pub lowest: u8,
    /// The highest protocol version the peer speaks.
    pub highest: u8,
    /// Who it is, as far as a stranger may see.
    pub identity: BeaconIdentity,
}

/// What a beacon tells of network and peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeaconIdentity {
    /// An open network: both in clear.
    Open {
        /// The first 4 bytes of the network's id.
        tag: [u8; 4],
        /// The peer's address.
        address: Address,
    },
    /// A closed network: only members can read it, and it changes at each rotation.
    Closed {
        /// Random.
        nonce: [u8; 4],
        /// A keyed hash of the nonce: tells members that this is their network.
        tag: [u8; 4],
        /// The address, encrypted by a keyed hash of the nonce.
        sealed_address: [u8; 8],
    },
}

impl Beacon {
    /// The beacon of `address` in `network`; for a closed network, a fresh one at each call.
    #[must_use]
    pub fn new(network: &Network, address: Address, entropy: &mut dyn Entropy) -> Self {
        let identity = match network.psk() {
            None => BeaconIdentity::Open { tag: network.tag(), address },
            Some(psk) => {
                let nonce = entropy::array(entropy);
                BeaconIdentity::Closed {
                    nonce,
                    tag: keyed_tag(psk, nonce),
                    sealed_address: crypt_address(psk, nonce, *address.as_bytes()),
                }
            }
        };
        Self { lowest: VERSION_LOWEST, highest: VERSION_HIGHEST, identity }
    }

    /// The address this beacon shows to members of `network`; `None` if it is of another one.
    #[must_use]
    pub fn address_in(&self, network: &Network) -> Option<Address> {
        match (self.identity, network.psk()) {
            (BeaconIdentity::Open { tag, address }, None) => {
                (tag == network.tag()).then_some(address)
            }
            (BeaconIdentity::Closed { nonce, tag, sealed_address }, Some(psk)) => (tag
                == keyed_tag(psk, nonce))
            .then(|| Address::from_bytes(crypt_address(psk, nonce, sealed_address))),
            _ => None,
        }
    }

    /// A name for this beacon that tells no more than the beacon itself: 16 hex digits, of the
    /// address or of nonce and tag. Drivers that need an instance name use it.
    #[must_use]
    pub fn label(&self) -> String {
        let mut label = String::with_capacity(16);
        let bytes = match &self.identity {
            BeaconIdentity::Open { address, .. } => *address.as_bytes(),
            BeaconIdentity::Closed { nonce: [a, b, c, d], tag: [e, f, g, h], .. } => {
                [*a, *b, *c, *d, *e, *f, *g, *h]
            }
        };
        for byte in bytes {
            let _ = write!(label, "{byte:02x}");
        }
        label
    }
}

fn keyed_tag(psk: &[u8; 32], nonce: [u8; 4]) -> [u8; 4] {
    hash::prefix(Domain::Beacon, &[psk, b"tag", &nonce])
}

fn crypt_address(psk: &[u8; 32], nonce: [u8; 4], address: [u8; 8]) -> [u8; 8] {
    let mut mask: [u8; 8] = hash::prefix(Domain::Beacon, &[psk, b"address", &nonce]);
    mask.iter_mut().zip(address).for_each(|(mask, byte)| *mask ^= byte);
    mask
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::network::NetworkSecret;

    const ADDRESS: Address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);

    #[test]
    fn only_the_same_open_network_reads_it() {
        let beacon = Beacon::new(&Network::open("a").unwrap(), ADDRESS, &mut Seeded(1));
        assert_eq!(beacon.address_in(&Network::open("a").unwrap()), Some(ADDRESS));
        assert_eq!(beacon.address_in(&Network::open("b").unwrap()), None);
        assert_eq!(beacon.label(), "0102030405060708");
    }

    /// Computed by another implementation of BLAKE2s.
    #[test]
    fn golden_bytes() {
        struct Nonce;

        impl Entropy for Nonce {
            fn fill(&mut self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&[9, 8, 7, 6]);
            }
        }

        let open = Beacon::new(&Network::open("a").unwrap(), ADDRESS, &mut Nonce);
        let identity = BeaconIdentity::Open { tag: *b"\xdd\x47\xfe\xf1", address: ADDRESS };
        assert_eq!(open.identity, identity);
        let secret = NetworkSecret::from_bytes([1; 16]);
        let network = Network::closed("a", &secret).unwrap();
        let closed = Beacon::new(&network, ADDRESS, &mut Nonce);
        let identity = BeaconIdentity::Closed {
            nonce: [9, 8, 7, 6],
            tag: *b"\x94\x8a\xf8\x9f",
            sealed_address: *b"\x36\x5a\x69\x6c\x52\xac\x86\x82",
        };
        assert_eq!(closed.identity, identity);
        assert_eq!(Beacon { identity, ..closed }.address_in(&network), Some(ADDRESS));
    }

    #[test]
    fn a_closed_beacon_is_fresh_and_read_by_members_only() {
        let network = |byte| Network::closed("a", &NetworkSecret::from_bytes([byte; 16])).unwrap();
        let mut entropy = Seeded(1);
        let first = Beacon::new(&network(1), ADDRESS, &mut entropy);
        let second = Beacon::new(&network(1), ADDRESS, &mut entropy);
        assert_ne!(first, second);
        assert_ne!(first.label(), second.label());
        assert_eq!(first.address_in(&network(1)), Some(ADDRESS));
        assert_eq!(first.address_in(&network(2)), None);
        assert_eq!(first.address_in(&Network::open("a").unwrap()), None);
    }
}
