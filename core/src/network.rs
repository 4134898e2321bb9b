//! Who may meet: a network's name, and for closed networks its secret.

use alloc::string::String;
use core::fmt;

use zeroize::Zeroizing;

use crate::crypto::hash::{self, Domain};

/// The longest network name, in bytes of UTF-8: it must fit logs and DNS TXT records whole.
pub const NETWORK_NAME_BYTES_MAX: usize = 64;

/// The secret of a closed network: 128 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkSecret(Zeroizing<[u8; 16]>);

impl NetworkSecret {
    /// Takes 16 random bytes as a secret. They must come from a generator, never from a
    /// person's mind.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for NetworkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkSecret(redacted)")
    }
}

/// Why a network cannot have that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network name has 1 to {NETWORK_NAME_BYTES_MAX} bytes, this one has {bytes}")]
pub struct InvalidNetworkName {
    /// The length of the refused name.
    pub bytes: usize,
}

/// A network: nodes meet only inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    name: String,
    id: [u8; 16],
    psk: Option<Zeroizing<[u8; 32]>>,
}

impl Network {
    /// A network that everybody who knows its name may join.
    ///
    /// # Errors
    /// [`InvalidNetworkName`] for an empty or over-long name.
    pub fn open(name: &str) -> Result<Self, InvalidNetworkName> {
        if name.is_empty() || name.len() > NETWORK_NAME_BYTES_MAX {
            return Err(InvalidNetworkName { bytes: name.len() });
        }
        let id = hash::prefix(Domain::Network, &[name.as_bytes()]);
        Ok(Self { name: name.into(), id, psk: None })
    }

    /// A network that only those who have its secret may join; a stranger learns nothing.
    ///
    /// # Errors
    /// [`InvalidNetworkName`] for an empty or over-long name.
    pub fn closed(name: &str, secret: &NetworkSecret) -> Result<Self, InvalidNetworkName> {
        let mut network = Self::open(name)?;
        let psk = hash::digest(Domain::NetworkPsk, &[secret.0.as_slice(), name.as_bytes()]);
        network.psk = Some(Zeroizing::new(psk));
        Ok(network)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether everybody who knows the name may join.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.psk.is_none()
    }

    /// A hash of the name: bound into every handshake and advert signature.
    pub(crate) fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// What beacons of an open network show of it.
    pub(crate) fn tag(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.id;
        [a, b, c, d]
    }

    /// The pre-shared key of a closed network.
    pub(crate) fn psk(&self) -> Option<&[u8; 32]> {
        self.psk.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert!(Network::open("").is_err());
        assert!(Network::open(&"x".repeat(64)).is_ok());
        assert_eq!(Network::open(&"x".repeat(65)), Err(InvalidNetworkName { bytes: 65 }));
    }

    #[test]
    fn the_secret_and_the_name_make_the_key() {
        let secret = NetworkSecret::from_bytes([1; 16]);
        let a = Network::closed("a", &secret).unwrap();
        let b = Network::closed("b", &secret).unwrap();
        let c = Network::closed("a", &NetworkSecret::from_bytes([2; 16])).unwrap();
        assert_ne!(a.psk(), b.psk());
        assert_ne!(a.psk(), c.psk());
        assert_eq!(a.id(), c.id());
    }
}
