//! Why a command failed: for people a sentence, for programs a code, for shells an exit code.

use std::fmt;
use std::io::ErrorKind;

use hedgerow::bus::{
    Fate, ListenError, OpenError, RejectReason, SendError, StreamEnd, StreamError,
};
use hedgerow::config::ConfigError;
use hedgerow::diagnose::{PingError, TraceError};
use hedgerow::home::HomeError;
use hedgerow::presence::metadata::MetadataError;
use hedgerow::{MeshClosed, StartError};
use serde::{Deserialize, Serialize};

/// The `code` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    Usage,
    BadMetadata,
    NoNode,
    PeerUnknown,
    PeerAmbiguous,
    NoRoute,
    TimedOut,
    PeerLost,
    PeerRestarted,
    TooLarge,
    Rejected,
    Blocked,
    Reset,
    TopicTaken,
    TooManyClients,
    BadRequest,
    BadConfig,
    BadKey,
    BadHome,
    HomeInUse,
    NotSupported,
    DemoFailed,
    /// Also what a newer node says that this build does not know.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// The exit code, pinned in docs/cli.md.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Internal | Self::NotSupported | Self::BadRequest | Self::DemoFailed => 1,
            Self::Usage | Self::BadMetadata => 2,
            Self::NoNode => 3,
            Self::PeerUnknown | Self::PeerAmbiguous => 4,
            Self::NoRoute | Self::TimedOut | Self::PeerLost | Self::PeerRestarted => 5,
            Self::TooLarge
            | Self::Rejected
            | Self::Blocked
            | Self::Reset
            | Self::TopicTaken
            | Self::TooManyClients => 6,
            Self::BadConfig | Self::BadKey | Self::BadHome => 7,
            Self::HomeInUse => 8,
        }
    }
}

/// A peer that may have been meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    pub(crate) peer_key_string: String,
    pub(crate) device_name: String,
}

/// Why a command failed. The node sends it to its clients as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    /// What failed, with which value.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) candidates: Vec<Candidate>,
    /// More on the code, such as `inbox_full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Failure {
    pub(crate) fn new(
        code: ErrorCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { code, message, hint, candidates: Vec::new(), reason: None }
    }

    pub(crate) fn internal(what: &str, error: impl fmt::Display) -> Self {
        let hint = "set HEDGEROW_LOG=debug to see more, and report it if it stays";
        Self::new(ErrorCode::Internal, format!("{what}: {error}"), hint)
    }

    pub(crate) fn node_stopped() -> Self {
        let hint = "start it again with `hedgerow up`";
        Self::new(ErrorCode::NoNode, "the node stopped before it answered", hint)
    }

    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        let hint = "see `hedgerow peers` and `hedgerow links`, or give more time with --timeout";
        Self::new(ErrorCode::TimedOut, message, hint)
    }
}

impl From<MeshClosed> for Failure {
    fn from(_: MeshClosed) -> Self {
        Self::node_stopped()
    }
}

/// Splits `what; what to do`, as the library writes its messages.
fn from_library(code: ErrorCode, error: &impl fmt::Display, otherwise: &str) -> Failure {
    let text = error.to_string();
    match text.split_once("; ") {
        Some((message, hint)) => Failure::new(code, message, hint),
        None => Failure::new(code, text, otherwise),
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let code = match error {
            SendError::MeshClosed(_) | SendError::Lost => ErrorCode::NoNode,
            SendError::TooLarge { .. } => ErrorCode::TooLarge,
            SendError::Blocked => ErrorCode::Blocked,
            SendError::Rejected { .. } | SendError::Refused | SendError::Closed { .. } => {
                ErrorCode::Rejected
            }
            SendError::NoRoute { .. } => ErrorCode::NoRoute,
            SendError::TimedOut { .. } => ErrorCode::TimedOut,
            SendError::PeerLost { .. } => ErrorCode::PeerLost,
            SendError::PeerRestarted { .. } => ErrorCode::PeerRestarted,
            _ => ErrorCode::Internal,
        };
        let hint = match error {
            SendError::Rejected { .. } => "let it take its messages with `hedgerow listen`",
            _ => "see `hedgerow peers`, then send again",
        };
        let mut failure = from_library(code, &error, hint);
        if matches!(code, ErrorCode::Rejected) {
            failure.reason = reject_reason(&error);
        } else if error.fate() == Fate::Unknown {
            failure.reason = Some("outcome_unknown".into());
        }
        failure
    }
}

/// The reason as scripts know it.
fn reject_reason(error: &SendError) -> Option<String> {
    let SendError::Rejected { reason } = error else { return None };
    let name = match reason {
        RejectReason::InboxFull => "inbox_full",
        RejectReason::NoListener => "no_listener",
        RejectReason::TooManyStreams => "too_many_streams",
        RejectReason::Denied => "denied",
        RejectReason::Application(_) => "application",
        _ => "other",
    };
    Some(name.to_owned())
}

