//! Three nodes in one room: each sees all three and the connections between them, and who leaves.

use std::time::Instant;

use anyhow::ensure;

use super::{GONE_SECONDS, MEET_SECONDS, connections, graph, ms, nodes};
use crate::outcome::Figures;
use crate::stage::running::until;
use crate::stage::{Node, Stage};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [a, b, mut c] = nodes(stage)?;
    let since = c.ready_at();
    for node in [&a, &b, &c] {
        node.await_peers(2, stage.limit(MEET_SECONDS))?;
    }
    let complete = ms(since);
    // Where a node hears of a link later than of its end, the graphs differ for a moment.
    until("all see the same connections", stage.limit(MEET_SECONDS), || {
        let seen = [drawn(&a)?, drawn(&b)?, drawn(&c)?];
        Ok(seen[0].len() >= 2 && seen.iter().all(|one| *one == seen[0]))
    })?;
    let connections = drawn(&a)?.len();

    let since = Instant::now();
    c.kill()?;
    for node in [&a, &b] {
        node.await_gone(&c, stage.limit(GONE_SECONDS))?;
    }
    let gone = ms(since);
    for node in [&a, &b] {
        let graph = graph(node)?;
        let peers = graph["remotePeers"].as_array().map_or(0, Vec::len);
        ensure!(peers == 1, "{} sees {peers} peers after one of two has left", node.name);
    }
    Ok(Figures::from([
        ("completeMs".to_owned(), complete),
        ("connections".to_owned(), connections.into()),
        ("goneMs".to_owned(), gone),
    ]))
}

/// The connections in a node's graph, all of which must be Bluetooth.
fn drawn(node: &Node) -> anyhow::Result<Vec<String>> {
    let graph = graph(node)?;
    let id = |connection: &&serde_json::Value| {
        ensure!(connection["connectionType"] == "Bluetooth", "no Bluetooth: {connection}");
        Ok(connection["id"].to_string())
    };
    connections(&graph).iter().map(id).collect()
}
