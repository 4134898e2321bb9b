//! What the node says to a client.

use hedgerow::bus::{Message, Reliability};
use hedgerow::{JsonObject, Link, PresenceGraph, Stranger};
use serde::{Deserialize, Serialize};

use super::{ChangeLine, Ending, HopLine, Named};
use crate::failure::Failure;

/// What the node says to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Answer {
    Graph {
        graph: PresenceGraph,
    },
    Links {
        links: Vec<LinkLine>,
    },
    Status {
        status: super::Status,
    },
    Delivered {
        to: String,
        sequence: u64,
        rtt_ms: f64,
        hops: u8,
        bytes: usize,
    },
    Sent {
        to: String,
        sequence: u64,
        bytes: usize,
    },
    /// Messages for this peer may follow.
    Sending {
        to: String,
    },
    /// What became of one of them, by its number from 1.
    LineDone {
        line: u64,
        bytes: usize,
        outcome: LineOutcome,
    },
    /// Each of them was told; the last answer.
    AllDone,
    Message {
        message: MessageLine,
    },
    Metadata {
        metadata: JsonObject,
    },
    Fulfilled {
        peers: u64,
        ms: f64,
    },
    Pong {
        rtt_ms: f64,
        hops: u8,
    },
    /// The way to a traced peer as the graph has it.
    Route {
        route: Vec<Named>,
    },
    Hop {
        hop: HopLine,
    },
    Traced {
        end: Ending,
    },
    Change {
        change: Box<ChangeLine>,
    },
    /// So many changes were missed; who is there follows.
    Lagged {
        missed: u64,
    },
    /// The topic is listened to.
    Accepting,
    /// A stream with this peer is open; frames follow.
    Open {
        peer: String,
    },
    Error {
        error: Failure,
    },
}

/// What became of one message of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum LineOutcome {
    Delivered {
        sequence: u64,
        rtt_ms: f64,
        hops: u8,
    },
    /// Unreliably: nobody knows whether it arrives.
    Sent {
        sequence: u64,
    },
    Failed {
        error: Failure,
    },
}

/// One link, as `hedgerow links --json` prints it: every key is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LinkLine {
    pub(crate) peer_key_string: Option<String>,
    pub(crate) device_name: Option<String>,
    pub(crate) transport: String,
    pub(crate) state: String,
    pub(crate) endpoint: String,
    pub(crate) is_active: bool,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) rtt_min_ms: Option<f64>,
    /// Of a link: microseconds for 1,280 bytes.
    pub(crate) cost: Option<u64>,
    pub(crate) loss: Option<f64>,
    pub(crate) rate_bytes_per_s: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) approximate_distance_in_meters: Option<f64>,
    pub(crate) queued_bytes: usize,
    pub(crate) adverts_waiting: usize,
    pub(crate) advert_bytes_sent: u64,
    pub(crate) age_ms: u64,
    pub(crate) last_close: Option<String>,
}

impl LinkLine {
    /// The line for `link`, with the name that `graph` knows for its peer.
    pub(crate) fn new(link: Link, graph: &PresenceGraph) -> Self {
        let key = link.peer_key_string.as_deref();
        let peer = graph.remote_peers.iter().find(|peer| Some(&*peer.peer_key_string) == key);
        Self {
            device_name: peer.map(|peer| peer.device_name.clone()),
            transport: link.transport.name().to_owned(),
            state: state_name(link.state).to_owned(),
            endpoint: link.endpoint,
            is_active: link.is_active,
            rtt_ms: link.rtt.map(crate::output::millis),
            rtt_min_ms: link.rtt_min.map(crate::output::millis),
            cost: Some(link.cost),
            loss: link.loss,
            rate_bytes_per_s: link.rate_bytes_per_s,
            bytes_sent: link.bytes_sent,
            bytes_received: link.bytes_received,
            approximate_distance_in_meters: link.approximate_distance_in_meters,
            queued_bytes: link.queued_bytes,
            adverts_waiting: link.adverts_waiting,
            advert_bytes_sent: link.advert_bytes_sent,
            age_ms: u64::try_from(link.age.as_millis()).unwrap_or(u64::MAX),
            last_close: link.last_close,
            peer_key_string: link.peer_key_string,
        }
    }

