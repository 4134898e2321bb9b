//! Signed adverts (protocol 5).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::connection_type::ConnectionType;
use super::handshake::Versions;
use crate::crypto::cipher::Ciphers;
use crate::crypto::hash::{self, Domain};
use crate::crypto::sign::SIGNATURE_BYTES;
use crate::crypto::verifier::Verifier;
use crate::id::{Address, BootEpoch, Instance, PeerKey};
use crate::identity::{Identity, StaticBinding};
use crate::limits::{ADVERT_BYTES_MAX, PROFILE_BYTES_MAX};
use crate::network::Network;

/// What an advert is about. A kind that this build does not know is verified and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum AdvertKind {
    /// 1: who the owner is.
    Profile,
    /// 2: the owner's links.
    Adjacency,
    /// A kind this build does not know.
    Unknown(u8),
}

/// By number: stamps are ordered the same way by all.
impl Ord for AdvertKind {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        u8::from(*self).cmp(&u8::from(*other))
    }
}

impl PartialOrd for AdvertKind {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl From<u8> for AdvertKind {
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::Profile,
            2 => Self::Adjacency,
            other => Self::Unknown(other),
        }
    }
}

impl From<AdvertKind> for u8 {
    fn from(kind: AdvertKind) -> Self {
        match kind {
            AdvertKind::Profile => 1,
            AdvertKind::Adjacency => 2,
            AdvertKind::Unknown(byte) => byte,
        }
    }
}

/// What every advert starts with, in postcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertHead {
    /// The owner's peer key; not yet checked to be a valid one.
    pub owner: [u8; 32],
    /// What the advert is about.
    pub kind: AdvertKind,
    /// Which one of several of this kind; 0 where there is one.
    pub key: u64,
    /// The run of the owner that signed it.
    pub instance: Instance,
    /// The owner's boot epoch.
    pub epoch: BootEpoch,
    /// Counts up within the epoch.
    pub sequence: u64,
}

/// An advert: head, body and signature, passed on byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedAdvert {
    /// The head.
    pub head: AdvertHead,
    /// The whole advert as it travels: head, body, 64 bytes of signature.
    pub bytes: Bytes,
    /// The body.
    pub body: Bytes,
    /// The hash of `bytes`: settles a tie of epoch and sequence.
    pub hash: [u8; 32],
}

impl SignedAdvert {
    /// Signs an advert for `network`.
    ///
    /// # Panics
    /// When `body` is larger than an advert may be: its maker bounds it.
    #[must_use]
    pub fn sign(identity: &Identity, network: &Network, head: AdvertHead, body: &[u8]) -> Self {
        let mut bytes = postcard::to_allocvec(&head).expect("a head of fixed fields encodes");
        let head_bytes = bytes.len();
        bytes.extend_from_slice(body);
        let parts = [network.id().as_slice(), &bytes];
        let signature = identity.sign(Domain::AdvertSignature, &parts);
        bytes.extend_from_slice(&signature);
        assert!(bytes.len() <= ADVERT_BYTES_MAX, "an advert's body is bounded by its maker");
        let bytes = Bytes::from(bytes);
        let body = bytes.slice(head_bytes..head_bytes + body.len());
        let hash = hash::digest(Domain::AdvertBytes, &[&bytes]);
        Self { head, bytes, body, hash }
    }

    /// Reads an advert. Its signature is not checked: call [`SignedAdvert::verify`] once the
    /// cheap questions (newer? known?) are answered.
    #[must_use]
    pub fn decode(bytes: Bytes) -> Option<Self> {
        if bytes.len() > ADVERT_BYTES_MAX {
            return None;
        }
        let (head, body) = Self::parts(&bytes)?;
        let signed = bytes.len().checked_sub(SIGNATURE_BYTES)?;
        let body = bytes.slice(signed.checked_sub(body.len())?..signed);
        let hash = hash::digest(Domain::AdvertBytes, &[&bytes]);
        Some(Self { head, bytes, body, hash })
    }

