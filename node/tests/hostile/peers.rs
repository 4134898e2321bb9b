//! Peers that got in and do not keep to the rules.

use std::time::Duration;

use hedgerow::notice::Trouble;
use hedgerow::prelude::*;
use hedgerow_core::advert::Refusal;
use hedgerow_core::link::Violation;
use hedgerow_core::presence::body_hash;
use hedgerow_core::wire::advert::{AdvertKind, Cost, Edge, SignedAdvert};
use hedgerow_core::wire::control::{BodyChunk, Control, Want};
use hedgerow_core::wire::ranges::{Content, Part, Ranges, Stamp};

use crate::evil::{Evil, profile, sign};
use crate::scene::{Scene, identity, wait_for};

async fn evil(scene: &Scene) -> Evil {
    let mut evil = Evil::connect(scene.address(), scene.victim.peer_key(), identity()).await;
    evil.run_for(Duration::from_millis(100)).await;
    evil
}

fn has(graph: &PresenceGraph, peer: PeerKey) -> bool {
    graph.remote_peers.iter().any(|other| other.peer_key == peer)
}

fn broke(trouble: &Trouble, how: Violation) -> bool {
    matches!(trouble, Trouble::BrokeProtocol { violation, .. } if *violation == how)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_break_the_rules_close_their_link_only() {
    let mut scene = Scene::new().await;
    let too_large = [0x00, 0xff, 0xff, 0xff];
    for (bytes, how) in [
        (&too_large[..], Violation::FrameTooLarge),
        (&[0x00, 0x00, 0x00, 0x20, 0x5a].repeat(9)[..], Violation::SealBroken),
    ] {
        let mut evil = evil(&scene).await;
        evil.inject(bytes).await;
        evil.until(|evil| evil.ended.is_some()).await;
        scene.notice(|trouble| broke(trouble, how)).await;
    }
    let mut evil = evil(&scene).await;
    // Ranges whose number does not end.
    evil.say_bytes(vec![3, 2, 0, 0xff]);
    evil.until(|evil| evil.ended.is_some()).await;
    scene.notice(|trouble| broke(trouble, Violation::Malformed)).await;
    assert_eq!(scene.victim.counters().await.unwrap().violations, 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_advert_is_refused_and_told() {
    let mut scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let honest = scene.honest.peer_key();
    evil.until(|evil| !evil.adverts_of(honest).is_empty()).await;
    // The honest peer's newest words, in a version of its own making.
    let newest = evil.adverts_of(honest).pop().unwrap();
    let head = hedgerow_core::wire::advert::AdvertHead { sequence: 1_000, ..newest.head };
    let network = hedgerow_core::network::Network::open(crate::scene::NETWORK).unwrap();
    let forged = SignedAdvert::sign(&evil.local.identity, &network, head, b"").bytes;
    evil.tell(forged);
    evil.run_for(Duration::from_millis(100)).await;
    let forged = |trouble: &Trouble| {
        matches!(trouble, Trouble::AdvertRefused { refusal: Refusal::Forged, .. })
    };
    scene.notice(forged).await;
    assert_eq!(scene.victim.counters().await.unwrap().adverts_refused, 1);
    assert!(has(&scene.victim.presence().graph(), honest));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_adverts_does_not_hold_up_true_ones() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let honest = scene.honest.peer_key();
    let mut forged = sign(&identity(), AdvertKind::Profile, 1, b"").to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = bytes::Bytes::from(forged);
    for _ in 0..4_000 {
        evil.tell(forged.clone());
    }
    let flood = tokio::spawn(async move { evil.run_for(Duration::from_secs(15)).await });
    // In the thick of it.
    while scene.victim.counters().await.unwrap().adverts_deferred == 0 {
        tokio::task::yield_now().await;
    }
    let begin = std::time::Instant::now();
    scene.honest.presence().set_peer_metadata(&serde_json::json!({"is": "new"})).unwrap();
    wait_for(&scene.victim, |graph| {
        let honest = graph.remote_peers.iter().find(|peer| peer.peer_key == honest);
        honest.is_some_and(|peer| peer.peer_metadata.get("is").is_some())
    })
    .await;
    let took = begin.elapsed();
    let put_off = scene.victim.counters().await.unwrap().adverts_deferred;
    println!("  {put_off} forged adverts put off; the true one is there after {took:.1?}");
    flood.abort();
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_advert_changes_nothing_and_is_answered_by_the_newer_one() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let honest = scene.honest.peer_key();
    let profiles = |evil: &Evil| {
        let mut adverts = evil.adverts_of(honest);
        adverts.retain(|advert| advert.head.kind == AdvertKind::Profile);
        adverts
    };
    evil.until(|evil| !profiles(evil).is_empty()).await;
    let old = profiles(&evil).pop().unwrap();
    scene.honest.presence().set_peer_metadata(&serde_json::json!({"is": "new"})).unwrap();
    let shown = |graph: &PresenceGraph| {
        let honest = graph.remote_peers.iter().find(|peer| peer.peer_key == honest);
        honest.is_some_and(|peer| peer.peer_metadata.get("is").is_some())
    };
    wait_for(&scene.victim, shown).await;
    evil.until(|evil| profiles(evil).len() == 2).await;
    evil.tell(old.bytes.clone());
    evil.until(|evil| profiles(evil).len() == 3).await;
    assert!(profiles(&evil)[2].version() > old.version());
    assert!(shown(&scene.victim.presence().graph()));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stamp_of_the_victims_own_future_is_asked_for_and_not_believed() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let victim = scene.victim.peer_key();
    let (epoch, sequence) = (1_000, 1_000);
    let owner = victim.address();
    let stamp = Stamp { owner, kind: AdvertKind::Profile, key: 0, epoch, sequence, hash: 0 };
    let parts = vec![Part { last: owner, content: Content::List(vec![stamp]) }];
    evil.say(&Control::Ranges(Ranges { first: owner, parts }));
    let want = Control::Want(Want { owner, which: Vec::new() });
    evil.until(|evil| evil.heard.contains(&want)).await;
    evil.run_for(Duration::from_millis(300)).await;
    assert!(evil.adverts_of(victim).iter().all(|advert| advert.head.epoch < epoch));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sided_claims_make_no_peers_no_edges_and_no_detours() {
    let scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let evil_key = evil.local.peer_key();
    wait_for(&scene.victim, |graph| has(graph, evil_key)).await;
    let edge = |peer: PeerKey| Edge {
        peer: peer.address(),
        kind: ConnectionType::AccessPoint,
        cost: Cost(0),
        payload_log2: 16,
    };
    // It claims the best link to the honest peer, and a thousand strangers claim one to it.
    let strangers: Vec<_> = (0..1_000).map(|_| identity()).collect();
    let mut edges = vec![edge(scene.victim.peer_key()), edge(scene.honest.peer_key())];
    edges.extend(strangers.iter().take(20).map(|stranger| edge(stranger.peer_key())));
    evil.tell_edges(edges);
    for (number, stranger) in strangers.iter().enumerate() {
        let body = profile("stranger", [0; 32], 0).encode();
        evil.tell(sign(stranger, AdvertKind::Profile, 1, &body));
        if number >= 20 {
            let adjacency = hedgerow_core::wire::advert::Adjacency { edges: vec![edge(evil_key)] };
            evil.tell(sign(stranger, AdvertKind::Adjacency, 2, &adjacency.encode()));
        }
    }
    evil.run_for(Duration::from_secs(3)).await;
    let graph = scene.victim.presence().graph();
    assert_eq!(graph.remote_peers.len(), 2, "the honest one and the evil one");
    let honest = scene.honest.peer_key();
    let honest = graph.remote_peers.iter().find(|peer| peer.peer_key == honest).unwrap();
    assert_eq!(honest.hops, Some(1));
    assert_eq!(honest.connections.len(), 1);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_is_too_large_is_not_fetched_and_told() {
    let mut scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    evil.tell_profile([1; 32], 131_073);
    evil.run_for(Duration::from_millis(100)).await;
    let refused =
        |trouble: &Trouble| matches!(trouble, Trouble::MetadataRefused { bytes: 131_073, .. });
    scene.notice(refused).await;
    assert!(!evil.heard.iter().any(|message| matches!(message, Control::BodyWant(_))));
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_as_deep_as_a_well_is_shown_as_empty_and_told() {
    let mut scene = Scene::new().await;
    let mut evil = evil(&scene).await;
    let body = bytes::Bytes::from("[".repeat(100_000));
    let hash = body_hash(&body);
    evil.tell_profile(hash, 100_000);
    let mut served = 0;
    while served < body.len() {
        let questions = evil.heard.len();
        evil.until(|evil| {
            evil.heard[questions..].iter().any(|message| matches!(message, Control::BodyWant(_)))
                || evil.heard.iter().filter(|m| matches!(m, Control::BodyWant(_))).count()
                    > served / 8_192
        })
        .await;
        for _ in 0..8 {
            let end = (served + 1_024).min(body.len());
            if served < end {
                let offset = u32::try_from(served).unwrap();
                evil.say(&Control::BodyChunk(BodyChunk {
                    hash,
                    offset,
                    data: body.slice(served..end),
                }));
            }
            served = end;
        }
    }
    let evil_key = evil.local.peer_key();
    evil.run_for(Duration::from_millis(500)).await;
    let invalid = |trouble: &Trouble| matches!(trouble, Trouble::InvalidMetadata { peer, .. } if *peer == evil_key);
    scene.notice(invalid).await;
    let graph = scene.victim.presence().graph();
    let shown = graph.remote_peers.iter().find(|peer| peer.peer_key == evil_key).unwrap();
    assert!(shown.peer_metadata.is_empty() && !shown.metadata_pending);
    scene.finish().await;
}
