//! The graph, its observers and its changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;

use crate::scene::*;

#[tokio::test(start_paused = true)]
async fn observers_see_the_graph_at_once_and_survive_their_own_panic() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let a = node(&medium, "a").await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut calls = 0;
    let observer = a.presence().observe(move |graph| {
        calls += 1;
        let _ = sender.send(graph.remote_peers.len());
        assert!(calls != 1, "the first call panics");
    });
    assert_eq!(seen.recv().await, Some(0));
    let b = node(&medium, "b").await;
    while seen.recv().await != Some(1) {}
    assert!(!observer.is_cancelled());
    drop(observer);
    b.shutdown().await;
    wait_for(&a, |graph| graph.remote_peers.is_empty()).await;
    while let Some(peers) = seen.recv().await {
        assert_ne!(peers, 0, "called after it was dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn newer_figures_alone_do_not_call_observers() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b"]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let _observer = nodes[0].presence().observe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_tell_of_peers_and_connections() {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let a = node(&medium, "a").await;
    let mut changes = a.presence().changes();
    let b = node(&medium, "b").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match changes.next().await.unwrap() {
            Change::PeerJoined(peer) => seen.push(peer.peer_key_string.clone()),
            Change::ConnectionUp(connection) => {
                assert_eq!(connection.connection_type.name(), "Memory");
                seen.push(connection.id);
            }
            _ => {}
        }
    }
    wait_for(&a, |graph| graph.remote_peers.iter().any(|peer| peer.device_name == "b")).await;
    b.shutdown().await;
    loop {
        if let Change::PeerLeft { peer, .. } = changes.next().await.unwrap() {
            assert_eq!(peer.peer_key, b.peer_key());
            assert_eq!(peer.device_name, "b", "who left is still told by name");
            break;
        }
    }
    a.shutdown().await;
    while changes.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn metadata_is_seen_two_hops_away_and_bad_metadata_changes_nothing() {
    let (_medium, nodes) = line(Shape::slow_radio(), &["a", "b", "c"]).await;
    let presence = nodes[0].presence();
    presence.set_peer_metadata(&serde_json::json!({"room": 7})).unwrap();
    assert!(presence.set_peer_metadata_json_str("{location:\"inside\"}").is_err());
    assert_eq!(presence.peer_metadata_json_string(), "{\"room\":7}");
    let graph = wait_for(&nodes[2], |graph| {
        graph.remote_peers.iter().any(|peer| peer.peer_metadata.contains_key("room"))
    })
    .await;
    let owner = graph.remote_peers.iter().find(|peer| peer.device_name == "a").unwrap();
    assert_eq!(owner.peer_metadata["room"], 7);
    assert!(!owner.metadata_pending);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_secret_is_shown_to_both_sides_with_a_sentence() {
    let secret = |byte| hedgerow::NetworkSecret::from_bytes([byte; 16]);
    let builder = || Mesh::builder().network("test").own_drivers_only();
    for (a, b, dialler_hears, other_hears) in [
        (
            builder().network_secret(secret(1)),
            builder().network_secret(secret(2)),
            "secret",
            "secret",
        ),
        (builder().network_secret(secret(1)), builder(), "open", "closed"),
    ] {
        let medium = Medium::new();
        medium.connect("a", "b", Shape::lan()).unwrap();
        let a = a.name("a").driver(medium.driver("a")).start().await.unwrap();
        let b = b.name("b").driver(medium.driver("b")).start().await.unwrap();
        for (mesh, expected) in [(&a, dialler_hears), (&b, other_hears)] {
            let mut strangers = Vec::new();
            while strangers.is_empty() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                strangers = mesh.strangers().await.unwrap();
            }
            assert_eq!(strangers.len(), 1, "{strangers:?}");
            assert!(strangers[0].reason.contains(expected), "{strangers:?}");
            assert!(mesh.presence().graph().remote_peers.is_empty());
        }
    }
}