    fn parts(bytes: &[u8]) -> Option<(AdvertHead, &[u8])> {
        let signed = bytes.get(..bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        postcard::take_from_bytes::<AdvertHead>(signed).ok()
    }

    /// The body of an advert that was read before.
    pub(crate) fn body_of(bytes: &[u8]) -> Option<&[u8]> {
        Self::parts(bytes).map(|(_, body)| body)
    }

    /// Whether the owner signed this advert for `network`; gives the owner's checked key.
    #[must_use]
    pub fn verify(&self, verifier: &dyn Verifier, network: &Network) -> Option<PeerKey> {
        let owner = verifier.admits(&self.head.owner).then_some(self.head.owner)?;
        let owner = PeerKey::from_checked(owner);
        self.is_of(verifier, &owner, network).then_some(owner)
    }

    /// Whether `owner`, whose key was checked before, is the owner and signed this advert for
    /// `network`.
    #[must_use]
    pub fn is_of(&self, verifier: &dyn Verifier, owner: &PeerKey, network: &Network) -> bool {
        let Some((signed, signature)) = self.bytes.split_last_chunk::<SIGNATURE_BYTES>() else {
            return false;
        };
        let parts = [network.id().as_slice(), signed];
        let message = hash::digest(Domain::AdvertSignature, &parts);
        self.head.owner == *owner.as_bytes()
            && verifier.verify(owner.as_bytes(), &message, signature)
    }

    /// What orders two versions of one advert: epoch, then sequence, then the larger hash.
    #[must_use]
    pub fn version(&self) -> (BootEpoch, u64, u32) {
        (self.head.epoch, self.head.sequence, self.short_hash())
    }

    /// The first four bytes of the hash, as stamps carry it.
    #[must_use]
    pub fn short_hash(&self) -> u32 {
        let [a, b, c, d, ..] = self.hash;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The hash of a metadata body.
pub type BodyHash = [u8; 32];

/// The body of a profile advert: at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// How the owner's Noise static key is bound to its peer key.
    pub binding: StaticBinding,
    /// The protocol versions the owner speaks.
    pub versions: Versions,
    /// Bit set of what the owner can do; see [`Abilities`].
    pub abilities: Abilities,
    /// Its device name.
    pub device_name: String,
    /// Its operating system, as a code that the host gives meaning to.
    pub os: u8,
    /// The version of its software.
    pub sdk_version: String,
    /// The hash of its metadata body.
    pub metadata_hash: BodyHash,
    /// The length of its metadata body, in bytes; 0 for none.
    pub metadata_bytes: u32,
}

/// A bit set of what a peer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Abilities(pub u32);

impl Abilities {
    /// Sessions sealed with ChaCha20-Poly1305. Every peer can.
    pub const CHACHA20_POLY1305: u32 = 1;
    /// Sessions sealed with AES-256-GCM. It tells; the session's handshake decides.
    pub const AES_256_GCM: u32 = 1 << 1;
    /// A bridge out of the mesh.
    pub const GATEWAY: u32 = 1 << 8;

    /// The same with these ciphers and no others: their bits are those of the handshake.
    pub(crate) const fn with_ciphers(self, ciphers: Ciphers) -> Self {
        let all = Self::CHACHA20_POLY1305 | Self::AES_256_GCM;
        Self(self.0 & !all | ciphers.bits() as u32)
    }

    /// Whether all bits of `abilities` are set.
    #[must_use]
    pub const fn has(self, abilities: u32) -> bool {
        self.0 & abilities == abilities
    }
}

/// The body of an adjacency advert.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Adjacency {
    /// The owner's links.
    pub edges: Vec<Edge>,
}

/// One link of an adjacency's owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    /// The other end.
    pub peer: Address,
    /// The medium.
    pub kind: ConnectionType,
    /// What it costs, log-quantised; see [`Cost`].
    pub cost: Cost,
    /// The largest payload it carries is 2 to this power, in bytes, at least 1,280.
    pub payload_log2: u8,
}

/// The cost of a link, quantised to an eighth of an octave so that small changes stay silent.
///
/// In microseconds for 1,280 bytes: the delay and the time the bytes take. A byte `c` stands
/// for `(8 + (c & 7)) << (c >> 3)`, divided by 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cost(pub u8);

impl Cost {
    /// The smallest cost of at least `microseconds`.
    #[must_use]
    pub fn from_microseconds(microseconds: u64) -> Self {
        let codes = 0..=u8::MAX;
        Self(codes.into_iter().find(|&c| Self(c).value() >= microseconds).unwrap_or(u8::MAX))
    }

    /// The cost as a number to add up, in microseconds.
    #[must_use]
    pub const fn value(self) -> u64 {
        ((8 + (self.0 & 7)) as u64) << (self.0 >> 3) >> 3
    }
}

