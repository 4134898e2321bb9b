//! Packets pass a radio one by one, and what its shape does to packets happens to them.

use std::collections::BTreeSet;
use std::time::Duration;

use hedgerow_core::limits::{PACKET_BYTES_MAX, PACKET_BYTES_MIN};
use hedgerow_driver::{LinkShape, PACKETS_IN_DRIVER};
use hedgerow_memory::{ConnectError, Medium, Shape};
use tokio::time::Instant;

use crate::node::{Linked, Node, pattern};

const QUIET: Duration = Duration::from_secs(5);

/// Packets of all sizes up to the largest, no two of them the same.
fn packets(count: usize) -> Vec<Vec<u8>> {
    let largest = Shape::bluetooth().mtu_bytes.unwrap();
    let packet = |number: usize| {
        let mut packet = pattern(4 + number % (largest - 3));
        packet[..4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        packet
    };
    (0..count).map(packet).collect()
}

/// What arrives of `sent` over a radio of this shape.
async fn arrive(shape: Shape, sent: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let Linked { mut a, mut b, of_a, of_b, .. } = Linked::over(shape).await;
    tokio::join!(a.send_packets(of_a, sent), b.packets(of_b, QUIET)).1
}

/// Whether about so many of ten thousand, to a quarter.
fn is_about(count: usize, expected: usize) -> bool {
    (expected * 3 / 4..=expected * 5 / 4).contains(&count)
}

#[tokio::test(start_paused = true)]
async fn both_ends_learn_how_large_packets_are() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::bluetooth()).unwrap();
    let mut a = Node::advertising(&medium, "a").await;
    let mut b = Node::advertising(&medium, "b").await;
    assert_eq!(a.sighting().await, Ok("b".into()));
    a.dial("b").await;
    for up in [a.link_up().await, b.link_up().await] {
        let shape =
            LinkShape::Packet { packet_bytes: 182, is_ordered: false, frame_bytes_max: 10_000 };
        assert_eq!(up.shape, shape);
        assert_eq!(up.estimate.rate_bytes_per_s, 20_000);
    }
}

#[tokio::test(start_paused = true)]
async fn packets_of_all_sizes_arrive_as_they_were_sent() {
    let sent = packets(400);
    let start = Instant::now();
    assert!(arrive(Shape::bluetooth(), &sent).await == sent);
    // At the exact rate: the delay, and the tick in which the last one is read.
    let bytes: usize = sent.iter().map(Vec::len).sum();
    let took = start.elapsed() - QUIET - Shape::bluetooth().delay * 3;
    let expected = Duration::from_secs_f64(bytes as f64 / 20_000.0);
    assert!((expected..expected + Duration::from_millis(3)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_share_of_packets_is_lost_that_the_shape_says() {
    let sent = packets(10_000);
    let received = arrive(Shape { loss_ppm: 50_000, ..Shape::bluetooth() }, &sent).await;
    assert!(is_about(sent.len() - received.len(), 500), "{} came", received.len());
    let known: BTreeSet<_> = sent.iter().collect();
    assert!(received.iter().all(|packet| known.contains(packet)));
    assert!(received.is_sorted_by_key(|packet| packet[..4].to_vec()), "none was overtaken");
}

#[tokio::test(start_paused = true)]
async fn packets_come_twice_where_the_shape_doubles_them() {
    let sent = packets(10_000);
    let received = arrive(Shape { duplicate_ppm: 50_000, ..Shape::bluetooth() }, &sent).await;
    assert!(is_about(received.len() - sent.len(), 500), "{} came", received.len());
    assert!(received.into_iter().collect::<BTreeSet<_>>() == sent.into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn packets_overtake_each_other_where_the_shape_reorders_them() {
    let sent = packets(10_000);
    let late = Duration::from_millis(40);
    let shape = Shape { reorder_ppm: 50_000, reorder_delay: late, ..Shape::bluetooth() };
    let received = arrive(shape, &sent).await;
    let overtaken = received.windows(2).filter(|pair| pair[0][..4] > pair[1][..4]).count();
    assert!((200..=500).contains(&overtaken), "{overtaken} were overtaken");
    assert!(received.into_iter().collect::<BTreeSet<_>>() == sent.into_iter().collect());
}

#[tokio::test(start_paused = true)]
async fn one_bit_of_a_packet_is_wrong_where_the_shape_damages_it() {
    let sent = packets(10_000);
    let received = arrive(Shape { corrupt_ppm: 50_000, ..Shape::bluetooth() }, &sent).await;
    assert_eq!(received.len(), sent.len());
    let wrong_bits = |(sent, received): (&Vec<u8>, &Vec<u8>)| {
        assert_eq!(sent.len(), received.len());
        sent.iter().zip(received).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>()
    };
    let wrong: Vec<_> = sent.iter().zip(&received).map(wrong_bits).collect();
    assert!(wrong.iter().all(|bits| *bits <= 1));
    assert!(is_about(wrong.iter().filter(|bits| **bits == 1).count(), 500));
}

#[tokio::test(start_paused = true)]
async fn a_driver_holds_two_packets_that_the_radio_has_not_accepted() {
    let mut linked = Linked::over(Shape::bluetooth()).await;
    let taken = linked.a.fill(linked.of_a, Duration::from_millis(5), &pattern(10_000)).await;
    // One on the line, and one that the radio keeps.
    assert_eq!(taken, (1 + 1 + PACKETS_IN_DRIVER) * 182);
    let start = Instant::now();
    linked.a.exchange(linked.of_a, b"now", 0).await;
    linked.b.exchange(linked.of_b, b"", taken + 3).await;
    assert!(start.elapsed() < Duration::from_millis(4 * 9 + 5 + 30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_read_stops_the_sender_of_packets() {
    let mut linked = Linked::over(Shape::bluetooth()).await;
    let data = pattern(100_000);
    let taken = linked.a.fill(linked.of_a, Duration::from_secs(60), &data).await;
    // The reports, what is in hand at either end, and what the direction holds.
    assert!(taken <= (64 + 1 + PACKETS_IN_DRIVER) * 182 + 2 * 182 + 700 + 182, "{taken} taken");
    let at_b = linked.b.exchange(linked.of_b, b"", taken).await;
    assert!(at_b == data[..taken]);
}

#[test]
fn shapes_that_no_packets_can_have_are_refused() {
    let medium = Medium::new();
    for mtu_bytes in [0, PACKET_BYTES_MIN - 1, PACKET_BYTES_MAX + 1] {
        let shape = Shape { mtu_bytes: Some(mtu_bytes), ..Shape::bluetooth() };
        assert_eq!(medium.connect("a", "b", shape), Err(ConnectError::Mtu { mtu_bytes }));
    }
    let impossible = Shape { loss_ppm: 1_000_001, ..Shape::bluetooth() };
    assert_eq!(medium.connect("a", "b", impossible), Err(ConnectError::Impossible));
    assert!(medium.mend("a", "b").is_err(), "a refused pair is not connected");
    for mtu_bytes in [PACKET_BYTES_MIN, PACKET_BYTES_MAX] {
        let shape = Shape { mtu_bytes: Some(mtu_bytes), ..Shape::bluetooth() };
        medium.connect("a", "b", shape).unwrap();
    }
}
