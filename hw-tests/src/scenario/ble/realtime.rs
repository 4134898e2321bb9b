//! What is urgent does not wait behind much data.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::pipe::Pipe;
use super::{GATT_ONLY, MEET_SECONDS, meet, nodes_with};
use crate::outcome::Figures;
use crate::stage::running::Lines;
use crate::stage::{Node, Stage};

/// Of so many the last but one is the 99th percentile.
const MESSAGES: usize = 100;
/// From one message to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// With everything that is added to it: what an alarm or a key takes.
const TEXT: &str = "twenty bytes exactly";

/// Messages on an idle link, and on one that a pipe of bulk fills.
pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::from([("messages".to_owned(), MESSAGES.into())]);
    for (medium, more) in [("gatt", GATT_ONLY), ("l2cap", "")] {
        let more = format!("{more}\n[bus]\nwhen_full = \"wait\"");
        let [mut one, mut other] = nodes_with(stage, &more)?;
        meet(stage, &one, &other)?;
        let idle = round_trips(stage, &one, &other)?;
        let pipe = Pipe::endless(stage, &one, &other)?;
        let busy = round_trips(stage, &one, &other)?;
        let rate = pipe.finish(stage)?.bytes_per_s();
        // A frame or two of bulk are ahead of it, not a queue of them: seconds would be wrong on
        // any radio.
        ensure!(busy.median < 3_000.0, "a message took {} ms beside a pipe", busy.median);
        let told = [
            ("IdleP50Ms", idle.median),
            ("IdleP99Ms", idle.late),
            ("BusyP50Ms", busy.median),
            ("BusyP99Ms", busy.late),
        ];
        for (name, value) in told {
            figures.insert(format!("{medium}{name}"), value.into());
        }
        figures.insert(format!("{medium}BulkBytesPerS"), rate.round().into());
        one.interrupt()?;
        other.interrupt()?;
    }
    Ok(figures)
}

/// Times from a message to the word that it was delivered, in milliseconds.
#[derive(Debug, PartialEq)]
struct RoundTrips {
    median: f64,
    /// The 99th percentile.
    late: f64,
}

impl RoundTrips {
    fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times.get((times.len() * percent / 100).checked_sub(1)?).copied();
        Some(Self { median: at(50)?, late: at(99)? })
    }
}

/// Small messages, one after the other, while somebody takes them.
fn round_trips(stage: &Stage, from: &Node, to: &Node) -> anyhow::Result<RoundTrips> {
    let (limit, count) = (stage.limit(MEET_SECONDS), MESSAGES.to_string());
    let mut listening = to.spawn(&["listen", "--count", &count], Lines::Stdout, Stdio::null())?;
    let words = ["send", to.key(), "--lines", "--lane", "realtime"];
    let mut sending = from.spawn(&words, Lines::Stdout, Stdio::piped())?;
    let mut input = sending.take_input().context("no input")?;
    let mut times = Vec::with_capacity(MESSAGES);
    for _ in 0..MESSAGES {
        writeln!(input, "{TEXT}")?;
        let delivered: Value = sending.event("delivered", limit)?;
        times.push(delivered["rttMs"].as_f64().context("no `rttMs`")?);
        std::thread::sleep(PAUSE);
    }
    drop(input);
    for running in [&mut sending, &mut listening] {
        let status = running.wait(limit)?;
        ensure!(status.success(), "{}: {status}", running.name);
    }
    RoundTrips::of(times).context("no times")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_late_one_is_the_last_but_one_in_a_hundred() {
        let times = (1..=200).rev().map(f64::from).collect();
        assert_eq!(RoundTrips::of(times), Some(RoundTrips { median: 100.0, late: 198.0 }));
        assert_eq!(RoundTrips::of(Vec::new()), None);
        assert_eq!(TEXT.len(), 20);
    }
}
