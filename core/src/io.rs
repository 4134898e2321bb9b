//! The vocabulary between the core and its transports.
//!
//! A host turns what its drivers report into [`Input`]s and carries out the [`TransportCommand`]s
//! it is given. Bytes to send are not commands: the host pulls them with
//! `Node::poll_transmit` when a link can take some.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use bytes::BytesMut;

pub use crate::wire::beacon::{Beacon, BeaconIdentity};
pub use crate::wire::connection_type::ConnectionType;
pub use crate::wire::hint::Hint;
pub use crate::wire::lane::Lane;

use crate::id::{DialId, LinkId, PeerKey, TransportId};
use crate::limits::DISTANCE_CM_MAX;
use crate::time::Duration;

/// Where a driver can dial somebody: text whose meaning only that driver knows, such as
/// `192.168.1.7:4040` or `[fe80::1%3]:4040`. Shown in logs as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(Arc<str>);

impl Endpoint {
    /// An endpoint from a driver's text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without a port: what endpoints of one host have in common.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            _ => &self.0,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a driver is and can carry; told once, before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportProfile {
    /// The medium, as the graph shows it.
    pub kind: ConnectionType,
    /// Links it can hold at once. The last one is kept for peers that cannot be reached
    /// otherwise; another newcomer is told `AtCapacity`.
    pub links_max: usize,
    /// Dials it can run at once.
    pub dials_max: usize,
    /// A dial without result after this is cancelled. Of two peers that see each other, the one
    /// with the higher address lets the other one dial first, for about a fortieth of this.
    pub dial_timeout: Duration,
    /// When peers in sight are dialled.
    pub dialled: Dialling,
}

/// When peers in sight of a transport are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialling {
    /// At once, while there are slots: a link costs little, and a spare one shortens ways.
    InSight,
    /// Only for a reason, as a link costs seconds, power, and perhaps what the user does with the
    /// radio: the peer is out of reach otherwise, another link to it over this transport has become
    /// suspect, or data waits for it that a link as promised here would carry much faster. Such a
    /// link is given up when it has carried no data for a while and its peer stays reachable, and
    /// endpoints that fail are left alone for longer than elsewhere.
    OnDemand {
        /// What a link carries once it stands. Before the first one nothing else is known of it.
        promise: LinkEstimate,
    },
}

/// Where a node's power comes from, as its host tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Power {
    /// There is enough of it.
    #[default]
    Mains,
    /// A battery.
    Battery,
    /// A battery that is nearly empty, or a user who saves it.
    Low,
}

/// Something that happened, for the core to act on.
#[derive(Debug)]
pub enum Input {
    /// A driver reports.
    Transport {
        /// Which driver.
        transport: TransportId,
        /// What it reports.
        event: TransportEvent,
    },
    /// The time of `Node::next_timeout` has come. Being early or late is harmless.
    Timeout,
}

/// What a driver reports.
#[derive(Debug)]
pub enum TransportEvent {
    /// It saw somebody who might be a peer. Repeat it when something changed; repeating it
    /// unchanged is harmless.
    Sighted(Sighting),
    /// An endpoint is not there any more, by goodbye or expiry.
    Lost(Endpoint),
    /// A link carries bytes now, dialled or accepted.
    LinkUp(LinkUp),
    /// A dial came to nothing.
    DialFailed {
        /// Which dial.
        dial: DialId,
        /// Why.
        reason: DialFailure,
    },
    /// The packets of a packet-shaped link have another size from now on, as after an exchange of
    /// MTUs. Those of an ordered one only grow; a smaller size is not heeded.
    PacketBytes {
        /// Which link.
        link: LinkId,
        /// The largest packet, in bytes.
        packet_bytes: usize,
    },
    /// Bytes came in: the next ones of a stream, or one packet.
    Received {
        /// On which link.
        link: LinkId,
        /// The bytes. The core decrypts them in place.
        data: BytesMut,
    },
    /// How far away the other end of a link is has changed, as far as the medium can tell. Each one
    /// replaces the one before; nobody but this node hears of it.
    Distance {
        /// Which link.
        link: LinkId,
        /// About how far; `None` once that is not known any more.
        distance: Option<ApproximateDistance>,
    },
    /// What those of the same medium at neighbours are told from now on, over whatever links stand;
    /// empty for nothing. Each one replaces the one before. Nobody but neighbours hears of it, and all
    /// of them do.
    Hint(Hint),
    /// A link is gone. Nothing comes from it afterwards.
    LinkDown {
        /// Which link.
        link: LinkId,
        /// Why.
        reason: LinkLoss,
    },
    /// The transport's condition changed.
    Condition(Condition),
}

