//! Two nodes, each with an adapter and nothing else, find each other and talk.

use std::time::Instant;

use anyhow::ensure;

use super::{MEET_SECONDS, graph, is_connected, links_up, meet, ms, nodes};
use crate::outcome::Figures;
use crate::stage::Stage;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [one, other] = nodes(stage)?;
    one.await_peers(1, stage.limit(MEET_SECONDS))?;
    other.await_peers(1, stage.limit(MEET_SECONDS))?;
    // Both were ready when the second one was.
    let found = ms(other.ready_at());
    let since = Instant::now();
    meet(stage, &one, &other)?;
    let talked = ms(since);
    for (node, peer) in [(&one, &other), (&other, &one)] {
        ensure!(links_up(node, peer)? > 0, "{} has no link to its peer", node.name);
        let graph = graph(node)?;
        let is_there = is_connected(&graph, node, peer);
        ensure!(is_there, "no Bluetooth connection in the graph of {}: {graph}", node.name);
    }
    Ok(Figures::from([("foundMs".to_owned(), found), ("messagesMs".to_owned(), talked)]))
}