impl Profile {
    /// The body's bytes, at most 512; the device name must be within its limit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes = postcard::to_allocvec(self).expect("a profile encodes");
        debug_assert!(bytes.len() <= PROFILE_BYTES_MAX);
        bytes
    }

    /// The profile that an advert's body is.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        if body.len() > PROFILE_BYTES_MAX {
            return None;
        }
        postcard::take_from_bytes(body).ok().map(|(profile, _)| profile)
    }
}

impl Adjacency {
    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("an adjacency encodes")
    }

    /// The adjacency that an advert's body is.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(body).ok().map(|(adjacency, _)| adjacency)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::crypto::aead::Portable;
    use crate::crypto::verifier::Strict;
    use crate::entropy::tests::Seeded;

    fn head(identity: &Identity) -> AdvertHead {
        AdvertHead {
            owner: *identity.peer_key().as_bytes(),
            kind: AdvertKind::Adjacency,
            key: 0,
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            sequence: 2,
        }
    }

    #[test]
    fn an_advert_is_signed_for_one_network() {
        let identity = Identity::generate(&mut Seeded(1));
        let (a, b) = (Network::open("a").unwrap(), Network::open("b").unwrap());
        let advert = SignedAdvert::sign(&identity, &a, head(&identity), b"body");
        let again = SignedAdvert::decode(advert.bytes.clone()).unwrap();
        assert_eq!(again, advert);
        assert_eq!(again.body, b"body".as_slice());
        assert_eq!(again.verify(&Strict, &a), Some(identity.peer_key()));
        assert_eq!(again.verify(&Strict, &b), None);
    }

    #[test]
    fn an_advert_is_of_nobody_but_its_owner() {
        let [owner, other] = [1, 2].map(|seed| Identity::generate(&mut Seeded(seed)));
        let network = Network::open("a").unwrap();
        let stolen = SignedAdvert::sign(&other, &network, head(&owner), b"body");
        let own = SignedAdvert::sign(&owner, &network, head(&owner), b"body");
        assert!(own.is_of(&Strict, &owner.peer_key(), &network));
        assert!(!own.is_of(&Strict, &other.peer_key(), &network));
        assert!(!stolen.is_of(&Strict, &owner.peer_key(), &network), "signed by another");
        assert!(!stolen.is_of(&Strict, &other.peer_key(), &network), "signed for another");
    }

    #[test]
    fn head_golden_bytes_both_ways_and_no_truncation() {
        let identity = Identity::generate(&mut Seeded(1));
        let network = Network::open("a").unwrap();
        let head = AdvertHead {
            kind: AdvertKind::Unknown(200),
            key: 300,
            instance: Instance::from_bytes(*b"instance"),
            epoch: 127,
            sequence: u64::MAX,
            ..head(&identity)
        };
        let rest = b"\xc8\xac\x02instance\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        let golden = [identity.peer_key().as_bytes().as_slice(), rest].concat();
        let advert = SignedAdvert::sign(&identity, &network, head, b"body");
        assert_eq!(advert.bytes[..golden.len()], golden);
        assert_eq!(advert.bytes.len(), golden.len() + 4 + SIGNATURE_BYTES);
        assert_eq!(SignedAdvert::decode(advert.bytes).map(|advert| advert.head), Some(head));
        for end in 0..golden.len() {
            // Cut inside the head, with all of a signature behind it.
            let cut = [&golden[..end], &[0xff; SIGNATURE_BYTES]].concat();
            assert_eq!(SignedAdvert::decode(cut.into()), None, "cut at {end}");
        }
    }

    #[test]
    fn profile_golden_bytes_both_ways_and_no_truncation() {
        let profile = Profile {
            binding: StaticBinding::Converted,
            versions: Versions { lowest: 1, highest: 2 },
            abilities: Abilities(Abilities::CHACHA20_POLY1305 | Abilities::GATEWAY),
            device_name: "näme".into(),
            os: 200,
            sdk_version: "1.0".into(),
            metadata_hash: [4; 32],
            metadata_bytes: 131_072,
        };
        let start = b"\x00\x01\x02\x81\x02\x05n\xc3\xa4me\xc8\x031.0";
        let mut golden = [start.as_slice(), &[4; 32], b"\x80\x80\x08"].concat();
        assert_eq!(profile.encode(), golden);
        for end in 0..golden.len() {
            assert_eq!(Profile::decode(&golden[..end]), None, "cut at {end}");
        }
        golden.extend_from_slice(b"a later field");
        assert_eq!(Profile::decode(&golden), Some(profile));
        golden.resize(PROFILE_BYTES_MAX + 1, 0);
        assert_eq!(Profile::decode(&golden), None, "over its limit");
    }

    #[test]
    fn adjacency_golden_bytes_both_ways_and_no_truncation() {
        let edge = |kind, cost, payload_log2| Edge {
            peer: Address::from_bytes(*b"ADDRESS_"),
            kind,
            cost: Cost(cost),
            payload_log2,
        };
        let edges = alloc::vec![
            edge(ConnectionType::Bluetooth, 130, 10),
            edge(ConnectionType::other("wire"), 9, 16),
        ];
        let golden = b"\x02ADDRESS_\x01\x00\x82\x0aADDRESS_\x05\x04wire\x09\x10";
        let adjacency = Adjacency { edges };
        assert_eq!(adjacency.encode(), golden);
        assert_eq!(Adjacency::decode(golden), Some(adjacency));
        for end in 0..golden.len() {
            assert_eq!(Adjacency::decode(&golden[..end]), None, "cut at {end}");
        }
        let claim = b"\xff\xff\xff\xff\x0f";
        assert_eq!(Adjacency::decode(claim), None, "a claimed number allocates nothing");
    }

    #[test]
    fn cost_golden_values() {
        for (code, microseconds) in [(0, 1), (7, 1), (8, 2), (12, 3), (90, 2_560), (130, 81_920)] {
            assert_eq!(Cost(code).value(), microseconds, "code {code}");
        }
    }

    #[test]
    fn an_altered_or_cut_advert_does_not_verify() {
        let identity = Identity::generate(&mut Seeded(1));
        let network = Network::open("a").unwrap();
        let advert = SignedAdvert::sign(&identity, &network, head(&identity), b"body");
        for at in 0..advert.bytes.len() {
            let mut bytes = advert.bytes.to_vec();
            bytes[at] ^= 1;
            let verified =
                SignedAdvert::decode(bytes.into()).and_then(|a| a.verify(&Strict, &network));
            assert_eq!(verified, None, "byte {at}");
            let cut = SignedAdvert::decode(advert.bytes.slice(..at));
            assert_eq!(cut.and_then(|a| a.verify(&Strict, &network)), None, "cut at {at}");
        }
    }

    #[test]
    fn cost_is_monotonic_and_fine_enough() {
        for code in 0..=254 {
            assert!(Cost(code).value() <= Cost(code + 1).value());
        }
        for microseconds in [1, 13, 213, 94_000, 10_000_000] {
            let value = Cost::from_microseconds(microseconds).value();
            assert!(value >= microseconds && value <= microseconds + microseconds / 8 + 1);
        }
    }

    #[test]
    fn a_full_profile_fits_its_limit() {
        let profile = Profile {
            binding: StaticBinding::Separate {
                key: [1; 32],
                signature_r: [2; 32],
                signature_s: [3; 32],
            },
            versions: Versions::OURS,
            abilities: Abilities(u32::MAX),
            device_name: "n".repeat(crate::limits::DEVICE_NAME_BYTES_MAX),
            os: 255,
            sdk_version: "v".repeat(32),
            metadata_hash: [4; 32],
            metadata_bytes: 131_072,
        };
        assert_eq!(Profile::decode(&profile.encode()), Some(profile));
    }

    #[test]
    fn a_host_does_not_claim_a_cipher_that_its_provider_lacks() {
        let gateway = Abilities(Abilities::GATEWAY | Abilities::AES_256_GCM);
        let told = gateway.with_ciphers(Ciphers::of(&Portable));
        assert_eq!(told.0, Abilities::GATEWAY | Abilities::CHACHA20_POLY1305);
    }

    #[test]
    fn an_edge_costs_about_twelve_bytes() {
        let edge = Edge {
            peer: Address::from_bytes([1; 8]),
            kind: ConnectionType::AccessPoint,
            cost: Cost(90),
            payload_log2: 16,
        };
        let bytes = Adjacency { edges: alloc::vec![edge; 4] }.encode();
        assert_eq!(bytes.len(), 1 + 4 * 12);
    }
}
