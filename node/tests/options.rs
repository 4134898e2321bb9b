//! What can be said of a single message and of a stream beside their bytes.

use std::time::Duration;

use bytes::Bytes;
use hedgerow::Identity;
use hedgerow::bus::{Fate, SendError, SendOptions, StreamOptions};
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use tokio::time::Instant;

async fn node(medium: &Medium, name: &str) -> Mesh {
    let builder = Mesh::builder().name(name).network("test").own_drivers_only();
    builder.driver(medium.driver(name)).start().await.unwrap()
}

async fn pair() -> (Medium, Mesh, Mesh) {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let (a, b) = (node(&medium, "a").await, node(&medium, "b").await);
    let there = |graph: &PresenceGraph| graph.remote_peers.len() == 1;
    tokio::time::timeout(Duration::from_secs(30), a.presence().wait_for(there))
        .await
        .unwrap()
        .unwrap();
    (medium, a, b)
}

#[tokio::test(start_paused = true)]
async fn an_unreliable_message_of_128_kib_is_taken_at_once_and_a_larger_one_refused() {
    let (_medium, a, b) = pair().await;
    let (bus, to) = (a.bus(), b.peer_key());
    // Makes the session.
    bus.send_reliable(to, "first").await.unwrap();
    let largest = vec![7; 131_072];
    let begin = Instant::now();
    assert_eq!(bus.send_unreliable(to, largest.clone()).await, Ok(1));
    let refused = bus.send_unreliable(to, vec![7; 131_073]).await.unwrap_err();
    assert_eq!(refused, SendError::TooLarge { limit: 131_072 });
    assert_eq!(refused.fate(), Fate::NotDelivered);
    assert!(begin.elapsed() < Duration::from_millis(10), "{:?}", begin.elapsed());
    let mut messages = b.bus().messages();
    messages.next().await.unwrap();
    let message = messages.next().await.unwrap();
    assert_eq!((message.reliability, message.sequence), (Reliability::Unreliable, 1));
    assert_eq!(message.data, largest);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_as_long_for_a_route_as_it_is_told() {
    struct Sevens;
    impl hedgerow::Entropy for Sevens {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }
    let medium = Medium::new();
    let a = node(&medium, "a").await;
    let nobody = Identity::generate(&mut Sevens).peer_key();
    for seconds in [2, 5] {
        let begin = Instant::now();
        let give_up = Some(Duration::from_secs(seconds));
        let options = SendOptions { give_up, ..SendOptions::default() };
        let failed = a.bus().send_reliable_with(nobody, "x", options).await.unwrap_err();
        assert_eq!(failed, SendError::NoRoute { fate: Fate::NotDelivered });
        let took = begin.elapsed().as_millis();
        assert!((1..=1_100).contains(&(took.abs_diff(u128::from(seconds) * 1_000) + 1)), "{took}");
    }
    let options = SendOptions { lane: Lane::Control, ..SendOptions::default() };
    let refused = a.bus().send_reliable_with(nobody, "x", options).await.unwrap_err();
    assert_eq!(refused, SendError::ControlLane);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_looked_at_before_it_is_accepted_and_its_halves_go_apart() {
    let (_medium, a, b) = pair().await;
    let mut acceptor = b.bus().listen("files").await.unwrap();
    let (bus, to) = (a.bus(), b.peer_key());
    let opening = tokio::spawn(async move {
        let arguments = Bytes::from("name=garden.jpg");
        let options = StreamOptions { arguments, lane: Lane::Bulk, ..StreamOptions::default() };
        bus.open_stream_with(to, "files", options).await
    });
    let candidate = acceptor.next().await.unwrap();
    assert_eq!(candidate.peer(), a.peer_key());
    assert_eq!(candidate.topic(), b"files");
    assert_eq!(candidate.reliability(), Reliability::Reliable);
    assert_eq!(candidate.arguments(), "name=garden.jpg");
    assert!(!opening.is_finished(), "open before it was accepted");
    let far = candidate.accept_with(Bytes::from("from=0")).await.unwrap();
    let mut near = opening.await.unwrap().unwrap();
    assert_eq!(near.arguments(), "from=0");
    assert_eq!((near.peer(), near.topic()), (b.peer_key(), &b"files"[..]));
    let over = vec![0; near.max_message_size() + 1];
    assert!(near.send(over).await.is_err(), "over its own limit");

    // Each half in a task of its own; acknowledged means read there.
    let (mut sender, mut receiver) = near.split();
    let sending = tokio::spawn(async move {
        for number in 1..=100_u64 {
            assert_eq!(sender.send(number.to_be_bytes().to_vec()).await, Ok(number));
        }
        sender.finish().await.unwrap();
        sender.wait_acked().await.unwrap();
        sender.acked()
    });
    let (mut back, mut there) = far.split();
    for number in 1..=100_u64 {
        assert_eq!(there.next().await.unwrap().unwrap()[..], number.to_be_bytes());
    }
    assert_eq!(there.next().await.unwrap(), None);
    assert_eq!(sending.await.unwrap(), 100);
    back.send("thanks").await.unwrap();
    back.finish().await.unwrap();
    assert_eq!(receiver.next().await.unwrap().unwrap(), "thanks");
    assert_eq!(receiver.next().await.unwrap(), None);
}
