//! What the bare program does with the core.

use alloc::string::ToString;

use hedgerow_core::entropy::Entropy;
use hedgerow_core::id::{Address, PeerKey};
use hedgerow_core::identity::Identity;
use hedgerow_core::network::{Network, NetworkSecret};
use hedgerow_core::wire::beacon::Beacon;
use hedgerow_core::wire::routing::{DataKind, RoutingHeader};

/// A deterministic generator (splitmix64): this proof wants the same run each time.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.iter_mut().zip(z.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }
}

/// Drives the core; the error says what did not come out as it must.
pub(crate) fn drive() -> Result<(), &'static str> {
    let mut entropy = Seeded(1);
    let local = Identity::generate(&mut entropy);
    let remote = Identity::generate(&mut entropy);
    keys_have_a_text_form(&local, &remote)?;
    beacons_are_read_by_members_only(local.peer_key().address(), &mut entropy)?;
    routing_headers_come_back(local.peer_key().address(), remote.peer_key().address())
}

fn keys_have_a_text_form(local: &Identity, remote: &Identity) -> Result<(), &'static str> {
    check(local.peer_key() != remote.peer_key(), "two identities are one")?;
    let text = local.peer_key().to_string();
    check(text.len() == 45 && text.starts_with("pk"), "a peer key's text form is malformed")?;
    check(text.parse::<PeerKey>() == Ok(local.peer_key()), "a peer key's text does not parse")?;
    let stored = Identity::from_seed(&local.to_seed()).map_err(|_| "a seed is refused")?;
    check(stored.peer_key() == local.peer_key(), "a stored identity is another one")
}

fn beacons_are_read_by_members_only(
    address: Address,
    entropy: &mut Seeded,
) -> Result<(), &'static str> {
    let open = Network::open("bare").map_err(|_| "an open network is refused")?;
    let closed = |secret| {
        Network::closed("bare", &NetworkSecret::from_bytes([secret; 16]))
            .map_err(|_| "a closed network is refused")
    };
    let (ours, theirs) = (closed(1)?, closed(2)?);
    check(Network::open("").is_err(), "a network without a name is accepted")?;

    let beacon = Beacon::new(&open, address, entropy);
    check(beacon.address_in(&open) == Some(address), "an open beacon is not read")?;
    check(beacon.address_in(&ours).is_none(), "an open beacon is read in a closed network")?;
    let beacon = Beacon::new(&ours, address, entropy);
    check(beacon.address_in(&ours) == Some(address), "a closed beacon is not read by a member")?;
    check(beacon.address_in(&theirs).is_none(), "a closed beacon is read by a stranger")
}

fn routing_headers_come_back(source: Address, destination: Address) -> Result<(), &'static str> {
    let header = RoutingHeader {
        kind: DataKind::Packet,
        congested: true,
        key_phase: false,
        hop_limit: 7,
        lifetime_ms: 15_000,
        source,
        destination,
        session: 1,
        packet_low: 0xffff_fffe,
    };
    check(RoutingHeader::decode(&header.encode()) == header, "a routing header came back changed")
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}
