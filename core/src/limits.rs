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
/// A keepalive is sent so often, whatever else is: 29 bytes, so under 6 B/s idle.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A link that has heard no sealed frame for so long is down: three keepalives lost.
pub const LINK_DEAD_AFTER: Duration = Duration::from_secs(16);
/// Parts in a million by which one clock may go faster than another: crystals differ by 100, and one
/// that is being set right by up to 500. Over an echo that was held for 5 s that is 2.5 ms, more than
/// the round trip of a local network: what may be wrong by a quarter of itself is not measured.
pub const CLOCKS_APART_PPM: u32 = 500;
/// Round trips that a link's cost remembers: a minute of keepalives. One of them that met no queue
/// shows how long the way is.
pub const LINK_RTT_SAMPLES: usize = 12;
/// A link's cost changes by at least so many codes of an eighth of an octave: by a factor of two.
/// Less does not pay for a signature that the whole mesh passes on.
pub const LINK_COST_STEP_CODES: u8 = 8;
/// What is measured must differ from the cost for so long before it changes.
pub const LINK_COST_LASTS: Duration = Duration::from_secs(30);
/// Accepted links whose handshake is under way, on all transports together. They take no room of
/// links that are up; beyond it the oldest of the host that has most goes for the newcomer. A true
/// handshake takes milliseconds, so 64 leave time for it in a flood.
pub const HANDSHAKES_PENDING_MAX: usize = 64;
/// Control messages that wait in one link's own queue (answers, closes). Adverts do not wait
/// there: they are pulled from the dirty set.
pub const LINK_CONTROL_QUEUE_MAX: usize = 64;

/// The longest hint for transports of one medium, in bytes: some addresses, or the name and key of a
/// radio's group. 26 ms at 20 KB/s.
pub const HINT_BYTES_MAX: usize = 512;
const _: () = assert!(HINT_BYTES_MAX < CONTROL_BYTES_MAX / 2);
/// Media for which hints of one neighbour are kept: all that exist, and a few of one's own.
pub const HINTS_MAX: usize = 8;

/// The smallest packet of a packet-shaped link, in bytes: the value of Bluetooth's smallest ATT MTU.
pub const PACKET_BYTES_MIN: usize = 18;
/// The largest packet of a packet-shaped link, in bytes: a round number above what UDP carries on an
/// Ethernet.
pub const PACKET_BYTES_MAX: usize = 2_048;
/// The furthest that a driver can say the other end of a link is away, in centimetres: 100 km, more
/// than radios reach that lie on the ground.
pub const DISTANCE_CM_MAX: u32 = 10_000_000;
/// Fragments of a lane that may be under way: half of the sequence numbers, the most that selective
/// repeat can tell apart. 20 KB in packets of 20 bytes, which is 170 KB/s over 100 ms.
pub const FRAGMENTS_WINDOW: u16 = 1_024;
/// Bytes that a link keeps of fragments which arrived ahead of a missing one. Three times what
/// 170 KB/s carry while a lost one is sent again; what does not fit is not acknowledged.
pub const FRAGMENTS_EARLY_BYTES_MAX: usize = 64 * 1_024;
/// Fragments that are acknowledged together: a short packet against eight full ones costs the
/// radio, which sends or receives, a twentieth.
pub const FRAGMENT_ACK_EVERY: u8 = 8;
/// A fragment waits so long for others to be acknowledged with it.
pub const FRAGMENT_ACK_DELAY: Duration = Duration::from_millis(30);
/// A fragment that does not get through in so long, or a frame that gets no further, ends the link:
/// twice the silence that does.
pub const FRAGMENTS_STALLED: Duration = Duration::from_secs(30);

