//! A transport of one's own: two nodes meet over pipes inside this process.
//!
//! `exchange` is the medium, which you have already: a serial line, a radio with sockets, another
//! mesh. `pipes` is the driver for it, written by the rules in the documentation of
//! `hedgerow::driver`; its test runs the suite that tries a driver on every rule.

mod exchange;
mod pipes;

use std::time::Duration;

use anyhow::Context;
use exchange::Exchange;
use hedgerow::prelude::*;
use pipes::Pipes;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let exchange = Exchange::new();
    let ann = start("ann", &exchange).await?;
    let ben = start("ben", &exchange).await?;

    let presence = ann.presence();
    let found = presence.wait_for(|graph| !graph.remote_peers.is_empty());
    timeout(Duration::from_secs(10), found).await.context("nobody came")??;
    let delivered = ann.bus().send_reliable(ben.peer_key(), "hello through a pipe").await?;
    let message = ben.bus().messages().next().await.context("ben has shut down")?;
    println!("ben: got {:?} in {:.0?}", str::from_utf8(&message.data)?, delivered.rtt);

    // Somebody trips over the cables: the links are lost, and the core dials again.
    let mut changes = presence.changes();
    exchange.unplug();
    exchange.plug_in();
    let again = async {
        while let Some(change) = changes.next().await {
            match change {
                Change::ConnectionDown(_) => println!("the pipe broke"),
                Change::ConnectionUp(_) => return Some(()),
                _ => {}
            }
        }
        None
    };
    timeout(Duration::from_secs(30), again).await.context("no new pipe in time")?;
    println!("a new pipe is up");

    ann.shutdown().await;
    ben.shutdown().await;
    Ok(())
}

async fn start(name: &str, exchange: &Exchange) -> anyhow::Result<Mesh> {
    let builder = Mesh::builder().name(name).network("own-driver-example").own_drivers_only();
    Ok(builder.driver(Pipes::new(exchange, name)).start().await?)
}
