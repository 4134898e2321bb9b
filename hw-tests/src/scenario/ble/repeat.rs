//! Nodes that come and go, again and again: nothing is used up by it.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::{GONE_SECONDS, MEET_SECONDS, meet, millis, ms, nodes};
use crate::outcome::Figures;
use crate::stage::Stage;

/// A node crashes. Late: the other one has noticed when it comes back. At once: it has not.
pub(super) fn restart(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [one, mut other] = nodes(stage)?;
    meet(stage, &one, &other)?;
    let mut figures = Figures::new();
    for round in ["late", "at once", "late again"] {
        let since = Instant::now();
        other.kill()?;
        let key = if round == "at once" {
            "atOnceBackMs".to_owned()
        } else {
            one.await_gone(&other, stage.limit(GONE_SECONDS))?;
            figures.insert("goneMs".to_owned(), ms(since));
            "lateBackMs".to_owned()
        };
        let since = Instant::now();
        other.restart()?;
        // The newcomer speaks first: what is said to the one that crashed is answered by an error,
        // which is as it should be.
        meet(stage, &other, &one).with_context(|| format!("after a crash, back {round}"))?;
        figures.insert(key, ms(since));
    }
    Ok(figures)
}

const CONNECTS: usize = 200;

/// One node says goodbye and comes back, 200 times.
pub(super) fn many_connects(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [one, mut other] = nodes(stage)?;
    meet(stage, &one, &other)?;
    let mut times = Vec::with_capacity(CONNECTS);
    for connect in 1..=CONNECTS {
        let told = || format!("at connect {connect} of {CONNECTS}");
        other.interrupt().with_context(told)?;
        one.await_gone(&other, stage.limit(GONE_SECONDS)).with_context(told)?;
        other.restart().with_context(told)?;
        let since = Instant::now();
        other.await_peer(&one, Some(1), stage.limit(MEET_SECONDS)).with_context(told)?;
        one.await_peer(&other, Some(1), stage.limit(MEET_SECONDS)).with_context(told)?;
        times.push(since.elapsed());
    }
    meet(stage, &one, &other).context("after all of them")?;
    let (median, slowest) = median_and_slowest(times);
    Ok(Figures::from([
        ("connects".to_owned(), CONNECTS.into()),
        ("medianMs".to_owned(), median),
        ("slowestMs".to_owned(), slowest),
    ]))
}

pub(super) fn median_and_slowest(mut times: Vec<Duration>) -> (Value, Value) {
    times.sort();
    let at = |index: usize| times.get(index).copied().map_or(Value::Null, millis);
    (at(times.len() / 2), at(times.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_the_slowest_is_last() {
        let times = [9, 1, 5].map(Duration::from_millis).to_vec();
        assert_eq!(median_and_slowest(times), (5.into(), 9.into()));
        assert_eq!(median_and_slowest(Vec::new()), (Value::Null, Value::Null));
    }
}
