//! Nodes go out of reach, loudly or silently, and come back.

use std::time::Duration;

use hedgerow_driver::{DialFailure, LinkLoss, TransportEvent};
use hedgerow_memory::{Medium, Shape};
use tokio::time::Instant;

use crate::node::{Linked, pattern};

const LATER: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_cut_breaks_the_link_at_both_ends_once() {
    let Linked { medium, mut a, mut b, of_a, of_b } = Linked::over(Shape::slow_radio()).await;
    a.exchange(of_a, b"on its way", 0).await;
    medium.disconnect("b", "a").unwrap();
    assert_eq!(a.link_down().await, (of_a, LinkLoss::TimedOut));
    assert_eq!(b.link_down().await, (of_b, LinkLoss::TimedOut));
    assert_eq!(a.sighting().await, Err("b".into()));
    assert_eq!(b.sighting().await, Err("a".into()));
    a.hears_nothing_for(LATER).await;
    b.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_is_mended_at_once_still_breaks_the_link() {
    let Linked { medium, mut a, mut b, of_a, of_b } = Linked::over(Shape::lan()).await;
    medium.disconnect("a", "b").unwrap();
    medium.mend("a", "b").unwrap();
    assert_eq!(a.link_down().await, (of_a, LinkLoss::TimedOut));
    assert_eq!(b.link_down().await, (of_b, LinkLoss::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_mended_cut_can_be_dialled_again() {
    let Linked { medium, mut a, mut b, .. } = Linked::over(Shape::lan()).await;
    medium.disconnect("a", "b").unwrap();
    a.link_down().await;
    b.link_down().await;
    assert_eq!(a.sighting().await, Err("b".into()));
    medium.mend("a", "b").unwrap();
    assert_eq!(a.sighting().await, Ok("b".into()));
    a.dial("b").await;
    let (of_a, of_b) = (a.link_up().await.link, b.link_up().await.link);
    a.exchange(of_a, b"back", 0).await;
    assert_eq!(b.exchange(of_b, b"", 4).await, b"back");
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_to_nobody_and_loses_nothing() {
    let Linked { medium, mut a, mut b, of_a, of_b } = Linked::over(Shape::slow_radio()).await;
    let data = pattern(5_000);
    a.exchange(of_a, &data[..1_000], 0).await;
    medium.silence("a", "b").unwrap();
    b.hears_nothing_for(LATER).await;
    a.hears_nothing_for(LATER).await;
    medium.mend("b", "a").unwrap();
    let (_, at_b) =
        tokio::join!(a.exchange(of_a, &data[1_000..], 0), b.exchange(of_b, b"", data.len()));
    assert_eq!(at_b, data);
}

#[tokio::test(start_paused = true)]
async fn a_silenced_link_can_be_cut() {
    let Linked { medium, mut a, mut b, .. } = Linked::over(Shape::lan()).await;
    medium.silence("a", "b").unwrap();
    a.hears_nothing_for(LATER).await;
    medium.disconnect("a", "b").unwrap();
    assert_eq!(a.link_down().await.1, LinkLoss::TimedOut);
    assert_eq!(b.link_down().await.1, LinkLoss::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_in_silence_stays_until_the_silence_ends() {
    let Linked { medium, a, mut b, of_b, .. } = Linked::over(Shape::lan()).await;
    medium.silence("a", "b").unwrap();
    a.kill().await;
    b.hears_nothing_for(LATER).await;
    medium.mend("a", "b").unwrap();
    assert_eq!(b.link_down().await, (of_b, LinkLoss::ClosedByRemote));
    assert_eq!(b.sighting().await, Err("a".into()));
}

#[tokio::test(start_paused = true)]
async fn a_dial_into_silence_times_out_unless_the_silence_ends() {
    let Linked { medium, mut a, mut b, .. } = Linked::over(Shape::lan()).await;
    medium.silence("a", "b").unwrap();
    let start = Instant::now();
    let dial = a.dial("b").await;
    match a.link_event().await {
        TransportEvent::DialFailed { dial: of, reason: DialFailure::TimedOut } if of == dial => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(start.elapsed().as_secs(), 5);

    a.dial("b").await;
    a.hears_nothing_for(Duration::from_secs(3)).await;
    medium.mend("a", "b").unwrap();
    a.link_up().await;
    b.link_up().await;
}

#[test]
fn pairs_that_never_were_in_reach_cannot_be_changed() {
    let medium = Medium::new();
    medium.connect("anna", "ben", Shape::lan()).unwrap();
    for error in [
        medium.disconnect("anna", "bne").unwrap_err(),
        medium.silence("anna", "bne").unwrap_err(),
        medium.mend("anna", "bne").unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("anna and bne were never connected"), "{error}");
    }
}
