//! Nodes over a radio that carries packets, and loses some.

use std::time::Duration;

use hedgerow::bus::SendOptions;
use hedgerow::memory::Shape;
use hedgerow::prelude::*;

use crate::scene::*;

#[tokio::test(start_paused = true)]
async fn reliable_messages_cross_a_radio_that_loses_one_packet_of_twenty() {
    let radio = Shape { loss_ppm: 50_000, ..Shape::bluetooth() };
    let (_medium, nodes) = line(radio, &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let started = tokio::time::Instant::now();
    let sends = (0..100_u32).map(|n| {
        let bus = bus.clone();
        // From one packet to seventeen.
        let data = n.to_be_bytes().repeat(1 + 8 * n as usize);
        async move { bus.send_reliable(to, data).await }
    });
    let sending = tokio::spawn(join_all(sends.collect()));
    let back = nodes[1].bus();
    let answering = tokio::spawn({
        let to = nodes[0].peer_key();
        async move { back.send_reliable(to, vec![7; 20_000]).await }
    });

    let mut messages = nodes[1].bus().messages();
    for n in 0..100_u32 {
        let message = tokio::time::timeout(SOON, messages.next()).await.unwrap().unwrap();
        assert_eq!(message.data[..], n.to_be_bytes().repeat(1 + 8 * n as usize));
    }
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
    answering.await.unwrap().unwrap();
    assert_eq!(nodes[0].bus().messages().next().await.unwrap().data.len(), 20_000);
    // 160 KB at 20 KB/s, and what is lost once more.
    assert!(started.elapsed() < Duration::from_secs(14), "{:?}", started.elapsed());
    assert!(nodes[0].links().await.unwrap().iter().all(|link| link.rtt.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_whole_where_packets_are_lost_and_come_late_and_twice() {
    let radio = Shape {
        loss_ppm: 20_000,
        duplicate_ppm: 20_000,
        reorder_ppm: 50_000,
        reorder_delay: Duration::from_millis(60),
        ..Shape::bluetooth()
    };
    let (_medium, nodes) = line(radio, &["a", "b", "c"]).await;
    let data: Vec<u8> = (0..12_500_u32).flat_map(u32::to_be_bytes).collect();
    nodes[0].bus().send_reliable(nodes[2].peer_key(), data.clone()).await.unwrap();
    let message = nodes[2].bus().messages().next().await.unwrap();
    assert!(message.data[..] == data);
}

#[tokio::test(start_paused = true)]
async fn a_realtime_message_does_not_wait_for_the_frame_that_the_radio_carries() {
    let (_medium, nodes) = line(Shape::bluetooth(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let bulk = bus.clone();
    let options = SendOptions { lane: Lane::Bulk, ..SendOptions::default() };
    let sending =
        tokio::spawn(async move { bulk.send_reliable_with(to, vec![0; 200_000], options).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    let options = SendOptions { lane: Lane::Realtime, ..SendOptions::default() };
    let asked = tokio::time::Instant::now();
    bus.send_reliable_with(to, "now", options).await.unwrap();
    // There and back through the air, a few packets each way, and no frame of half a second.
    assert!(asked.elapsed() < Duration::from_millis(250), "{:?}", asked.elapsed());
    assert!(!sending.is_finished());
    assert_eq!(nodes[1].bus().messages().next().await.unwrap().data[..], *b"now");
    sending.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_that_shut_down_at_once_do_not_wait_for_each_other_over_packets() {
    let (_medium, nodes) = line(Shape::bluetooth(), &["a", "b"]).await;
    let asked = tokio::time::Instant::now();
    tokio::join!(nodes[0].shutdown(), nodes[1].shutdown());
    // A way there and back, and as long as an acknowledgement may wait.
    assert!(asked.elapsed() < Duration::from_millis(200), "{:?}", asked.elapsed());
}
