//! Nodes that do not know their past, and nodes that are not alone with their key.

use super::*;
use crate::limits::EPOCH_ASK;
use crate::wire::advert::{AdvertHead, AdvertKind, SignedAdvert};
use crate::wire::control::{AdvertCopy, Control};

/// Starts `number` with the key of `whose`, in a run of its own.
pub(super) fn start_as(world: &mut World, number: usize, whose: Identity, kept: Option<u64>) {
    let runs = &mut world.epochs[number];
    *runs += 1;
    let run = number as u64 * 1_000 + 500 + *runs;
    let local = Local {
        identity: whose,
        network: Network::open("test").unwrap(),
        instance: Instance::from_bytes(run.to_be_bytes()),
        epoch: kept.unwrap_or(0),
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    };
    let config = NodeConfig {
        device_name: format!("n{number}"),
        epoch_is_kept: kept.is_some(),
        ..NodeConfig::default()
    };
    let mut node = Node::new(world.now, local, config, Box::new(Seeded(run)));
    let profile = TransportProfile {
        kind: ConnectionType::other("Wire"),
        links_max: 16,
        dials_max: 8,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    };
    node.add_transport(WIRE, profile);
    world.nodes[number] = Some(node);
}

/// Everybody near `number` sees it, and it sees them.
pub(super) fn show(world: &mut World, number: usize) {
    for (a, b) in world.near.clone() {
        if a == number || b == number {
            meet(world, a, b);
            meet(world, b, a);
        }
    }
}

fn meet(world: &mut World, who: usize, whom: usize) {
    let Some(address) = world.nodes[whom].as_ref().map(|node| node.local().address()) else {
        return;
    };
    let beacon = Beacon::new(&Network::open("test").unwrap(), address, &mut Seeded(1));
    let endpoint = Endpoint::new(&format!("{whom}"));
    world.input(who, TransportEvent::Sighted(Sighting { endpoint, beacon: Some(beacon) }));
}

/// The largest version of `owner`'s adverts that `number` holds.
fn newest(world: &mut World, number: usize, owner: PeerKey) -> Option<(u64, u64)> {
    let database = &world.node(number).database;
    let stamps =
        database.ids(None).filter(|id| id.owner == owner).filter_map(|id| database.stamp(id));
    stamps.map(|stamp| (stamp.epoch, stamp.sequence)).max()
}

#[test]
fn a_node_without_storage_learns_its_past_before_it_publishes() {
    let mut world = World::line(3);
    world.epochs[0] = 40;
    world.kill(0);
    world.start(0);
    world.converge();
    world.kill(0);
    world.run(Duration::from_secs(1));
    start_as(&mut world, 0, identity(0), None);
    show(&mut world, 0);
    world.events[0].clear();
    let begin = world.now;
    let end = begin + Duration::from_secs(10);
    let stepped = |event: &Event| matches!(event, Event::EpochStepped(42));
    assert!(world.run_until(end, |world| world.events[0].iter().any(stepped)));
    assert!(world.now.since(begin) < EPOCH_ASK, "it waited though it was told");
    let own = key(0);
    let first = newest(&mut world, 0, own);
    assert!(first.is_none_or(|(epoch, _)| epoch == 42), "signed below its past: {first:?}");
    assert!(world.run_until(end, World::all_see_all));
    assert_eq!(newest(&mut world, 2, own).unwrap().0, 42);
}

#[test]
fn nodes_without_storage_that_nobody_knows_publish_after_a_moment() {
    let mut world = World::line(2);
    (0..2).for_each(|number| world.kill(number));
    (0..2).for_each(|number| start_as(&mut world, number, identity(number), None));
    (0..2).for_each(|number| show(&mut world, number));
    let begin = world.now;
    world.run(Duration::from_secs(1));
    assert_eq!(newest(&mut world, 0, key(0)), None);
    let end = begin + Duration::from_secs(4);
    let told = world.run_until(end, |world| newest(world, 1, key(0)) >= Some((0, 2)));
    assert!(told, "{:?}", newest(&mut world, 1, key(0)));
}

#[test]
fn two_live_nodes_with_one_key_are_reported_and_do_not_chase_each_other() {
    let mut world = World::line(5);
    world.kill(4);
    world.converge_without(&[4]);
    start_as(&mut world, 4, identity(0), Some(1));
    show(&mut world, 4);
    let own = key(0);
    let (mut last, mut signed) = (newest(&mut world, 2, own), 0);
    for _ in 0..1_200 {
        world.run(Duration::from_millis(500));
        let newest = newest(&mut world, 2, own);
        signed += u32::from(newest != last);
        last = newest;
    }
    for number in [0, 4] {
        let reported = |event: &Event| matches!(event, Event::DuplicateKey { .. });
        assert!(world.events[number].iter().any(reported), "{number} was not told");
        let stepped = |event: &&Event| matches!(event, Event::EpochStepped(_));
        let steps = world.events[number].iter().filter(stepped).count();
        assert!((1..=20).contains(&steps), "{steps} steps of {number} in ten minutes");
    }
    assert!(signed <= 24, "{signed} versions in ten minutes");
    // One of them gets a key of its own, and all is well.
    world.kill(4);
    world.run(Duration::from_secs(1));
    start_as(&mut world, 4, identity(4), Some(9));
    show(&mut world, 4);
    let end = world.now + Duration::from_secs(310);
    assert!(world.run_until(end, World::all_see_all));
}

impl World {
    /// Runs until those that live see each other.
    fn converge_without(&mut self, gone: &[usize]) {
        let lives: Vec<usize> = (0..self.nodes.len()).filter(|n| !gone.contains(n)).collect();
        let end = self.now + Duration::from_secs(30);
        let done = self.run_until(end, |world| {
            lives.iter().all(|number| {
                let hops = world.hops(*number);
                lives.iter().all(|other| {
                    other == number || hops.get(&key(*other)).is_some_and(Option::is_some)
                })
            })
        });
        assert!(done, "no full graph after 30 s");
    }
}

#[test]
fn a_version_of_itself_that_nothing_gets_above_stops_no_node() {
    let mut world = World::line(3);
    world.converge();
    let (now, own) = (world.now, key(0));
    let head = AdvertHead {
        owner: *own.as_bytes(),
        kind: AdvertKind::Adjacency,
        key: 0,
        instance: Instance::from_bytes([7; 8]),
        epoch: u64::MAX,
        sequence: u64::MAX,
    };
    let network = Network::open("test").unwrap();
    let advert = SignedAdvert::sign(&identity(0), &network, head, &[0]).bytes;
    let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert };
    let link = world.node(1).links(now).find(|view| view.peer == Some(key(2))).unwrap().link;
    world.node(1).on_control(now, link, Control::Advert(copy));
    world.events[0].clear();
    let epoch = newest(&mut world, 0, own);
    world.run(Duration::from_secs(600));
    let reported = |event: &&Event| matches!(event, Event::DuplicateKey { .. });
    let reports = world.events[0].iter().filter(reported).count();
    assert!((1..=3).contains(&reports), "{reports} reports");
    assert_eq!(newest(&mut world, 0, own), epoch, "signed for nothing");
    assert!(!world.events[0].iter().any(|event| matches!(event, Event::EpochStepped(_))));
    // Its links and its neighbours are as they were.
    assert_eq!(world.hops(0)[&key(2)], Some(2));
    assert_eq!(world.hops(1)[&own], Some(1));
    world.send(0, 1, b"still here");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take(1), [b"still here".as_slice()]);
}
