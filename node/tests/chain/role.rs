//! What runs in each namespace: a node that takes commands and tells what it sees.

use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

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
    // A namespace of one's own hides the networks of the machine, not its radios.
    let mut config = Config::default();
    config.transports.ble.enabled = false;
    let builder = Mesh::builder().config(config).name(name).network("lan-chain").home(home);
    let mesh = builder.start().await.unwrap();
    let _observer = mesh.presence().observe(|graph| say(&format!("graph {}", graph.to_json())));

    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut messages = mesh.bus().messages();
    let counted = tally.clone();
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let text = String::from_utf8_lossy(&message.data);
            match text.strip_prefix('#') {
                Some(number) => counted.lock().unwrap().count(number.parse().unwrap()),
                None => say(&format!("message {text}")),
            }
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
        if line == "tally" {
            let told = std::mem::take(&mut *tally.lock().unwrap());
            say(&format!("tally {} {}", told.next, told.longest.as_millis()));
            continue;
        }
        if let Err(error) = obey(&mesh, &line).await {
            say(&format!("error {line}: {error}"));
        }
    }
    mesh.shutdown().await;
}

/// Numbered messages that came in, each once and in order.
#[derive(Default)]
struct Tally {
    next: u64,
    last: Option<Instant>,
    /// The longest wait between two.
    longest: Duration,
}

impl Tally {
    fn count(&mut self, number: u64) {
        if number != self.next {
            say(&format!("error: message {number} instead of {}", self.next));
        }
        if number == 0 {
            say("counting");
        }
        self.next = number + 1;
        let since = self.last.replace(Instant::now()).map_or(Duration::ZERO, |last| last.elapsed());
        self.longest = self.longest.max(since);
    }
}

/// Sends numbered messages at an interval, without waiting for the word that each arrived.
fn count(mesh: &Mesh, to: PeerKey, messages: u64, interval: Duration) {
    let bus = mesh.bus();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        let mut sent = tokio::task::JoinSet::new();
        for number in 0..messages {
            ticks.tick().await;
            let bus = bus.clone();
            let mut sending =
                Box::pin(async move { bus.send_reliable(to, format!("#{number}")).await });
            // The first poll gives the message its place in the order.
            let ready = std::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
            match ready {
                Poll::Pending => drop(sent.spawn(sending)),
                Poll::Ready(outcome) => drop(sent.spawn(async move { outcome })),
            }
        }
        let outcomes = sent.join_all().await;
        match outcomes.into_iter().find_map(Result::err) {
            None => say(&format!("counted {messages}")),
            Some(error) => say(&format!("error counting: {error}")),
        }
    });
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
        ["links"] => {
            let up = mesh.links().await?.into_iter().filter(|link| link.peer_key_string.is_some());
            let endpoints: Vec<String> = up.map(|link| link.endpoint).collect();
            say(&format!("links {}", endpoints.join(" ")));
        }
        ["count", to, messages, interval_ms] => {
            let interval = Duration::from_millis(interval_ms.parse()?);
            count(mesh, peer(to)?, messages.parse()?, interval);
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
