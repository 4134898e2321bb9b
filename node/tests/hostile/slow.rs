//! Those that take their time, on purpose.

use std::time::{Duration, Instant};

use hedgerow::notice::Trouble;
use hedgerow::prelude::*;
use hedgerow_core::link::HandshakeFailure;
use hedgerow_core::wire::control::Control;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::evil::Evil;
use crate::scene::{Scene, identity, node, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_comes_byte_by_byte_is_given_up_in_time() {
    let mut scene = Scene::new().await;
    let begin = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let address = scene.address();
        crowd.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // A whole message would take 14 s.
            for byte in *b"HDGW\x01\x01\x00\x00\x00\x20a key that is as good as any oth" {
                tokio::time::sleep(Duration::from_millis(350)).await;
                if stream.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
            // Answered or reset.
            let _ = stream.read(&mut [0; 64]).await;
        });
    }
    // Who is quick gets in meanwhile.
    let newcomer = node("newcomer", scene.victim.listen_addresses()).await;
    wait_for(&newcomer, |graph| graph.remote_peers.len() == 2).await;
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    while crowd.join_next().await.is_some() {}
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
    let timed_out = |trouble: &Trouble| matches!(trouble, Trouble::NoHandshake { why, .. } if *why == HandshakeFailure::TimedOut);
    scene.notice(timed_out).await;
    assert_eq!(scene.victim.counters().await.unwrap().handshakes_failed, 50);
    scene.finish().await;
}

/// It asks for all there is and takes nothing: what waits for it is bounded, and it is in nobody's
/// way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_asks_and_never_reads_holds_up_nobody() {
    let scene = Scene::new().await;
    let big = "x".repeat(100_000);
    scene.honest.presence().set_peer_metadata(&serde_json::json!({ "big": big })).unwrap();
    let shown = |graph: &PresenceGraph| {
        graph.remote_peers.iter().any(|peer| peer.peer_metadata.get("big").is_some())
    };
    wait_for(&scene.victim, shown).await;
    let mut evil = Evil::connect(scene.address(), scene.victim.peer_key(), identity()).await;
    let profile = evil.profile_of(scene.honest.peer_key()).await;
    evil.leave_unread();
    for _ in 0..2_000 {
        let (hash, pieces) = (profile.metadata_hash, 255);
        let want = hedgerow_core::wire::control::BodyWant { hash, offset: 0, pieces };
        evil.say(&Control::BodyWant(want));
        evil.say(&Control::BodyWant(hedgerow_core::wire::control::BodyWant {
            hash: [1; 32],
            ..want
        }));
    }
    evil.run_for(Duration::from_secs(4)).await;
    let counters = scene.victim.counters().await.unwrap();
    println!("  {} answers dropped", counters.control_dropped);
    assert!(counters.control_dropped > 1_000, "what has no room is counted");
    // What others say reaches the honest one at once.
    let begin = Instant::now();
    scene.victim.bus().send_reliable(scene.honest.peer_key(), "still here").await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    scene.finish().await;
}
