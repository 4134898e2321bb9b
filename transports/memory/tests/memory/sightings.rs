//! Nodes see those in reach that advertise, and nobody else.

use std::time::Duration;

use hedgerow_memory::{Medium, Shape};

use crate::node::Node;

const LATER: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn those_in_reach_that_advertise_are_sighted() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    medium.connect("b", "c", Shape::lan()).unwrap();
    medium.connect("a", "quiet", Shape::lan()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let _b = Node::advertising(&medium, "b").await;
    let _c = Node::advertising(&medium, "c").await;
    let mut quiet = Node::start(medium.driver("quiet"));
    assert_eq!(a.sighting().await, Ok("b".into()));
    assert_eq!(quiet.sighting().await, Ok("a".into()));
    a.hears_nothing_for(LATER).await;
    quiet.hears_nothing_for(LATER).await;

    medium.connect("c", "a", Shape::lan()).unwrap();
    assert_eq!(a.sighting().await, Ok("c".into()));
}

#[tokio::test(start_paused = true)]
async fn another_beacon_is_told_and_the_same_one_is_not() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let mut a = Node::start(medium.driver("a"));
    let b = Node::advertising(&medium, "b").await;
    assert_eq!(a.sighting().await, Ok("b".into()));
    b.advertise(1).await;
    a.hears_nothing_for(LATER).await;
    b.advertise(2).await;
    assert_eq!(a.sighting().await, Ok("b".into()));
    a.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn media_do_not_hear_each_other() {
    let (one, other) = (Medium::named("One"), Medium::named("Other"));
    for medium in [&one, &other] {
        medium.connect("a", "b", Shape::lan()).unwrap();
    }
    let mut a = Node::advertising(&one, "a").await;
    let mut b = Node::advertising(&other, "b").await;
    a.hears_nothing_for(LATER).await;
    b.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_into_reach_in_silence_is_seen_when_it_ends() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    medium.silence("a", "b").unwrap();
    let mut a = Node::start(medium.driver("a"));
    let _b = Node::advertising(&medium, "b").await;
    a.hears_nothing_for(LATER).await;
    medium.mend("a", "b").unwrap();
    assert_eq!(a.sighting().await, Ok("b".into()));
}
