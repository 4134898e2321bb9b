//! Eight nodes in one room, more than a controller has connections for: one mesh all the same.

use std::time::Instant;

use anyhow::Context;

use super::{graph, ms, nodes, say};
use crate::outcome::Figures;
use crate::stage::Stage;

const NODES: usize = 8;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let nodes: [_; NODES] = nodes(stage)?;
    let since = Instant::now();
    for node in &nodes {
        node.await_peers(NODES - 1, stage.limit(180))
            .with_context(|| format!("{} does not see all of {NODES}", node.name))?;
    }
    let complete = ms(since);
    // Those who started first and last have the least reason to be neighbours.
    let (first, last) = (&nodes[0], &nodes[NODES - 1]);
    say(stage, first, last, "from one end")?;
    say(stage, last, first, "to the other")?;
    let links = super::connections(&graph(first)?).len();
    Ok(Figures::from([
        ("completeMs".to_owned(), complete),
        ("connections".to_owned(), links.into()),
    ]))
}
