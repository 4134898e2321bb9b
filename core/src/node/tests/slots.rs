//! Radios with few slots: everybody finds a place, and then there is quiet.

use alloc::collections::BTreeSet;

use super::*;
use crate::limits::{SLOT_CHURN_INTERVAL, SLOT_LOST_RETRY, SLOT_NEEDED_WAIT, SLOT_SPARE_WAIT};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn radio(links_max: usize) -> TransportProfile {
    TransportProfile {
        kind: ConnectionType::other("Radio"),
        links_max,
        dials_max: 2,
        dial_timeout: Duration::from_secs(20),
        dialled: Dialling::InSight,
    }
}

/// All pairs of `numbers`.
fn clique(numbers: core::ops::Range<usize>) -> Vec<(usize, usize)> {
    numbers.clone().flat_map(|a| (a + 1..numbers.end).map(move |b| (a, b))).collect()
}

impl World {
    fn of_radios(nodes: usize, links_max: usize, near: &[(usize, usize)]) -> Self {
        Self::with_profile(nodes, near, radio(links_max))
    }

    /// Nodes with all links that they can have, and slots for just so many.
    fn all_linked(nodes: usize, near: &[(usize, usize)], links_max: usize) -> Self {
        let mut world = Self::of_radios(nodes, 2 * nodes, near);
        world.run(Duration::from_secs(10));
        assert_eq!(world.linked(), near.iter().copied().collect());
        for node in world.nodes.iter_mut().flatten() {
            node.dialer.set_links_max(WIRE, links_max);
        }
        world
    }

    /// These come into range of each other.
    fn meet(&mut self, pairs: &[(usize, usize)]) {
        for (a, b) in pairs {
            self.near.push((*a, *b));
            self.sight(*a, *b);
            self.sight(*b, *a);
        }
    }

    /// Who is linked to whom.
    fn linked(&mut self) -> BTreeSet<(usize, usize)> {
        self.wires.iter().map(|(a, b)| (a.0.min(b.0), a.0.max(b.0))).collect()
    }

    fn slots_taken(&mut self, number: usize) -> usize {
        self.wires.keys().filter(|end| end.0 == number).count()
    }

    /// How many links ended, and how many dials came to nothing, since the events were cleared.
    fn unrest(&self) -> usize {
        let unrest = |event: &&Event| {
            matches!(
                event,
                Event::LinkDown { .. } | Event::LinkUp { .. } | Event::DialFailed { .. }
            )
        };
        self.events.iter().flatten().filter(unrest).count()
    }

    /// Waits until all see all, and then that nothing is made or broken for a minute.
    fn converges_and_keeps_quiet(&mut self, within: Duration) {
        let begin = self.now;
        let all = self.run_until(begin + within, Self::all_see_all);
        assert!(all, "no single mesh within {within:?}: {:?}", self.linked());
        // Slots that were needed on the way are freed again.
        self.run(3 * MINUTE);
        self.events.iter_mut().for_each(Vec::clear);
        self.run(MINUTE);
        assert_eq!(self.unrest(), 0, "{:?}", self.linked());
        assert!(self.all_see_all());
    }
}

#[test]
fn two_full_triangles_that_come_into_range_become_one_mesh() {
    for links_max in [2, 3] {
        let apart = [clique(0..3), clique(3..6)].concat();
        let mut world = World::of_radios(6, links_max, &apart);
        world.run(Duration::from_secs(5));
        assert!(!world.all_see_all());
        let contact: Vec<_> = clique(0..6).into_iter().filter(|p| !apart.contains(p)).collect();
        world.meet(&contact);
        world.converges_and_keeps_quiet(MINUTE);
    }
}

#[test]
fn a_clique_of_radios_becomes_one_mesh_and_keeps_quiet() {
    for (nodes, links_max) in [(20, 3), (20, 5), (12, 7)] {
        let mut world = World::of_radios(nodes, links_max, &clique(0..nodes));
        world.converges_and_keeps_quiet(MINUTE);
        for number in 0..nodes {
            assert!(world.slots_taken(number) <= links_max);
        }
    }
}

