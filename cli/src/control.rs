//! How the commands talk to the node that `up` runs: over a socket in its home folder.
//!
//! A client connects, sends one [`Request`] as a line of JSON and reads [`Answer`]s, one a line,
//! until it has what it came for; whoever is done closes. After [`Answer::Open`] both sides
//! speak in [`Frame`]s instead of lines. One connection, one request. The client keeps its
//! side open until it is done: closing it takes the request back.

mod answer;
mod client;
mod frame;
mod request;
mod sight;
mod socket;
mod status;
mod wire;

pub(crate) use answer::{Answer, LineOutcome, LinkLine, MessageLine};
pub(crate) use client::{Client, unexpected, unexpected_answer};
pub(crate) use frame::{DATA_BYTES_MAX, Frame};
pub(crate) use request::{Condition, LaneName, Request};
pub(crate) use sight::{ChangeLine, Ending, HopLine, Named};
pub(crate) use socket::{Listener, Socket};
pub(crate) use status::{RefusalLine, Status, StrangerLine, TransportLine, counters};
pub(crate) use wire::{Incoming, Outgoing, WireError};

/// The longest line of a request, in bytes: the largest metadata fits, escaped.
pub(crate) const REQUEST_BYTES_MAX: usize = 256 * 1_024;
/// The longest line of an answer, in bytes: a graph of 4,096 peers fits, and the largest
/// message in base64.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Binary data in JSON: standard base64 with padding.
pub(crate) mod base64 {
    use base64ct::{Base64, Encoding};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn encode(data: &[u8]) -> String {
        Base64::encode_string(data)
    }

    pub(crate) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(data))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Base64::decode_vec(&text).map_err(D::Error::custom)
    }
}
