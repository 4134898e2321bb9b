//! The sending side.

use std::io::{IsTerminal, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hedgerow::bus::{OpenError, RejectReason, StreamOptions};
use hedgerow::prelude::*;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::offer::{Have, Offer, Refusal, TOPIC, Verdict};

/// One message of the stream.
const CHUNK_BYTES: usize = 64 * 1024;
/// Between a failure and the next try.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends a file to the peer of this name or key, and tries again until it is there.
pub(crate) async fn send(mesh: &Mesh, peer: &str, file: &Path) -> anyhow::Result<()> {
    let path = file.to_owned();
    let offer = tokio::task::spawn_blocking(move || Offer::of(&path)).await??;
    eprintln!("waiting for {peer}");
    loop {
        let found = find(mesh, peer).await?;
        match attempt(mesh, found, &offer, file).await? {
            Attempt::Stored => return Ok(()),
            Attempt::Cut(why) => eprintln!("\ncut ({why}); going on when {peer} is there"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until exactly one peer of this name or key can be reached.
async fn find(mesh: &Mesh, wanted: &str) -> anyhow::Result<PeerKey> {
    let is_it = |peer: &hedgerow::Peer| {
        let is_called = peer.device_name == wanted || peer.peer_key_string == wanted;
        is_called && peer.hops.is_some()
    };
    let graph = mesh.presence().wait_for(|graph| graph.remote_peers.iter().any(is_it)).await?;
    let mut found = graph.remote_peers.iter().filter(|peer| is_it(peer));
    let peer = found.next().context("the peer has just left")?;
    ensure!(found.next().is_none(), "two peers are called {wanted}: give the key of one");
    Ok(peer.peer_key)
}

enum Attempt {
    Stored,
    /// Worth another try.
    Cut(String),
}

/// Sends what the peer has not got. An error is one that no other try mends.
async fn attempt(mesh: &Mesh, to: PeerKey, offer: &Offer, path: &Path) -> anyhow::Result<Attempt> {
    let arguments = serde_json::to_vec(offer)?.into();
    let options = StreamOptions { lane: Lane::Bulk, arguments, ..StreamOptions::default() };
    let mut stream = match mesh.bus().open_stream_with(to, TOPIC, options).await {
        Ok(stream) => stream,
        Err(OpenError::Rejected { reason: RejectReason::Application(code) }) => {
            bail!("the peer refuses the file: {}", Refusal::advice(code))
        }
        Err(OpenError::TooLarge { .. }) => bail!("{} is too long a name to send", offer.name),
        Err(error) => return Ok(Attempt::Cut(error.to_string())),
    };
    let have: Have = serde_json::from_slice(stream.arguments()).context("the peer's answer")?;
    ensure!(have.bytes <= offer.bytes, "the peer has more of the file than there is");
    if have.bytes > 0 {
        eprintln!("going on at byte {} of {}", have.bytes, offer.bytes);
    }

    let mut file = File::open(path).await.context("the file cannot be opened again")?;
    file.seek(SeekFrom::Start(have.bytes)).await?;
    let mut rest = file.take(offer.bytes - have.bytes);
    let chunk_bytes = CHUNK_BYTES.min(stream.max_message_size());
    let mut buffer = vec![0; chunk_bytes];
    let mut sent = 0;
    loop {
        // A short read in the middle of a file would only make a small message.
        let read = rest.read(&mut buffer).await.context("the file cannot be read")?;
        if read == 0 {
            break;
        }
        if let Err(error) = stream.send(buffer[..read].to_vec()).await {
            return Ok(Attempt::Cut(error.to_string()));
        }
        sent += read as u64;
        show(have.bytes + sent, offer.bytes);
    }
    // It was cut short while it was sent: more of it will not come.
    ensure!(have.bytes + sent == offer.bytes, "{} has become shorter", path.display());
    stream.finish().await?;
    let verdict = match stream.next().await {
        Ok(Some(verdict)) => verdict,
        Ok(None) => return Ok(Attempt::Cut("the peer ended without a word".to_owned())),
        Err(error) => return Ok(Attempt::Cut(error.to_string())),
    };
    match serde_json::from_slice(&verdict).context("the peer's verdict")? {
        Verdict::Stored => {
            println!("{}: sent {sent} bytes, {} were there already", offer.name, have.bytes);
            Ok(Attempt::Stored)
        }
        Verdict::Failed(why) => bail!("the peer could not keep the file: {why}"),
    }
}

/// A bar, where somebody sees it.
fn show(done: u64, all: u64) {
    const WIDTH: u64 = 40;
    if !std::io::stderr().is_terminal() {
        return;
    }
    let part = |of: u64| u128::from(done) * u128::from(of) / u128::from(all.max(1));
    let full = usize::try_from(part(WIDTH)).unwrap_or_default();
    eprint!("\r[{:<40}] {:>3} % of {all} bytes", "#".repeat(full), part(100));
    if done == all {
        eprintln!();
    }
}
