//! A chat with everybody in the network.
//!
//! ```sh
//! cargo run -p hedgerow-examples --bin chat -- --name ada
//! ```
//!
//! Run it on two machines of one local network, or twice on one. What is typed goes to all;
//! `/who` says who is there, `/quit` or the end of the input ends it.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::Duration;

use clap::Parser;
use hedgerow::Peer;
use hedgerow::bus::{Fate, SendError, SendOptions};
use hedgerow::prelude::*;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A line that cannot be delivered for so long is given up, and the chat says so.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A chat with everybody in the network.
#[derive(Parser)]
struct Arguments {
    /// The name that others see.
    #[arg(long)]
    name: String,
    /// The network; those in another one are not seen.
    #[arg(long, default_value = "chat")]
    network: String,
}

/// What became of a line, for one peer, under the name it had then: it may have left since.
type Outcome = (String, String, Result<(), SendError>);

// One thread: tasks begin in the order they are spawned, so lines leave in the order they were
// typed.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { name, network } = Arguments::parse();
    let mesh = Mesh::builder().name(&name).network(&network).start().await?;
    println!("* you are {name} in \"{network}\"; /who, /quit");
    talk(&mesh).await;
    mesh.shutdown().await;
    Ok(())
}

async fn talk(mesh: &Mesh) {
    let presence = mesh.presence();
    let (mut changes, mut messages) = (presence.changes(), mesh.bus().messages());
    let mut lines = typed_lines();
    let mut names = HashMap::new();
    let mut sending = JoinSet::new();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref().map(str::trim) {
                None | Some("/quit") => break,
                Some("/who") => who(&presence),
                Some("") => {}
                Some(line) => send(mesh, line, &mut sending),
            },
            Some(change) = changes.next() => tell(&change, &mut names),
            Some(message) = messages.next() => {
                println!("<{}> {}", called(&names, message.from), printable(&message.data));
            }
            Some(Ok(outcome)) = sending.join_next() => tell_outcome(outcome),
            else => break,
        }
    }
    // The last line is worth the wait: it is delivered, or known not to be.
    while let Some(Ok(outcome)) = sending.join_next().await {
        tell_outcome(outcome);
    }
}

/// The lines of the standard input. A thread of its own reads them, as that cannot be given up.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn send(mesh: &Mesh, line: &str, sending: &mut JoinSet<Outcome>) {
    let graph = mesh.presence().graph();
    if graph.remote_peers.is_empty() {
        println!("* nobody is here; nobody got \"{line}\"");
    }
    for peer in graph.remote_peers.iter() {
        let (bus, line, to) = (mesh.bus(), line.to_owned(), peer.peer_key);
        let name = match printable(peer.device_name.as_bytes()) {
            unknown if unknown.is_empty() => peer.peer_key_string.clone(),
            name => name,
        };
        sending.spawn(async move {
            let options = SendOptions { give_up: Some(GIVE_UP), ..SendOptions::default() };
            let sent = bus.send_reliable_with(to, line.clone(), options).await;
            (name, line, sent.map(drop))
        });
    }
}

fn tell_outcome((name, line, outcome): Outcome) {
    let Err(error) = outcome else { return };
    match error.fate() {
        Fate::NotDelivered => println!("* {name} did not get \"{line}\": {error}"),
        Fate::Unknown => println!("* {name} may not have got \"{line}\": {error}"),
    }
}

fn tell(change: &Change, names: &mut HashMap<PeerKey, String>) {
    match change {
        Change::PeerJoined(peer) | Change::PeerUpdated(peer) => meet(peer, names),
        Change::PeerLeft { peer, .. } => {
            println!("* {} has left", called(names, peer.peer_key));
            names.remove(&peer.peer_key);
        }
        // A reader that is too slow goes on from the graph.
        Change::Lagged { graph, .. } => {
            let named = graph.remote_peers.iter().filter(|peer| !peer.device_name.is_empty());
            *names = named.map(|p| (p.peer_key, printable(p.device_name.as_bytes()))).collect();
        }
        _ => {}
    }
}

/// A peer's name comes a moment after its key, so it is here when it has one.
fn meet(peer: &Peer, names: &mut HashMap<PeerKey, String>) {
    if peer.device_name.is_empty() {
        return;
    }
    let name = printable(peer.device_name.as_bytes());
    if names.insert(peer.peer_key, name.clone()).is_none() {
        println!("* {name} is here");
    }
}

fn who(presence: &Presence) {
    for peer in presence.graph().remote_peers.iter() {
        let name = printable(peer.device_name.as_bytes());
        match peer.hops {
            Some(hops) => println!("* {name}, {hops} hops away: {}", peer.peer_key_string),
            None => println!("* {name}, out of reach now: {}", peer.peer_key_string),
        }
    }
}

fn called(names: &HashMap<PeerKey, String>, peer: PeerKey) -> String {
    names.get(&peer).cloned().unwrap_or_else(|| peer.to_string())
}

/// What others write must not steer the terminal.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect()
}