#[test]
fn a_newcomer_beside_a_full_clique_finds_a_place() {
    for seed in 0..3 {
        let mut world = World::of_radios(9, 3, &clique(0..8));
        world.run(MINUTE + Duration::from_millis(seed));
        let contact: Vec<_> = (0..8).map(|n| (n, 8)).collect();
        world.meet(&contact);
        world.converges_and_keeps_quiet(Duration::from_secs(30));
    }
}

#[test]
fn full_nodes_hear_a_peer_out_of_reach_and_free_a_slot_for_it() {
    // Two rings whose nodes have all slots taken by redundant links meet at one node each.
    let rings = [clique(0..3), clique(3..6)].concat();
    let mut world = World::all_linked(6, &rings, 2);
    world.meet(&[(0, 3)]);
    world.converges_and_keeps_quiet(2 * MINUTE);
    let made_room: u64 = (0..6).map(|number| world.node(number).counters().made_room).sum();
    assert!((1..=4).contains(&made_room), "{made_room} links were given up for one");
}

#[test]
fn a_full_node_frees_a_slot_in_time_and_sooner_when_it_hears_a_peer_out_of_reach() {
    for (heard, wait) in [(false, SLOT_SPARE_WAIT), (true, SLOT_NEEDED_WAIT)] {
        let mut world = World::all_linked(4, &clique(0..3), 2);
        let begin = world.now;
        if heard {
            // They hear the beacon of one that is not in their mesh, again and again.
            for _ in 0..50 {
                (0..3).for_each(|number| world.sight(number, 3));
                world.run(Duration::from_millis(20));
            }
            let now = world.now;
            let mut hear = (0..3).map(|n| world.node(n).dialer.hears_unreachable(now, WIRE));
            assert!(hear.all(|hears| hears));
        }
        let made_room =
            |world: &mut World| (0..3).any(|number| world.node(number).counters().made_room > 0);
        assert!(world.run_until(begin + 2 * SLOT_SPARE_WAIT, made_room));
        let waited = world.now.since(begin);
        // The other one may dial first.
        let slack = Duration::from_secs(1);
        assert!(wait / 2 <= waited && waited <= wait * 3 / 2 + slack, "{waited:?} of {wait:?}");
    }
}

/// One that is full gives a link up for a newcomer out of reach, and both users see why.
#[test]
fn a_link_given_up_for_a_newcomer_has_a_typed_reason_at_both_ends() {
    let mut world = World::all_linked(4, &clique(0..3), 2);
    // The newcomer sees them, and they not it.
    for number in 0..3 {
        world.near.push((number, 3));
        world.sight(3, number);
    }
    let end = world.now + Duration::from_secs(10);
    assert!(world.run_until(end, World::all_see_all), "{:?}", world.linked());
    let told = |event: &&Event| {
        let Event::LinkDown { end, .. } = event else { return false };
        match end {
            LinkEnd::Here(code) => *code == CloseCode::MadeRoom,
            LinkEnd::ByPeer { code, retry_after } => {
                *code == CloseCode::MadeRoom && *retry_after == SLOT_LOST_RETRY
            }
            _ => false,
        }
    };
    let ends = world.events.iter().flatten().filter(told).count();
    assert_eq!(ends, 2, "{:?}", world.events);
    let counted: u64 = (0..4).map(|number| world.node(number).counters().made_room).sum();
    assert_eq!(counted, 1);
    // It is the reason that the next link between the two shows of the one before.
    let closes = world.nodes.iter().flatten().flat_map(|node| node.last_close.values());
    assert!(closes.into_iter().any(|end| *end == LinkEnd::Here(CloseCode::MadeRoom)));
}

