//! A link ends once, with the right reason, after what was written.

use std::time::Duration;

use hedgerow_driver::LinkLoss;
use hedgerow_memory::Shape;
use tokio::time::Instant;

use crate::node::{Linked, pattern};

const LATER: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn what_was_taken_before_a_close_still_arrives() {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(Shape::slow_radio()).await;
    let data = pattern(2 * a.chunk_bytes());
    a.exchange(of_a, &data, 0).await;
    a.close(of_a).await;
    assert_eq!(b.exchange(of_b, b"", data.len()).await, data);
    assert_eq!(a.link_down().await, (of_a, LinkLoss::Closed));
    assert_eq!(b.link_down().await, (of_b, LinkLoss::ClosedByRemote));
    a.close(of_a).await; // late and harmless
    a.hears_nothing_for(LATER).await;
    b.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_is_heard_a_delay_later() {
    let Linked { mut a, mut b, of_a, .. } = Linked::over(Shape::slow_radio()).await;
    let start = Instant::now();
    a.close(of_a).await;
    a.link_down().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    b.link_down().await;
    assert!((30..=31).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_dropped_closes_the_link() {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(Shape::lan()).await;
    a.exchange(of_a, b"last words", 0).await;
    a.drop_sender(of_a);
    assert_eq!(b.exchange(of_b, b"", 10).await, b"last words");
    assert_eq!(a.link_down().await, (of_a, LinkLoss::Closed));
    assert_eq!(b.link_down().await, (of_b, LinkLoss::ClosedByRemote));
}

#[tokio::test(start_paused = true)]
async fn both_ends_may_close_at_once() {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(Shape::slow_radio()).await;
    a.close(of_a).await;
    b.close(of_b).await;
    assert_eq!(a.link_down().await, (of_a, LinkLoss::Closed));
    assert_eq!(b.link_down().await, (of_b, LinkLoss::Closed));
    a.hears_nothing_for(LATER).await;
    b.hears_nothing_for(LATER).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_an_end_that_does_not_read() {
    let Linked { medium, mut a, mut b, of_a, of_b } = Linked::over(Shape::slow_radio()).await;
    medium.silence("a", "b").unwrap();
    let data = pattern(a.chunk_bytes());
    while a.try_send(of_a, &data) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let start = Instant::now();
    a.close(of_a).await;
    assert_eq!(a.link_down().await, (of_a, LinkLoss::Closed));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

    b.hears_nothing_for(LATER).await;
    medium.mend("a", "b").unwrap();
    b.exchange(of_b, b"", data.len()).await;
    while let hedgerow_driver::TransportEvent::Received { .. } = b.link_event().await {}
    b.hears_nothing_for(LATER).await;
}
