//! Who is there: observes the graph, and prints each change.
//!
//! Three nodes in a row; one says something about itself, then leaves. All are in this process,
//! so that the example runs anywhere; see `hello` for what to leave away on real devices.

use std::time::Duration;

use anyhow::Context;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let medium = Medium::new();
    medium.connect("ann", "ben", Shape::lan())?;
    medium.connect("ben", "cleo", Shape::lan())?;
    let ann = start("ann", &medium).await?;
    let presence = ann.presence();

    // An observer gets the whole graph: at once, and after every change. It ends when dropped.
    let observer = presence.observe(|graph| {
        let names = graph.remote_peers.iter().map(|peer| peer.device_name.as_str());
        println!("graph: {} sees {:?}", graph.local_peer.device_name, names.collect::<Vec<_>>());
    });

    // Changes come one by one, with what changed.
    let mut changes = presence.changes();
    let printing = tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            print(&change);
        }
    });

    let ben = start("ben", &medium).await?;
    let cleo = start("cleo", &medium).await?;
    until(&presence, |graph| graph.remote_peers.iter().any(|peer| peer.hops == Some(2))).await?;

    cleo.presence().set_peer_metadata_json_str(r#"{"room": "kitchen"}"#)?;
    until(&presence, |graph| {
        graph.remote_peers.iter().any(|peer| peer.peer_metadata.contains_key("room"))
    })
    .await?;

    cleo.shutdown().await;
    until(&presence, |graph| graph.remote_peers.len() == 1).await?;

    drop(observer);
    ann.shutdown().await;
    ben.shutdown().await;
    // The changes end with the node.
    printing.await?;
    Ok(())
}

fn print(change: &Change) {
    match change {
        Change::PeerJoined(peer) => println!("joined: {}", name(peer)),
        Change::PeerLeft { peer, reason } => println!("left: {} ({reason:?})", name(peer)),
        Change::PeerUpdated(peer) => {
            let metadata = serde_json::Value::Object(peer.peer_metadata.clone());
            println!("updated: {}, hops {:?}, says {metadata}", name(peer), peer.hops);
        }
        Change::ConnectionUp(connection) => println!("connected: {}", connection.id),
        Change::ConnectionDown(connection) => println!("disconnected: {}", connection.id),
        // A reader that is too slow goes on from the graph.
        Change::Lagged { missed, .. } => println!("missed {missed} changes"),
        _ => {}
    }
}

/// A peer's name comes a moment after its key.
fn name(peer: &Peer) -> &str {
    if peer.device_name.is_empty() { &peer.peer_key_string } else { &peer.device_name }
}

async fn until(
    presence: &Presence,
    condition: impl FnMut(&PresenceGraph) -> bool,
) -> anyhow::Result<()> {
    let waiting = presence.wait_for(condition);
    timeout(Duration::from_secs(10), waiting).await.context("it did not happen in time")??;
    Ok(())
}

async fn start(name: &str, medium: &Medium) -> anyhow::Result<Mesh> {
    let builder = Mesh::builder().name(name).network("presence-example").own_drivers_only();
    Ok(builder.driver(medium.driver(name)).start().await?)
}