/// Bytes of relayed frames that one link queues per lane: 40 frames of the largest size. What
/// does not fit is dropped and counted; marks come earlier.
pub const RELAY_QUEUE_BYTES_MAX: usize = 40 * PAYLOAD_BYTES_MAX;
/// A relayed frame that waited longer than this is marked: a standing queue, not a burst.
pub const RELAY_MARK_AFTER: Duration = Duration::from_millis(60);
/// Hops added to the known path length to make a frame's hop limit: room for a detour while
/// routes change, not for a loop.
pub const HOP_LIMIT_SLACK: u8 = 4;
/// The longest path that is used, in hops: with the slack it fills the byte of the hop limit. Peers
/// further away are in the graph and cannot be sent to.
pub const PATH_HOPS_MAX: u8 = 250;
const _: () = assert!(PATH_HOPS_MAX <= u8::MAX - HOP_LIMIT_SLACK);
/// After quiet, routes are computed at once when somebody's edges changed. The wait before the
/// second computation: what one event changes comes in several adverts.
pub const ROUTES_DELAY_SECOND: Duration = Duration::from_millis(10);
/// The wait while changes go on coming: about what an advert takes for a few hops.
pub const ROUTES_DELAY_SHORT: Duration = Duration::from_millis(50);
/// Changes that go on for longer than this are more than one event.
pub const ROUTES_LEARN: Duration = Duration::from_millis(500);
/// The wait then, for each peer known: so that computing takes about one part in a thousand of a
/// processor, and up to [`ROUTES_DELAY_LONG_MAX`].
pub const ROUTES_DELAY_PER_PEER: Duration = Duration::from_millis(1);
/// The longest wait between a change and computing routes: a wrong way is no longer used.
pub const ROUTES_DELAY_LONG_MAX: Duration = Duration::from_secs(1);
/// After so long without a change the next one is computed quickly again. Longer than the longest
/// wait, or a steady trickle of changes would always count as the first.
pub const ROUTES_QUIET: Duration = Duration::from_secs(2);
const _: () = assert!(ROUTES_QUIET.as_millis() > ROUTES_DELAY_LONG_MAX.as_millis());
/// Neighbours tried as alternates, the cheapest first: each costs a search of what lies behind it.
/// Radios have 3 to 7 links.
pub const ALTERNATE_NEIGHBOURS_MAX: usize = 8;
/// An alternate stays in use for so long, until whoever is concerned has heard of the failure and
/// computed: adverts take about 50 ms for a hop at 20 KB/s, and routes at most a second.
pub const FAILOVER_HOLD: Duration = Duration::from_secs(2);
/// A piece of data smaller than this that has to wait is copied: what it lies in, some hundred
/// KiB that a driver read at once, stays in memory as long as the piece, and so waiting data
/// takes 16 times its size at most.
pub const PIN_BYTES_MIN: usize = 16 * 1_024;
/// How long a frame may live in the mesh. A relay drops it afterwards.
pub const FRAME_LIFETIME: Duration = Duration::from_secs(15);

/// How long a trace waits for one hop. Covers 250 hops of 4 ms there and back, or four of the
/// slowest.
pub const TRACE_HOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Traces of this node at once; people begin them.
pub const TRACES_MAX: usize = 16;
/// Answers in traces of others that a node gives in a second: whoever asks is authenticated by
/// links alone.
pub const TRACE_TELLS_PER_S: u32 = 16;

/// Sightings remembered per transport; a rotating radio address makes many.
pub const SIGHTINGS_MAX: usize = 512;
/// The first wait after a failed dial; doubles with each failure, with jitter.
pub const DIAL_BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest wait between two dials of an endpoint that is still sighted or configured.
pub const DIAL_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The peer with the higher address lets the other one dial first, for this part of the time that
/// the transport gives a dial: where dials take long, two at once cost more. 125 ms of 5 s are
/// what two hosts on one segment need to see each other by multicast DNS.
pub const DIAL_DEFERENCE_PART: u32 = 40;
/// The longest wait between two dials of a peer that says it is full: a handshake a minute.
pub const DIAL_FULL_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Dials that begin on a transport in a second: endpoints that strangers make up cost others no
/// more than that.
pub const DIALS_PER_S: u32 = 32;
/// Where so many endpoints are sighted, they are a crowd: all nodes of a place have started at
/// once, and dials spread by [`DIAL_CROWD_SPREAD`] for each of them.
pub const DIAL_CROWD: usize = 8;
/// A hundred endpoints are dialled over one second.
pub const DIAL_CROWD_SPREAD: Duration = Duration::from_millis(10);
/// The mean wait before the last slot is dialled for: a node beside this one may do it, and its
/// adverts need about a second.
pub const DIAL_LAST_SLOT_WAIT: Duration = Duration::from_secs(1);
/// The mean wait before a link to a peer that is reachable anyway takes the last but one slot;
/// shorter where more are free, none while half of them are.
pub const DIAL_SPARE_WAIT: Duration = Duration::from_secs(2);
/// Sightings that take the place of others in a full table, in a second: each looks through it.
pub const SIGHTINGS_EVICTED_PER_S: u32 = 64;

