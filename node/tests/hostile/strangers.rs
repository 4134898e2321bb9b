//! Strangers: whoever can reach the port, without the network's name or secret.

use std::time::{Duration, Instant};

use hedgerow::NetworkSecret;
use hedgerow::notice::Trouble;
use hedgerow::prelude::*;
use hedgerow_core::link::HandshakeFailure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::{NETWORK, SOON, Scene, config, node, notice, wait_for};

const PREAMBLE: &[u8] = b"HDGW\x01\x01\x00\x00";

/// Connects, says something, and reads until the victim closes.
async fn say(scene: &Scene, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(scene.address()).await.unwrap();
    // The victim may close before all is said.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    // A reset is as good as an end.
    let _ = read.expect("the victim closes");
    answer
}

fn failed(trouble: &Trouble, because: HandshakeFailure) -> bool {
    matches!(trouble, Trouble::NoHandshake { why, .. } if *why == because)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mebibyte_of_noise_is_not_hedgerow() {
    let mut scene = Scene::new().await;
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    })
    .take(1 << 20)
    .collect();
    assert_eq!(say(&scene, &noise).await, b"");
    scene.notice(|trouble| failed(trouble, HandshakeFailure::NotHedgerow)).await;
    let late = scene.victim.notices().next().await.unwrap();
    assert!(failed(&late.trouble, HandshakeFailure::NotHedgerow), "whoever asks later, too");
    assert_eq!(scene.victim.counters().await.unwrap().handshakes_failed, 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_handshake_is_waited_for_five_seconds_and_gets_no_answer() {
    let mut scene = Scene::new().await;
    let begin = Instant::now();
    let half_message = [PREAMBLE, b"\x00\x20half of a key"].concat();
    let (silence, preamble, half) =
        tokio::join!(say(&scene, b""), say(&scene, PREAMBLE), say(&scene, &half_message));
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(7), "{took:?}");
    assert!([silence, preamble, half].iter().all(Vec::is_empty));
    scene.notice(|trouble| failed(trouble, HandshakeFailure::TimedOut)).await;
    assert_eq!(scene.victim.counters().await.unwrap().handshakes_failed, 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_message_of_an_impossible_length_is_not_waited_for() {
    let mut scene = Scene::new().await;
    let begin = Instant::now();
    say(&scene, &[PREAMBLE, b"\xff\xff"].concat()).await;
    assert!(begin.elapsed() < Duration::from_secs(2));
    scene.notice(|trouble| failed(trouble, HandshakeFailure::Malformed)).await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incompatible_version_is_told_on_both_sides_and_not_tried_again_soon() {
    let mut scene = Scene::new().await;
    let ours = say(&scene, b"HDGW\x07\x09\x00\x00").await;
    assert_eq!(&ours[..4], b"HDGW", "the other side can tell its user, too");
    let told =
        |trouble: &Trouble| matches!(trouble, Trouble::Incompatible { lowest: 7, highest: 9, .. });
    scene.notice(told).await;

    // The same from the dialling side.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialler = node("dialler", &[listener.local_addr().unwrap()]).await;
    let mut notices = dialler.notices();
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"HDGW\x07\x09\x00\x00").await.unwrap();
    notice(&mut notices, told).await;
    let again = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await;
    assert!(again.is_err(), "dialled again at once");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_networks_name_is_told_to_the_one_who_dials() {
    let scene = Scene::new().await;
    let builder = Mesh::builder().config(config(scene.victim.listen_addresses()));
    let other = builder.network("another").start().await.unwrap();
    notice(&mut other.notices(), |trouble| failed(trouble, HandshakeFailure::OtherNetwork)).await;
    assert!(other.presence().graph().remote_peers.is_empty());
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_told_on_both_sides() {
    let secret = |byte| NetworkSecret::from_bytes([byte; 16]);
    let inside = Mesh::builder().config(config(&[])).network(NETWORK).network_secret(secret(1));
    let inside = inside.start().await.unwrap();
    let mut notices = inside.notices();
    let outside = Mesh::builder().config(config(inside.listen_addresses())).network(NETWORK);
    let outside = outside.network_secret(secret(2)).start().await.unwrap();
    let mut outside = outside.notices();
    notice(&mut outside, |trouble| failed(trouble, HandshakeFailure::HungUp)).await;
    notice(&mut notices, |trouble| failed(trouble, HandshakeFailure::OtherNetwork)).await;
    assert!(inside.presence().graph().remote_peers.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_node_at_a_closed_networks_door_is_told_on_both_sides() {
    let inside = Mesh::builder().config(config(&[])).network(NETWORK);
    let inside = inside.network_secret(NetworkSecret::from_bytes([1; 16])).start().await.unwrap();
    let mut notices = inside.notices();
    let outside = node("outside", inside.listen_addresses()).await;
    let mut outside = outside.notices();
    notice(&mut outside, |trouble| failed(trouble, HandshakeFailure::OpenAndClosed)).await;
    notice(&mut notices, |trouble| failed(trouble, HandshakeFailure::OpenAndClosed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_in_after_two_hundred_who_are_no_peers() {
    let scene = Scene::new().await;
    for _ in 0..200 {
        let mut stream = TcpStream::connect(scene.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    }
    let newcomer = node("newcomer", scene.victim.listen_addresses()).await;
    wait_for(&newcomer, |graph| graph.remote_peers.len() == 2).await;
    scene.finish().await;
}
