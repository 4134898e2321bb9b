//! What a known peer takes in memory, counted at the allocator.

// An allocator that counts is unsafe by its trait.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hedgerow_core::advert::{Database, Offer};
use hedgerow_core::crypto::verifier::Verifier;
use hedgerow_core::id::{Address, Instance};
use hedgerow_core::identity::{Identity, StaticBinding};
use hedgerow_core::io::ConnectionType;
use hedgerow_core::network::Network;
use hedgerow_core::time::Instant;
use hedgerow_core::wire::advert::{
    Abilities, Adjacency, AdvertHead, AdvertKind, Cost, Edge, Profile,
};
use hedgerow_core::wire::control::AdvertCopy;
use hedgerow_core::wire::handshake::Versions;

struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

/// What an allocator takes beside what it was asked for: glibc's head and rounding.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(taken(layout), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(taken(layout), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes every key and signature: what is measured is what is kept.
struct Credulous;

impl Verifier for Credulous {
    fn admits(&self, _: &[u8; 32]) -> bool {
        true
    }

    fn verify(&self, _: &[u8; 32], _: &[u8; 32], _: &[u8; 64]) -> bool {
        true
    }
}

/// The usual profile and an adjacency of four edges.
fn bodies() -> [(AdvertKind, Vec<u8>); 2] {
    let profile = Profile {
        binding: StaticBinding::Converted,
        versions: Versions::OURS,
        abilities: Abilities(1),
        device_name: "a telephone".into(),
        os: 2,
        sdk_version: "1.0.0".into(),
        metadata_hash: [7; 32],
        metadata_bytes: 100,
    };
    let edge = |peer| Edge {
        peer: Address::from_bytes([peer; 8]),
        kind: ConnectionType::Bluetooth,
        cost: Cost(90),
        payload_log2: 11,
    };
    let adjacency = Adjacency { edges: (0..4).map(edge).collect() };
    [(AdvertKind::Profile, profile.encode()), (AdvertKind::Adjacency, adjacency.encode())]
}

fn advert(number: u64, kind: AdvertKind, body: &[u8]) -> AdvertCopy {
    // Spread as keys are; the high bits count.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut owner = [3; 32];
    owner[..8].copy_from_slice(&spread.to_be_bytes());
    let instance = Instance::from_bytes([1; 8]);
    let head = AdvertHead { owner, kind, key: 0, instance, epoch: 1, sequence: 1 };
    let mut bytes = postcard::to_allocvec(&head).expect("a head encodes");
    bytes.extend_from_slice(body);
    bytes.extend([0; 64]);
    AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: bytes.into() }
}

#[test]
fn a_peer_with_two_adverts_takes_less_than_a_kibibyte() {
    const PEERS: u64 = 1_000;
    let own = (0..=u8::MAX).find_map(|byte| Identity::from_seed(&[byte; 32]).ok());
    let own = own.expect("half of all seeds will do").peer_key();
    let network = Network::open("memory").expect("a name");
    let mut database = Database::new(network, own).with_verifier(Arc::new(Credulous));
    let bodies = bodies();
    let before = USED.load(Ordering::Relaxed);
    let mut on_the_wire = 0;
    for number in 0..PEERS {
        // A second for each: signature checks are bounded.
        let now = Instant::from_millis(1_000 * number);
        for (kind, body) in &bodies {
            let copy = advert(number, *kind, body);
            on_the_wire += copy.advert.len();
            let offer = database.offer(now, own, copy);
            assert!(matches!(offer, Offer::Taken(_)), "{offer:?}");
        }
    }
    database.take_changed();
    let each = (USED.load(Ordering::Relaxed) - before) / PEERS as usize;
    println!("{each} bytes a peer, {} of them as they travel", on_the_wire / PEERS as usize);
    assert!(each < 1_024, "{each} bytes");
}
