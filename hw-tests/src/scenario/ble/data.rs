//! Much data: every byte arrives, in order, and what is urgent does not wait behind it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::super::MTU_23;
use super::{GATT_ONLY, meet, nodes, nodes_with, say};
use crate::outcome::Figures;
use crate::stage::running::{Lines, Running};
use crate::stage::{Node, Stage};

const GOODPUT_BYTES: usize = 200_000;
/// Enough to keep a link busy for all of the pings.
const BUSY_BYTES: usize = 1_000_000;
const SMALL_BYTES: usize = 20_000;

/// How long a pipe may take for its opening, its bytes and its end.
const PIPE_SECONDS: u64 = 180;

/// A pipe each way, one after the other. Rates are told, not judged: an emulator's say nothing.
pub(super) fn goodput(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::from([("bytes".to_owned(), GOODPUT_BYTES.into())]);
    for (medium, more) in [("gatt", GATT_ONLY), ("l2cap", "")] {
        let [mut one, mut other] = nodes_with(stage, more)?;
        meet(stage, &one, &other)?;
        for (way, from, to) in [("There", &one, &other), ("Back", &other, &one)] {
            let rate = Pipe::open(stage, from, to, GOODPUT_BYTES)?.finish(stage)?;
            figures.insert(format!("{medium}{way}BytesPerS"), rate);
        }
        one.interrupt()?;
        other.interrupt()?;
    }
    Ok(figures)
}

/// Pings on an idle link, and on one that a pipe fills.
pub(super) fn realtime(stage: &mut Stage) -> anyhow::Result<Figures> {
    let [one, other] = nodes(stage)?;
    meet(stage, &one, &other)?;
    let idle = pings(&one, &other)?;
    let pipe = Pipe::open(stage, &one, &other, BUSY_BYTES)?;
    let busy = pings(&one, &other)?;
    let rate = pipe.finish(stage)?;
    // One frame of bulk at most is ahead of it, not a queue of them: seconds would be wrong on any
    // radio, and an answer that never came even more so.
    let lost = busy["lossPercent"].as_f64().context("`ping` has no loss")?;
    ensure!(lost <= 20.0, "{lost} % of the pings were lost while a pipe was open");
    let median = busy["medianMs"].as_f64().context("`ping` has no median")?;
    ensure!(median < 3_000.0, "a ping took {median} ms while a pipe was open");
    Ok(Figures::from([
        ("idleMs".to_owned(), idle["medianMs"].clone()),
        ("busyMs".to_owned(), busy["medianMs"].clone()),
        ("busyLossPercent".to_owned(), lost.into()),
        ("bytesPerS".to_owned(), rate),
    ]))
}

/// A message and a pipe in packets of 20 bytes.
pub(super) fn mtu23(stage: &mut Stage) -> anyhow::Result<Figures> {
    stage.configure_bluetoothd(MTU_23)?;
    let [one, other] = nodes_with(stage, GATT_ONLY)?;
    meet(stage, &one, &other)?;
    let text: String = ('a'..='z').cycle().take(4_000).collect();
    say(stage, &one, &other, &text)?;
    let rate = Pipe::open(stage, &other, &one, SMALL_BYTES)?.finish(stage)?;
    Ok(Figures::from([("bytesPerS".to_owned(), rate)]))
}

/// The summary of twenty pings.
fn pings(from: &Node, to: &Node) -> anyhow::Result<Value> {
    let words = ["ping", to.key(), "--count", "20", "--interval", "0.2", "--timeout", "10"];
    let lines = from.ask(&words)?;
    let summary = lines.into_iter().find(|line| line["event"] == "summary");
    summary.context("`ping` printed no summary")
}

/// A pipe that is under way.
struct Pipe {
    sending: Running,
    receiving: Running,
    bytes: usize,
}

impl Pipe {
    fn open(stage: &Stage, from: &Node, to: &Node, bytes: usize) -> anyhow::Result<Self> {
        let topic = format!("from-{}", from.name);
        let data = stage.logs().join(format!("{topic}.data"));
        fs::write(&data, sample(bytes)).context("cannot write the data")?;
        let accept = ["pipe", "--accept", &topic, "--timeout", "60"];
        let receiving = to.spawn(&accept, Lines::Stderr, Stdio::null())?;
        // Nothing says when the other side listens; until then the sender is refused.
        let end = Instant::now() + stage.limit(20);
        let sending = loop {
            let mut sending = Self::sender(from, to, &topic, &data)?;
            let said = sending.peek(stage.limit(1)).unwrap_or_default();
            if !said.contains("\"rejected\"") || Instant::now() > end {
                break sending;
            }
        };
        Ok(Self { sending, receiving, bytes })
    }

    fn sender(from: &Node, to: &Node, topic: &str, data: &Path) -> anyhow::Result<Running> {
        let data = File::open(data).context("cannot read the data")?;
        from.spawn(&["pipe", to.key(), topic, "--timeout", "60"], Lines::Stderr, data.into())
    }

    /// Waits until both ends say that it is done, compares them, and gives the rate in bytes per
    /// second.
    fn finish(mut self, stage: &Stage) -> anyhow::Result<Value> {
        let limit = stage.limit(PIPE_SECONDS);
        let sent = self.sending.event("finished", limit)?;
        let received = self.receiving.event("finished", limit)?;
        for end in [&mut self.sending, &mut self.receiving] {
            let status = end.wait(limit)?;
            ensure!(status.success(), "{}: {status}", end.name);
        }
        ensure!(sent["bytes"] == self.bytes, "sent {} of {} bytes", sent["bytes"], self.bytes);
        ensure!(
            received["bytes"] == sent["bytes"] && received["sha256"] == sent["sha256"],
            "sent {sent}, received {received}"
        );
        let ms = sent["ms"].as_f64().context("no `ms`")?.max(1.0);
        let bytes = sent["bytes"].as_f64().context("no `bytes`")?;
        Ok(Value::from((bytes / ms * 1_000.0) as u64))
    }
}

/// Bytes of which no two runs are the same, without a seed to tell.
fn sample(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        // Numerical Recipes' generator: its upper byte is as good as needed here.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_repeats_itself_nowhere_near() {
        let bytes = sample(10_000);
        assert_eq!(bytes.len(), 10_000);
        assert!(bytes.windows(8).skip(1).all(|window| *window != bytes[..8]));
    }
}