#[test]
fn a_full_node_gives_up_one_link_in_ten_seconds_at_most() {
    let mut world = World::all_linked(6, &clique(0..4), 3);
    for number in 4..6 {
        world.near.push((0, number));
        world.sight(number, 0);
    }
    let made_room = |world: &mut World| world.node(0).counters().made_room;
    world.run(SLOT_CHURN_INTERVAL - Duration::from_secs(1));
    assert_eq!((made_room(&mut world), world.hops(0).len()), (1, 4));
    let turned_away = world.events[4..].iter().flatten().filter_map(|event| match event {
        Event::LinkDown {
            end: LinkEnd::ByPeer { code: CloseCode::AtCapacity, retry_after },
            ..
        } => Some(*retry_after),
        _ => None,
    });
    let latest = turned_away.max().expect("nobody was turned away");
    assert!(latest <= SLOT_CHURN_INTERVAL, "{latest:?}");
    world.run(2 * SLOT_CHURN_INTERVAL);
    assert_eq!((made_room(&mut world), world.hops(0).len()), (2, 5), "{:?}", world.linked());
}

#[test]
fn a_peer_that_restarts_gets_back_into_a_node_whose_slots_are_all_taken() {
    let spokes: Vec<_> = (1..4).map(|n| (0, n)).collect();
    let mut world = World::of_radios(4, 3, &spokes);
    world.converge();
    // It dies without a word: its link still stands at the other end.
    let dead: Vec<_> = world.wires.keys().filter(|end| end.0 == 2).copied().collect();
    for end in dead {
        let other = world.wires.remove(&end).unwrap();
        world.wires.remove(&other);
    }
    world.events[0].clear();
    world.start(2);
    let begin = world.now;
    let back = world.run_until(begin + Duration::from_secs(3), |world| {
        world.nodes[2].as_ref().unwrap().neighbours.contains_key(&key(0))
    });
    assert!(back, "it waits for its former run to die");
    world.run(Duration::from_secs(2));
    assert_eq!(world.node(0).counters().turned_away, 0);
    let replaced = |event: &Event| {
        matches!(event, Event::LinkDown { end: LinkEnd::Here(CloseCode::Replaced), .. })
    };
    assert!(world.events[0].iter().any(replaced));
    let now = world.now;
    let standing = world.node(0).links(now).filter(|view| view.state == LinkState::Up).count();
    assert_eq!(standing, 3);
}

#[test]
fn keys_made_up_by_one_host_do_not_keep_others_out() {
    // The transport of 0 holds four links; 1 to 4 are one host that is nobody's neighbour.
    let mut world = World::of_radios(7, 4, &[]);
    for number in 1..5 {
        world.hosts.insert(number, "10.0.0.6".into());
        world.meet(&[(0, number)]);
        world.run(Duration::from_secs(1));
    }
    assert_eq!(world.slots_taken(0), 4);
    for number in 5..7 {
        world.hosts.insert(number, format!("10.0.0.{}", 70 + number));
        world.meet(&[(0, number)]);
        world.run(Duration::from_secs(30));
        assert_eq!(world.hops(0).get(&key(number)), Some(&Some(1)), "{number} is kept out");
    }
    // Two and two: nobody is greedy any more.
    let before = world.linked();
    world.run(3 * MINUTE);
    assert_eq!(world.linked(), before);
}

#[test]
fn a_place_whose_nodes_all_restart_at_once_is_one_mesh_again_without_a_storm() {
    let nodes = 16;
    let mut world = World::of_radios(nodes, 5, &clique(0..nodes));
    world.converge();
    world.run(MINUTE);
    for number in 0..nodes {
        world.kill(number);
    }
    world.flight.clear();
    let links = world.next_link;
    world.events.iter_mut().for_each(Vec::clear);
    for number in 0..nodes {
        world.start(number);
    }
    world.converges_and_keeps_quiet(Duration::from_secs(10));
    // Links made in all, for those that stay: each node dials a few times in vain.
    let dialled = usize::try_from((world.next_link - links) / 2).unwrap();
    assert!(dialled < 8 * nodes, "{dialled} links for {}", world.linked().len());
}
