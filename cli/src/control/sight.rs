//! What the node says of the mesh: hops and changes.

use hedgerow::presence::Change;
use serde::{Deserialize, Serialize};

/// A peer and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Named {
    pub(crate) peer_key_string: String,
    /// Empty if it is not known.
    pub(crate) device_name: String,
}

/// One hop, as `hedgerow trace --json` prints it: every key is there; `null` of a silent one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HopLine {
    pub(crate) hop: u8,
    pub(crate) peer_key_string: Option<String>,
    pub(crate) device_name: Option<String>,
    pub(crate) transport: Option<String>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) held_ms: Option<f64>,
}

/// How a trace ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ending {
    /// The peer answered.
    Arrived,
    /// It kept silent.
    NoAnswer,
    /// The way to it was lost meanwhile.
    NoRoute,
}

/// One change, as `hedgerow watch --json` prints it: the keys of the peer or the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeLine {
    #[serde(flatten)]
    pub(crate) change: Change,
    /// No change: the peer was there already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) initial: bool,
    /// The names of a connection's ends.
    #[serde(rename = "deviceName1", default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_name1: Option<String>,
    #[serde(rename = "deviceName2", default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_name2: Option<String>,
}

impl ChangeLine {
    /// `names` are those of a connection's ends; empty of a peer.
    pub(crate) fn new(change: Change, initial: bool, names: [String; 2]) -> Self {
        let [device_name1, device_name2] = names.map(|name| Some(name).filter(|n| !n.is_empty()));
        Self { change, initial, device_name1, device_name2 }
    }
}
