use proptest::prelude::*;

use super::*;
use crate::entropy::tests::Seeded;
use crate::id::TransportId;
use crate::identity::Identity;

const RADIO: TransportId = TransportId(0);
const KINDS: [ConnectionType; 2] = [ConnectionType::Bluetooth, ConnectionType::AccessPoint];

/// A mesh that all nodes know; edges are (a, b, kind, cost).
#[derive(Debug)]
struct Known {
    keys: Vec<PeerKey>,
    edges: Vec<(usize, usize, usize, u64)>,
}

impl Known {
    fn new(nodes: usize, edges: &[(usize, usize, usize, u64)]) -> Self {
        let keys = (0..nodes as u64).map(|n| Identity::generate(&mut Seeded(n)).peer_key());
        let mut edges = edges.to_vec();
        edges.retain(|(a, b, ..)| a < b);
        edges.sort_unstable();
        edges.dedup_by_key(|(a, b, kind, _)| (*a, *b, *kind));
        Self { keys: keys.collect(), edges }
    }

    /// What `own` finds redundant; links have the numbers of the edges.
    fn redundant(&self, own: usize, suspect: Option<usize>) -> Vec<Redundant> {
        self.redundant_by(own, suspect, |_, cost| cost)
    }

    /// The same, with what `own` measured of each edge of its own.
    fn redundant_by(
        &self,
        own: usize,
        suspect: Option<usize>,
        measured: impl Fn(usize, u64) -> u64,
    ) -> Vec<Redundant> {
        let told = self.edges.iter().map(|&(a, b, kind, cost)| ToldEdge {
            a: self.keys[a],
            b: self.keys[b],
            kind: &KINDS[kind],
            cost,
        });
        let links: Vec<_> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, (a, b, ..))| *a == own || *b == own)
            .map(|(number, &(a, b, kind, cost))| OwnLink {
                link: LinkId { transport: RADIO, number: number as u64 },
                peer: self.keys[if a == own { b } else { a }],
                kind: &KINDS[kind],
                cost: measured(number, cost),
                is_trusted: suspect != Some(number),
            })
            .collect();
        redundant(self.keys[own], told, &links)
    }

    /// The parts that the edges hold together, without some of them.
    fn parts(&self, without: &[LinkId]) -> Vec<usize> {
        let mut part: Vec<usize> = (0..self.keys.len()).collect();
        for _ in 0..self.keys.len() {
            for (number, (a, b, ..)) in self.edges.iter().enumerate() {
                if !without.iter().any(|link| link.number == number as u64) {
                    let low = part[*a].min(part[*b]);
                    (part[*a], part[*b]) = (low, low);
                }
            }
        }
        part
    }
}

fn meshes() -> impl Strategy<Value = Known> {
    let edge = (0_usize..9, 0_usize..9, 0_usize..2, 1_u64..6);
    prop::collection::vec(edge, 0..26).prop_map(|edges| Known::new(9, &edges))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_link_that_is_given_up_takes_a_peer_out_of_reach(mesh in meshes()) {
        for own in 0..9 {
            for redundant in mesh.redundant(own, None) {
                prop_assert_eq!(mesh.parts(&[redundant.link]), mesh.parts(&[]));
            }
        }
    }

    #[test]
    fn every_link_that_is_not_redundant_is_the_only_way(mesh in meshes()) {
        for (number, (own, ..)) in mesh.edges.iter().enumerate() {
            let link = LinkId { transport: RADIO, number: number as u64 };
            let kept = !mesh.redundant(*own, None).iter().any(|r| r.link == link);
            prop_assert_eq!(kept, mesh.parts(&[link]) != mesh.parts(&[]));
        }
    }

    #[test]
    fn links_off_the_tree_may_all_go_at_once(mesh in meshes()) {
        let gone: Vec<LinkId> = (0..9)
            .flat_map(|own| mesh.redundant(own, None))
            .filter(|redundant| redundant.is_off_tree)
            .map(|redundant| redundant.link)
            .collect();
        prop_assert_eq!(mesh.parts(&gone), mesh.parts(&[]));
        // And a mesh with a ring always has one to spare.
        let parts = mesh.parts(&[]);
        let trees = (0..9).filter(|n| parts[*n] == *n).count();
        prop_assert_eq!(gone.is_empty(), mesh.edges.len() + trees == 9);
    }

    #[test]
    fn what_the_ends_of_a_link_measured_otherwise_does_not_split_the_mesh(
        mesh in meshes(),
        less in prop::collection::vec((0_u64..9, 0_u64..9), 26),
    ) {
        // The dearer of both is told, and one of them has that.
        let measured = |own: usize| {
            let (mesh, less) = (&mesh, &less);
            move |number: usize, cost: u64| {
                let is_first = mesh.edges[number].0 == own;
                cost.saturating_sub(if is_first { less[number].0 } else { less[number].1 })
            }
        };
        let gone: Vec<LinkId> = (0..9)
            .flat_map(|own| mesh.redundant_by(own, None, measured(own)))
            .filter(|redundant| redundant.is_off_tree)
            .map(|redundant| redundant.link)
            .collect();
        prop_assert_eq!(mesh.parts(&gone), mesh.parts(&[]));
    }

    #[test]
    fn while_one_cost_changes_the_mesh_falls_into_two_parts_at_most(
        mesh in meshes(),
        changed: prop::sample::Index,
        cost in 1_u64..6,
        heard in prop::collection::vec(any::<bool>(), 9),
    ) {
        let mut later = Known { keys: mesh.keys.clone(), edges: mesh.edges.clone() };
        if !later.edges.is_empty() {
            let at = changed.index(later.edges.len());
            later.edges[at].3 = cost;
        }
        let gone: Vec<LinkId> = (0..9)
            .flat_map(|own| if heard[own] { &later } else { &mesh }.redundant(own, None))
            .filter(|redundant| redundant.is_off_tree)
            .map(|redundant| redundant.link)
            .collect();
        let count = |parts: Vec<usize>| (0..9).filter(|n| parts[*n] == *n).count();
        prop_assert!(count(mesh.parts(&gone)) <= count(mesh.parts(&[])) + 1);
    }

    #[test]
    fn one_who_is_out_of_reach_gets_a_slot_or_a_redundant_link_goes(
        links_max in 0_usize..9,
        taken in 0_usize..9,
        reachable: bool,
    ) {
        let verdict = admit(links_max, taken, reachable);
        prop_assert_eq!(verdict == Verdict::Refuse, reachable && taken + 1 >= links_max);
        prop_assert_eq!(verdict == Verdict::Displace, !reachable && taken >= links_max);
    }
}