    /// The line for somebody who tried to make a link and cannot join.
    pub(crate) fn refused(stranger: Stranger) -> Self {
        Self {
            peer_key_string: None,
            device_name: None,
            transport: stranger.transport.name().to_owned(),
            state: "closed".to_owned(),
            endpoint: stranger.endpoint,
            is_active: false,
            rtt_ms: None,
            rtt_min_ms: None,
            cost: None,
            loss: None,
            rate_bytes_per_s: 0,
            bytes_sent: 0,
            bytes_received: 0,
            approximate_distance_in_meters: None,
            queued_bytes: 0,
            adverts_waiting: 0,
            advert_bytes_sent: 0,
            age_ms: u64::try_from(stranger.last_seen.as_millis()).unwrap_or(u64::MAX),
            last_close: Some(stranger.reason),
        }
    }
}

fn state_name(state: hedgerow::LinkState) -> &'static str {
    match state {
        hedgerow::LinkState::Handshaking => "handshaking",
        hedgerow::LinkState::Up => "up",
        hedgerow::LinkState::Suspect => "suspect",
        hedgerow::LinkState::Closed => "closed",
    }
}

/// One message on its way from the inbox to `listen`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageLine {
    pub(crate) from: String,
    /// Empty if the peer is not known any more.
    pub(crate) device_name: String,
    pub(crate) reliability: String,
    pub(crate) sequence: u64,
    #[serde(rename = "dataBase64", with = "super::base64")]
    pub(crate) data: Vec<u8>,
}

impl MessageLine {
    pub(crate) fn new(message: &Message, device_name: &str) -> Self {
        let reliability = match message.reliability {
            Reliability::Reliable => "reliable",
            Reliability::Unreliable => "unreliable",
        };
        Self {
            from: message.from.to_string(),
            device_name: device_name.to_owned(),
            reliability: reliability.to_owned(),
            sequence: message.sequence,
            data: message.data.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::ErrorCode;

    #[test]
    fn answers_are_lines_of_json() {
        let delivered =
            Answer::Delivered { to: "pk".into(), sequence: 1, rtt_ms: 1.5, hops: 4, bytes: 2 };
        let message = MessageLine {
            from: "pk".into(),
            device_name: "ben".into(),
            reliability: "reliable".into(),
            sequence: 3,
            data: vec![0xff, 0],
        };
        let error = Failure::new(ErrorCode::NoRoute, "m", "h");
        let answers = [
            (
                delivered,
                json!({"answer": "delivered", "to": "pk", "sequence": 1, "rttMs": 1.5,
                       "hops": 4, "bytes": 2}),
            ),
            (
                Answer::Message { message },
                json!({"answer": "message", "message": {"from": "pk", "deviceName": "ben",
                       "reliability": "reliable", "sequence": 3, "dataBase64": "/wA="}}),
            ),
            (
                Answer::Error { error },
                json!({"answer": "error",
                       "error": {"code": "no_route", "message": "m", "hint": "h"}}),
            ),
        ];
        for (answer, expected) in answers {
            assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
            assert_eq!(serde_json::from_value::<Answer>(expected).unwrap(), answer);
        }
    }

    #[test]
    fn a_link_line_has_every_key_of_the_interface() {
        let line = LinkLine {
            peer_key_string: None,
            device_name: None,
            transport: "AccessPoint".into(),
            state: "handshaking".into(),
            endpoint: "127.0.0.1:1".into(),
            is_active: false,
            rtt_ms: None,
            rtt_min_ms: None,
            cost: None,
            loss: None,
            rate_bytes_per_s: 0,
            bytes_sent: 0,
            bytes_received: 0,
            approximate_distance_in_meters: None,
            queued_bytes: 0,
            adverts_waiting: 0,
            advert_bytes_sent: 0,
            age_ms: 0,
            last_close: None,
        };
        let json = serde_json::to_value(&line).unwrap();
        let pinned = [
            "peerKeyString",
            "transport",
            "state",
            "rttMs",
            "loss",
            "rateBytesPerS",
            "approximateDistanceInMeters",
            "queuedBytes",
            "ageMs",
            "lastClose",
        ];
        assert!(pinned.iter().all(|key| json.get(key).is_some()), "{json}");
    }
}
