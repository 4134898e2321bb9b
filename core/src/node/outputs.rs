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

    /// Something happened. Changes of the graph are all lost together with the first one, and
    /// until the host knows: the graph that it reads then has them, and those that come after add
    /// up to it.
    pub(super) fn event(&mut self, event: Event) {
        let is_change = |event: &Event| matches!(event, Event::Presence(_));
        let before = self.events.len();
        if before >= EVENTS_MAX {
            // Once something is lost, there are no changes in the ring.
            if self.lost == 0 {
                self.events.retain(|event| !is_change(event));
            }
            if self.events.len() == before {
                self.events.pop_front();
            }
            self.lost += (before - self.events.len()) as u64;
        }
        if self.lost > 0 && is_change(&event) {
            self.lost += 1;
        } else {
            self.events.push_back(event);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerKey;
    use crate::io::Condition;
    use crate::presence::Change;

    /// Somebody joined.
    fn join() -> Event {
        Event::Presence(Change::PeerJoined(PeerKey::from_checked([1; 32])))
    }

    /// What cannot be read from the graph.
    fn news() -> Event {
        Event::Transport(TransportId(0), Condition::ok())
    }

    fn events(outputs: &mut Outputs) -> impl Iterator<Item = Event> + '_ {
        core::iter::from_fn(|| outputs.poll()).map(|output| match output {
            Output::Event(event) => event,
            Output::Command(..) => panic!("nothing was commanded"),
        })
    }

    /// A host that counts: what it read at the overflow and the changes after it are the truth.
    #[test]
    fn changes_after_an_overflow_add_up_to_the_graph_read_at_it() {
        for joined in [EVENTS_MAX - 1, EVENTS_MAX, EVENTS_MAX + 1, 3 * EVENTS_MAX] {
            let mut outputs = Outputs::default();
            outputs.event(news());
            (0..joined).for_each(|_| outputs.event(join()));
            let (mut peers, mut told, mut lost) = (0, 0, 0);
            for event in events(&mut outputs) {
                match event {
                    Event::Overflow(number) => (peers, lost) = (joined, number),
                    Event::Presence(_) => (peers, told) = (peers + 1, told + 1),
                    _ => {}
                }
            }
            assert_eq!(peers, joined);
            assert_eq!(told + lost, joined as u64, "each change is told or counted");
            outputs.event(join());
            assert_eq!(events(&mut outputs).count(), 1, "what follows is told again");
        }
    }

    /// Changes give way to what cannot be read from the graph.
    #[test]
    fn other_news_outlives_changes() {
        let mut outputs = Outputs::default();
        (0..EVENTS_MAX / 2).for_each(|_| outputs.event(news()));
        (0..EVENTS_MAX).for_each(|_| outputs.event(join()));
        (0..EVENTS_MAX / 2).for_each(|_| outputs.event(news()));
        let kept = events(&mut outputs).filter(|event| matches!(event, Event::Transport(..)));
        assert_eq!(kept.count(), EVENTS_MAX);
    }

    /// The ring is bounded by what is not in the graph, too: the oldest fall out, counted.
    #[test]
    fn the_ring_is_bounded() {
        let mut outputs = Outputs::default();
        (0..3 * EVENTS_MAX).for_each(|_| outputs.event(news()));
        assert_eq!(outputs.events.len(), EVENTS_MAX);
        let first = outputs.poll();
        let lost = 2 * EVENTS_MAX as u64;
        assert!(matches!(first, Some(Output::Event(Event::Overflow(n))) if n == lost), "{first:?}");
    }
}