/// Data that has waited for less than this may be over before a link dialled on demand stands: an
/// image or a page, not a transfer.
pub const UPGRADE_MOMENT: Duration = Duration::from_secs(1);
/// What waits and takes the present link longer than this pays for a faster one: forming a group of
/// Wi-Fi Direct takes 2 to 6 s, in which the present link goes on.
pub const UPGRADE_DRAIN: Duration = Duration::from_secs(5);
/// What has waited for so long is a transfer, however little of it is in the buffers: buffers that
/// are filled again and again.
pub const UPGRADE_WAIT: Duration = Duration::from_secs(5);
const _: () = assert!(UPGRADE_MOMENT.as_millis() < UPGRADE_WAIT.as_millis());
/// On battery all of these are so many times longer: a transfer of half a minute is left to the
/// radio that is on anyway.
pub const UPGRADE_ON_BATTERY: u32 = 4;
/// A faster link promises so many times what the present one carries, at least: less is not worth
/// the seconds that it takes.
pub const UPGRADE_GAIN: u64 = 4;
/// A link dialled on demand that carried no data for so long is given up, if its peer stays
/// reachable. Five groups could be formed in that time, so pauses of people make none anew.
pub const DEMAND_IDLE: Duration = Duration::from_secs(30);
/// The same on battery: a second radio that listens takes about as much in 10 s as forming a group.
pub const DEMAND_IDLE_ON_BATTERY: Duration = Duration::from_secs(10);
/// Who is told that a link is not needed makes none that nobody needs for so long.
pub const DEMAND_REST: Duration = Duration::from_secs(60);
/// The first wait after a failed dial on demand; doubles with each failure, with jitter. A dial
/// takes the radio for seconds, and perhaps asks a person.
pub const DEMAND_BACKOFF_MIN: Duration = Duration::from_secs(10);
/// The longest wait between two dials on demand of an endpoint; and for so long after its last wait
/// an endpoint that vanished is remembered, as such sightings come and go.
pub const DEMAND_BACKOFF_MAX: Duration = Duration::from_secs(600);
/// The mean wait before a peer that is out of reach is dialled on demand: who sees it by a cheaper
/// medium as well makes that link meanwhile.
pub const DEMAND_REACH_WAIT: Duration = Duration::from_secs(3);

/// The least time between two links that a node gives up for others on one transport: adverts
/// spread meanwhile, so that it judges by what the last one changed.
pub const SLOT_CHURN_INTERVAL: Duration = Duration::from_secs(10);
/// A full node that hears a peer out of reach gives up a redundant link after about this time.
pub const SLOT_NEEDED_WAIT: Duration = Duration::from_secs(2);
/// A full node frees its last slot again after about this time when a redundant link has it.
pub const SLOT_SPARE_WAIT: Duration = Duration::from_secs(15);
/// Who lost its link to a peer that needed the slot comes back after this, if it has to.
pub const SLOT_LOST_RETRY: Duration = Duration::from_secs(5);

