//! A node's one key, and how other keys are bound to it.

use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::hash::Domain;
use crate::crypto::sign;
use crate::entropy::{self, Entropy};
use crate::id::{Address, PeerKey};

/// A node's identity: an Ed25519 key pair, and the X25519 secret that follows from it.
#[derive(Clone)]
pub struct Identity {
    pair: sign::KeyPair,
    noise_secret: Zeroizing<[u8; 32]>,
    peer_key: PeerKey,
    /// Follows from the key by a hash; every packet shows it.
    address: Address,
}

/// Why a seed is not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this seed makes a public key with sign bit 1; generate another with `Identity::generate`")]
pub struct UnusableSeed;

impl Identity {
    /// Makes a new identity. Half of all seeds make a key that protocol 1.1 admits, so this
    /// takes two tries on average.
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        loop {
            if let Ok(identity) = Self::from_seed(&entropy::array(entropy)) {
                return identity;
            }
        }
    }

    /// The identity of a stored 32-byte seed (the secret key of RFC 8032).
    ///
    /// # Errors
    /// [`UnusableSeed`] when the public key has sign bit 1.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, UnusableSeed> {
        let pair = sign::KeyPair::from_seed(seed);
        let public = pair.public();
        // A clamped multiple of the base point is free of torsion and not the neutral element.
        if public[31] & 0x80 != 0 {
            return Err(UnusableSeed);
        }
        let peer_key = PeerKey::from_checked(public);
        let noise_secret = pair.x25519_secret();
        Ok(Self { pair, noise_secret, peer_key, address: peer_key.address() })
    }

    /// The public half.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        self.peer_key
    }

    /// The address of the public half, without computing it again.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The 32-byte seed, to store it. Whoever has it is this peer.
    #[must_use]
    pub fn to_seed(&self) -> Zeroizing<[u8; 32]> {
        self.pair.seed()
    }

    pub(crate) fn noise_secret(&self) -> &[u8; 32] {
        &self.noise_secret
    }

    pub(crate) fn sign(&self, domain: Domain, parts: &[&[u8]]) -> [u8; sign::SIGNATURE_BYTES] {
        self.pair.sign(domain, parts)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_key", &self.peer_key).finish_non_exhaustive()
    }
}

impl PeerKey {
    /// The X25519 key that this key converts to.
    pub(crate) fn noise_static(&self) -> [u8; 32] {
        sign::x25519_public(self.as_bytes()).expect("a PeerKey is a valid point")
    }

    pub(crate) fn verify(
        &self,
        domain: Domain,
        parts: &[&[u8]],
        signature: &[u8; sign::SIGNATURE_BYTES],
    ) -> bool {
        sign::verify(self.as_bytes(), domain, parts, signature)
    }
}

/// How a peer's Noise static key is bound to its peer key (protocol 1.1).
///
/// Its first byte on the wire is the binding byte. A keystore that signs but does not export
/// scalars brings a separate X25519 key and signs it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum StaticBinding {
    /// The static key is the peer key, converted. Binding byte 0.
    #[default]
    Converted,
    /// A separate X25519 key, signed by the peer key. Binding byte 1.
    Separate {
        /// The X25519 public key.
        key: [u8; 32],
        /// The peer key's signature over it, first half.
        signature_r: [u8; 32],
        /// The signature's second half.
        signature_s: [u8; 32],
    },
}

impl StaticBinding {
    /// The Noise static key of `peer`, if the binding holds.
    pub(crate) fn static_key(&self, peer: &PeerKey) -> Option<[u8; 32]> {
        match self {
            Self::Converted => Some(peer.noise_static()),
            Self::Separate { .. } => self.separate_key(peer),
        }
    }

    /// The key that is not the converted one, if there is one and the binding holds.
    pub(crate) fn separate_key(&self, peer: &PeerKey) -> Option<[u8; 32]> {
        match self {
            Self::Converted => None,
            Self::Separate { key, signature_r, signature_s } => {
                let mut signature = [0; sign::SIGNATURE_BYTES];
                let halves = signature_r.iter().chain(signature_s);
                signature.iter_mut().zip(halves).for_each(|(to, from)| *to = *from);
                peer.verify(Domain::BindingSignature, &[key], &signature).then_some(*key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;

    #[test]
    fn an_identity_survives_its_seed() {
        let identity = Identity::generate(&mut Seeded(5));
        let again = Identity::from_seed(&identity.to_seed()).unwrap();
        assert_eq!(identity.peer_key(), again.peer_key());
        assert_eq!(PeerKey::from_bytes(*again.peer_key().as_bytes()), Ok(again.peer_key()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let identity = Identity::generate(&mut Seeded(5));
        let text = alloc::format!("{identity:?}");
        assert!(!text.contains("seed") && text.contains("peer_key"), "{text}");
    }

    #[test]
    fn a_separate_static_key_counts_only_when_signed_by_its_peer() {
        let mut entropy = Seeded(6);
        let [mine, other] = [(); 2].map(|()| Identity::generate(&mut entropy));
        let key = [42; 32];
        let signature = mine.sign(Domain::BindingSignature, &[&key]);
        let binding = StaticBinding::Separate {
            key,
            signature_r: signature[..32].try_into().unwrap(),
            signature_s: signature[32..].try_into().unwrap(),
        };
        assert_eq!(binding.static_key(&mine.peer_key()), Some(key));
        assert_eq!(binding.static_key(&other.peer_key()), None);
        assert_eq!(StaticBinding::Converted.separate_key(&mine.peer_key()), None);
    }
}