/// A driver saw somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where it can be dialled.
    pub endpoint: Endpoint,
    /// What it showed; `None` for an endpoint that a person configured.
    pub beacon: Option<Beacon>,
}

/// A new link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUp {
    /// The driver's number for it, never used before.
    pub link: LinkId,
    /// Who began it.
    pub origin: LinkOrigin,
    /// How it carries bytes.
    pub shape: LinkShape,
    /// The other end, for logs; for a dialled link, the endpoint that was dialled.
    pub endpoint: Endpoint,
    /// What the medium promises before anything is measured.
    pub estimate: LinkEstimate,
}

/// Who began a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOrigin {
    /// This node, by this dial.
    Dialled(DialId),
    /// The other end.
    Accepted,
}

/// How a link carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkShape {
    /// Reliable and in order, without message boundaries, like TCP.
    Stream {
        /// The most bytes that one transmit takes. Small enough that what the driver and the
        /// operating system hold does not defeat the lanes: about what the medium carries in a
        /// few milliseconds, but at least one frame of `frame_bytes_max`.
        chunk_bytes: usize,
        /// The largest payload in one frame: a frame cannot be interrupted, so a slow medium
        /// wants small ones. From 1,280 to 65,536.
        frame_bytes_max: usize,
    },
    /// Packets, like Bluetooth's values: each arrives whole and once, late, twice, cut or not at
    /// all, unless `is_ordered`. The core cuts frames into fragments and repeats those that are
    /// lost.
    Packet {
        /// The largest packet, in bytes, from 18 to 2,048. It may change at any time: see
        /// [`TransportEvent::PacketBytes`]. Where a link layer cuts packets again, a size that
        /// fills whole units of it serves best: see [`whole_pdus`].
        packet_bytes: usize,
        /// Every packet arrives, whole, once and in order, or the link goes down: the core repeats
        /// none then and computes no checksum. Like Bluetooth's L2CAP channels.
        is_ordered: bool,
        /// The largest payload in one frame. Higher lanes interrupt a frame between its packets,
        /// so it may be as large as the memory of both ends allows. From 1,280 to 65,536.
        frame_bytes_max: usize,
    },
}

/// The largest value, in bytes, of at most `limit` that fills whole link-layer PDUs of Bluetooth,
/// 251 bytes each since version 4.2: 244, 495. Smaller limits stay as they are.
///
/// L2CAP and ATT take seven bytes of the first PDU (Core Specification 5.4, volume 6 part B 4.5.10,
/// volume 3 part A 3.1 and part F 3.4.7).
#[must_use]
pub const fn whole_pdus(limit: usize) -> usize {
    const PDU_BYTES: usize = 251;
    const HEADERS_BYTES: usize = 7;
    match (limit + HEADERS_BYTES) / PDU_BYTES {
        0 => limit,
        pdus => pdus * PDU_BYTES - HEADERS_BYTES,
    }
}

/// What a medium promises; the cost of a link follows from it until something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEstimate {
    /// Bytes a second, one way.
    pub rate_bytes_per_s: u64,
    /// One-way delay.
    pub delay: Duration,
}

/// About how far away somebody is, by how a medium hears them: whole centimetres, from 1 cm to
/// 100 km. What it is worth is the driver's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApproximateDistance(u32);

impl ApproximateDistance {
    /// So many centimetres; what is nearer or further than the type goes is its nearest or furthest.
    #[must_use]
    pub const fn from_centimetres(centimetres: u32) -> Self {
        Self(match centimetres {
            0 => 1,
            DISTANCE_CM_MAX.. => DISTANCE_CM_MAX,
            between => between,
        })
    }

    /// The distance in centimetres.
    #[must_use]
    pub const fn centimetres(self) -> u32 {
        self.0
    }
}

/// Why a dial came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// Nobody listens there.
    #[error("refused")]
    Refused,
    /// No way to get there.
    #[error("unreachable")]
    Unreachable,
    /// No answer in time.
    #[error("timed out")]
    TimedOut,
    /// The core cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// The endpoint's text is not one of this driver's.
    #[error("not an endpoint of this transport")]
    InvalidEndpoint,
    /// The driver has no room, hardware or permission.
    #[error("the transport cannot dial now: {0}")]
    Unavailable(String),
    /// Anything else, in the operating system's words.
    #[error("{0}")]
    Other(String),
}

