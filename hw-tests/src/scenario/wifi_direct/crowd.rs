//! More than two nodes: one owns the group, the others are in it.

use std::time::Instant;

use anyhow::{Context, ensure};

use super::{AGAIN_SECONDS, meet, ms, node, say};
use crate::outcome::Figures;
use crate::stage::{Node, Radio, Stage};

const CROWD: usize = 3;

pub(super) fn three(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (figures, crowd) = gather(stage)?;
    all_talk(stage, &crowd)?;
    Ok(figures)
}

pub(super) fn owner(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (mut figures, crowd) = gather(stage)?;
    let owner = owner_of(stage, &crowd)?;
    let owners_radio = crowd[owner].1.clone();
    let since = Instant::now();
    stage.kill_wpa_supplicant(&owners_radio)?;
    let left: Vec<&Node> = crowd
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != owner)
        .map(|(_, (node, _))| node)
        .collect();
    for node in &left {
        node.await_gone(&crowd[owner].0, stage.limit(AGAIN_SECONDS))?;
    }
    for (one, other) in [(left[0], left[1]), (left[1], left[0])] {
        one.await_peer(other, None, stage.limit(AGAIN_SECONDS)).context("without the owner")?;
    }
    figures.insert("againMs".to_owned(), ms(since));
    say(stage, left[0], left[1], "without the owner")?;

    let since = Instant::now();
    stage.restart_wpa_supplicant(&owners_radio)?;
    for (node, _) in &crowd {
        node.await_peers(CROWD - 1, stage.limit(AGAIN_SECONDS)).context("with it again")?;
    }
    figures.insert("backMs".to_owned(), ms(since));
    all_talk(stage, &crowd)?;
    Ok(figures)
}

/// Two nodes in a group, and a third one that joins.
fn gather(stage: &Stage) -> anyhow::Result<(Figures, Vec<(Node, Radio)>)> {
    let mut crowd = vec![node(stage, 0)?, node(stage, 1)?];
    meet(stage, &crowd[0].0, &crowd[1].0)?;
    crowd.push(node(stage, 2)?);
    let since = crowd[2].0.ready_at();
    for (node, _) in &crowd {
        node.await_peers(CROWD - 1, stage.limit(AGAIN_SECONDS))?;
    }
    let joined = ms(since);
    owner_of(stage, &crowd)?;
    Ok((Figures::from([("joinedMs".to_owned(), joined)]), crowd))
}

/// Who owns the one group that all are in.
fn owner_of(stage: &Stage, crowd: &[(Node, Radio)]) -> anyhow::Result<usize> {
    let mut owners = Vec::new();
    for (at, (node, radio)) in crowd.iter().enumerate() {
        let supplicant = stage.supplicant(radio);
        let group = supplicant.group()?.with_context(|| format!("{} is in no group", node.name))?;
        if supplicant.is_owner(&group)? {
            owners.push(at);
        }
    }
    ensure!(owners.len() == 1, "owners of groups: {owners:?}");
    owners.first().copied().context("no owner")
}

fn all_talk(stage: &Stage, crowd: &[(Node, Radio)]) -> anyhow::Result<()> {
    for (from, _) in crowd {
        for (to, _) in crowd {
            if from.key() != to.key() {
                say(stage, from, to, &format!("{} to {}", from.name, to.name))?;
            }
        }
    }
    Ok(())
}
