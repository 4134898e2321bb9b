//! Two nodes start at the same moment, so both dial: one link stays, and it is the same one.

use std::time::Instant;

use anyhow::Context;

use super::{links_up, meet, ms, nodes};
use crate::outcome::Figures;
use crate::stage::Stage;
use crate::stage::running::until;

const ROUNDS: usize = 5;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [mut one, mut other] = nodes(stage)?;
    let mut slowest = 0;
    for round in 1..=ROUNDS {
        let since = Instant::now();
        let played = || -> anyhow::Result<()> {
            meet(stage, &one, &other)?;
            until("each has one link", stage.limit(30), || {
                Ok(links_up(&one, &other)? == 1 && links_up(&other, &one)? == 1)
            })?;
            Ok(())
        };
        played().with_context(|| format!("in round {round} of {ROUNDS}"))?;
        slowest = slowest.max(since.elapsed().as_millis());
        if round < ROUNDS {
            one.kill()?;
            other.kill()?;
            one.launch()?;
            other.launch()?;
            one.await_ready()?;
            other.await_ready()?;
        }
    }
    let slowest = u64::try_from(slowest)?.into();
    let since = Instant::now();
    one.interrupt()?;
    other.interrupt()?;
    Ok(Figures::from([("slowestMs".to_owned(), slowest), ("goodbyeMs".to_owned(), ms(since))]))
}
