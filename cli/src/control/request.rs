//! What a client wants.

use std::time::Duration;

use clap::ValueEnum;
use hedgerow::JsonObject;
use hedgerow::bus::Lane;
use serde::{Deserialize, Serialize};

use crate::failure::{ErrorCode, Failure};

/// What a client wants of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Request {
    /// Answer: [`super::Answer::Graph`].
    Graph,
    /// Answer: [`super::Answer::Links`].
    Links,
    /// Answer: [`super::Answer::Status`].
    Status,
    /// Answer: [`super::Answer::Delivered`] or [`super::Answer::Sent`].
    Send {
        peer: String,
        #[serde(rename = "dataBase64", with = "super::base64")]
        data: Vec<u8>,
        unreliable: bool,
        #[serde(default)]
        lane: LaneName,
        #[serde(rename = "timeoutMs", with = "millis")]
        timeout: Duration,
    },
    /// Answer: [`super::Answer::Sending`]; then the client says [`Request::Next`] as often as it
    /// likes and [`Request::NoMore`]. There is one [`super::Answer::LineDone`] for each of the
    /// former, then [`super::Answer::AllDone`].
    SendLines {
        peer: String,
        unreliable: bool,
        #[serde(default)]
        lane: LaneName,
        #[serde(rename = "timeoutMs", with = "millis")]
        timeout: Duration,
    },
    /// A message. Only after [`Request::SendLines`].
    Next {
        #[serde(rename = "dataBase64", with = "super::base64")]
        data: Vec<u8>,
    },
    /// There is none any more. Only after [`Request::SendLines`].
    NoMore,
    /// Answer: [`super::Answer::Message`] again and again; the client says [`Request::Taken`]
    /// after each, or gets no further one.
    Listen,
    /// A message was printed and may be forgotten. Only after [`Request::Listen`]; no answer.
    Taken,
    /// Answer: [`super::Answer::Metadata`].
    Metadata,
    /// Answer: [`super::Answer::Metadata`].
    SetMetadata { metadata: JsonObject },
    /// Answer: [`super::Answer::Fulfilled`].
    Wait {
        condition: Condition,
        #[serde(rename = "timeoutMs", with = "millis")]
        timeout: Duration,
    },
    /// Answer: [`super::Answer::Pong`].
    Ping {
        peer: String,
        #[serde(rename = "timeoutMs", with = "millis")]
        timeout: Duration,
    },
    /// Answer: [`super::Answer::Route`], then [`super::Answer::Hop`] for each hop, then
    /// [`super::Answer::Traced`].
    Trace { peer: String },
    /// Answer: [`super::Answer::Change`] for each peer that is there, then for each change; after
    /// [`super::Answer::Lagged`] for each peer again.
    Watch,
    /// Answer: [`super::Answer::Open`], then frames.
    Open {
        peer: String,
        topic: String,
        #[serde(default)]
        lane: LaneName,
        #[serde(rename = "timeoutMs", with = "millis")]
        timeout: Duration,
    },
    /// Answer: [`super::Answer::Accepting`], and [`super::Answer::Open`] once a peer opens the
    /// topic; then frames.
    Accept { topic: String, from: Option<String> },
}

/// A lane of the Bus, as people and programs call it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LaneName {
    /// Before all others, for what is worth nothing when it is late
    Realtime,
    #[default]
    Normal,
    /// Behind all others, for what may take long
    Bulk,
}

impl From<LaneName> for Lane {
    fn from(name: LaneName) -> Self {
        match name {
            LaneName::Realtime => Self::Realtime,
            LaneName::Normal => Self::Normal,
            LaneName::Bulk => Self::Bulk,
        }
    }
}

/// What `wait` waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Condition {
    /// At least so many other peers can be reached.
    Peers { count: u64 },
    /// This peer can be reached, over so many hops if that is said.
    Peer { peer: String, hops: Option<u16> },
    /// This peer has left, or was never there.
    Gone { peer: String },
}

impl Request {
    /// The request in a line.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] with what is wrong.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(line).map_err(|error| {
            let message = format!("the node does not understand the request: {error}");
            let hint = "use a `hedgerow` command of the same version as the node";
            Failure::new(ErrorCode::BadRequest, message, hint)
        })
    }
}

mod millis {
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_lines_of_json() {
        let second = Duration::from_secs(1);
        let requests = [
            (Request::Graph, json!({"command": "graph"})),
            (
                Request::Send {
                    peer: "ben".into(),
                    data: b"hi".into(),
                    unreliable: false,
                    lane: LaneName::Bulk,
                    timeout: second,
                },
                json!({"command": "send", "peer": "ben", "dataBase64": "aGk=",
                       "unreliable": false, "lane": "bulk", "timeoutMs": 1000}),
            ),
            (
                Request::Wait { condition: Condition::Peers { count: 3 }, timeout: second },
                json!({"command": "wait", "condition": {"peers": {"count": 3}},
                       "timeoutMs": 1000}),
            ),
            (
                Request::Accept { topic: "t".into(), from: None },
                json!({"command": "accept", "topic": "t", "from": null}),
            ),
        ];
        for (request, expected) in requests {
            assert_eq!(serde_json::to_value(&request).unwrap(), expected);
            assert_eq!(Request::parse(expected.to_string().as_bytes()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_words() {
        let lines = [
            &b"hello"[..],
            b"{}",
            b"\xff\xfe",
            br#"{"command":"fly"}"#,
            br#"{"command":"send","peer":"ben","dataBase64":"*","unreliable":true,"timeoutMs":1}"#,
        ];
        for line in lines {
            let failure = Request::parse(line).unwrap_err();
            assert_eq!(failure.code, ErrorCode::BadRequest);
        }
        let failure = Request::parse(br#"{"command":"fly"}"#).unwrap_err();
        assert!(failure.message.contains("unknown variant `fly`"), "{}", failure.message);
    }
}
