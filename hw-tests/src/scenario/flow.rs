//! Numbered messages from one node to another: each must arrive once, and in its place.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;

use crate::stage::running::{Lines, Running};
use crate::stage::{Node, Stage};

/// A message is sent for as long as that: a cut or several must not end it.
const TIMEOUT_SECONDS: &str = "600";
/// Without a message for so long, a link has not come back.
const SILENCE_SECONDS: u64 = 90;

/// Messages on their way, and what became of them so far.
pub(super) struct Flow {
    sending: Running,
    listening: Running,
    /// Of the text of each.
    bytes: usize,
    feeding: Option<Feeding>,
    heard: u32,
    pub(super) delivered: u32,
    /// When the last one was heard, or what was done then was done.
    last: Option<Instant>,
    /// From the first message that was heard to the last one.
    pub(super) wall: Duration,
    /// The longest time between two of them since it was last asked for.
    slowest: Duration,
}

/// What writes messages until it is told to stop.
struct Feeding {
    is_over: Arc<AtomicBool>,
    written: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Flow {
    /// So many messages of so many bytes.
    pub(super) fn of(
        stage: &Stage,
        near: &Node,
        far: &Node,
        messages: u32,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let lines: String = (1..=messages).map(|number| text(number, bytes) + "\n").collect();
        let file = stage.logs().join("messages");
        fs::write(&file, lines).context("cannot write the messages")?;
        let input = File::open(&file).context("cannot read the messages")?;
        Self::start(near, far, input.into(), bytes)
    }

    /// As many messages of so many bytes as there is time for until it is finished.
    pub(super) fn endless(near: &Node, far: &Node, bytes: usize) -> anyhow::Result<Self> {
        let mut flow = Self::start(near, far, Stdio::piped(), bytes)?;
        let stdin = flow.sending.take_input().context("no input")?;
        let (is_over, written) = (Arc::default(), Arc::default());
        let thread = std::thread::spawn({
            let (is_over, written) = (Arc::clone(&is_over), Arc::clone(&written));
            move || feed(stdin, bytes, &is_over, &written)
        });
        flow.feeding = Some(Feeding { is_over, written, thread });
        Ok(flow)
    }

    fn start(near: &Node, far: &Node, input: Stdio, bytes: usize) -> anyhow::Result<Self> {
        let listening = far.spawn(&["listen"], Lines::Stdout, Stdio::null())?;
        let send = ["send", far.key(), "--lines", "--timeout", TIMEOUT_SECONDS];
        let sending = near.spawn(&send, Lines::Stdout, input)?;
        Ok(Self {
            sending,
            listening,
            bytes,
            feeding: None,
            heard: 0,
            delivered: 0,
            last: None,
            wall: Duration::ZERO,
            slowest: Duration::ZERO,
        })
    }

    /// Hears the next message, which must be the right one; its number.
    pub(super) fn hear(&mut self, stage: &Stage) -> anyhow::Result<u32> {
        let number = self.heard + 1;
        let line = self.listening.line(stage.limit(SILENCE_SECONDS));
        if !matches!(line, Ok(Some(_))) {
            // What the sender has to say is why.
            self.take_outcomes()?;
        }
        let told = || format!("message {number} did not come");
        let line = line.with_context(told)?.with_context(told)?;
        let heard: Value = serde_json::from_str(&line).context("bad JSON")?;
        ensure!(heard["text"] == text(number, self.bytes), "{line} in place of message {number}");
        self.heard = number;
        if let Some(last) = self.last {
            self.slowest = self.slowest.max(last.elapsed());
            self.wall += last.elapsed();
        }
        self.last = Some(Instant::now());
        Ok(number)
    }

    /// What the scenario did since the last message is none of the flow's time.
    pub(super) fn go_on(&mut self) {
        self.last = Some(Instant::now());
    }

    /// The longest time between two messages since this was last asked.
    pub(super) fn take_slowest(&mut self) -> Duration {
        std::mem::take(&mut self.slowest)
    }

    /// Takes what the sender has said so far.
    pub(super) fn take_outcomes(&mut self) -> anyhow::Result<()> {
        while self.sending.peek(Duration::ZERO).is_some() {
            let line = self.sending.line(Duration::ZERO)?.unwrap_or_default();
            let outcome: Value = serde_json::from_str(&line).context("bad JSON")?;
            match outcome["event"].as_str() {
                Some("delivered") => self.delivered += 1,
                _ => bail!("{} said {line}", self.sending.name),
            }
        }
        Ok(())
    }

    /// Hears what is still under way. All that was sent must have been heard, and the sender must know
    /// it; how many messages it was.
    pub(super) fn finish(&mut self, stage: &Stage, messages: Option<u32>) -> anyhow::Result<u32> {
        let mut messages = messages.unwrap_or_default();
        if let Some(Feeding { is_over, written, thread }) = self.feeding.take() {
            is_over.store(true, Ordering::Relaxed);
            // What it writes to may be full: it ends once some of that was heard.
            while !thread.is_finished() {
                self.hear(stage)?;
            }
            thread.join().map_err(|_| anyhow!("what wrote the messages panicked"))?;
            messages = written.load(Ordering::Relaxed);
        }
        while self.heard < messages {
            self.hear(stage)?;
        }
        let limit = stage.limit(SILENCE_SECONDS);
        let summary = self.sending.event("summary", limit)?;
        let is_whole = summary["delivered"] == messages && summary["failed"] == 0;
        ensure!(is_whole, "sent {messages} messages: {summary}");
        let status = self.sending.wait(limit)?;
        ensure!(status.success(), "{}: {status}", self.sending.name);
        // Whoever asks next gets what was still to come a second time.
        self.listening.terminate(limit)?;
        Ok(messages)
    }
}

fn feed(mut stdin: ChildStdin, bytes: usize, is_over: &AtomicBool, written: &AtomicU32) {
    for number in 1.. {
        // A command that ends is told by its own words.
        if is_over.load(Ordering::Relaxed)
            || stdin.write_all((text(number, bytes) + "\n").as_bytes()).is_err()
        {
            return;
        }
        written.store(number, Ordering::Relaxed);
    }
}

fn text(number: u32, bytes: usize) -> String {
    let text = format!("message {number:05}, which is as long as a sentence is");
    format!("{text:.<bytes$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_long_as_they_should_be_and_no_two_the_same() {
        assert_eq!(text(7, 2_000).len(), 2_000);
        assert!(text(7, 2_000).starts_with("message 00007"));
        assert!(text(8, 2_000) != text(7, 2_000));
    }
}
