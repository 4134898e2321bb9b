//! Two nodes form a group, talk over it, and leave it when they end.

use anyhow::ensure;

use super::{connections, graph, meet, ms, node};
use crate::outcome::Figures;
use crate::stage::Stage;
use crate::stage::running::until;

/// From the end of a node to the end of its group.
const LEFT_SECONDS: u64 = 40;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (one, first) = node(stage, 0)?;
    let (mut other, second) = node(stage, 1)?;
    let since = other.ready_at();
    meet(stage, &one, &other)?;
    let met = ms(since);
    for node in [&one, &other] {
        let graph = graph(node)?;
        let all = connections(&graph);
        let is_wifi = |connection: &&serde_json::Value| connection["connectionType"] == "P2PWiFi";
        ensure!(!all.is_empty() && all.iter().all(is_wifi), "{}: {all:?}", node.name);
    }
    let owners = [&first, &second].map(|radio| {
        let supplicant = stage.supplicant(radio);
        let group = supplicant.group()?;
        Ok(group.map(|group| supplicant.is_owner(&group)).transpose()?.unwrap_or_default())
    });
    let owners = owners.into_iter().collect::<anyhow::Result<Vec<bool>>>()?;
    ensure!(owners.iter().filter(|owns| **owns).count() == 1, "owners: {owners:?}");

    other.interrupt()?;
    let left = until("the group is left", stage.limit(LEFT_SECONDS), || {
        Ok(stage.supplicant(&first).group()?.is_none())
    })?;
    Ok(Figures::from([
        ("metMs".to_owned(), met),
        ("leftMs".to_owned(), u64::try_from(left.as_millis())?.into()),
    ]))
}