/// Peers known at once. Each takes about 1 KiB with both adverts.
pub const PEERS_MAX: usize = 4_096;
/// Peers that one neighbour may make known: three quarters. A leaf sees meshes of that size, and
/// whoever invents peers leaves room for the others.
pub const PEERS_BY_NEIGHBOUR_MAX: usize = PEERS_MAX / 4 * 3;
/// Of the places for peers, those kept for neighbours themselves: more than a node has links.
pub const PEERS_FOR_NEIGHBOURS: usize = 128;
/// When there is no room, a peer that was neither reached nor heard of for so long is forgotten
/// for a new one: what is reachable is noted once a minute.
pub const EVICT_AFTER: Duration = Duration::from_secs(150);
/// And one that was never reached after so long: its own adverts and those of whoever is beside it
/// come within that.
pub const EVICT_NEVER_REACHED_AFTER: Duration = Duration::from_secs(10);
// A flood of made-up peers, as fast as signatures are checked, cannot fill a share with some that
// are younger: a newcomer always finds one to take the place of.
const _: () = assert!(
    (VERIFICATIONS_PER_S + VERIFICATIONS_OWN_PER_S) as u64 * EVICT_NEVER_REACHED_AFTER.as_secs()
        < PEERS_BY_NEIGHBOUR_MAX as u64
);
/// The largest signed advert, in bytes: a profile's 512 and its frame, or an adjacency of 64
/// edges.
pub const ADVERT_BYTES_MAX: usize = 1_152;
const _: () = assert!(ADVERT_BYTES_MAX < CONTROL_BYTES_MAX);
/// Adverts of one owner: those of this version, and a few of kinds that a newer one brings.
pub const ADVERTS_PER_OWNER_MAX: usize = 8;
/// The largest body of a profile advert, in bytes (protocol 5.3).
pub const PROFILE_BYTES_MAX: usize = 512;
/// Edges in one adjacency.
pub const EDGES_MAX: usize = 64;
/// An adjacency older than this says nothing any more: a departed peer's last word must not
/// keep it alive.
pub const ADJACENCY_LIFETIME: Duration = Duration::from_secs(4 * 3_600);
/// An owner signs its adjacency again at this age at the latest: two thirds of its lifetime.
pub const ADJACENCY_REFRESH: Duration = Duration::from_secs(4 * 3_600 * 2 / 3);
/// It does so up to this much sooner, by chance: a mesh that started at once would else sign all
/// its adjacencies again at once.
pub const ADJACENCY_REFRESH_SPREAD: Duration = Duration::from_secs(20 * 60);
/// Link changes within this time make one new adjacency. A loss after quiet does not wait for others.
pub const ADJACENCY_COALESCE: Duration = Duration::from_millis(20);
/// The wait between the first two signings of a statement after quiet; doubles with each further
/// one, so that what comes in a burst is told soon and in a few.
pub const SIGN_WAIT_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two signings of a statement while changes keep coming: the whole mesh
/// passes on each one.
pub const SIGN_WAIT_MAX: Duration = Duration::from_secs(1);
/// After so long without a signing the next ones are prompt again. Longer than the doubling waits
/// take, so that bursts with pauses make no more than one a second either.
pub const SIGN_QUIET: Duration = Duration::from_secs(10);
/// One break of a link is forgiven after so long without another: what breaks less than twice a
/// minute is no flapper.
pub const FLAP_FORGIVE: Duration = Duration::from_secs(30);
/// How long a link must stand before it is told, the second time it comes back; doubles each time.
pub const FLAP_HOLD_MIN: Duration = Duration::from_secs(1);
/// Breaks of one link that count: the wait grows to 16 s, as long as a silent link takes to be
/// found dead, so that nobody waits longer for a peer than it takes to miss one.
pub const FLAP_BREAKS_MAX: u32 = 6;
/// Restarts of a peer within half a minute each that are not held against its links.
pub const FLAP_RESTARTS_FREE: u32 = 3;
/// Links, by peer and medium, whose breaks are remembered, beyond those that stand.
pub const FLAP_RECORDS_MAX: usize = 4 * EDGES_MAX;
/// The largest boot epoch that a node steps above: four thousand million restarts are left. A
/// larger one was signed by somebody who has its key, and no step gets above him for good.
pub const BOOT_EPOCH_MAX: u64 = u64::MAX - (1 << 32);
/// How long a node that does not know its epoch waits for its first neighbours to tell, before it
/// publishes: some round trips of the slowest link.
pub const EPOCH_ASK: Duration = Duration::from_secs(2);
/// A peer that cannot be reached leaves the graph after this grace: longer than a reconnect.
pub const UNREACHABLE_GRACE: Duration = Duration::from_secs(3);
/// A peer that cannot be reached is forgotten after this: its adverts, never its floor.
pub const FORGET_AFTER: Duration = Duration::from_secs(3_600);
/// Floors (owner, epoch, sequence) kept of peers that were forgotten.
pub const FLOORS_MAX: usize = 2 * PEERS_MAX;
/// Floors are kept for so long: everybody else has forgotten what they are about since 23 h.
pub const FLOOR_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// Owners that are remembered as changed until somebody asks; what follows from more is computed
/// anew as a whole, which costs about as much.
pub const CHANGED_MAX: usize = 256;
/// Ranges of addresses in one message: a hostile one costs so many looks at the tables.
pub const RANGES_MAX: usize = 16;
/// Parts that a range is split into: fewer take more messages in turn, more take more bytes where
/// little differs.
pub const RANGE_PARTS: usize = 8;
const _: () = assert!(RANGE_PARTS <= RANGES_MAX);
/// Adverts of a range up to which they are listed instead of split further: two peers. A list of 4
/// takes as many bytes as 6 fingerprints, and saves a round trip.
pub const RANGE_LISTED_MAX: usize = 4;
/// Ranges that wait to be answered to one neighbour; beyond it two of them become one. A merge of
/// two halves of the largest mesh makes about as many.
pub const RANGES_PENDING_MAX: usize = 1_024;
/// Adverts that a neighbour's ranges may make this node look at in a second: 3,200 instructions each,
/// about 3 % of one core.
pub const RANGE_LOOKS_PER_S: u64 = 65_536;
/// The same at once: the largest tables a few times over, as finding what differs takes.
pub const RANGE_LOOKS_BURST: u64 = 8 * 2 * PEERS_MAX as u64;
/// How long the neighbour with the higher key waits for the other one to begin the comparison.
pub const OPENING_PATIENCE: Duration = Duration::from_secs(1);
/// Owners whose adverts are to be asked for, of one neighbour; a comparison finds what is beyond.
pub const ASKED_MAX: usize = 1_024;
/// An advert that could not be checked in time is asked for again after this.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Owners that a neighbour is asked for again in a second: two adverts each are as many as are
/// checked in that time. More would be sent in vain once more.
pub const ASKED_AGAIN_PER_S: u32 = VERIFICATIONS_PER_S / 2;
/// Owners that a full neighbour refused by name and that are not offered to it again.
pub const REFUSED_OWNERS_MAX: usize = 1_024;
/// Adverts and ranges take this part of what a neighbour's link promises, in the long run; the
/// rest is for data.
pub const SYNC_SHARE: u64 = 10;
/// While a link carries no data they take this part of it: half, a frame at a time, so that what
/// comes waits for one frame at most.
pub const SYNC_IDLE_SHARE: u64 = 2;
/// A link that carried no data for so long carries none.
pub const SYNC_IDLE_AFTER: Duration = Duration::from_secs(1);
/// Bytes a second for adverts and ranges that every neighbour gets, however slow its link: three
/// adverts.
pub const SYNC_BYTES_PER_S_MIN: u64 = 512;
/// For a new neighbour: half of what its link carries in this time, so that a cold start over a
/// slow radio (20 KB/s: 100 KB) need not wait for the share.
pub const SYNC_BURST: Duration = Duration::from_secs(10);
/// A new neighbour gets at least so many bytes at once: the adverts of 200 peers.
pub const SYNC_BURST_BYTES_MIN: u64 = 64 * 1_024;
/// And at most so many: more than the adverts of all peers that are known at once.
pub const SYNC_BURST_BYTES_MAX: u64 = 1_024 * PEERS_MAX as u64;
/// Signature checks a second for all neighbours together, in the long run: a flood of forged adverts
/// costs one core at most 3 %.
pub const VERIFICATIONS_PER_S: u32 = 256;
/// Signature checks saved up in quiet times: a cold start into a mesh of 1,000 need not wait for the
/// rate, and a flood takes a fifth of a second of one core, once.
pub const VERIFICATIONS_BURST: u32 = 2_048;
/// Signature checks a second that each neighbour has for itself, before those for all: what one
/// who floods cannot take from the others.
pub const VERIFICATIONS_OWN_PER_S: u32 = 16;
/// Neighbours that have such checks of their own in a second; those that come beyond share.
pub const VERIFYING_NEIGHBOURS_MAX: usize = 256;

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

