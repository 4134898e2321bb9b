//! From the decision for a group to the first bytes over it: when two meet for the first time, and
//! when they met before.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::{meet, node};
use crate::outcome::Figures;
use crate::stage::{Node, Radio, Stage};

const ROUNDS: usize = 5;

/// When a node decided, was in the group, and had a link over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) decided: Duration,
    pub(super) grouped: Duration,
    pub(super) linked: Duration,
    /// No negotiation was needed.
    again: bool,
}

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    let mut pair = [node(stage, 0)?, node(stage, 1)?];
    for (name, is_cold) in [("cold", true), ("again", false)] {
        let mut all = Vec::new();
        for round in 1..=ROUNDS {
            let moments = meet_anew(stage, &mut pair, is_cold)
                .with_context(|| format!("{name}, round {round} of {ROUNDS}"))?;
            all.push(moments);
        }
        let mut tell = |what: &str, of: fn(&Moments) -> Duration| {
            let mut times: Vec<_> = all.iter().map(of).collect();
            times.sort();
            let median = u64::try_from(times[ROUNDS / 2].as_millis()).unwrap_or(u64::MAX);
            figures.insert(format!("{name}{what}"), median.into());
        };
        tell("FirstByteMs", |moments| moments.linked - moments.decided);
        tell("SupplicantMs", |moments| moments.grouped - moments.decided);
    }
    Ok(figures)
}

/// Both nodes end and begin anew; and both wpa_supplicants, which then know nothing of before.
fn meet_anew(
    stage: &mut Stage,
    pair: &mut [(Node, Radio); 2],
    is_cold: bool,
) -> anyhow::Result<Moments> {
    for (node, _) in pair.iter_mut() {
        node.interrupt()?;
    }
    for (_, radio) in pair.iter() {
        if is_cold {
            stage.restart_wpa_supplicant(radio)?;
        }
    }
    let mut skip = Vec::new();
    for (node, _) in pair.iter_mut() {
        skip.push(node.log()?.len());
        node.launch()?;
    }
    for (node, _) in pair.iter_mut() {
        node.await_ready()?;
    }
    meet(stage, &pair[0].0, &pair[1].0)?;
    let logs = [pair[0].0.log()?, pair[1].0.log()?];
    let told = logs.iter().zip(skip).filter_map(|(log, skip)| moments(log.get(skip..)?));
    // Of the first that decided.
    let moments = told.min_by_key(|moments| moments.decided).context("no log tells of a group")?;
    ensure!(moments.again != is_cold, "negotiated, or not: {moments:?}");
    Ok(moments)
}

/// What a node's log says of the first meeting that it dialled for.
pub(super) fn moments(log: &str) -> Option<Moments> {
    let mut lines = log.lines();
    let decided = lines.by_ref().find(|line| line.contains("a device is dialled"))?;
    let line = |words: &str| lines.clone().find(|line| line.contains(words));
    Some(Moments {
        decided: time_of(decided)?,
        grouped: time_of(line("in a Wi-Fi Direct group")?)?,
        linked: time_of(line(" link up peer=")?)?,
        again: line("the last group is formed again").is_some()
            && line("way: Negotiated").is_none(),
    })
}

/// The time of day of a line of a log: `2026-01-02T03:04:05.678901Z INFO ...`.
fn time_of(line: &str) -> Option<Duration> {
    let time = line.split_once('T')?.1.split_once('Z')?.0;
    let mut parts = time.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some(Duration::from_secs_f64(hours * 3_600.0 + minutes * 60.0 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_when_what_happened() {
        let log = "2026-11-22T10:40:40.0Z  INFO views: link up peer=pk1\n\
                   2026-11-22T10:40:45.5Z DEBUG run: a device is dialled\n\
                   2026-11-22T10:40:45.5Z DEBUG radio: the last group is formed again\n\
                   2026-11-22T10:40:46.0Z  INFO run: in a Wi-Fi Direct group owns=true\n\
                   2026-11-22T10:40:47.25Z  INFO views: link up peer=pk1\n";
        let told = moments(log).unwrap();
        assert!(told.again);
        assert_eq!(told.grouped - told.decided, Duration::from_millis(500));
        assert_eq!(told.linked - told.decided, Duration::from_millis(1_750));
        assert!(moments("").is_none());
        let negotiated = format!("{log}x way: Negotiated");
        assert!(!moments(&negotiated).unwrap().again);
        let first = log.replace("is formed again", "");
        assert!(!moments(&first).unwrap().again);
    }
}
