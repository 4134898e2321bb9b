//! Pings and traces of whole nodes over memory links, on paused (virtual) time.

use std::time::Duration;

use hedgerow::diagnose::{PingError, TraceEnd, TraceError};
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;

const SOON: Duration = Duration::from_secs(30);

/// a and b share a cable, b and c a radio.
struct Three {
    cable: Medium,
    radio: Medium,
    nodes: [Mesh; 3],
}

async fn node(name: &str, media: &[&Medium]) -> Mesh {
    let mut builder = Mesh::builder().name(name).network("test").own_drivers_only();
    for medium in media {
        builder = builder.driver(medium.driver(name));
    }
    builder.start().await.unwrap()
}

async fn wait_for(mesh: &Mesh, condition: impl FnMut(&PresenceGraph) -> bool) {
    tokio::time::timeout(SOON, mesh.presence().wait_for(condition)).await.unwrap().unwrap();
}

async fn three() -> Three {
    let (cable, radio) = (Medium::named("Cable"), Medium::named("Radio"));
    cable.connect("a", "b", Shape::lan()).unwrap();
    radio.connect("b", "c", Shape::slow_radio()).unwrap();
    let nodes = [
        node("a", &[&cable]).await,
        node("b", &[&cable, &radio]).await,
        node("c", &[&radio]).await,
    ];
    for mesh in &nodes {
        // With the names everybody's adverts are there, and answers find their way.
        wait_for(mesh, |graph| {
            graph.remote_peers.iter().filter(|peer| !peer.device_name.is_empty()).count() == 2
        })
        .await;
    }
    one_link_each(&nodes).await;
    Three { cable, radio, nodes }
}

/// Until both ends of each pair have dropped the same one of two links: what is on its way on that
/// one is lost, and a trace asks each hop once.
async fn one_link_each([a, b, c]: &[Mesh; 3]) {
    let settled = async {
        loop {
            let mut links = Vec::new();
            for mesh in [a, b, c] {
                links.push(mesh.links().await.unwrap().len());
            }
            if links == [1, 2, 1] {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, settled).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ping_crosses_the_mesh_and_says_how_long_it_took() {
    let Three { nodes: [a, b, c], .. } = three().await;
    let near = a.ping(&b.peer_key()).await.unwrap();
    let far = a.ping(&c.peer_key()).await.unwrap();
    assert_eq!((near.hops, far.hops), (1, 2));
    let radio = Shape::slow_radio().delay * 2;
    assert!(near.rtt < radio && far.rtt > radio && far.rtt < radio * 2, "{near:?} {far:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_nobody_answers_ends_in_time_with_a_reason() {
    let Three { cable, radio, nodes: [a, _b, c] } = three().await;
    let key = c.peer_key();
    a.ping(&key).await.unwrap();
    radio.disconnect("b", "c").unwrap();
    cable.disconnect("a", "b").unwrap();
    wait_for(&a, |graph| graph.remote_peers.is_empty()).await;
    let started = tokio::time::Instant::now();
    let error = a.ping_within(&key, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((error, started.elapsed().as_secs()), (PingError::NoRoute, 3));
    // One that is dropped half way leaves nothing that hinders the next, however patient it was.
    for _ in 0..200 {
        let ping = a.ping_within(&key, Duration::from_secs(3_600));
        tokio::time::timeout(Duration::from_millis(20), ping).await.unwrap_err();
    }
    let own = a.peer_key();
    assert_eq!(a.ping(&own).await, Err(PingError::Refused));
    a.shutdown().await;
    assert_eq!(a.ping(&key).await, Err(PingError::MeshClosed(MeshClosed)));
}

#[tokio::test(start_paused = true)]
async fn a_trace_names_the_hops_and_the_media_between_them() {
    let Three { nodes: [a, b, c], .. } = three().await;
    let mut trace = a.trace(&c.peer_key()).await.unwrap();
    assert_eq!(trace.route(), [b.peer_key(), c.peer_key()]);
    let mut hops = Vec::new();
    while let Some(hop) = trace.next().await {
        let answer = hop.answer.unwrap();
        hops.push((hop.number, answer.peer, answer.transport.name().to_owned()));
    }
    let expected = [(1, b.peer_key(), "Cable".into()), (2, c.peer_key(), "Radio".into())];
    assert_eq!(hops, expected);
    assert_eq!(trace.end(), Some(TraceEnd::Arrived));
    assert_eq!(trace.next().await, None, "over is over");

    // The same links the other way round: each is told by whom it leads to.
    let mut trace = c.trace(&a.peer_key()).await.unwrap();
    for (peer, medium) in [(b.peer_key(), "Radio"), (a.peer_key(), "Cable")] {
        let answer = trace.next().await.unwrap().answer.unwrap();
        assert_eq!((answer.peer, answer.transport.name()), (peer, medium));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_is_dropped_ends_and_a_peer_out_of_reach_has_none() {
    let Three { radio, nodes: [a, _b, c], .. } = three().await;
    let key = c.peer_key();
    // Behind a link that swallows everything a trace takes its time.
    radio.silence("b", "c").unwrap();
    for _ in 0..3 {
        let mut traces = Vec::new();
        for _ in 0..16 {
            traces.push(a.trace(&key).await.unwrap());
        }
        assert_eq!(a.trace(&key).await.unwrap_err(), TraceError::TooMany { limit: 16 });
        drop(traces);
        // Their next news ends them, long before they would end by themselves.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    radio.disconnect("b", "c").unwrap();
    wait_for(&a, |graph| graph.remote_peers.len() == 1).await;
    assert_eq!(a.trace(&key).await.unwrap_err(), TraceError::NoRoute);
    a.shutdown().await;
    assert_eq!(a.trace(&key).await.unwrap_err(), TraceError::MeshClosed(MeshClosed));
}
