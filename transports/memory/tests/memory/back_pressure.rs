//! Nothing piles up: not before a slow line, and not behind a node that does not read.

use std::time::Duration;

use hedgerow_driver::CHUNKS_IN_DRIVER;
use hedgerow_memory::Shape;
use tokio::time::Instant;

use crate::node::{Linked, pattern};

#[tokio::test(start_paused = true)]
async fn a_slow_line_lets_the_node_wait() {
    let mut linked = Linked::over(Shape::slow_radio()).await;
    let taken = linked.a.fill(linked.of_a, Duration::from_millis(5), &pattern(100_000)).await;
    // One on the line, one that waits for it, and what the contract lets wait before that.
    assert_eq!(taken, (1 + 1 + CHUNKS_IN_DRIVER) * linked.a.chunk_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_small_frame_overtakes_all_but_a_few_chunks() {
    let mut linked = Linked::over(Shape::slow_radio()).await;
    let taken = linked.a.fill(linked.of_a, Duration::from_millis(5), &pattern(100_000)).await;
    let start = Instant::now();
    linked.a.exchange(linked.of_a, b"now", 0).await;
    linked.b.exchange(linked.of_b, b"", taken + 3).await;
    assert!(start.elapsed() < Duration::from_millis(4 * 71 + 30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_read_stops_the_sender_and_loses_nothing() {
    for shape in [Shape::perfect(), Shape::lan()] {
        let mut linked = Linked::over(shape).await;
        let data = pattern(20_000_000);
        let taken = linked.a.fill(linked.of_a, Duration::from_secs(60), &data).await;
        // The reports' channel, what is in hand at either end, and the window between them.
        let window = shape.queue_bytes_max + 700_000;
        assert!(taken < 70 * linked.a.chunk_bytes() + window, "{taken} taken over {shape:?}");
        let at_b = linked.b.exchange(linked.of_b, b"", taken).await;
        assert!(at_b == data[..taken]);
    }
}