impl From<PingError> for Failure {
    fn from(error: PingError) -> Self {
        let code = match error {
            PingError::NoRoute => ErrorCode::NoRoute,
            PingError::TimedOut | PingError::Lost => ErrorCode::TimedOut,
            PingError::PeerRestarted => ErrorCode::PeerRestarted,
            PingError::PeerLost | PingError::Closed => ErrorCode::PeerLost,
            PingError::Refused | PingError::TooMany { .. } => ErrorCode::Rejected,
            PingError::MeshClosed(_) => ErrorCode::NoNode,
            _ => ErrorCode::Internal,
        };
        from_library(code, &error, "see `hedgerow peers`, or give more time with --timeout")
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        let code = match error {
            TraceError::NoRoute => ErrorCode::NoRoute,
            TraceError::TooMany { .. } => ErrorCode::Rejected,
            TraceError::MeshClosed(_) => ErrorCode::NoNode,
            _ => ErrorCode::Internal,
        };
        from_library(code, &error, "see `hedgerow peers`")
    }
}

fn code_of_end(end: StreamEnd) -> ErrorCode {
    match end {
        StreamEnd::PeerLost => ErrorCode::PeerLost,
        StreamEnd::PeerRestarted => ErrorCode::PeerRestarted,
        StreamEnd::TimedOut => ErrorCode::TimedOut,
        StreamEnd::Rejected(_) => ErrorCode::Rejected,
        _ => ErrorCode::Reset,
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::MeshClosed(_) => ErrorCode::NoNode,
            OpenError::Rejected { .. } | OpenError::Refused | OpenError::TooManyStreams { .. } => {
                ErrorCode::Rejected
            }
            OpenError::TooLarge { .. } => ErrorCode::TooLarge,
            OpenError::Ended(end) => code_of_end(end),
            _ => ErrorCode::Internal,
        };
        from_library(code, &error, "let the peer run `hedgerow pipe --accept` with this topic")
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let code = match error {
            StreamError::MeshClosed(_) => ErrorCode::NoNode,
            StreamError::Ended(end) => code_of_end(end),
            StreamError::TooLarge { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::Internal,
        };
        from_library(code, &error, "what arrived is incomplete: see `hedgerow peers`, try again")
    }
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::MeshClosed(closed) => closed.into(),
            _ => from_library(ErrorCode::TopicTaken, &error, "choose another topic"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Unreadable { source, .. } => match source.kind() {
                ErrorKind::NotFound => "check the path",
                _ => "make it a file that this user may read, or name another one",
            },
            _ => "correct it; docs/cli.md lists the keys",
        };
        from_library(ErrorCode::BadConfig, &error, hint)
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let code = match error {
            HomeError::InUse { .. } => ErrorCode::HomeInUse,
            HomeError::TooOpen { .. }
            | HomeError::InvalidKey { .. }
            | HomeError::InvalidSecret { .. } => ErrorCode::BadKey,
            _ => ErrorCode::BadHome,
        };
        Self::new(code, error.what(), error.advice())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Home(error) => error.into(),
            StartError::Network(_) => from_library(
                ErrorCode::BadConfig,
                &format!("network.name: {error}"),
                "name it with --network",
            ),
            _ => Self::internal("cannot start the node", error),
        }
    }
}

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Self {
        let code = match error {
            MetadataError::TooLarge { .. } | MetadataError::TooDeep { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::BadMetadata,
        };
        from_library(code, &error, "write it as '{\"key\": \"value\"}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_travels_and_keeps_its_code() {
        let mut failure = Failure::new(ErrorCode::PeerAmbiguous, "two", "choose");
        failure
            .candidates
            .push(Candidate { peer_key_string: "pkA".into(), device_name: "a".into() });
        let json = serde_json::to_value(&failure).unwrap();
        let expected = serde_json::json!({
            "code": "peer_ambiguous", "message": "two", "hint": "choose",
            "candidates": [{"peerKeyString": "pkA", "deviceName": "a"}],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Failure>(json).unwrap(), failure);
        let newer = serde_json::from_str::<ErrorCode>("\"solar_flare\"").unwrap();
        assert_eq!(newer.exit_code(), 1);
    }

    #[test]
    fn every_area_has_its_exit_code() {
        let closed = SendError::MeshClosed(MeshClosed);
        let no_route = SendError::NoRoute { fate: Fate::NotDelivered };
        let large = SendError::TooLarge { limit: 16 };
        for (error, exit) in [(closed, 3), (no_route, 5), (large, 6)] {
            assert_eq!(Failure::from(error).code.exit_code(), exit, "{error}");
        }
        assert_eq!(Failure::from(large).hint, "send it as a stream");
        let in_use = HomeError::InUse { folder: "h".into() };
        assert_eq!(Failure::from(in_use).code.exit_code(), 8);
        let lost = StreamError::Ended(StreamEnd::PeerLost);
        assert_eq!(Failure::from(lost).code.exit_code(), 5);
    }

    #[test]
    fn home_errors_are_parted_into_what_and_what_to_do() {
        let failure = Failure::from(HomeError::InUse { folder: "h".into() });
        assert_eq!(failure.message, "h is in use by another node");
        assert_eq!(failure.hint, "stop it, or choose another home");
        // Whatever is in the path does not end up in the hint.
        let failure = Failure::from(HomeError::Exists { path: "a; b: c".into() });
        assert_eq!(failure.message, "a; b: c exists and is not overwritten");
    }
}
