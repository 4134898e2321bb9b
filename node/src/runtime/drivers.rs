//! The drivers' tasks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::id::TransportId;
use hedgerow_core::io::{Condition, ConnectionType, TransportCommand, TransportProfile};
use hedgerow_driver::{Driver, NodeSlot, connect};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Reports;
use crate::links::TransportStatus;

/// How long drivers may take to end before they are dropped.
const END: Duration = Duration::from_millis(1_500);

/// Which driver ended, and why.
pub(super) type End = (TransportId, Result<(), String>);

/// All drivers of a node.
#[derive(Default)]
pub(super) struct Drivers {
    running: BTreeMap<TransportId, Running>,
    tasks: JoinSet<End>,
    ids: BTreeMap<tokio::task::Id, TransportId>,
}

struct Running {
    kind: ConnectionType,
    condition: Condition,
    commands: Option<mpsc::Sender<TransportCommand>>,
    /// Commands that did not fit the channel yet. Bounded by what the core has under way: its
    /// dials and links, each with one command at a time.
    backlog: VecDeque<TransportCommand>,
}

impl Drivers {
    pub(super) fn start(
        &mut self,
        slot: &NodeSlot,
        driver: Box<dyn Driver>,
    ) -> (TransportId, TransportProfile) {
        let number =
            u8::try_from(self.running.len()).expect("a node has fewer than 256 transports");
        let transport = TransportId(number);
        let profile = driver.profile();
        let (node_port, port) = connect(slot, transport);
        let run = driver.run(port);
        let handle = self
            .tasks
            .spawn(async move { (transport, run.await.map_err(|error| describe(&error))) });
        self.ids.insert(handle.id(), transport);
        let running = Running {
            kind: profile.kind.clone(),
            condition: Condition::ok(),
            commands: Some(node_port.commands),
            backlog: VecDeque::new(),
        };
        self.running.insert(transport, running);
        (transport, profile)
    }

    pub(super) fn status(&self) -> Arc<[TransportStatus]> {
        let status = |(id, running): (&TransportId, &Running)| TransportStatus {
            id: *id,
            kind: running.kind.clone(),
            condition: running.condition.clone(),
        };
        self.running.iter().map(status).collect()
    }

    /// The medium of a transport that was started.
    pub(super) fn kind(&self, transport: TransportId) -> ConnectionType {
        let running = self.running.get(&transport);
        running.map_or_else(|| ConnectionType::other("unknown"), |running| running.kind.clone())
    }

    /// Whether a transport's driver takes commands: it has not ended, and the node neither.
    pub(super) fn is_running(&self, transport: TransportId) -> bool {
        self.running.get(&transport).is_some_and(|running| running.commands.is_some())
    }

    pub(super) fn set_condition(&mut self, transport: TransportId, condition: Condition) {
        if let Some(running) = self.running.get_mut(&transport) {
            running.condition = condition;
        }
    }

    pub(super) fn command(&mut self, transport: TransportId, command: TransportCommand) {
        if let Some(running) = self.running.get_mut(&transport)
            && running.commands.is_some()
        {
            running.backlog.push_back(command);
        }
    }

    /// Hands over what the drivers' channels take. A busy driver never stops the node: the rest
    /// waits for the next turn.
    pub(super) fn flush(&mut self) {
        for running in self.running.values_mut() {
            let Some(commands) = &running.commands else { continue };
            while !running.backlog.is_empty() {
                let Ok(permit) = commands.try_reserve() else { break };
                if let Some(command) = running.backlog.pop_front() {
                    permit.send(command);
                }
            }
        }
    }

    /// Waits until a driver ends by itself; never returns while all run or none is left.
    ///
    /// Meanwhile hands over commands as channels take them. Safe to cancel.
    pub(super) async fn ended(&mut self) -> End {
        loop {
            let full = self.running.values().find(|running| !running.backlog.is_empty());
            let full = full.and_then(|running| running.commands.clone());
            tokio::select! {
                Some(end) = self.tasks.join_next_with_id() => return self.on_end(end),
                () = has_room(full) => self.flush(),
            }
        }
    }

    fn on_end(&mut self, end: Result<(tokio::task::Id, End), tokio::task::JoinError>) -> End {
        let (transport, end) = match end {
            Ok((_, end)) => end,
            Err(error) => {
                let transport = self.ids.get(&error.id()).copied().unwrap_or(TransportId(u8::MAX));
                let why = if error.is_panic() { "it panicked" } else { "it was cancelled" };
                (transport, Err(why.to_owned()))
            }
        };
        if let Some(running) = self.running.get_mut(&transport) {
            running.commands = None;
            running.backlog.clear();
        }
        (transport, end)
    }

    /// Asks all drivers to end and joins them; those that do not end in time are dropped.
    pub(super) async fn shut_down(&mut self, reports: &mut Reports) {
        for running in self.running.values_mut() {
            running.commands = None;
        }
        let tasks = &mut self.tasks;
        let all = async {
            loop {
                tokio::select! {
                    end = tasks.join_next() => if end.is_none() { break },
                    // Their last reports must not block them.
                    Some(_) = reports.recv() => {}
                }
            }
        };
        if tokio::time::timeout(END, all).await.is_err() {
            tracing::warn!("a transport did not end in time and is dropped");
            self.tasks.shutdown().await;
        }
    }
}

/// Waits for room in a full command channel.
async fn has_room(commands: Option<mpsc::Sender<TransportCommand>>) {
    match commands {
        // A closed channel means that the driver has ended, which `join_next` tells.
        Some(commands) => match commands.reserve().await {
            Ok(_) => {}
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// An error and its causes in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