/// Why a driver lost a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkLoss {
    /// The other end closed it, or its process ended.
    #[error("closed by the other end")]
    ClosedByRemote,
    /// The other end reset it.
    #[error("reset by the other end")]
    Reset,
    /// The core asked for it.
    #[error("closed")]
    Closed,
    /// The medium gave up.
    #[error("the medium timed out")]
    TimedOut,
    /// The driver is ending.
    #[error("the transport is shutting down")]
    Shutdown,
    /// Anything else, in the operating system's words.
    #[error("{0}")]
    Other(String),
}

impl LinkLoss {
    /// Whether the other end did it.
    pub(crate) fn is_by_remote(&self) -> bool {
        matches!(self, Self::ClosedByRemote | Self::Reset)
    }
}

/// What the core asks of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportCommand {
    /// Show this beacon from now on, and accept links.
    Advertise(Beacon),
    /// Try to make a link; answer with `LinkUp` or `DialFailed`.
    Dial {
        /// The number to answer with.
        dial: DialId,
        /// Where.
        endpoint: Endpoint,
    },
    /// Give a dial up; answer with `DialFailed` unless its link came up meanwhile.
    CancelDial(DialId),
    /// Close a link once the bytes already taken are written; answer with `LinkDown`.
    Close(LinkId),
    /// What the driver of this medium at a neighbour tells, in place of what it told before; empty when
    /// it tells nothing any more, or is at no neighbour.
    Hint {
        /// The neighbour. It is who it says, and whether the hint is true is another question.
        from: PeerKey,
        /// What it tells.
        hint: Hint,
    },
}

/// The state of a transport, with a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The state.
    pub state: ConditionState,
    /// What it means here and what to do about it; empty when all is well.
    pub detail: String,
}

impl Condition {
    /// All is well.
    #[must_use]
    pub const fn ok() -> Self {
        Self { state: ConditionState::Ok, detail: String::new() }
    }

    /// A state and what to do about it.
    #[must_use]
    pub fn new(state: ConditionState, detail: impl Into<String>) -> Self {
        Self { state, detail: detail.into() }
    }
}

/// The state of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionState {
    /// It works.
    Ok,
    /// Switched off by configuration.
    Disabled,
    /// The machine has no such hardware.
    NoHardware,
    /// The operating system refuses.
    NoPermission,
    /// Multicast DNS does not work; configured endpoints still do.
    MdnsFailure,
    /// It cannot accept links; dialling still works.
    ListenFailure,
    /// The radio is switched off.
    RadioOff,
    /// It cannot work right now and is trying again.
    TemporarilyUnavailable,
    /// A part of it does not exist on this system yet, as one role of a radio; the rest works.
    Unsupported,
    /// Its driver has ended with an error; the node goes on without it.
    Dead,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fill_whole_pdus() {
        // The MTUs of 23, 185, 247 and 517, and the longest value.
        let limits = [20, 182, 243, 244, 245, 494, 495, 512, 514];
        assert_eq!(limits.map(whole_pdus), [20, 182, 243, 244, 244, 244, 495, 495, 495]);
    }

    #[test]
    fn a_distance_stays_within_what_can_be_meant() {
        let of = |centimetres| ApproximateDistance::from_centimetres(centimetres).centimetres();
        assert_eq!([0, 1, 250].map(of), [1, 1, 250]);
        assert_eq!(of(DISTANCE_CM_MAX), DISTANCE_CM_MAX);
        assert_eq!([DISTANCE_CM_MAX + 1, u32::MAX].map(of), [DISTANCE_CM_MAX; 2]);
    }

    #[test]
    fn endpoints_of_one_host_have_its_name_in_common() {
        let host = |text| alloc::string::ToString::to_string(Endpoint::new(text).host());
        assert_eq!(host("192.168.1.7:4040"), "192.168.1.7");
        assert_eq!(host("[fe80::1%3]:4040"), "[fe80::1%3]");
        assert_eq!(host("node.example:4040"), "node.example");
        assert_eq!(host("C0:FF:EE:00:00:FF"), "C0:FF:EE:00:00:FF");
        assert_eq!(host("a"), "a");
    }
}