#[test]
fn a_radio_link_to_a_peer_that_is_reached_more_cheaply_goes_first() {
    // 1 is linked by radio and by a fast medium; 2 and 3 by radio, and to each other.
    let mesh =
        Known::new(4, &[(0, 1, 0, 50), (0, 1, 1, 2), (0, 2, 0, 50), (0, 3, 0, 60), (2, 3, 0, 50)]);
    let redundant = mesh.redundant(0, None);
    let first = most_redundant(&redundant).unwrap();
    assert_eq!((first.link.number, first.detour), (0, 2 - 50));
    assert_eq!(redundant.len(), 4, "{redundant:?}");
}

#[test]
fn of_links_off_the_tree_the_one_with_the_smallest_detour_goes() {
    // Two rings through 0: the far side of one of them is longer.
    let mesh = Known::new(
        6,
        &[(0, 1, 0, 9), (1, 2, 0, 9), (0, 2, 0, 10), (0, 3, 0, 9), (3, 4, 0, 9), (4, 5, 0, 9)],
    );
    let mut edges = mesh.edges.clone();
    edges.push((0, 5, 0, 10));
    let mesh = Known::new(6, &edges);
    let first = most_redundant(&mesh.redundant(0, None)).unwrap();
    let (a, b, ..) = mesh.edges[usize::try_from(first.link.number).unwrap()];
    assert_eq!(((a, b), first.detour, first.is_off_tree), ((0, 2), 8, true));
}

#[test]
fn a_suspect_link_is_no_way_around_another_one() {
    let mesh = Known::new(3, &[(0, 1, 0, 5), (0, 2, 0, 5), (1, 2, 0, 5)]);
    assert_eq!(mesh.redundant(0, None).len(), 2);
    let suspect = mesh.edges.iter().position(|(a, b, ..)| (*a, *b) == (0, 1));
    let redundant = mesh.redundant(0, suspect);
    assert_eq!(redundant.len(), 1, "the suspect one itself may go");
    assert_eq!(Some(redundant[0].link.number), suspect.map(|n| n as u64));
}

#[test]
fn the_last_slot_is_for_peers_that_are_out_of_reach() {
    assert_eq!(admit(3, 1, true), Verdict::Admit);
    assert_eq!(admit(3, 2, true), Verdict::Refuse);
    assert_eq!(admit(3, 2, false), Verdict::Admit);
    assert_eq!(admit(3, 3, false), Verdict::Displace);
    assert_eq!(admit(1, 0, false), Verdict::Admit);
    assert_eq!(admit(0, 0, false), Verdict::Displace);
}

#[test]
fn the_newest_link_of_the_host_with_most_goes_unless_the_newcomer_is_of_such_a_one() {
    let link = |number| LinkId { transport: RADIO, number };
    let at = Instant::from_millis;
    let links = [(1, "a", 1), (2, "b", 2), (3, "b", 4), (4, "b", 3), (5, "c", 9)]
        .map(|(number, host, ms)| (link(number), host, at(ms)));
    assert_eq!(greediest(&links, "d"), Some(link(3)));
    assert_eq!(greediest(&links, "a"), Some(link(3)));
    assert_eq!(greediest(&links, "b"), None);
    assert_eq!(greediest(&links[..1], "d"), None, "one each is fair");
    assert_eq!(greediest(&[], "d"), None);
}
