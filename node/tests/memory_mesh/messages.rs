//! Single messages, their fates and their order.

use std::sync::Arc;
use std::time::Duration;

use hedgerow::Identity;
use hedgerow::bus::{Fate, SendError};
use hedgerow::config::{Config, WhenFull};
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;

use crate::scene::*;

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_over_several_hops_and_says_so() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b", "c"]).await;
    let delivered = nodes[0].bus().send_reliable(nodes[2].peer_key(), "hello").await.unwrap();
    assert_eq!((delivered.hops, delivered.sequence), (2, 1));
    let message = nodes[2].bus().messages().next().await.unwrap();
    assert_eq!((message.from, &message.data[..]), (nodes[0].peer_key(), &b"hello"[..]));
    assert_eq!(message.reliability, Reliability::Reliable);
}

#[tokio::test(start_paused = true)]
async fn many_in_flight_arrive_in_order_with_a_slow_reader() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let sends = (0..2_000_u32).map(|n| {
        let bus = bus.clone();
        async move { bus.send_reliable(to, n.to_be_bytes().to_vec()).await }
    });
    let sending = tokio::spawn(join_all(sends.collect()));
    let mut messages = nodes[1].bus().messages();
    for n in 0..2_000_u32 {
        let message = messages.next().await.unwrap();
        assert_eq!(message.data[..], n.to_be_bytes());
        if n % 500 == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn the_first_poll_gives_a_message_its_place() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let (bus, to) = (nodes[0].bus(), nodes[1].peer_key());
    let mut sends = Vec::new();
    // More than tokio lets a task do in one turn.
    for n in 0..200_u32 {
        let bus = bus.clone();
        let mut send =
            Box::pin(async move { bus.send_reliable(to, n.to_be_bytes().to_vec()).await });
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(send.as_mut().poll(cx)));
        assert!(poll.await.is_pending());
        sends.push(send);
    }
    // Whoever is polled first from now on.
    sends.reverse();
    let sending = tokio::spawn(join_all(sends));
    let mut messages = nodes[1].bus().messages();
    for n in 0..200_u32 {
        assert_eq!(messages.next().await.unwrap().data[..], n.to_be_bytes());
    }
    assert!(sending.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_rejects_when_it_is_told_to() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let mut config = Config::default();
    config.bus.when_full = Some(WhenFull::Reject);
    config.bus.inbox_messages_max = 2;
    let (a, b) = (node(&medium, "a").await, configured(&medium, "b", config).await);
    wait_for(&a, |graph| graph.remote_peers.len() == 1).await;
    for _ in 0..2 {
        a.bus().send_reliable(b.peer_key(), "x").await.unwrap();
    }
    let full = a.bus().send_reliable(b.peer_key(), "x").await.unwrap_err();
    assert!(matches!(full, SendError::Rejected { .. }), "{full}");
    assert_eq!(full.fate(), Fate::NotDelivered);
    b.bus().messages().next().await.unwrap();
    a.bus().send_reliable(b.peer_key(), "x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_an_error_that_says_not_delivered() {
    let medium = Medium::new();
    let a = node(&medium, "a").await;
    let stranger = Identity::generate(&mut Counting(7)).peer_key();
    let failed = a.bus().send_reliable(stranger, "x").await.unwrap_err();
    assert!(matches!(failed, SendError::NoRoute { fate: Fate::NotDelivered }), "{failed}");
    let failed = a.bus().send_unreliable(stranger, "x").await.unwrap_err();
    assert_eq!(failed.fate(), Fate::NotDelivered);
    let failed = a.bus().send_reliable(stranger, vec![0; 17 << 20]).await.unwrap_err();
    assert_eq!(failed, SendError::TooLarge { limit: 16 << 20 });
}

/// Not random: every call gives other bytes.
struct Counting(u8);

impl hedgerow::Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_nobody_awaits_any_more_take_no_room_in_the_queue() {
    struct Owner(#[allow(dead_code, reason = "counted")] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            static MEBIBYTE: [u8; 1 << 20] = [0; 1 << 20];
            &MEBIBYTE
        }
    }
    let medium = Medium::new();
    let mesh = node(&medium, "a").await;
    let nobody = Identity::from_seed(&[7; 32]).unwrap().peer_key();
    let alive = Arc::new(());
    for _ in 0..1_000 {
        let message = bytes::Bytes::from_owner(Owner(alive.clone()));
        let bus = mesh.bus();
        let sending = bus.send_reliable(nobody, message);
        tokio::time::timeout(Duration::from_millis(1), sending).await.unwrap_err();
    }
    let kept = Arc::strong_count(&alive) - 1;
    assert!(kept < 100, "{kept} MiB are kept, of which the core sends 32");
}
