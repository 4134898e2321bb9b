//! Every limit of the protocol and of this implementation, each with its unit and reason.
//!
//! A limit that two nodes must agree on is negotiated in the handshake; what stands here is the
//! largest value this build offers or accepts.

use crate::time::Duration;

/// The lowest protocol version this build speaks.
pub const VERSION_LOWEST: u8 = 1;
/// The highest protocol version this build speaks.
pub const VERSION_HIGHEST: u8 = 1;

/// The payload, in bytes, that every node carries in one frame, whatever the link: what IPv6
/// asks of a link, small enough for a 20 KB/s radio (64 ms).
pub const PAYLOAD_BYTES_MIN: usize = 1_280;
/// The largest payload of one data frame, in bytes. One seal and one write carry this much; a
/// control frame waits at most for one of them.
pub const PAYLOAD_BYTES_MAX: usize = 65_536;
/// The largest control frame, in bytes before sealing: a control frame must pass a slow link
/// as quickly as the smallest data frame that every node carries.
pub const CONTROL_BYTES_MAX: usize = 1_280;
const _: () = assert!(CONTROL_BYTES_MAX <= PAYLOAD_BYTES_MAX);

/// A link handshake that takes longer is given up. Covers the three messages on the slowest
/// link (20 KB/s, 150 ms) ten times over.
pub const LINK_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A link that has sent nothing for so long sends a keepalive: 28 bytes, so under 6 B/s idle.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A link that has heard no sealed frame for so long is down: three keepalives lost.
pub const LINK_DEAD_AFTER: Duration = Duration::from_secs(16);
/// Links coming up or up that one transport may hold at most, whatever its driver says; bounds
/// memory against a flood of half-open connections.
pub const HANDSHAKES_PENDING_MAX: usize = 64;
/// Control messages that wait in one link's own queue (answers, closes). Adverts do not wait
/// there: they are pulled from the dirty set.
pub const LINK_CONTROL_QUEUE_MAX: usize = 64;

/// Bytes of relayed frames that one link queues per lane: 40 frames of the largest size. What
/// does not fit is dropped and counted; marks come earlier.
pub const RELAY_QUEUE_BYTES_MAX: usize = 40 * PAYLOAD_BYTES_MAX;
/// A relayed frame that waited longer than this is marked: a standing queue, not a burst.
pub const RELAY_MARK_AFTER: Duration = Duration::from_millis(60);
/// Hops added to the known path length to make a frame's hop limit: room for a detour while
/// routes change, not for a loop.
pub const HOP_LIMIT_SLACK: u8 = 4;
/// The longest path that is used, in hops.
pub const PATH_HOPS_MAX: u8 = 64;
/// How long a frame may live in the mesh. A relay drops it afterwards.
pub const FRAME_LIFETIME: Duration = Duration::from_secs(15);

/// Sightings remembered per transport; a rotating radio address makes many.
pub const SIGHTINGS_MAX: usize = 512;
/// The first wait after a failed dial; doubles with each failure, with jitter.
pub const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest wait between two dials of an endpoint that is still sighted or configured.
pub const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// How long the peer with the higher address lets the other one dial first, on average.
pub const DIAL_DEFERENCE: Duration = Duration::from_millis(400);

/// Peers known at once. Each takes about 1 KiB with both adverts.
pub const PEERS_MAX: usize = 4_096;
/// The largest signed advert, in bytes: a profile's 512 and its frame, or an adjacency of 64
/// edges.
pub const ADVERT_BYTES_MAX: usize = 1_152;
const _: () = assert!(ADVERT_BYTES_MAX < CONTROL_BYTES_MAX);
/// The largest body of a profile advert, in bytes (protocol 5.3).
pub const PROFILE_BYTES_MAX: usize = 512;
/// Edges in one adjacency.
pub const EDGES_MAX: usize = 64;
/// An adjacency older than this says nothing any more: a departed peer's last word must not
/// keep it alive.
pub const ADJACENCY_LIFETIME: Duration = Duration::from_secs(4 * 3_600);
/// An owner signs its adjacency again at this age: two thirds of its lifetime.
pub const ADJACENCY_REFRESH: Duration = Duration::from_secs(4 * 3_600 * 2 / 3);
/// Link changes within this time make one new adjacency.
pub const ADJACENCY_COALESCE: Duration = Duration::from_millis(20);
/// A peer that cannot be reached leaves the graph after this grace: longer than a reconnect.
pub const UNREACHABLE_GRACE: Duration = Duration::from_secs(3);
/// A peer that cannot be reached is forgotten after this: its adverts, never its floor.
pub const FORGET_AFTER: Duration = Duration::from_secs(3_600);
/// Floors (owner, epoch, sequence) kept of peers that were forgotten.
pub const FLOORS_MAX: usize = 2 * PEERS_MAX;
/// Signature checks per neighbour and second: a flood of forged adverts costs one core at most
/// 3 %.
pub const VERIFICATIONS_PER_S: u32 = 256;

/// The longest device name, in bytes of UTF-8; a longer one is cut at a character boundary.
pub const DEVICE_NAME_BYTES_MAX: usize = 63;
/// The largest peer metadata, in bytes of serialised JSON (inclusive).
pub const METADATA_BYTES_MAX: usize = 131_072;
/// One piece of a metadata body on the wire, in bytes.
pub const METADATA_CHUNK_BYTES: usize = 1_024;
/// All remote metadata bodies kept at once, in bytes: 128 of the largest.
pub const METADATA_CACHE_BYTES_MAX: usize = 128 * METADATA_BYTES_MAX;
/// A piece of metadata that was asked for and has not come is asked for again after this.
pub const METADATA_RETRY: Duration = Duration::from_secs(2);

/// Events that wait for the host; what overflows is itself an event.
pub const EVENTS_MAX: usize = 4_096;
