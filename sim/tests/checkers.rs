//! Each checker sees the promise broken that it is there for: by a node of which one thing is not as
//! it should be, in a world in which nothing else goes wrong.

use hedgerow_core::io::Lane;
use hedgerow_core::time::Duration;
use hedgerow_sim::app::{Flow, Kind, Post};
use hedgerow_sim::double::Double;
use hedgerow_sim::scenario::{Given, Scenario, Topology};
use hedgerow_sim::story::{Report, Story};

fn flow(kind: Kind) -> Flow {
    Flow {
        from: 0,
        to: 2,
        lane: Lane::Normal,
        kind,
        begins_after: Duration::from_secs(5),
        every: Duration::from_millis(300),
        messages: 20,
        bytes: (40, 200),
    }
}

/// Four nodes in a ring, with traffic of every kind from node 0 to node 2.
fn play(double: Option<Double>) -> Report {
    let storm = Some(Duration::from_secs(20));
    let given = Given { nodes: Some(4), topology: Some(Topology::Ring), storm };
    let mut scenario = Scenario::draw(9, given);
    scenario.faults.clear();
    scenario.gone.clear();
    scenario.flows =
        [Kind::Reliable(None), Kind::Loose, Kind::Stream(5)].map(flow).into_iter().collect();
    let mut story = Story::new(scenario);
    if let Some(double) = double {
        story.set_double(double);
    }
    story.play()
}

fn assert_caught(double: Double, checker: &str) {
    let failure = play(Some(double)).failure.expect("a broken promise is seen");
    assert_eq!(failure.checker, checker, "{failure}");
}

#[test]
fn without_a_double_all_is_well() {
    let report = play(None);
    assert_eq!(report.failure, None);
    let figure = |name| report.figures.iter().find(|figure| figure.0 == name).unwrap().1;
    assert_eq!(figure("delivered"), 20 + 2 * 4);
    assert_eq!(figure("arrived"), 20);
    assert_eq!(figure("stream messages"), 20);
    assert_eq!(figure("whole"), 4);
}

#[test]
fn frames_that_go_round_are_seen() {
    assert_caught(Double::Tossing { between: [0, 1], to: 2 }, "loops");
}

#[test]
fn a_peer_that_is_forgotten_is_seen() {
    assert_caught(Double::Forgetful(1), "converged");
}

#[test]
fn a_peer_that_never_was_is_seen() {
    assert_caught(Double::Haunted(1), "converged");
}

#[test]
fn a_timer_that_stands_still_is_seen() {
    assert_caught(Double::Frozen(1), "timers");
}

#[test]
fn a_node_that_keeps_itself_busy_is_seen() {
    assert_caught(Double::Restless(1), "timers");
}

#[test]
fn a_message_that_comes_twice_is_seen() {
    assert_caught(Double::Repeating(2, Post::Reliable), "delivery");
}

#[test]
fn an_outcome_that_is_never_told_is_seen() {
    assert_caught(Double::Unhearing(0), "delivery");
}

#[test]
fn an_unreliable_message_that_comes_twice_is_seen() {
    assert_caught(Double::Repeating(2, Post::Loose), "unreliable");
}

#[test]
fn a_hole_in_a_stream_is_seen() {
    assert_caught(Double::Skipping(2), "streams");
}

#[test]
fn an_advert_in_an_idle_mesh_is_seen() {
    assert_caught(Double::Vain(3), "idle");
}

#[test]
fn a_flood_of_adverts_is_seen() {
    assert_caught(Double::Flooding(3), "control");
}

#[test]
fn a_driver_that_misses_a_hint_is_seen() {
    assert_caught(Double::Deaf(1), "hints");
}

#[test]
fn memory_that_is_never_given_back_is_seen() {
    assert_caught(Double::Hoarding(3), "memory");
}

#[test]
fn a_seed_gives_the_same_story_again() {
    let play = || Story::new(Scenario::draw(3, Given::default())).play();
    assert_eq!(play(), play());
}
