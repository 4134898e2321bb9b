//! Sends a file to a peer, and goes on where it was after a cut.
//!
//! ```sh
//! cargo run --release -p hedgerow-examples --bin file_drop -- --name kitchen receive ~/drop
//! cargo run --release -p hedgerow-examples --bin file_drop -- send kitchen photo.jpg
//! ```
//!
//! A cut that is shorter than the session gap (30 s) the stream itself survives. After a longer
//! one, or when either program was killed and is started again, the receiver says in the
//! arguments of its `accept` how much it has, and the sender goes on from there.
//!
//! In an open network everybody may send, as much as the disk holds: a program that is left
//! running wants `MeshBuilder::network_secret`.

mod offer;
mod receive;
mod send;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use hedgerow::prelude::*;

/// Sends a file to a peer.
#[derive(Parser)]
struct Arguments {
    /// The name that others see; the host's name by default.
    #[arg(long, global = true)]
    name: Option<String>,
    /// The network; those in another one are not seen.
    #[arg(long, global = true, default_value = "file-drop")]
    network: String,
    /// Where this node keeps its key. With one, a restart is recognised at once; without, the
    /// other side waits out the session gap.
    #[arg(long, global = true)]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends a file, however often the way there is cut.
    Send {
        /// The peer's name or key.
        peer: String,
        /// The file.
        file: PathBuf,
    },
    /// Receives files until it is stopped.
    Receive {
        /// Where to put them. Nothing that is there is overwritten.
        folder: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { name, network, home, command } = Arguments::parse();
    let mut builder = Mesh::builder().network(&network);
    if let Some(name) = name {
        builder = builder.name(&name);
    }
    if let Some(home) = home {
        let opened = Home::open(Some(&home));
        builder = builder.home(opened.with_context(|| format!("home {}", home.display()))?);
    }
    let mesh = builder.start().await?;
    let done = match command {
        Command::Send { peer, file } => send::send(&mesh, &peer, &file).await,
        Command::Receive { folder } => receive::receive(&mesh, &folder).await,
    };
    mesh.shutdown().await;
    done
}
