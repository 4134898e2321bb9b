//! The events that `--json` prints: the interface that scripts rely on (docs/cli.md).

use serde::Serialize;

use crate::failure::{ErrorCode, Failure};

/// One line of `--json`; the key `event` names it and stands first.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Event {
    Ready {
        peer_key_string: String,
        device_name: String,
        network: String,
        open: bool,
        /// `ip:port`.
        listen: Vec<String>,
    },
    Delivered {
        to: String,
        /// With `--lines`.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        sequence: u64,
        rtt_ms: f64,
        hops: u8,
        bytes: usize,
    },
    Sent {
        to: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        sequence: u64,
        bytes: usize,
    },
    /// One line of many.
    NotDelivered {
        line: Option<u64>,
        code: ErrorCode,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The end of `send --lines`.
    #[serde(rename = "summary")]
    Lines {
        delivered: u64,
        sent: u64,
        failed: u64,
        ms: f64,
    },
    Message {
        from: String,
        device_name: String,
        reliability: String,
        sequence: u64,
        data_base64: String,
        /// Only of what is UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A pipe may come.
    Accepting {
        topic: String,
    },
    Finished {
        bytes: u64,
        sha256: String,
        ms: f64,
    },
    Metadata {
        bytes: usize,
    },
    Secret {
        file: String,
    },
    Fulfilled {
        peers: u64,
        ms: f64,
    },
    Pong {
        sequence: u64,
        rtt_ms: f64,
        hops: u8,
    },
    NoPong {
        sequence: u64,
        code: ErrorCode,
        message: String,
    },
    /// The end of `ping`.
    #[serde(rename = "summary")]
    Pings {
        sent: u64,
        received: u64,
        loss_percent: f64,
        min_ms: Option<f64>,
        median_ms: Option<f64>,
        max_ms: Option<f64>,
    },
    /// After a trace: the peer keys of the way that the graph has, which is another one.
    OtherRoute {
        computed: Vec<String>,
    },
    Lagged {
        missed: u64,
    },
    Summary {
        peers: usize,
        hops: u8,
        delivered: usize,
        healed: bool,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        failed_step: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    Error(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Candidate, ErrorCode};

    fn line(event: &Event) -> String {
        serde_json::to_string(event).unwrap()
    }

    /// Change these only with a line in CHANGELOG.md: scripts rely on them.
    #[test]
    fn the_lines_are_as_documented() {
        let ready = Event::Ready {
            peer_key_string: "pkA".into(),
            device_name: "kitchen".into(),
            network: "home".into(),
            open: true,
            listen: vec!["127.0.0.1:4040".into()],
        };
        let delivered = Event::Delivered {
            to: "pkB".into(),
            line: None,
            sequence: 1,
            rtt_ms: 0.5,
            hops: 2,
            bytes: 5,
        };
        let sent = Event::Sent { to: "pkB".into(), line: Some(7), sequence: 1, bytes: 5 };
        let pong = Event::Pong { sequence: 1, rtt_ms: 0.5, hops: 2 };
        let (code, message) = (ErrorCode::TimedOut, "m".into());
        let no_pong = Event::NoPong { sequence: 2, code, message };
        let other_route = Event::OtherRoute { computed: vec!["pkB".into()] };
        let finished = Event::Finished { bytes: 3, sha256: "ab".into(), ms: 1.0 };
        let summary = Event::Summary {
            peers: 5,
            hops: 4,
            delivered: 23,
            healed: true,
            ok: true,
            failed_step: None,
            message: None,
        };
        let golden = [
            (
                ready,
                r#"{"event":"ready","peerKeyString":"pkA","deviceName":"kitchen","network":"home","open":true,"listen":["127.0.0.1:4040"]}"#,
            ),
            (
                delivered,
                r#"{"event":"delivered","to":"pkB","sequence":1,"rttMs":0.5,"hops":2,"bytes":5}"#,
            ),
            (sent, r#"{"event":"sent","to":"pkB","line":7,"sequence":1,"bytes":5}"#),
            (pong, r#"{"event":"pong","sequence":1,"rttMs":0.5,"hops":2}"#),
            (no_pong, r#"{"event":"noPong","sequence":2,"code":"timed_out","message":"m"}"#),
            (other_route, r#"{"event":"otherRoute","computed":["pkB"]}"#),
            (Event::Lagged { missed: 7 }, r#"{"event":"lagged","missed":7}"#),
            (Event::Accepting { topic: "t".into() }, r#"{"event":"accepting","topic":"t"}"#),
            (finished, r#"{"event":"finished","bytes":3,"sha256":"ab","ms":1.0}"#),
            (
                summary,
                r#"{"event":"summary","peers":5,"hops":4,"delivered":23,"healed":true,"ok":true}"#,
            ),
        ];
        for (event, expected) in golden {
            assert_eq!(line(&event), expected);
        }
    }

    #[test]
    fn an_error_has_candidates_only_where_there_are_some() {
        let mut failure = Failure::new(ErrorCode::NoRoute, "no way", "wait");
        let expected = r#"{"event":"error","code":"no_route","message":"no way","hint":"wait"}"#;
        assert_eq!(line(&Event::Error(failure.clone())), expected);
        let candidate = Candidate { peer_key_string: "pkA".into(), device_name: "a".into() };
        failure.candidates.push(candidate);
        let ends = r#""candidates":[{"peerKeyString":"pkA","deviceName":"a"}]}"#;
        assert!(line(&Event::Error(failure)).ends_with(ends));
    }

    #[test]
    fn text_is_left_out_of_what_is_no_text() {
        let message = Event::Message {
            from: "pkA".into(),
            device_name: "ben".into(),
            reliability: "reliable".into(),
            sequence: 1,
            data_base64: "/w==".into(),
            text: None,
        };
        let expected = r#"{"event":"message","from":"pkA","deviceName":"ben","reliability":"reliable","sequence":1,"dataBase64":"/w=="}"#;
        assert_eq!(line(&message), expected);
    }
}
