//! How a running node is, for `doctor`.

use std::collections::BTreeMap;
use std::time::Duration;

use hedgerow::driver::{Condition, ConditionState, ConnectionType};
use hedgerow::{Counters, Refusal, Stranger, TransportStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a running node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) pid: u32,
    pub(crate) peer_key_string: String,
    pub(crate) device_name: String,
    pub(crate) network: String,
    pub(crate) open: bool,
    pub(crate) listen: Vec<String>,
    pub(crate) uptime_ms: u64,
    pub(crate) transports: Vec<TransportLine>,
    pub(crate) peers: usize,
    /// Those whose handshake is done.
    pub(crate) links: usize,
    pub(crate) strangers: Vec<StrangerLine>,
    /// Of peers that have no link over the same transport.
    pub(crate) refusals: Vec<RefusalLine>,
    /// Of what the node counts, all that is not 0.
    pub(crate) counters: BTreeMap<String, u64>,
}

impl Status {
    /// Whether it is for nodes of this machine only, which needs no network.
    pub(crate) fn listens_on_loopback(&self) -> bool {
        let address = |text: &String| text.parse::<std::net::SocketAddr>().ok();
        self.listen.iter().filter_map(address).any(|address| address.ip().is_loopback())
    }
}

/// A transport and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransportLine {
    pub(crate) transport: String,
    /// Whether links can come up over it.
    pub(crate) works: bool,
    pub(crate) state: String,
    pub(crate) detail: String,
}

impl TransportLine {
    pub(crate) fn new(status: &TransportStatus) -> Self {
        Self::of(&status.kind, &status.condition)
    }

    pub(crate) fn of(kind: &ConnectionType, condition: &Condition) -> Self {
        let state = condition.state;
        // Each of these still makes links in one direction.
        let works = matches!(
            state,
            ConditionState::Ok
                | ConditionState::MdnsFailure
                | ConditionState::ListenFailure
                | ConditionState::Unsupported
        );
        Self {
            transport: kind.name().to_owned(),
            works,
            state: format!("{state:?}"),
            detail: condition.detail.clone(),
        }
    }
}

/// Somebody who is near and cannot join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StrangerLine {
    pub(crate) endpoint: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) last_seen_ms: u64,
    pub(crate) tried: bool,
}

impl StrangerLine {
    pub(crate) fn new(stranger: Stranger) -> Self {
        Self {
            last_seen_ms: u64::try_from(stranger.last_seen.as_millis()).unwrap_or(u64::MAX),
            endpoint: stranger.endpoint,
            reason: stranger.reason,
            count: stranger.count,
            tried: stranger.tried,
        }
    }
}

/// A place that does not lead to its peer for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusalLine {
    pub(crate) transport: String,
    pub(crate) endpoint: String,
    /// The peer's name, if it is known.
    pub(crate) device_name: Option<String>,
    pub(crate) reason: String,
    pub(crate) failures: u32,
    /// `None` while it is being dialled.
    pub(crate) next_try_ms: Option<u64>,
}

impl RefusalLine {
    pub(crate) fn new(refusal: Refusal, device_name: Option<String>) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            transport: refusal.transport.name().to_owned(),
            endpoint: refusal.endpoint,
            device_name,
            reason: refusal.reason,
            failures: refusal.failures,
            next_try_ms: refusal.next_try.map(millis),
        }
    }
}

/// All counters that are not 0, by name: whatever the node counts is told. Those of a part of it
/// have the part's name before theirs, `bus.streamsRefused`.
pub(crate) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    if let Ok(Value::Object(all)) = serde_json::to_value(counters) {
        collect("", all, &mut told);
    }
    told
}

fn collect(part: &str, counters: Map<String, Value>, told: &mut BTreeMap<String, u64>) {
    for (name, value) in counters {
        let name = format!("{part}{name}");
        match value {
            Value::Object(own) => collect(&format!("{name}."), own, told),
            value => told.extend(value.as_u64().filter(|count| *count > 0).map(|n| (name, n))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told_by_its_name() {
        let mut counted = Counters::default();
        assert!(counters(&counted).is_empty());
        counted.handshakes_failed = 3;
        counted.dropped_no_route = 1;
        counted.bus.streams_refused = 2;
        let expected = [("bus.streamsRefused", 2), ("droppedNoRoute", 1), ("handshakesFailed", 3)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counters(&counted), BTreeMap::from(expected));
    }
}
