//! Two nodes start at the same moment, so both dial: one group forms, and one link stays in it.

use std::time::Instant;

use anyhow::{Context, ensure};

use super::{meet, ms, node};
use crate::outcome::Figures;
use crate::scenario::talk::links_up;
use crate::stage::running::until;
use crate::stage::{Node, Radio, Stage};

/// After a crash of both, after a goodbye of both, and so on.
const ROUNDS: usize = 4;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (mut one, first) = node(stage, 0)?;
    let (mut other, second) = node(stage, 1)?;
    let radios = [first, second];
    let (mut slowest, mut both) = (0, 0);
    let mut before = [0, 0];
    for round in 1..=ROUNDS {
        let since = Instant::now();
        met(stage, [&one, &other], &radios)
            .with_context(|| format!("in round {round} of {ROUNDS}"))?;
        slowest = slowest.max(since.elapsed().as_millis());
        // Who dialled is told by its log: rounds in which only one did prove nothing.
        let after = [dials(&one)?, dials(&other)?];
        both += u64::from(after[0] > before[0] && after[1] > before[1]);
        before = after;
        if round % 2 == 0 {
            one.interrupt()?;
            other.interrupt()?;
        } else {
            one.kill()?;
            other.kill()?;
        }
        one.launch()?;
        other.launch()?;
        one.await_ready()?;
        other.await_ready()?;
    }
    met(stage, [&one, &other], &radios)?;
    let since = Instant::now();
    one.interrupt()?;
    other.interrupt()?;
    Ok(Figures::from([
        ("slowestMs".to_owned(), u64::try_from(slowest)?.into()),
        ("bothDialled".to_owned(), both.into()),
        ("goodbyeMs".to_owned(), ms(since)),
    ]))
}

fn met(stage: &Stage, [one, other]: [&Node; 2], radios: &[Radio; 2]) -> anyhow::Result<()> {
    meet(stage, one, other)?;
    until("each has one link", stage.limit(30), || {
        Ok(links_up(one, other)? == 1 && links_up(other, one)? == 1)
    })?;
    let mut owners = 0;
    for radio in radios {
        let supplicant = stage.supplicant(radio);
        let group = supplicant.group()?.with_context(|| format!("{} is in none", radio.name()))?;
        owners += usize::from(supplicant.is_owner(&group)?);
    }
    ensure!(owners == 1, "{owners} owners");
    Ok(())
}

/// How often a node has asked its radio for a group so far.
fn dials(node: &Node) -> anyhow::Result<usize> {
    Ok(node.log()?.matches("group order=Connect").count())
}
