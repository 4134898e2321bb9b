//! The drivers' tasks.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hedgerow_core::id::TransportId;
use hedgerow_core::io::{Condition, ConnectionType, TransportCommand, TransportProfile};
use hedgerow_driver::{Driver, NodeSlot, connect};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
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
    /// dials and links, each with one command at a time, and the newest hint of each neighbour.
    backlog: VecDeque<TransportCommand>,
}

impl Running {
    /// The core cancels a dial again and again until it is answered.
    fn is_said_already(&self, command: &TransportCommand) -> bool {
        matches!(command, TransportCommand::CancelDial(_)) && self.backlog.contains(command)
    }

    /// Of a neighbour's hints only the newest matters.
    fn supersede(&mut self, command: &TransportCommand) {
        if let TransportCommand::Hint { from: whose, .. } = command {
            let is_older =
                |other: &_| matches!(other, TransportCommand::Hint { from, .. } if from == whose);
            self.backlog.retain(|other| !is_older(other));
        }
    }
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

    /// Whether the condition is another one than before; a transport begins as one that works.
    pub(super) fn set_condition(&mut self, transport: TransportId, condition: &Condition) -> bool {
        let Some(running) = self.running.get_mut(&transport) else { return false };
        let is_new = running.condition != *condition;
        running.condition.clone_from(condition);
        is_new
    }

    pub(super) fn command(&mut self, transport: TransportId, command: TransportCommand) {
        if let Some(running) = self.running.get_mut(&transport)
            && running.commands.is_some()
            && !running.is_said_already(&command)
        {
            running.supersede(&command);
            running.backlog.push_back(command);
        }
    }

    /// Hands over what the drivers' channels take. A busy driver never stops the node: the rest
    /// waits for the next turn.
    pub(super) fn flush(&mut self) {
        for running in self.running.values_mut() {
            let Some(commands) = &running.commands else { continue };
            while !running.backlog.is_empty() {
                match commands.try_reserve() {
                    Ok(permit) => {
                        if let Some(command) = running.backlog.pop_front() {
                            permit.send(command);
                        }
                    }
                    Err(TrySendError::Full(())) => break,
                    // It takes none any more, and is about to end.
                    Err(TrySendError::Closed(())) => running.backlog.clear(),
                }
            }
        }
    }

    /// Waits until a driver ends by itself; never returns while all run or none is left.
    ///
    /// Meanwhile hands over commands as channels take them. Safe to cancel.
    pub(super) async fn ended(&mut self) -> End {
        loop {
            let full = self.running.values().filter(|running| !running.backlog.is_empty());
            let full = full.filter_map(|running| running.commands.clone()).collect();
            tokio::select! {
                Some(end) = self.tasks.join_next_with_id() => return self.on_end(end),
                () = any_moves(full) => self.flush(),
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

/// Waits until one of several full command channels has room, or takes nothing more.
async fn any_moves(full: Vec<mpsc::Sender<TransportCommand>>) {
    let mut waits: Vec<_> = full.iter().map(|commands| Box::pin(commands.reserve())).collect();
    poll_fn(|cx| {
        let moves = waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready());
        if moves { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
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

#[cfg(test)]
mod tests {
    use hedgerow_core::id::{DialId, PeerKey};
    use hedgerow_core::io::{Dialling, Hint};
    use hedgerow_driver::{DriverFuture, Port};
    use tokio::sync::oneshot;

    use super::*;

    /// Does with its commands what a test says.
    struct Scripted<F>(F);

    impl<F: FnOnce(Port) -> DriverFuture + Send + 'static> Driver for Scripted<F> {
        fn profile(&self) -> TransportProfile {
            TransportProfile {
                kind: ConnectionType::other("Scripted"),
                links_max: 1,
                dials_max: 1,
                dial_timeout: Duration::from_secs(1),
                dialled: Dialling::InSight,
            }
        }

        fn run(self: Box<Self>, port: Port) -> DriverFuture {
            (self.0)(port)
        }
    }

    fn deaf(port: Port) -> DriverFuture {
        Box::pin(async move {
            let _unread = port;
            std::future::pending().await
        })
    }

    const MANY: u64 = 200;

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_takes_no_commands_does_not_hold_up_another() {
        let (slot, _reports) = NodeSlot::new();
        let mut drivers = Drivers::default();
        let (done, all_taken) = oneshot::channel();
        let (first, _) = drivers.start(&slot, Box::new(Scripted(deaf)));
        let willing = |mut port: Port| -> DriverFuture {
            Box::pin(async move {
                for number in 0..MANY {
                    let command = port.commands.recv().await.unwrap();
                    assert_eq!(command, TransportCommand::CancelDial(DialId(number)));
                }
                done.send(()).unwrap();
                std::future::pending().await
            })
        };
        let (second, _) = drivers.start(&slot, Box::new(Scripted(willing)));
        for number in 0..MANY {
            drivers.command(first, TransportCommand::CancelDial(DialId(number)));
            drivers.command(second, TransportCommand::CancelDial(DialId(number)));
        }
        drivers.flush();
        tokio::select! {
            end = drivers.ended() => panic!("{end:?}"),
            taken = all_taken => taken.unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => panic!("held up"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_driver_does_not_take_does_not_pile_up() {
        let (slot, _reports) = NodeSlot::new();
        let mut drivers = Drivers::default();
        let (deaf, _) = drivers.start(&slot, Box::new(Scripted(deaf)));
        // Has let go of its commands and runs on.
        let gone = |port: Port| -> DriverFuture {
            drop(port);
            Box::pin(std::future::pending())
        };
        let (gone, _) = drivers.start(&slot, Box::new(Scripted(gone)));
        for round in 0..10 {
            for number in 0..MANY {
                drivers.command(deaf, TransportCommand::CancelDial(DialId(number)));
                drivers.command(gone, TransportCommand::CancelDial(DialId(round * MANY + number)));
            }
            drivers.flush();
        }
        let mut base_point = [0x66; 32];
        base_point[0] = 0x58;
        let from = PeerKey::from_bytes(base_point).unwrap();
        let hint = |text: &str| Hint::new(text.as_bytes());
        for number in 0..MANY {
            let hint = hint(&number.to_string()).unwrap();
            drivers.command(deaf, TransportCommand::Hint { from, hint });
        }
        let waiting = |transport| drivers.running[&transport].backlog.len();
        let last = drivers.running[&deaf].backlog.back();
        let newest = hint("199").unwrap();
        assert_eq!(last, Some(&TransportCommand::Hint { from, hint: newest }));
        assert!(waiting(deaf) <= MANY as usize + 1, "{}", waiting(deaf));
        assert_eq!(waiting(gone), 0);
    }
}
