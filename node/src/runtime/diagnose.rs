//! Where pings and traces meet their handles.

use std::collections::BTreeMap;
use std::time::Duration;

use hedgerow_core::bus::{BusEvent, PingId};
use hedgerow_core::id::PeerKey;
use hedgerow_core::limits::{HOP_LIMIT_SLACK, PATH_HOPS_MAX};
use hedgerow_core::node::{Node, TraceEnd, TraceEvent, TraceId};
use hedgerow_core::time::Instant;
use tokio::sync::{mpsc, oneshot};

use crate::diagnose::{Hop, PingError, Pong, Trace, TraceError};

/// All that a trace can have to say: its hops and its end.
const NEWS_MAX: usize = PATH_HOPS_MAX as usize + HOP_LIMIT_SLACK as usize + 1;

type Pinger = oneshot::Sender<Result<Pong, PingError>>;

/// News of a trace for its handle.
#[derive(Debug)]
pub(crate) enum TraceNews {
    Hop(Hop),
    End(TraceEnd),
}

/// Pings and traces under way.
#[derive(Debug, Default)]
pub(super) struct Diagnoses {
    pings: BTreeMap<PingId, (PeerKey, Pinger)>,
    traces: BTreeMap<TraceId, mpsc::Sender<TraceNews>>,
}

impl Diagnoses {
    pub(super) fn ping(
        &mut self,
        now: Instant,
        node: &mut Node,
        peer: PeerKey,
        give_up: Duration,
        reply: Pinger,
    ) {
        // Those that nobody waits for any more make room.
        self.pings.retain(|id, (peer, reply)| {
            let over = reply.is_closed();
            if over {
                node.with_bus(now, |bus, _| bus.cancel_ping(now, *peer, *id));
            }
            !over
        });
        match node.with_bus(now, |bus, _| bus.ping(now, peer, give_up)) {
            Ok(id) => drop(self.pings.insert(id, (peer, reply))),
            // A handle that is gone needs no answer.
            Err(error) => drop(reply.send(Err(error.into()))),
        }
    }

    pub(super) fn trace(
        &mut self,
        now: Instant,
        node: &mut Node,
        peer: PeerKey,
        reply: oneshot::Sender<Result<Trace, TraceError>>,
    ) {
        let begun = node.trace(now, peer).map_err(TraceError::from).map(|id| {
            let (news, receiver) = mpsc::channel(NEWS_MAX);
            self.traces.insert(id, news);
            Trace::new(node.path_to(&peer), receiver)
        });
        let _ = reply.send(begun);
    }

    /// Takes the outcome of a ping; gives every other event back.
    pub(super) fn on_bus_event(&mut self, event: BusEvent) -> Option<BusEvent> {
        let (id, outcome) = match event {
            BusEvent::Pong { id, rtt, hops, .. } => (id, Ok(Pong::new(rtt, hops))),
            BusEvent::PingFailed { id, reason, .. } => (id, Err(reason.into())),
            event => return Some(event),
        };
        if let Some((_, reply)) = self.pings.remove(&id) {
            let _ = reply.send(outcome);
        }
        None
    }

    pub(super) fn on_trace_event(&mut self, node: &mut Node, event: TraceEvent) {
        let (id, news) = match event {
            TraceEvent::Hop { trace, number, hop } => {
                (trace, TraceNews::Hop(Hop::new(number, hop.map(Into::into))))
            }
            TraceEvent::Done { trace, end } => (trace, TraceNews::End(end)),
        };
        let over = matches!(news, TraceNews::End(_));
        let told = self.traces.get(&id).is_some_and(|reader| reader.try_send(news).is_ok());
        if over || !told {
            self.traces.remove(&id);
            node.cancel_trace(id);
        }
    }

    /// Events were lost: whoever reads a trace could wait for its end for ever. A ping has its
    /// own time.
    pub(super) fn on_overflow(&mut self, node: &mut Node) {
        for id in std::mem::take(&mut self.traces).into_keys() {
            node.cancel_trace(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hedgerow_core::config::NodeConfig;
    use hedgerow_core::crypto::aead::Portable;
    use hedgerow_core::crypto::verifier::Strict;
    use hedgerow_core::id::Instance;
    use hedgerow_core::identity::Identity;
    use hedgerow_core::local::Local;
    use hedgerow_core::network::Network;

    use super::*;
    use crate::runtime::Entropic;

    #[tokio::test(start_paused = true)]
    async fn a_reader_does_not_wait_for_news_that_was_lost() {
        let local = Local {
            identity: Identity::generate(&mut Entropic),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        };
        let now = Instant::from_millis(1);
        let mut node = Node::new(now, local, NodeConfig::default(), Box::new(Entropic));
        let mut diagnoses = Diagnoses::default();
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let id = TraceId(7);
        diagnoses.traces.insert(id, news);
        let mut trace = Trace::new(Vec::new(), receiver);
        let silent = TraceEvent::Hop { trace: id, number: 1, hop: None };
        diagnoses.on_trace_event(&mut node, silent);
        diagnoses.on_overflow(&mut node);
        assert_eq!(trace.next().await, Some(Hop::new(1, None)));
        let over = tokio::time::timeout(Duration::from_secs(1), trace.next()).await;
        assert_eq!((over, trace.end()), (Ok(None), None));
    }
}
