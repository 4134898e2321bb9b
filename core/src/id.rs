//! Names of things: peers, nodes' incarnations, links.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::crypto::hash;

/// A peer's Ed25519 public key, its one identity.
///
/// Only keys that are canonical, free of torsion and have sign bit 0 exist as `PeerKey`
/// (protocol 1.1): such a key converts to exactly one X25519 key, so no second signature is
/// needed to bind the Noise static key. Text form: `pk` and URL-safe base64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey([u8; 32]);

/// Why bytes or text are not a peer key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPeerKey {
    /// The text does not start with `pk`, or the rest is not 43 characters of URL-safe base64.
    #[error("a peer key is `pk` and 43 characters of URL-safe base64")]
    Text,
    /// The bytes are not a valid peer key: not canonical, with torsion, or with sign bit 1.
    #[error("not a valid peer key: it must be canonical, free of torsion, with sign bit 0")]
    Point,
}

impl PeerKey {
    /// Checks `bytes` and takes them as a peer key. Costs one scalar multiplication.
    ///
    /// # Errors
    /// [`InvalidPeerKey::Point`] for a key that protocol 1.1 refuses.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, InvalidPeerKey> {
        if crate::crypto::sign::is_valid_public(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(InvalidPeerKey::Point)
        }
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 8-byte routing address of this peer.
    #[must_use]
    pub fn address(&self) -> Address {
        Address(hash::prefix(hash::Domain::Address, &[&self.0]))
    }

    pub(crate) const fn from_checked(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(45);
        text.push_str("pk");
        for chunk in self.0.chunks(3) {
            let mut group = [0; 3];
            for (to, from) in group.iter_mut().zip(chunk) {
                *to = *from;
            }
            let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
            for at in 0..=chunk.len() {
                let index = (bits >> (18 - 6 * at)) & 63;
                text.push(char::from(BASE64[index as usize]));
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PeerKey {
    type Err = InvalidPeerKey;

    fn from_str(text: &str) -> Result<Self, InvalidPeerKey> {
        let digits = text.strip_prefix("pk").ok_or(InvalidPeerKey::Text)?;
        if digits.len() != 43 {
            return Err(InvalidPeerKey::Text);
        }
        let mut bytes = [0; 32];
        let (mut bits, mut count, mut at) = (0_u32, 0, 0);
        for digit in digits.bytes() {
            let value = BASE64.iter().position(|&b| b == digit).ok_or(InvalidPeerKey::Text)?;
            bits = (bits << 6) | u32::try_from(value).unwrap_or(0);
            count += 6;
            if count >= 8 {
                count -= 8;
                let byte = bytes.get_mut(at).ok_or(InvalidPeerKey::Text)?;
                *byte = (bits >> count).to_le_bytes()[0];
                bits &= (1 << count) - 1;
                at += 1;
            }
        }
        if bits != 0 {
            return Err(InvalidPeerKey::Text);
        }
        Self::from_bytes(bytes)
    }
}

impl Serialize for PeerKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PeerKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(<[u8; 32]>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The 8 bytes that routing headers carry for a peer: a hash of its key.
///
/// Anybody can make two keys with one address for 2^32 work, so tables are keyed by
/// [`PeerKey`]; two peers that collide are both unroutable and reported (protocol 1.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address([u8; 8]);

impl Address {
    /// An address from its 8 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One run of a node: 8 random bytes made at each start (protocol 1.3).
///
/// Tells a restarted node from a node that is still there, and a second node with the same key
/// from both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance([u8; 8]);

impl Instance {
    /// An instance from its 8 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {:016x}", u64::from_be_bytes(self.0))
    }
}

/// Counts the starts of a node; persisted before it is used (protocol 1.3).
pub type BootEpoch = u64;

/// The number the host gives to one of its transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub u8);

/// One link, up or coming up, of one node: the transport and a number the driver chose.
///
/// A driver never uses a number twice in one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The transport the link runs over.
    pub transport: TransportId,
    /// The driver's number of the link.
    pub number: u64,
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}.{}", self.transport.0, self.number)
    }
}

/// One attempt to dial, numbered by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::identity::Identity;

    #[test]
    fn text_form_goes_both_ways() {
        let key = Identity::generate(&mut Seeded(3)).peer_key();
        let text = key.to_string();
        assert_eq!(text.len(), 45);
        assert_eq!(text.parse(), Ok(key));
        assert_eq!(text[..44].parse::<PeerKey>(), Err(InvalidPeerKey::Text));
        assert_eq!(text.replace("pk", "PK").parse::<PeerKey>(), Err(InvalidPeerKey::Text));
    }

    #[test]
    fn text_form_is_plain_base64() {
        // RFC 4648 section 5 of 32 bytes 0xfb: "-_v7" repeated.
        let text = PeerKey::from_checked([0xfb; 32]).to_string();
        assert!(text.starts_with("pk-_v7-_v7"), "{text}");
    }

    #[test]
    fn address_prints_as_sixteen_hex_digits() {
        let address = Address::from_bytes([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(address.to_string(), "00010203fcfdfeff");
    }
}
