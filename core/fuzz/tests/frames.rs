//! One core in virtual time, and altered frames without number from neighbours whose every seal
//! fits: it stays within its bounds, and afterwards an honest neighbour is let in as ever.
//!
//! `HEDGEROW_TEST_FRAMES=1000000` for more than a test needs.

use arbitrary::Unstructured;
use hedgerow_core::id::TransportId;
use hedgerow_core::io::LinkOrigin;
use hedgerow_core::time::Duration;
use hedgerow_fuzz::node;
use hedgerow_fuzz::people::Seeded;
use hedgerow_fuzz::siege::Siege;

/// Inputs, unless the environment says otherwise.
const FRAMES: u64 = 20_000;

/// Bytes for one thing that a neighbour does; see `node::operation`.
fn neighbour(random: &mut Seeded) -> Vec<u8> {
    // All but the end of a link by its driver, which is 11.
    let what = (random.number() % 250) as u8;
    let what = if what % 12 == 11 { what + 1 } else { what };
    let mut bytes = vec![4, random.number() as u8, what];
    bytes.extend((0..random.number() % 96).map(|_| random.number() as u8));
    bytes
}

#[test]
fn frames_without_number_leave_a_core_within_its_bounds() {
    let frames = std::env::var("HEDGEROW_TEST_FRAMES").map_or(FRAMES, |n| n.parse().unwrap());
    let mut random = Seeded(7);
    let (mut siege, mut links) = (Siege::default(), 0_u64);
    for number in 0..frames {
        while siege.neighbours.len() < 3 {
            let who = 1 + (links % 4) as usize;
            let link = siege.link_up(TransportId((links % 2) as u8), who, LinkOrigin::Accepted);
            siege.exchange(link);
            links += 1;
        }
        let bytes = neighbour(&mut random);
        node::operation(&mut siege, &mut Unstructured::new(&bytes)).unwrap();
        if number % 16 == 0 {
            siege.pass(Duration::from_millis(1));
        }
        if number % 256 == 0 {
            siege.check();
        }
    }
    let counters = siege.node.counters();
    println!(
        "{frames} inputs over {links} links in {:?} of virtual time: {} violations, {} adverts \
         refused, {} put off, {} kinds skipped, {} frames dropped or ignored",
        siege.now,
        counters.violations,
        counters.adverts_refused,
        counters.adverts_deferred,
        counters.control_skipped,
        counters.dropped_no_route
            + counters.dropped_hop_limit
            + counters.dropped_backwards
            + counters.bus.packets_unknown_session
            + counters.bus.handshakes_refused
            + counters.trace_tells_ignored,
    );
    assert!(counters.violations > frames / 1_000 && counters.adverts_refused > 0);

    // Somebody honest comes and is let in at once.
    let link = siege.link_up(TransportId(0), 5, LinkOrigin::Accepted);
    siege.exchange(link);
    assert!(siege.neighbours.contains_key(&link), "the newcomer is in");
    assert!(!siege.neighbours[&link].heard.is_empty(), "it is told what there is");
    siege.end();
}
