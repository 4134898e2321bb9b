//! A newcomer beside a mesh that stands: from its start to the whole graph.

use anyhow::Context;

use super::repeat::median_and_slowest;
use super::{GONE_SECONDS, nodes};
use crate::outcome::Figures;
use crate::stage::Stage;

const MESH: usize = 5;
const ROUNDS: usize = 10;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mesh: [_; MESH] = nodes(stage)?;
    for node in &mesh {
        node.await_peers(MESH - 1, stage.limit(180))
            .with_context(|| format!("{} does not see the mesh", node.name))?;
    }
    let mut newcomer = stage.node("newcomer", &stage.adapter(MESH)?, "")?;
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        let told = || format!("in round {round} of {ROUNDS}");
        newcomer.await_peers(MESH, stage.limit(90)).with_context(told)?;
        times.push(newcomer.ready_at().elapsed());
        if round < ROUNDS {
            newcomer.interrupt().with_context(told)?;
            for node in &mesh {
                node.await_gone(&newcomer, stage.limit(GONE_SECONDS)).with_context(told)?;
            }
            newcomer.restart().with_context(told)?;
        }
    }
    let (median, slowest) = median_and_slowest(times);
    Ok(Figures::from([
        ("rounds".to_owned(), ROUNDS.into()),
        ("medianMs".to_owned(), median),
        ("slowestMs".to_owned(), slowest),
    ]))
}
