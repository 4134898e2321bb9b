//! Each dial is answered once: by a link or by a reason.

use std::time::Duration;

use hedgerow_driver::{DialFailure, LinkOrigin, TransportCommand, TransportEvent};
use hedgerow_memory::{Medium, Shape};
use tokio::time::Instant;

use crate::node::{Linked, Node};

const LATER: Duration = Duration::from_secs(60);

async fn failure(node: &mut Node, to: &str) -> DialFailure {
    let dial = node.dial(to).await;
    match node.link_event().await {
        TransportEvent::DialFailed { dial: of, reason } if of == dial => reason,
        other => panic!("a failed dial, not {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_to_nobody_fails() {
    let medium = Medium::new();
    medium.connect("a", "gone", Shape::lan()).unwrap();
    let _stranger = Node::advertising(&medium, "stranger").await;
    let mut a = Node::advertising(&medium, "a").await;
    assert_eq!(failure(&mut a, "nobody").await, DialFailure::Unreachable);
    assert_eq!(failure(&mut a, "stranger").await, DialFailure::Unreachable);
    assert_eq!(failure(&mut a, "gone").await, DialFailure::Unreachable);
    assert_eq!(failure(&mut a, "a").await, DialFailure::Unreachable);
    assert_eq!(failure(&mut a, "").await, DialFailure::InvalidEndpoint);
    a.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_advertise_accepts_no_links() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let mut b = Node::start(medium.driver("b"));
    assert_eq!(b.sighting().await, Ok("a".into()));
    assert_eq!(failure(&mut a, "b").await, DialFailure::Refused);
    b.dial("a").await;
    b.link_up().await;
    a.link_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_takes_a_round_trip() {
    let start = Instant::now();
    Linked::over(Shape::slow_radio()).await;
    assert!((60..=61).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_that_dial_each_other_get_two_links() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let mut b = Node::advertising(&medium, "b").await;
    assert!(a.sighting().await.is_ok() && b.sighting().await.is_ok());
    a.dial("b").await;
    b.dial("a").await;
    for node in [&mut a, &mut b] {
        let (first, second) = (node.link_up().await, node.link_up().await);
        assert_ne!(first.link, second.link);
        let accepted = [first.origin, second.origin].map(|by| by == LinkOrigin::Accepted);
        assert!(accepted == [true, false] || accepted == [false, true]);
        node.hears_nothing_for(LATER).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_dial_is_answered_once() {
    let Linked { mut a, mut b, .. } = Linked::over(Shape::slow_radio()).await;
    let dial = a.dial("b").await;
    a.command(TransportCommand::CancelDial(dial)).await;
    match a.link_event().await {
        TransportEvent::DialFailed { reason: DialFailure::Cancelled, .. } => {}
        other => panic!("{other:?}"),
    }
    a.hears_nothing_for(LATER).await;
    b.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_the_link_came_up_changes_nothing() {
    let Linked { mut a, mut b, .. } = Linked::over(Shape::lan()).await;
    let dial = a.dial("b").await;
    let (of_a, of_b) = (a.link_up().await.link, b.link_up().await.link);
    a.command(TransportCommand::CancelDial(dial)).await;
    a.exchange(of_a, b"still up", 0).await;
    assert_eq!(b.exchange(of_b, b"", 8).await, b"still up");
    a.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_node_accepts_a_few_newcomers_and_then_refuses() {
    let medium = Medium::new();
    medium.connect("a", "full", Shape::lan()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let mut full = Node::start(medium.driver("full").links_max(2));
    full.advertise(1).await;
    assert_eq!(a.sighting().await, Ok("full".into()));

    let mut links = Vec::new();
    for _ in 0..2 + 4 {
        a.dial("full").await;
        a.link_up().await;
        links.push(full.link_up().await.link);
    }
    assert_eq!(failure(&mut a, "full").await, DialFailure::Refused);
    assert!(matches!(failure(&mut full, "a").await, DialFailure::Unavailable(_)));

    full.close(links[0]).await;
    full.link_down().await;
    a.link_down().await;
    a.dial("full").await;
    a.link_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_under_way_when_the_other_leaves_fails() {
    let Linked { mut a, b, .. } = Linked::over(Shape::slow_radio()).await;
    a.dial("b").await;
    b.kill().await;
    let mut answers = [a.link_event().await, a.link_event().await].into_iter();
    assert!(answers.any(|answer| matches!(
        answer,
        TransportEvent::DialFailed { reason: DialFailure::Unreachable, .. }
    )));
}
