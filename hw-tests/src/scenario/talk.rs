//! What scenarios of all groups do: nodes that meet, say something, and tell what they see.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::stage::{Node, Stage};

/// From the start of two nodes to the first message: a scan's pause, a connection, a handshake.
pub(super) const MEET_SECONDS: u64 = 60;
/// From a silence to its being noticed: a link is given up after 16 s of it.
pub(super) const GONE_SECONDS: u64 = 40;

/// Waits until two see each other and a message has come through, each way.
pub(super) fn meet(stage: &Stage, one: &Node, other: &Node) -> anyhow::Result<()> {
    let limit = stage.limit(MEET_SECONDS);
    for (from, to) in [(one, other), (other, one)] {
        from.await_peer(to, None, limit)?;
        say(stage, from, to, "hello")?;
    }
    Ok(())
}

/// A message, from an application to the other one.
pub(super) fn say(stage: &Stage, from: &Node, to: &Node, text: &str) -> anyhow::Result<()> {
    from.send(to, text, stage.limit(MEET_SECONDS))?;
    let heard = to.ask(&["listen", "--count", "1", "--timeout", "5"])?;
    let is_it = heard.iter().any(|line| line["text"] == text && line["from"] == from.key());
    ensure!(is_it, "{} sent {} bytes, {} heard {heard:?}", from.name, text.len(), to.name);
    Ok(())
}

/// What `doctor` says of a medium must have these words, with the node or without it.
pub(super) fn doctor_says(node: &Node, medium: &str, words: &[&str]) -> anyhow::Result<()> {
    let reply = node.run(&["doctor", "--config", &node.config()])?;
    let checks = reply.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_meant = |check: &Value| ["transport", "dial"].iter().any(|name| check["check"] == *name);
    let told = checks.filter(is_meant).map(|check| {
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {} {}", text("status"), text("message"), text("hint"))
    });
    let told: Vec<_> = told.filter(|text| text.contains(medium)).collect();
    let is_told = told.iter().any(|text| words.iter().all(|word| text.contains(word)));
    ensure!(is_told, "{}: doctor says {told:?}, without {words:?}", node.name);
    Ok(())
}

/// How many links a node has to another one that carry data.
pub(super) fn links_up(node: &Node, other: &Node) -> anyhow::Result<usize> {
    let links = node.ask(&["links"])?;
    let is_up = |link: &&Value| link["peerKeyString"] == other.key() && link["state"] == "up";
    Ok(links.iter().filter(is_up).count())
}

/// The connections that a node's graph has, each of them once.
pub(super) fn connections(graph: &Value) -> Vec<&Value> {
    let remote = graph["remotePeers"].as_array().into_iter().flatten();
    let peers = remote.chain([&graph["localPeer"]]);
    let mut all: Vec<&Value> =
        peers.flat_map(|peer| peer["connections"].as_array().into_iter().flatten()).collect();
    all.sort_by_key(|connection| connection["id"].as_str().unwrap_or_default().to_owned());
    all.dedup_by_key(|connection| connection["id"].clone());
    all
}

/// The graph that a node sees.
pub(super) fn graph(node: &Node) -> anyhow::Result<Value> {
    node.ask(&["graph"])?.pop().context("`graph` printed nothing")
}

/// Since when, in whole milliseconds.
pub(super) fn ms(since: Instant) -> Value {
    millis(since.elapsed())
}

/// A time in whole milliseconds.
pub(super) fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}
