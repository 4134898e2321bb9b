//! Small worlds come to agree, and stay so through what hosts do.

use hedgerow_core::time::Duration;
use hedgerow_sim::host::State;
use hedgerow_sim::world::{Clock, Ending};
use hedgerow_sim::{Medium, Plan, World, topology};

fn world(nodes: usize, medium: Medium, edges: &[(usize, usize)]) -> World {
    let mut world = World::new(Plan::new(7, nodes, medium));
    world.connect_all(0, edges);
    world
}

/// Runs until all see all, and everybody's graph is the truth to the last edge.
fn converge(world: &mut World, within: Duration) {
    let end = world.now() + within;
    let edges = world.air().pairs().count();
    let agreed = world
        .run_until_true(end, |world| world.truth().edges.len() == edges && world.all_see_all());
    assert!(agreed, "{:?} after {within:?}", world.truth());
    check_graphs(world);
}

fn check_graphs(world: &World) {
    let truth = world.truth();
    for node in &truth.on {
        let host = world.host(*node);
        let graph = host.node().unwrap().graph(host.clock(world.now()));
        let number = |key| world.owner(key).unwrap();
        let distances = truth.distances_from(*node);
        for peer in &graph.remote {
            let hops = peer.route.map(|route| usize::from(route.hops));
            assert_eq!(hops, distances.get(&number(&peer.key)).copied());
        }
        let views = graph.remote.iter().chain([&graph.local]);
        let edges = views.flat_map(|peer| &peer.connections).map(|edge| {
            let (a, b) = (number(&edge.a), number(&edge.b));
            (a.min(b), a.max(b), 0)
        });
        assert_eq!(edges.collect::<std::collections::BTreeSet<_>>(), truth.edges);
    }
    assert_eq!(world.defects(), []);
}

#[test]
fn a_line_agrees_over_a_fast_medium_and_a_slow_one() {
    for (medium, within) in [(Medium::lan(), 2), (Medium::radio(4), 20)] {
        let mut world = world(5, medium, &topology::line(5));
        converge(&mut world, Duration::from_secs(within));
    }
}

#[test]
fn a_node_that_died_silently_leaves_and_comes_back() {
    let mut world = world(4, Medium::lan(), &topology::ring(4));
    converge(&mut world, Duration::from_secs(2));
    world.crash(2, Ending::Silent);
    let end = world.now() + Duration::from_secs(30);
    assert!(world.run_until_true(end, |world| world.truth().edges.len() == 2));
    assert!(world.run_until_true(end, World::all_see_all));
    world.start(2);
    converge(&mut world, Duration::from_secs(15));
    assert_eq!((world.host(2).runs(), world.host(2).epoch()), (2, 2));
}

#[test]
fn a_goodbye_is_heard_at_once() {
    let mut world = world(3, Medium::lan(), &topology::line(3));
    converge(&mut world, Duration::from_secs(2));
    world.stop(2);
    world.run(Duration::from_millis(10));
    assert_eq!(world.truth().edges.len(), 1);
    assert_eq!(world.host(2).state(), State::Off);
}

#[test]
fn a_machine_sleeps_and_wakes_with_either_clock() {
    for clock in [Clock::Runs, Clock::Stands] {
        let mut world = world(3, Medium::lan(), &topology::line(3));
        converge(&mut world, Duration::from_secs(2));
        world.suspend(1);
        world.run(Duration::from_secs(60));
        assert_eq!(world.truth().edges.len(), 0, "it was given up");
        world.resume(1, clock);
        converge(&mut world, Duration::from_secs(30));
    }
}

#[test]
fn a_link_out_of_reach_goes_silent_or_is_reported() {
    // TCP says nothing, so liveness has to find out; a radio's supervision tells after 5 s.
    for (medium, told_after) in [(Medium::lan(), 16), (Medium::radio(4), 5)] {
        let mut world = world(2, medium, &[(0, 1)]);
        converge(&mut world, Duration::from_secs(10));
        world.disconnect(0, 0, 1);
        let begin = world.now();
        let end = begin + Duration::from_secs(60);
        assert!(world.run_until_true(end, |world| world.host(0).links_up().count() == 0));
        let took = world.now().since(begin).as_secs();
        assert!((told_after..told_after + 2).contains(&took), "{took} s");
        world.connect(0, 0, 1);
        converge(&mut world, Duration::from_secs(30));
    }
}

#[test]
fn an_old_home_and_a_lost_one_come_back() {
    let mut world = world(3, Medium::lan(), &topology::line(3));
    world.crash(0, Ending::Told);
    world.set_epoch(0, 40);
    world.start(0);
    converge(&mut world, Duration::from_secs(5));
    world.crash(0, Ending::Told);
    world.set_epoch(0, 3);
    world.start(0);
    converge(&mut world, Duration::from_secs(30));
    assert!(world.host(0).epoch() > 41, "it stepped above its past");
    let key = world.host(0).key();
    world.crash(0, Ending::Told);
    world.lose_home(0);
    world.start(0);
    converge(&mut world, Duration::from_secs(60));
    assert_ne!(world.host(0).key(), key);
}

#[test]
fn bytes_of_all_classes_add_up_to_what_was_sent() {
    let mut world = world(4, Medium::lan(), &topology::ring(4));
    converge(&mut world, Duration::from_secs(2));
    world.run(Duration::from_secs(20));
    for host in world.hosts() {
        let on_links = host.links().map(|(.., sent)| sent.total()).sum::<u64>();
        let sent = host.sent();
        // Links that were one too many are in the sum alone.
        assert!(on_links > 0 && on_links <= sent.total());
        assert!(sent.keepalive.frames >= 6 && sent.keepalive.bytes <= 29 * sent.keepalive.frames);
        assert!(sent.control.bytes > 0 && sent.handshake.bytes > 0);
        assert_eq!(sent.data.bytes, 0, "nobody sends anything");
    }
}
