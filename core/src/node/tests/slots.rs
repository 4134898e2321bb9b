//! Radios with few slots: everybody finds a place, and then there is quiet.

use alloc::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn radio(links_max: usize) -> TransportProfile {
    TransportProfile {
        kind: ConnectionType::other("Radio"),
        links_max,
        dials_max: 2,
        dial_timeout: Duration::from_secs(20),
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
    for (nodes, links_max) in [(20, 3), (24, 5), (20, 7)] {
        let mut world = World::of_radios(nodes, links_max, &clique(0..nodes));
        world.converges_and_keeps_quiet(MINUTE);
        for number in 0..nodes {
            assert!(world.slots_taken(number) <= links_max);
        }
    }
}

#[test]
fn a_newcomer_beside_a_full_clique_finds_a_place() {
    for seed in 0..4 {
        let mut world = World::of_radios(9, 3, &clique(0..8));
        world.run(MINUTE + Duration::from_millis(seed));
        let contact: Vec<_> = (0..8).map(|n| (n, 8)).collect();
        world.meet(&contact);
        world.converges_and_keeps_quiet(Duration::from_secs(30));
    }
}
