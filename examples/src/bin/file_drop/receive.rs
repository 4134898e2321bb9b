//! The receiving side.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hedgerow::bus::Candidate;
use hedgerow::prelude::*;
use tokio::fs::{File, OpenOptions, remove_file};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::offer::{Have, Offer, Refusal, TOPIC, Verdict, hash};

/// Files that are received at once; more are looked at when one is done.
const AT_ONCE_MAX: usize = 8;

/// Receives files into a folder until the node ends.
pub(crate) async fn receive(mesh: &Mesh, folder: &Path) -> anyhow::Result<()> {
    ensure!(folder.is_dir(), "{} is not a folder: make it first", folder.display());
    let mut acceptor = mesh.bus().listen(TOPIC).await?;
    println!("receiving as {} ({})", mesh.presence().local_peer().device_name, mesh.peer_key());
    let mut running: HashMap<PathBuf, JoinHandle<()>> = HashMap::new();
    while let Some(candidate) = acceptor.next().await {
        running.retain(|_, task| !task.is_finished());
        let offer = match Offer::parse(candidate.arguments()) {
            Ok(offer) => offer,
            Err(refusal) => {
                candidate.reject(refusal as u32).await;
                continue;
            }
        };
        let part = folder.join(format!(".{}.{}.part", offer.name, &offer.hash[..16]));
        // The same file again: its sender was started anew, and this side has not noticed yet.
        if let Some(older) = running.remove(&part) {
            older.abort();
            let _ = older.await;
        }
        if running.len() >= AT_ONCE_MAX {
            // Dropped, it is refused without a reason of ours: the sender tries again.
            continue;
        }
        let whole = folder.join(&offer.name);
        let task = tokio::spawn(take(candidate, offer, part.clone(), whole));
        running.insert(part, task);
    }
    Ok(())
}

/// Takes one file, and tells of it.
async fn take(candidate: Candidate, offer: Offer, part: PathBuf, whole: PathBuf) {
    match take_rest(candidate, &offer, &part, &whole).await {
        Ok(received) => println!("{}: received {received} bytes, stored", offer.name),
        Err(error) => println!("{}: {error:#}", offer.name),
    }
}

/// Takes what is missing of a file. What has come stays in the part, whatever happens.
async fn take_rest(
    candidate: Candidate,
    offer: &Offer,
    part: &Path,
    whole: &Path,
) -> anyhow::Result<u64> {
    if whole.symlink_metadata().is_ok() {
        candidate.reject(Refusal::Exists as u32).await;
        bail!("refused, there is one already");
    }
    let (mut file, have) = match open_part(part, offer).await {
        Ok(opened) => opened,
        Err(error) => {
            candidate.reject(Refusal::CannotWrite as u32).await;
            return Err(error).context("refused, its part cannot be opened");
        }
    };
    println!("{}: has {have} of {} bytes", offer.name, offer.bytes);
    let arguments = serde_json::to_vec(&Have { bytes: have })?;
    let mut stream = candidate.accept_with(arguments.into()).await?;
    let mut received = 0;
    while let Some(chunk) = stream.next().await.context("cut; waiting for it to go on")? {
        received += chunk.len() as u64;
        ensure!(have + received <= offer.bytes, "more came than was offered");
        file.write_all(&chunk).await.context("cannot be written")?;
        // On its way to the disk before more is taken, so that a killed program has it.
        file.flush().await.context("cannot be written")?;
    }
    let stored = store(file, offer, part, whole).await;
    let verdict = match &stored {
        Ok(()) => Verdict::Stored,
        Err(error) => Verdict::Failed(format!("{error:#}")),
    };
    stream.send(serde_json::to_vec(&verdict)?).await?;
    stream.finish().await?;
    stream.wait_acked().await?;
    stored.map(|()| received)
}

/// Opens the part of a file, and says how much it has.
async fn open_part(part: &Path, offer: &Offer) -> anyhow::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(part).await?;
    let have = file.metadata().await?.len();
    if have > offer.bytes {
        // Not what it seems: from the start.
        file.set_len(0).await?;
        return Ok((file, 0));
    }
    Ok((file, have))
}

/// Checks the whole and gives it its name.
async fn store(file: File, offer: &Offer, part: &Path, whole: &Path) -> anyhow::Result<()> {
    file.sync_all().await?;
    drop(file);
    let path = part.to_owned();
    let (bytes, found) = tokio::task::spawn_blocking(move || hash(&path)).await??;
    if (bytes, &found) != (offer.bytes, &offer.hash) {
        remove_file(part).await?;
        bail!("what arrived is not what was offered: send it again");
    }
    // Unlike a rename, this does not replace a file that has appeared meanwhile.
    tokio::fs::hard_link(part, whole).await.context("cannot be given its name")?;
    remove_file(part).await?;
    Ok(())
}
