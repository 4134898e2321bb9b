//! What the demo tells: lines for people or for programs, and figures for the end.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use hedgerow::PresenceGraph;
use serde_json::{Value, json};

use super::drawing;
use crate::event::Event;
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, duration, millis};

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) message: String,
}

impl Failed {
    pub(super) fn new(step: &str, message: impl Into<String>) -> Self {
        Self { step: step.into(), message: message.into() }
    }

    /// Of a step that names itself.
    pub(super) fn because(message: impl Into<String>) -> Self {
        Self::new("", message)
    }

    /// As [`Failed::because`], of an error.
    pub(super) fn of(error: impl fmt::Display) -> Self {
        Self::because(error.to_string())
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::new("print", failure.message)
    }
}

/// What is told, and what has happened so far.
pub(super) struct Story {
    output: Output,
    peers: usize,
    hops: u8,
    delivered: usize,
    healed: bool,
}

impl Story {
    pub(super) fn new(output: Output) -> Self {
        Self { output, peers: 0, hops: 0, delivered: 0, healed: false }
    }

    pub(super) fn tell(&self, event: &Value, text: impl FnOnce() -> String) -> Result<(), Failed> {
        Ok(self.output.print(event, text)?)
    }

    pub(super) fn count_delivered(&mut self, messages: usize) {
        self.delivered += messages;
    }

    pub(super) fn set_hops(&mut self, hops: u8) {
        self.hops = hops;
    }

    pub(super) fn set_healed(&mut self) {
        self.healed = true;
    }

    /// Tells that a peer is in the graph.
    pub(super) fn joined(
        &mut self,
        name: &str,
        graph: &PresenceGraph,
        took: Duration,
    ) -> Result<(), Failed> {
        self.peers = graph.remote_peers.len() + 1;
        let peer = graph.remote_peers.iter().find(|peer| peer.device_name == name);
        let hops = peer.and_then(|peer| peer.hops).unwrap_or(0);
        let event = json!({
            "event": "joined", "deviceName": name, "hops": hops, "peers": self.peers,
            "ms": millis(took), "connections": drawing::connections(graph),
        });
        self.tell(&event, || {
            let drawing = drawing::draw(graph);
            let took = duration(took);
            match hops {
                0 => format!("{name} is up after {took}, and alone.\n    {drawing}"),
                1 => format!("{name} joined after {took}, next to A.\n    {drawing}"),
                _ => format!("{name} joined after {took}, {hops} hops from A.\n    {drawing}"),
            }
        })
    }

    /// Tells how the graph changed.
    pub(super) fn graph(
        &self,
        event: &str,
        graph: &PresenceGraph,
        took: Duration,
        what: &str,
    ) -> Result<(), Failed> {
        let event = json!({
            "event": event, "peers": graph.remote_peers.len() + 1, "ms": millis(took),
            "connections": drawing::connections(graph),
        });
        self.tell(&event, || format!("{what} {}.\n    {}", duration(took), drawing::draw(graph)))
    }

    /// Tells how it ended; the last line is the summary, for people too.
    pub(super) fn end(self, outcome: Result<(), Failed>) -> ExitCode {
        let Self { output, peers, hops, delivered, healed } = self;
        let ok = outcome.is_ok() && healed;
        let (failed_step, message) = match outcome {
            Ok(()) => (None, None),
            Err(Failed { step, message }) => (Some(step), Some(message)),
        };
        if !output.json {
            let text = match (&failed_step, &message) {
                (Some(step), Some(message)) => {
                    format!("\nFailed at the step \"{step}\": {message}")
                }
                _ => format!("\n{peers} nodes, {delivered} messages delivered, none lost."),
            };
            // The summary says it too.
            let _ = output.print_text(&text);
        }
        let summary = Event::Summary { peers, hops, delivered, healed, ok, failed_step, message };
        let printed = output.print_json(&summary);
        let failed = ErrorCode::DemoFailed.exit_code();
        ExitCode::from(if ok && printed.is_ok() { 0 } else { failed })
    }
}
