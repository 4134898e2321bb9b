//! Callbacks and readers of changes, of which some are slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hedgerow::config::Config;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use tokio::sync::mpsc::UnboundedReceiver;

const SOON: Duration = Duration::from_secs(30);

async fn node(medium: &Medium, name: &str, config: Config) -> Mesh {
    let builder = Mesh::builder().config(config).name(name).network("test").own_drivers_only();
    builder.driver(medium.driver(name)).start().await.unwrap()
}

async fn pair() -> (Medium, Mesh, Mesh) {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let a = node(&medium, "a", Config::default()).await;
    let b = node(&medium, "b", Config::default()).await;
    wait_for(&a, |graph| named(graph, "b")).await;
    (medium, a, b)
}

fn named(graph: &PresenceGraph, name: &str) -> bool {
    graph.remote_peers.iter().any(|peer| peer.device_name == name)
}

fn says(graph: &PresenceGraph, number: usize) -> bool {
    graph.remote_peers.iter().any(|peer| peer.peer_metadata.get("n") == Some(&number.into()))
}

async fn wait_for(mesh: &Mesh, condition: impl FnMut(&PresenceGraph) -> bool) -> PresenceGraph {
    tokio::time::timeout(SOON, mesh.presence().wait_for(condition)).await.unwrap().unwrap()
}

async fn next(graphs: &mut UnboundedReceiver<PresenceGraph>) -> PresenceGraph {
    tokio::time::timeout(SOON, graphs.recv()).await.expect("a call").expect("an observer")
}

fn set(mesh: &Mesh, number: usize) {
    mesh.presence().set_peer_metadata(&serde_json::json!({"n": number})).unwrap();
}

/// All of the node runs on one thread, which a slow callback must not take.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_observer_holds_up_nobody_and_then_sees_the_newest_graph() {
    let (_medium, a, b) = pair().await;
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let (slow_saw, mut slow) = tokio::sync::mpsc::unbounded_channel();
    let mut is_first = true;
    let _slow = a.presence().observe(move |graph| {
        if std::mem::take(&mut is_first) {
            slow_saw.send(graph).unwrap();
            // Until the test ends, if it is not released.
            let _ = blocked.recv();
        } else {
            let _ = slow_saw.send(graph);
        }
    });
    next(&mut slow).await;
    let (fast_saw, mut fast) = tokio::sync::mpsc::unbounded_channel();
    let _fast = a.presence().register_observer(move |graph| drop(fast_saw.send(graph))).unwrap();
    for number in 0..3 {
        set(&b, number);
        while !says(&next(&mut fast).await, number) {}
    }
    a.bus().send_reliable(b.peer_key(), "still here").await.unwrap();
    assert!(slow.try_recv().is_err(), "called while it was called");
    release.send(()).unwrap();
    assert!(says(&next(&mut slow).await, 2), "a graph that was old already");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_one_call_an_interval() {
    let medium = Medium::new();
    let mut config = Config::default();
    config.presence.observer_coalesce_ms = 1_000;
    let a = node(&medium, "a", config).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let _observer = a.presence().observe(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    for number in 0..500 {
        set(&a, number);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = calls.load(Ordering::Relaxed);
    assert!((9..=11).contains(&calls), "{calls} calls in 10 s of changes");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_observer_says_so_at_once_and_is_called_no_more() {
    let (_medium, a, b) = pair().await;
    let (saw, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let observer = a.presence().observe(move |graph| saw.send(graph).unwrap());
    seen.recv().await.unwrap();
    assert!(!observer.is_cancelled());
    observer.cancel();
    assert!(observer.is_cancelled());
    set(&b, 1);
    wait_for(&a, |graph| says(graph, 1)).await;
    assert!(seen.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_changes_that_lags_is_told_once_and_goes_on_from_the_graph() {
    let (_medium, a, b) = pair().await;
    let mut changes = a.presence().changes();
    // More than a reader may lag behind.
    let last = 1_099;
    for number in 0..=last {
        set(&b, number);
        wait_for(&a, |graph| says(graph, number)).await;
    }
    let Change::Lagged { missed, graph } = changes.next().await.unwrap() else { panic!() };
    assert!(missed > 0 && says(&graph, last));
    set(&b, last + 1);
    loop {
        match changes.next().await.unwrap() {
            // While it is on its way there is none.
            Change::PeerUpdated(peer) if peer.metadata_pending => {}
            Change::PeerUpdated(peer) => {
                assert_eq!(peer.peer_metadata["n"], last + 1, "what the graph had is told again");
                break;
            }
            Change::Lagged { .. } => panic!("told twice"),
            _ => {}
        }
    }
}
