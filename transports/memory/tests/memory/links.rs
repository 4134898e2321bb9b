//! Links carry bytes, as fast and as far as the shape says.

use std::time::Duration;

use hedgerow_driver::{Driver, LinkOrigin, LinkShape};
use hedgerow_memory::{Burst, ConnectError, Medium, Shape};
use tokio::time::Instant;

use crate::node::{Linked, Node, pattern};

#[tokio::test(start_paused = true)]
async fn bytes_arrive_in_order_both_ways() {
    let jittery = Shape { jitter: Duration::from_millis(20), ..Shape::lan() };
    for shape in [Shape::perfect(), Shape::lan(), Shape::slow_radio(), jittery] {
        let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(shape).await;
        let (there, back) = (pattern(300_000), pattern(200_001));
        let (at_a, at_b) = tokio::join!(
            a.exchange(of_a, &there, back.len()),
            b.exchange(of_b, &back, there.len()),
        );
        assert!(at_a == back && at_b == there, "over {shape:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_in_order_between_threads() {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(Shape::perfect()).await;
    let data = pattern(10_000_000);
    let back = data.clone();
    // Both nodes outlive the exchange: what one has sent may still be in its driver.
    let task_of_a = tokio::spawn(async move {
        let at_a = a.exchange(of_a, &data, data.len()).await;
        (a, at_a)
    });
    let at_b = b.exchange(of_b, &back, back.len()).await;
    let (_a, at_a) = task_of_a.await.unwrap();
    assert!(at_a == back && at_b == back);
}

async fn time_to_carry(shape: Shape, bytes: usize) -> Duration {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(shape).await;
    let data = pattern(bytes);
    let start = Instant::now();
    tokio::join!(a.exchange(of_a, &data, 0), b.exchange(of_b, &[], bytes));
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_exact_to_a_timer_tick() {
    // What the rate gives, the delay, and at most the tick in which the last chunk is read.
    let slow = time_to_carry(Shape::slow_radio(), 200_000).await;
    assert!((10_030..=10_031).contains(&slow.as_millis()), "{slow:?}");
    let fast = time_to_carry(Shape::lan(), 20_000_000).await;
    assert!((200..=202).contains(&fast.as_millis()), "{fast:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_delay_does_not_slow_the_line() {
    let shape = Shape { delay: Duration::from_secs(1), ..Shape::slow_radio() };
    let time = time_to_carry(shape, 200_000).await;
    assert!((11_000..=11_001).contains(&time.as_millis()), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_perfect_link_takes_no_time() {
    assert_eq!(time_to_carry(Shape::perfect(), 5_000_000).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn both_ends_learn_what_the_link_is() {
    let medium = Medium::new();
    medium.connect("b", "a", Shape::slow_radio()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let mut b = Node::advertising(&medium, "b").await;
    assert_eq!(a.sighting().await, Ok("b".into()));
    let dial = a.dial("b").await;
    let (dialled, accepted) = (a.link_up().await, b.link_up().await);

    assert_eq!(dialled.origin, LinkOrigin::Dialled(dial));
    assert_eq!(accepted.origin, LinkOrigin::Accepted);
    assert_eq!((dialled.endpoint.as_str(), accepted.endpoint.as_str()), ("b", "a"));
    for up in [dialled, accepted] {
        let shape = LinkShape::Stream { chunk_bytes: 1_408, frame_bytes_max: 1_280 };
        assert_eq!(up.shape, shape);
        assert_eq!(up.estimate.rate_bytes_per_s, 20_000);
        assert_eq!(up.estimate.delay, Duration::from_millis(30));
    }
}

#[tokio::test(start_paused = true)]
async fn another_shape_holds_for_later_links() {
    let mut linked = Linked::over(Shape::slow_radio()).await;
    linked.medium.connect("b", "a", Shape::perfect()).unwrap();
    linked.a.dial("b").await;
    let fast = linked.b.link_up().await.link;
    let of_a = linked.a.link_up().await.link;
    let start = Instant::now();
    linked.a.exchange(of_a, b"fast", 0).await;
    linked.b.exchange(fast, b"", 4).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    linked.a.exchange(linked.of_a, &[0; 1_000], 0).await;
    linked.b.exchange(linked.of_b, b"", 1_000).await;
    assert!(start.elapsed() >= Duration::from_millis(80), "the first link is as slow as it was");
}

#[test]
fn shapes_that_no_stream_can_have_are_refused() {
    let medium = Medium::new();
    let lossy = Shape { loss_ppm: 10, ..Shape::lan() };
    assert_eq!(medium.connect("a", "b", lossy), Err(ConnectError::Lossy { loss_ppm: 10 }));
    for shape in [
        Shape { duplicate_ppm: 1, ..Shape::lan() },
        Shape { corrupt_ppm: 1, ..Shape::lan() },
        Shape { reorder_ppm: 1, reorder_delay: Duration::from_millis(1), ..Shape::lan() },
        Shape { burst: Some(Burst { begin_ppm: 1, end_ppm: 1, loss_ppm: 1 }), ..Shape::lan() },
    ] {
        assert_eq!(medium.connect("a", "b", shape), Err(ConnectError::Unfaithful), "{shape:?}");
    }
    let still = Shape { rate_bytes_per_s: Some(0), ..Shape::lan() };
    assert_eq!(medium.connect("a", "b", still), Err(ConnectError::Standstill));
    assert_eq!(medium.connect("a", "a", Shape::lan()), Err(ConnectError::Itself));
    assert!(medium.mend("a", "b").is_err(), "a refused pair is not connected");
}

#[test]
fn the_medium_names_the_connection() {
    assert_eq!(Medium::new().driver("a").profile().kind.name(), "Memory");
    assert_eq!(Medium::named("Pigeon").driver("a").profile().kind.name(), "Pigeon");
    assert_eq!(Medium::new().driver("a").links_max(3).profile().links_max, 3);
}
