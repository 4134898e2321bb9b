//! Strangers that connect and say nothing.

use super::*;
use alloc::string::ToString;

use crate::limits::HANDSHAKES_PENDING_MAX;
use crate::link::LinkState;
use crate::wire::control::CloseCode;

/// Somebody at `endpoint` connects to node 0 and says nothing.
fn knock(world: &mut World, endpoint: &str) -> LinkId {
    world.next_link += 1;
    let link = LinkId { transport: WIRE, number: world.next_link };
    let up = LinkUp {
        link,
        origin: LinkOrigin::Accepted,
        shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
        endpoint: Endpoint::new(endpoint),
        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
    };
    world.input(0, TransportEvent::LinkUp(up));
    link
}

fn half_open(world: &mut World) -> Vec<LinkId> {
    let now = world.now;
    let links = world.node(0).links(now);
    links.filter(|view| view.state == LinkState::Handshaking).map(|view| view.link).collect()
}

#[test]
fn half_open_links_make_room_for_newcomers_at_the_cost_of_the_greedy() {
    let mut world = World::new(2, &[]);
    let honest = knock(&mut world, "10.0.0.7:1");
    for port in 1..=1_000 {
        knock(&mut world, &format!("10.0.0.6:{port}"));
        world.run(Duration::from_micros(10));
    }
    assert_eq!(half_open(&mut world).len(), HANDSHAKES_PENDING_MAX);
    assert!(half_open(&mut world).contains(&honest), "its host has one only");
    let crowded = world.node(0).counters().handshakes_crowded_out;
    assert_eq!(crowded, 1_001 - HANDSHAKES_PENDING_MAX as u64);
    let told = |event: &&Event| matches!(event, Event::Crowded { .. });
    assert_eq!(world.events[0].iter().filter(told).count(), 1);

    // A true newcomer gets in at once, though the crowd keeps coming.
    world.near.push((0, 1));
    world.sight(1, 0);
    let begin = world.now;
    let arrived = world.run_until(begin + Duration::from_secs(1), |world| {
        let port = world.next_link;
        knock(world, &format!("10.0.0.6:{port}"));
        world.hops(0).len() == 1
    });
    // It may let the other side dial first for 600 ms.
    let took = world.now.since(begin);
    assert!(arrived && took < Duration::from_millis(600) + DELAY * 6, "{took:?}");
}

#[test]
fn half_open_links_take_no_room_of_true_ones() {
    let mut world = World::new(20, &[]);
    for host in 0..HANDSHAKES_PENDING_MAX {
        knock(&mut world, &format!("10.0.0.{host}:1"));
    }
    // The transport holds 16 links.
    for number in 1..=16 {
        world.near.push((0, number));
        world.sight(number, 0);
    }
    world.run(Duration::from_secs(2));
    assert_eq!(world.hops(0).len(), 16);
    assert_eq!(world.node(0).counters().turned_away, 0);
    for number in 17..20 {
        world.near.push((0, number));
        world.sight(number, 0);
    }
    world.run(Duration::from_secs(1));
    assert_eq!((world.hops(0).len(), world.node(0).counters().turned_away), (16, 3));
}

#[test]
fn of_hosts_with_one_each_the_oldest_goes() {
    let mut world = World::new(1, &[]);
    let first = knock(&mut world, "[fe80::1%2]:1");
    for host in 2..=65 {
        world.run(Duration::from_micros(10));
        knock(&mut world, &format!("[fe80::{host}%2]:1"));
    }
    assert_eq!(half_open(&mut world).len(), HANDSHAKES_PENDING_MAX);
    assert!(!half_open(&mut world).contains(&first));
}

#[test]
fn who_finds_no_room_is_told_so_and_so_is_the_one_that_is_full() {
    let mut world = World::new(18, &[]);
    for number in 1..=17 {
        world.near.push((0, number));
        world.sight(number, 0);
        // The transport holds 16 links; the last one comes when all are taken.
        world.run(Duration::from_secs(1));
    }
    let turned_away = |event: &Event| matches!(event, Event::TurnedAway { .. });
    assert!(world.events[0].iter().any(turned_away), "its own user hears nothing");
    let ends: Vec<&LinkEnd> = world.events[17]
        .iter()
        .filter_map(|event| match event {
            Event::LinkDown { end, .. } => Some(end),
            _ => None,
        })
        .collect();
    let [LinkEnd::ByPeer { code: CloseCode::AtCapacity, retry_after }] = ends[..] else {
        panic!("{ends:?}")
    };
    let retry_after = *retry_after;
    assert!(retry_after > Duration::from_secs(2), "{retry_after:?}");
    assert!(ends[0].to_string().contains("no room for another link"), "{}", ends[0]);
    // It stays away as long as it was asked to.
    world.events[17].clear();
    world.run(retry_after - Duration::from_secs(2));
    let tried = |event: &Event| matches!(event, Event::LinkDown { .. });
    assert!(!world.events[17].iter().any(tried), "{:?}", world.events[17]);
}
