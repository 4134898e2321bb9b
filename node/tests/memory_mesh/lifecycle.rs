//! Starts, ends, and what outlives them.

use hedgerow::bus::SendError;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;

use crate::scene::*;

#[tokio::test(start_paused = true)]
async fn after_shutdown_every_handle_says_so() {
    let (_medium, nodes) = line(Shape::lan(), &["a", "b"]).await;
    let [a, b] = &nodes[..] else { panic!() };
    let bus = a.bus();
    let mut acceptor = bus.listen("t").await.unwrap();
    let mut transports = a.transport_changes();
    transports.borrow_and_update();
    a.shutdown().await;
    a.shutdown().await;
    let changed = tokio::time::timeout(SOON, transports.wait_for(|_| false)).await;
    assert!(changed.expect("the wait ends with the node").is_err());
    assert_eq!(a.transports().len(), transports.borrow().len());
    assert!(matches!(bus.send_reliable(b.peer_key(), "x").await, Err(SendError::MeshClosed(_))));
    assert!(acceptor.next().await.is_none());
    assert!(bus.messages().next().await.is_none());
    assert!(a.links().await.is_err());
    assert!(a.presence().register_observer(|_| ()).is_err());
    wait_for(b, |graph| graph.remote_peers.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_node_with_it() {
    let (_medium, mut nodes) = line(Shape::lan(), &["a", "b"]).await;
    drop(nodes.remove(0));
    wait_for(&nodes[0], |graph| graph.remote_peers.is_empty()).await;
}

/// A node whose home was restored from an old copy, or whose epoch file was lost while the clock
/// stood at 1970, hears of its own later run from others.
#[tokio::test(start_paused = true)]
async fn a_stepped_epoch_is_written_home_and_survives_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let epoch_file = folder.path().join("epoch");
    let epoch = || std::fs::read_to_string(&epoch_file).unwrap();
    let medium = Medium::new();
    medium.connect("a", "b", Shape::lan()).unwrap();
    let remembers = node(&medium, "a").await;
    let start = async |name: &str| {
        let home = Home::open(Some(folder.path())).unwrap();
        let builder = Mesh::builder().name(name).network("test").own_drivers_only();
        builder.home(home).driver(medium.driver("b")).start().await.unwrap()
    };
    let is_seen = async |name: &'static str| {
        wait_for(&remembers, |graph| graph.remote_peers.iter().any(|p| p.device_name == name)).await
    };
    std::fs::write(&epoch_file, "hedgerow-epoch-1 500\n").unwrap();
    let later = start("later").await;
    is_seen("later").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 501\n");
    later.shutdown().await;

    std::fs::write(&epoch_file, "hedgerow-epoch-1 3\n").unwrap();
    let restored = start("restored").await;
    is_seen("restored").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 502\n", "it stepped above, on disk too");
    restored.shutdown().await;

    let next = start("next").await;
    is_seen("next").await;
    assert_eq!(epoch(), "hedgerow-epoch-1 503\n");
    next.shutdown().await;
}
