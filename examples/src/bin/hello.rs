//! Two nodes, one message.
//!
//! Both nodes are in this process and meet on a medium in memory, so that the example runs
//! anywhere. On real devices leave `driver` and `own_drivers_only` away: nodes in the same network
//! find each other on the local network by themselves.

use std::time::Duration;

use anyhow::Context;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Ann and Ben are in reach of each other, as over Bluetooth.
    let medium = Medium::named("Radio");
    medium.connect("ann", "ben", Shape::slow_radio())?;
    let ann = start("ann", &medium).await?;
    let ben = start("ben", &medium).await?;

    // Wait until Ann sees Ben.
    let presence = ann.presence();
    let found = presence.wait_for(|graph| !graph.remote_peers.is_empty());
    timeout(Duration::from_secs(10), found).await.context("nobody came")??;

    // Completes when the message is in Ben's inbox.
    let delivered = ann.bus().send_reliable(ben.peer_key(), "hello, ben").await?;
    println!("ann: delivered in {:.0?} over {} hop", delivered.rtt, delivered.hops);

    let message = ben.bus().messages().next().await.context("ben has shut down")?;
    println!("ben: got {:?}", str::from_utf8(&message.data)?);

    ann.shutdown().await;
    ben.shutdown().await;
    Ok(())
}

async fn start(name: &str, medium: &Medium) -> anyhow::Result<Mesh> {
    let mesh = Mesh::builder()
        .name(name)
        .network("hello-example")
        .own_drivers_only()
        .driver(medium.driver(name))
        .start()
        .await?;
    Ok(mesh)
}
