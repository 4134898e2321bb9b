//! What waits for the host: commands, news in a bounded ring, and what is owed and never lost.

use alloc::collections::VecDeque;

use crate::event::{Event, Output, TraceEnd, TraceEvent, TraceId};
use crate::id::{BootEpoch, TransportId};
use crate::io::TransportCommand;
use crate::limits::{EVENTS_MAX, TRACES_MAX};

/// Commands, the bounded ring of events, and beside it what must not fall out of it. The Bus keeps
/// its own.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    commands: VecDeque<(TransportId, TransportCommand)>,
    events: VecDeque<Event>,
    lost: u64,
    /// The epoch to persist: of several, only the newest matters.
    epoch: Option<BootEpoch>,
    /// Ends of traces that the host has not taken. A trace counts among [`TRACES_MAX`] until then.
    traces_done: VecDeque<(TraceId, TraceEnd)>,
}

impl Outputs {
    pub(super) fn command(&mut self, transport: TransportId, command: TransportCommand) {
        self.commands.push_back((transport, command));
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }

    /// The host must write this epoch down.
    pub(super) fn epoch_stepped(&mut self, epoch: BootEpoch) {
        self.epoch = Some(epoch);
    }

    /// A trace is over: its host waits for that, however much else there is.
    pub(super) fn trace_done(&mut self, trace: TraceId, end: TraceEnd) {
        assert!(self.traces_done.len() < TRACES_MAX, "a trace begins only with room for its end");
        self.traces_done.push_back((trace, end));
    }

    /// Traces whose end the host has not taken.
    pub(super) fn traces_done(&self) -> usize {
        self.traces_done.len()
    }

    /// The host does not wait for the end of this trace any more.
    pub(super) fn cancel_trace(&mut self, trace: TraceId) {
        self.traces_done.retain(|(done, _)| *done != trace);
    }

    /// The next thing for the host, and how many events were lost before it. The end of a trace
    /// comes after its hops, which are in the ring.
    pub(super) fn poll(&mut self) -> Option<Output> {
        if let Some((transport, command)) = self.commands.pop_front() {
            return Some(Output::Command(transport, command));
        }
        let event = if let Some(epoch) = self.epoch.take() {
            Event::EpochStepped(epoch)
        } else if self.lost > 0 {
            Event::Overflow(core::mem::take(&mut self.lost))
        } else if let Some(event) = self.events.pop_front() {
            event
        } else {
            let (trace, end) = self.traces_done.pop_front()?;
            Event::Trace(TraceEvent::Done { trace, end })
        };
        Some(Output::Event(event))
    }
}
