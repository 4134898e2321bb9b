//! What runs in each namespace: a node that takes commands and tells what it sees.

use std::io::{BufRead, Write};

use bytes::Bytes;
use hedgerow::prelude::*;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::host::MARK;

/// Bytes of one message of a pushed file.
const PIECE: usize = 60_000;

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // Without a reader the parent is gone, and so is this process soon.
    let _ = writeln!(output, "{MARK}{line}").and_then(|()| output.flush());
}

/// Runs a node if the environment asks for one; else does nothing.
pub(crate) fn run_if_asked() {
    let Ok(name) = std::env::var("HEDGEROW_TEST_NODE") else { return };
    let home = std::env::var("HEDGEROW_TEST_HOME").unwrap();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(node(&name, home.as_ref()));
}

async fn node(name: &str, home: &std::path::Path) {
    let home = Home::open(Some(home)).unwrap();
    let mesh = Mesh::builder().name(name).network("lan-chain").home(home).start().await.unwrap();
    let _observer = mesh.presence().observe(|graph| say(&format!("graph {}", graph.to_json())));

    let mut messages = mesh.bus().messages();
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            say(&format!("message {}", String::from_utf8_lossy(&message.data)));
        }
    });
    let mut files = mesh.bus().listen("file").await.unwrap();
    tokio::spawn(async move {
        while let Some(candidate) = files.next().await {
            tokio::spawn(receive(candidate.accept().await.unwrap()));
        }
    });

    let (sender, mut commands) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        if let Err(error) = obey(&mesh, &line).await {
            say(&format!("error {line}: {error}"));
        }
    }
    mesh.shutdown().await;
}

async fn obey(mesh: &Mesh, line: &str) -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<&str> = line.split(' ').collect();
    let graph = mesh.presence().graph();
    let peer = |name: &str| {
        let peer = graph.remote_peers.iter().find(|peer| peer.device_name == name);
        peer.map(|peer| peer.peer_key).ok_or("no such peer")
    };
    match words[..] {
        ["graph"] => say(&format!("graph {}", graph.to_json())),
        ["send", to, text] => {
            let delivered = mesh.bus().send_reliable(peer(to)?, text.to_owned()).await?;
            say(&format!("delivered hops={} rtt={:?}", delivered.hops, delivered.rtt));
        }
        ["unreliable", to, text] => {
            mesh.bus().send_unreliable(peer(to)?, text.to_owned()).await?;
        }
        ["push", to, bytes] => push(mesh, peer(to)?, bytes.parse()?).await?,
        _ => return Err("no such command".into()),
    }
    Ok(())
}

/// Bytes that repeat nowhere near: a counter, scrambled.
fn piece(at: usize, bytes: usize) -> Bytes {
    let words = (0..bytes.div_ceil(8)).map(|n| {
        ((at + 8 * n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}

async fn push(mesh: &Mesh, to: PeerKey, bytes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let begin = std::time::Instant::now();
    let mut stream = mesh.bus().open_stream(to, "file", Reliability::Reliable).await?;
    let mut hash = Sha256::new();
    for at in (0..bytes).step_by(PIECE) {
        let piece = piece(at, PIECE.min(bytes - at));
        hash.update(&piece);
        stream.send(piece).await?;
    }
    stream.finish().await?;
    stream.wait_acked().await?;
    let hash = hash.finalize();
    say(&format!("pushed {bytes} {} in {:?}", hex(&hash), begin.elapsed()));
    // The other side has nothing to say; wait for its end.
    while stream.next().await?.is_some() {}
    Ok(())
}

async fn receive(mut stream: Stream) {
    let (mut bytes, mut hash) = (0, Sha256::new());
    loop {
        match stream.next().await {
            Ok(Some(piece)) => {
                bytes += piece.len();
                hash.update(&piece);
            }
            Ok(None) => break,
            Err(error) => return say(&format!("error receiving: {error}")),
        }
    }
    say(&format!("received {bytes} {}", hex(&hash.finalize())));
    let _ = stream.finish().await;
    let _ = stream.wait_acked().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
