//! A pipe between two nodes: every byte arrives, in order.

use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, anyhow, ensure};

use crate::random::Random;
use crate::stage::running::{Lines, Running};
use crate::stage::{Node, Stage};

/// How long a pipe may take for its opening, its bytes and its end.
const PIPE_SECONDS: u64 = 180;
/// What is written at once to a pipe without an end.
const PIECE_BYTES: usize = 16 * 1_024;

/// A pipe that is under way.
pub(super) struct Pipe {
    sending: Running,
    receiving: Running,
    bytes: Option<usize>,
    feeding: Option<Feeding>,
}

/// What writes to a pipe until it is told to stop.
struct Feeding {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What went through a pipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) bytes: f64,
    pub(super) seconds: f64,
}

impl Passed {
    pub(super) fn bytes_per_s(self) -> f64 {
        self.bytes / self.seconds
    }
}

impl Pipe {
    /// A pipe for so many bytes.
    pub(super) fn open(
        stage: &Stage,
        from: &Node,
        to: &Node,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let data = stage.logs().join(format!("from-{}.data", from.name));
        fs::write(&data, sample(bytes)).context("cannot write the data")?;
        let input = File::open(&data).context("cannot read the data")?;
        let (sending, receiving) = opened(stage, from, to, "normal", input.into())?;
        Ok(Self { sending, receiving, bytes: Some(bytes), feeding: None })
    }

    /// A pipe of bulk that has more to send until it is finished.
    pub(super) fn endless(stage: &Stage, from: &Node, to: &Node) -> anyhow::Result<Self> {
        let (mut sending, receiving) = opened(stage, from, to, "bulk", Stdio::piped())?;
        let mut stdin = sending.take_input().context("no input")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let piece = sample(PIECE_BYTES);
                // A pipe that breaks is told by its own end.
                while !is_over.load(Ordering::Relaxed) && stdin.write_all(&piece).is_ok() {}
            }
        });
        Ok(Self { sending, receiving, bytes: None, feeding: Some(Feeding { is_over, thread }) })
    }

    /// Waits until both ends say that it is done, and compares them.
    pub(super) fn finish(mut self, stage: &Stage) -> anyhow::Result<Passed> {
        if let Some(Feeding { is_over, thread }) = self.feeding.take() {
            is_over.store(true, Ordering::Relaxed);
            thread.join().map_err(|_| anyhow!("what fed the pipe panicked"))?;
        }
        let limit = stage.limit(PIPE_SECONDS);
        let sent = self.sending.event("finished", limit)?;
        let received = self.receiving.event("finished", limit)?;
        for end in [&mut self.sending, &mut self.receiving] {
            let status = end.wait(limit)?;
            ensure!(status.success(), "{}: {status}", end.name);
        }
        let all = self.bytes.is_none_or(|bytes| sent["bytes"] == bytes);
        ensure!(all, "sent {} of {:?} bytes", sent["bytes"], self.bytes);
        ensure!(
            received["bytes"] == sent["bytes"] && received["sha256"] == sent["sha256"],
            "sent {sent}, received {received}"
        );
        let figure = |key: &str| sent[key].as_f64().with_context(|| format!("no `{key}`"));
        Ok(Passed { bytes: figure("bytes")?, seconds: figure("ms")?.max(1.0) / 1e3 })
    }
}

/// Both ends of a pipe.
fn opened(
    stage: &Stage,
    from: &Node,
    to: &Node,
    lane: &str,
    input: Stdio,
) -> anyhow::Result<(Running, Running)> {
    let topic = format!("from-{}", from.name);
    let accept = ["pipe", "--accept", &topic, "--timeout", "60"];
    let mut receiving = to.spawn(&accept, Lines::Stderr, Stdio::null())?;
    receiving.event("accepting", stage.limit(20))?;
    let words = ["pipe", to.key(), &topic, "--lane", lane, "--timeout", "60"];
    Ok((from.spawn(&words, Lines::Stderr, input)?, receiving))
}

/// Bytes of which no two runs are the same, without a seed to tell.
fn sample(bytes: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    (0..bytes).map(|_| random.below(256) as u8).collect()
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
