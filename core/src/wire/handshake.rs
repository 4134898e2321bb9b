//! The preamble and the payloads of a link's handshake (protocol 3).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{BootEpoch, Instance, PeerKey};
use crate::identity::StaticBinding;
use crate::limits::{VERSION_HIGHEST, VERSION_LOWEST};
use crate::network::Network;

/// Bytes of a preamble.
pub const PREAMBLE_BYTES: usize = 8;

const MAGIC: [u8; 4] = *b"HDGW";

/// The first bytes of every link, both ways, in clear. Frozen: no version changes it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+---------------+---------------+
/// |      'H'      |      'D'      |      'G'      |      'W'      |
/// +---------------+---------------+-+-------------+---------------+
/// |lowest version |highest version|C|      0      |       0       |
/// +---------------+---------------+-+-------------+---------------+
/// ```
///
/// C: the network is closed, the handshake is `XXpsk0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// The versions the sender speaks.
    pub versions: Versions,
    /// Whether the sender's network is closed.
    pub closed: bool,
}

/// A range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The lowest version spoken.
    pub lowest: u8,
    /// The highest version spoken.
    pub highest: u8,
}

impl Versions {
    /// What this build speaks.
    pub const OURS: Self = Self { lowest: VERSION_LOWEST, highest: VERSION_HIGHEST };

    /// The highest version that both speak.
    #[must_use]
    pub fn highest_common(self, other: Self) -> Option<u8> {
        let version = self.highest.min(other.highest);
        (version >= self.lowest.max(other.lowest)).then_some(version)
    }
}

impl Preamble {
    /// This build's preamble in `network`.
    #[must_use]
    pub fn ours(network: &Network) -> Self {
        Self { versions: Versions::OURS, closed: !network.is_open() }
    }

    /// The preamble's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PREAMBLE_BYTES] {
        let [a, b, c, d] = MAGIC;
        let closed = u8::from(self.closed) << 7;
        [a, b, c, d, self.versions.lowest, self.versions.highest, closed, 0]
    }

    /// The preamble that `bytes` are; `None` when something else speaks there.
    #[must_use]
    pub fn decode(bytes: &[u8; PREAMBLE_BYTES]) -> Option<Self> {
        let [a, b, c, d, lowest, highest, flags, _] = *bytes;
        ([a, b, c, d] == MAGIC)
            .then_some(Self { versions: Versions { lowest, highest }, closed: flags & 0x80 != 0 })
    }

    /// What the handshake's prologue binds: the initiator's preamble and the network.
    #[must_use]
    pub(crate) fn prologue(initiator: &[u8; PREAMBLE_BYTES], network: &Network) -> Vec<u8> {
        [initiator.as_slice(), network.id()].concat()
    }
}

/// What both ends tell each other inside the handshake: the payload of messages 2 and 3.
///
/// In postcard; a newer peer appends fields, which are ignored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkHello {
    /// Whose static key the handshake used.
    pub peer_key: PeerKey,
    /// How that key is bound to the peer key.
    pub binding: StaticBinding,
    /// This run of the sender.
    pub instance: Instance,
    /// The sender's boot epoch.
    pub epoch: BootEpoch,
    /// The range of the sender's preamble, authenticated.
    pub versions: Versions,
    /// What the sender accepts on this link.
    pub limits: LinkLimits,
    /// The sequence of the sender's newest profile in this epoch.
    pub profile_sequence: u64,
}

/// What one end of a link accepts. Each direction obeys the receiver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkLimits {
    /// The largest payload of a data frame, in bytes; at least 1,280.
    pub payload_bytes_max: u32,
    /// The largest control frame before sealing, in bytes; at least 1,280.
    pub control_bytes_max: u32,
    /// Fragments in flight on a packet-shaped link; 0 on a stream-shaped one.
    pub fragments_max: u16,
    /// Lanes; 4.
    pub lanes: u8,
}

impl LinkHello {
    /// The hello's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a hello of fixed fields always encodes")
    }

    /// The hello that `bytes` start with.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().map(|(hello, _)| hello)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::identity::Identity;

    #[test]
    fn preamble_golden_bytes() {
        let preamble = Preamble { versions: Versions { lowest: 1, highest: 3 }, closed: true };
        assert_eq!(&preamble.encode(), b"HDGW\x01\x03\x80\x00");
        assert_eq!(Preamble::decode(b"HDGW\x01\x03\x80\x00"), Some(preamble));
        assert_eq!(Preamble::decode(b"HTTP\x01\x03\x80\x00"), None);
    }

    #[test]
    fn versions_meet_at_the_highest_common_one() {
        let versions = |lowest, highest| Versions { lowest, highest };
        assert_eq!(versions(1, 3).highest_common(versions(2, 5)), Some(3));
        assert_eq!(versions(1, 3).highest_common(versions(4, 5)), None);
        assert_eq!(versions(4, 5).highest_common(versions(1, 3)), None);
    }

    #[test]
    fn hello_golden_bytes_both_ways_and_no_truncation() {
        let peer_key = Identity::generate(&mut Seeded(1)).peer_key();
        let separate =
            StaticBinding::Separate { key: [7; 32], signature_r: [8; 32], signature_s: [9; 32] };
        let separate_bytes = [[1].as_slice(), &[7; 32], &[8; 32], &[9; 32]].concat();
        let bindings = [(StaticBinding::Converted, alloc::vec![0]), (separate, separate_bytes)];
        for (binding, bound) in bindings {
            let hello = LinkHello {
                peer_key,
                binding,
                instance: Instance::from_bytes(*b"instance"),
                epoch: 300,
                versions: Versions { lowest: 1, highest: 200 },
                limits: LinkLimits {
                    payload_bytes_max: 65_536,
                    control_bytes_max: 1_280,
                    fragments_max: 256,
                    lanes: 4,
                },
                profile_sequence: 127,
            };
            let rest = b"instance\xac\x02\x01\xc8\x80\x80\x04\x80\x0a\x80\x02\x04\x7f";
            let golden = [peer_key.as_bytes().as_slice(), &bound, rest].concat();
            assert_eq!(hello.encode(), golden);
            assert_eq!(LinkHello::decode(&golden), Some(hello));
            for end in 0..golden.len() {
                assert_eq!(LinkHello::decode(&golden[..end]), None, "cut at {end}");
            }
            let mut unknown = golden;
            unknown[32] = 2;
            assert_eq!(LinkHello::decode(&unknown), None, "a binding of a newer version");
        }
    }

    #[test]
    fn a_hello_survives_fields_of_a_newer_version_and_no_truncation() {
        let hello = LinkHello {
            peer_key: Identity::generate(&mut Seeded(1)).peer_key(),
            binding: StaticBinding::Converted,
            instance: Instance::from_bytes([1; 8]),
            epoch: 3,
            versions: Versions::OURS,
            limits: LinkLimits {
                payload_bytes_max: 65_536,
                control_bytes_max: 1_280,
                fragments_max: 0,
                lanes: 4,
            },
            profile_sequence: 300,
        };
        let mut bytes = hello.encode();
        for end in 0..bytes.len() {
            assert_eq!(LinkHello::decode(&bytes[..end]), None);
        }
        bytes.extend_from_slice(b"a later field");
        assert_eq!(LinkHello::decode(&bytes), Some(hello));
    }
}
