//! A driver that ends leaves nothing behind.

use std::time::Duration;

use hedgerow_driver::{DialFailure, LinkLoss, TransportEvent};
use hedgerow_memory::{Medium, Shape};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::node::{Linked, Node, pattern};

#[tokio::test(start_paused = true)]
async fn shutdown_closes_links_says_goodbye_and_joins_every_task() {
    let Linked { medium, mut a, mut b, of_a, of_b } = Linked::over(Shape::slow_radio()).await;
    let tasks_of_b_alone = 2; // its driver and its end of the link
    medium.connect("a", "far", Shape { delay: Duration::from_secs(1), ..Shape::lan() }).unwrap();
    let last_words = pattern(3 * a.chunk_bytes()); // 211 ms of the line
    a.exchange(of_a, &last_words, 0).await;
    a.dial("far").await;
    sleep(Duration::from_millis(1)).await;

    let start = Instant::now();
    a.begin_shutdown();
    assert!(a.ended().await.is_ok());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks_of_b_alone);

    let mut told = [a.link_event().await, a.link_event().await];
    told.sort_by_key(|event| matches!(event, TransportEvent::LinkDown { .. }));
    match told {
        [
            TransportEvent::DialFailed { reason: DialFailure::Cancelled, .. },
            TransportEvent::LinkDown { link, reason: LinkLoss::Shutdown },
        ] => assert_eq!(link, of_a),
        other => panic!("{other:?}"),
    }
    assert_eq!(b.exchange(of_b, b"", last_words.len()).await, last_words);
    assert_eq!(b.link_down().await, (of_b, LinkLoss::ClosedByRemote));
    assert_eq!(b.sighting().await, Err("a".into()));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_reads_no_reports_cannot_hold_up_the_shutdown() {
    let Linked { mut a, mut b, of_b, .. } = Linked::over(Shape::perfect()).await;
    b.fill(of_b, Duration::from_secs(1), &pattern(20_000_000)).await;
    // The reports of "a" are full now.
    let start = Instant::now();
    a.begin_shutdown();
    assert!(a.ended().await.is_ok());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    b.link_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_driver_takes_its_tasks_and_its_links_along() {
    let Linked { medium, mut b, a, of_b, .. } = Linked::over(Shape::lan()).await;
    a.kill().await;
    assert_eq!(b.link_down().await, (of_b, LinkLoss::ClosedByRemote));
    assert_eq!(b.sighting().await, Err("a".into()));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1);

    let mut again = Node::advertising(&medium, "a").await;
    assert_eq!(again.sighting().await, Ok("b".into()));
    assert_eq!(b.sighting().await, Ok("a".into()));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_cannot_have_one_name() {
    let medium = Medium::new();
    let mut first = Node::start(medium.driver("a"));
    tokio::task::yield_now().await;
    let error = Node::start(medium.driver("a")).ended().await.unwrap_err();
    assert!(error.to_string().contains("\"a\": choose another name"), "{error}");
    first.begin_shutdown();
    assert!(first.ended().await.is_ok());
    let mut third = Node::start(medium.driver("a"));
    third.begin_shutdown();
    assert!(third.ended().await.is_ok());
}