// The Bus.
/// Replay window of one lane of a session, in packets: also the most packets of one lane that
/// may be in flight, so that a late packet is never older than the window.
pub const REPLAY_WINDOW_PACKETS: u64 = 2_048;
/// Keys of a session are replaced after this long with traffic: what a stolen key opens.
pub const REKEY_AFTER: Duration = Duration::from_secs(3_600);
/// Keys of a session are replaced after this many packets sealed: far below what either cipher
/// allows.
pub const REKEY_PACKETS: u64 = 1 << 20;

/// Packets under one key at most; then nothing is sent until there are new keys. Somebody who
/// keeps handshakes from passing must not make AES-256-GCM seal for ever: 2^24 packets of 64 KiB
/// leave an advantage below 2^-57, as RFC 9001, section 6.6, asks.
pub const KEY_PACKETS_MAX: u64 = 1 << 24;
/// Replaced keys still open packets that were on their way for so long.
pub const OLD_KEYS_KEPT: Duration = Duration::from_secs(2 * FRAME_LIFETIME.as_secs());
/// The first wait for the answer to a session handshake; doubles with each try.
pub const SESSION_HANDSHAKE_RETRY_MIN: Duration = Duration::from_millis(500);
/// The longest wait between two tries of a session handshake.
pub const SESSION_HANDSHAKE_RETRY_MAX: Duration = Duration::from_secs(8);
/// An answered session handshake that its initiator has not proven within this is dropped.
pub const SESSION_ANSWER_KEPT: Duration = Duration::from_secs(15);
/// Answered, unproven session handshakes kept per peer: a replayed first message must not push
/// out the true one at once.
pub const SESSION_ANSWERS_MAX: usize = 4;
/// First handshake messages that a node answers in a second for all neighbours together: each
/// costs about 0.6 ms, so a flood of them takes at most 4 % of one core.
pub const SESSION_ANSWERS_PER_S: u32 = 64;
/// First handshake messages a second that each neighbour may bring before those for all: what one
/// who floods cannot take from the others. 0.5 % of one core for each that does.
pub const SESSION_ANSWERS_OWN_PER_S: u32 = 8;
/// "Unknown session" hints that a node sends in a second: they are unauthenticated.
pub const SESSION_HINTS_PER_S: u32 = 16;
/// Small frames (answers and hints) that wait for a link, for all peers together.
pub const SESSION_REPLIES_MAX: usize = 64;
/// A session with open streams on which nothing came for so long asks the other end for an answer:
/// one that gave the session up says so. Two small packets a minute are a sixth of what one link
/// takes for its keepalives.
pub const SESSION_CHECK_AFTER: Duration = Duration::from_secs(60);
/// The longest topic of a stream, in bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = 128;
/// The longest opening arguments of a stream, in bytes: with topic and an acknowledgement they
/// fit the smallest packet.
pub const OPEN_ARGS_BYTES_MAX: usize = 768;
const _: () = assert!(TOPIC_BYTES_MAX + OPEN_ARGS_BYTES_MAX + 300 < PAYLOAD_BYTES_MIN);
/// The credit a stream starts with, in bytes.
pub const WINDOW_BYTES_MIN: u64 = 256 * 1_024;
/// The credit a stream grows to when its reader keeps up, in bytes: 1 GB/s at 4 ms.
pub const WINDOW_BYTES_MAX: u64 = 4 * 1_024 * 1_024;
/// Gaps in one stream's received data: more packets than may be in flight.
pub const STREAM_GAPS_MAX: usize = 2 * 2_048;
/// Received packets that one acknowledgement names, in ranges.
pub const ACK_RANGES_MAX: usize = 32;
/// How long an acknowledgement may wait for company.
pub const ACK_DELAY_MAX: Duration = Duration::from_millis(10);
/// How long the pieces of an unreliable message wait for each other, and how long one waits to
/// be sent when it has no deadline.
pub const UNRELIABLE_AGE_MAX: Duration = Duration::from_secs(5);
/// Unfinished unreliable messages of one lane of a session.
pub const UNRELIABLE_PARTIAL_MAX: usize = 64;
/// A piece of an unfinished unreliable message counts for at least so many bytes, as keeping it takes
/// about 100 beside its own: a true sender cuts none smaller but the last.
pub const UNRELIABLE_PIECE_BYTES_MIN: usize = 256;
/// Unreliable messages of one lane that wait to be sent: bounds what empty ones take.
pub const UNRELIABLE_WAITING_MAX: usize = 4_096;
/// Pings of a node that are under way, or whose outcome is unread: people and probes send a few.
pub const PINGS_MAX: usize = 64;
/// Refusals of a peer's offers that wait on a lane. Who offers more than this and takes no answer
/// is not told; an honest opener gives up by itself.
pub const STREAM_REFUSALS_MAX: usize = 1_024;
/// Ranges of stream numbers that a peer may leave gaps between.
pub const STREAM_NUMBER_GAPS_MAX: usize = 1_024;
