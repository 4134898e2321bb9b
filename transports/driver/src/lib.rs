//! The contract every Hedgerow transport driver fulfils.
//!
//! A driver is one async function and bounded channels. It reports sightings, links, bytes and
//! conditions; it obeys dial, send and close. It decides nothing else: whom to dial, when to
//! back off and which duplicate to drop is the core's `dial`, and everything it carries is
//! sealed before it gets it.
//!
//! # How to write one
//!
//! Implement [`Driver`]: a [`TransportProfile`] that says what the medium can carry, and
//! [`Driver::run`], which lives as long as the node.
//!
//! ```
//! use hedgerow_driver::{Driver, DriverError, DriverFuture, Port};
//! use hedgerow_core::io::{ConnectionType, Dialling, TransportCommand, TransportProfile};
//! use std::time::Duration;
//!
//! struct Carrier;
//!
//! impl Driver for Carrier {
//!     fn profile(&self) -> TransportProfile {
//!         TransportProfile {
//!             kind: ConnectionType::other("pigeon"),
//!             links_max: 4,
//!             dials_max: 1,
//!             dial_timeout: Duration::from_secs(60),
//!             dialled: Dialling::InSight,
//!         }
//!     }
//!
//!     fn run(self: Box<Self>, mut port: Port) -> DriverFuture {
//!         Box::pin(async move {
//!             while let Some(command) = port.commands.recv().await {
//!                 match command {
//!                     TransportCommand::Advertise(_) => { /* show the beacon */ }
//!                     TransportCommand::Dial { .. } => { /* spawn an attempt */ }
//!                     TransportCommand::CancelDial(_) | TransportCommand::Close(_) => {}
//!                     TransportCommand::Hint { .. } => { /* pigeons need no hints */ }
//!                 }
//!             }
//!             Ok(()) // the node is shutting down: say goodbye, close the links, return
//!         })
//!     }
//! }
//! ```
//!
//! # The rules
//!
//! 1. **Links.** When a dial succeeds or somebody comes in, take a number with
//!    [`Reports::next_link`], announce the link with [`Reports::link_up`] and write what the
//!    [`Outgoing`] gives you, in order, whole. Report what comes in with
//!    [`Reports::received`], in order. Announce a link before its first bytes, and report
//!    nothing of it after [`Reports::link_down`], which comes exactly once. Nobody comes in
//!    before the first `Advertise`.
//! 2. **Back-pressure.** The node pulls a chunk from the core only when [`Outgoing`] has room,
//!    and [`Outgoing`] holds [`CHUNKS_IN_DRIVER`] chunks of a stream. So await the medium's own
//!    acceptance of a chunk before you take the next one, and bound what the operating system
//!    queues to about one bandwidth-delay product: otherwise a control frame waits behind
//!    megabytes. Packets: rule 8.
//! 3. **Dials.** Answer each dial exactly once, by a link whose origin is that dial or by
//!    [`Reports::dial_failed`], also when it is cancelled. Run them beside each other and never
//!    let one hold up the command loop. Cancelling a dial that is answered, and closing a link
//!    that is down, is harmless.
//! 4. **Close.** The node drops its sender and says `Close`. Call [`Outgoing::close`], so that you
//!    need not wait for the first; write what you already took, then close, then report
//!    `LinkDown`. An end that does not read may hold this up for seconds, not for good.
//! 5. **Conditions.** Say in [`Condition`] what does not work and what to do about it, say
//!    [`Condition::ok`] when it works again, and go on with what does work. Return an error only
//!    when nothing can: the node shows it, runs on without you, and does not start you again.
//! 6. **Shutdown.** When `commands` closes: stop advertising (with a goodbye where the medium
//!    has one), close the links, join every task you started, return. Aim for less than a
//!    second, also when nobody reads your reports any more: what waits to report then may be
//!    dropped. `run` may also be dropped at any await: whatever it spawned must end with it, so
//!    keep tasks in a `JoinSet`.
//! 7. **Every channel is bounded.** Reports wait when the node is busy: that is the medium's
//!    back-pressure, keep it. The node in turn reads reports whatever else it waits for.
//! 8. **Packets.** See below: one packet a transmit, one report a packet, and at most
//!    [`PACKETS_IN_DRIVER`] of them before the medium.
//! 9. **Distances.** A medium that hears how far away the other end of a link is may say so with
//!    [`Reports::distance`]: smoothed, in metres rather than in what it measures, and `None` once it
//!    is not known any more. Say it when it has changed, never twice the same, and not much more
//!    often than once a second: keep the newest while the node is busy. It is shown and decides
//!    nothing.
//! 10. **Hints.** What those of the same medium at neighbours need in order to find this device, and
//!     cannot see, may go over whatever links stand: [`Reports::hint`] says it, `Hint` commands bring
//!     what others say. All neighbours hear it, each replaces the one before, and none may be relied
//!     on. A neighbour is who it says; check everything else, and bound what a stream of hints makes
//!     you do.
//!
//! # Streams and packets
//!
//! A medium that has made a reliable stream of its bytes, like TCP, has links of the shape
//! [`LinkShape::Stream`]. One that carries packets, like the values and the channels of Bluetooth,
//! says [`LinkShape::Packet`] and leaves the rest to the core: it cuts frames into packets, repeats
//! what is lost and puts together what arrives. Do not do any of that below it. Such a driver owes
//! this:
//!
//! - What [`Outgoing`] gives is one packet, of at most `packet_bytes`. Send it as one.
//! - Each [`Reports::received`] is one packet as the other end sent it: never two of them, never a
//!   part of one. It may be lost, doubled, late, cut or altered by the medium; drop one that you
//!   know to be cut.
//! - It holds at most [`PACKETS_IN_DRIVER`] packets that the medium has not accepted: the one that
//!   it writes, and the one that waits in [`Outgoing`]. Take none in advance. A queue of the
//!   operating system or the chip that can be bounded is kept at a packet or two, since lanes
//!   overtake only what has not left the core.
//! - When the size changes, as after an exchange of MTUs, [`Reports::packet_bytes`] says so before
//!   anything larger is expected; a smaller size is told as soon as it is known. [`whole_pdus`]
//!   finds the size that serves Bluetooth best.
//! - `is_ordered` is said only where truly nothing is lost, doubled, reordered or altered while
//!   the link stands, like on a connection-oriented channel of L2CAP: the core then repeats and
//!   checks nothing. The packets of such a link never get smaller.
//!
//! The core keeps to the profile: it runs no more than `dials_max` dials at once, and does not
//! dial where `links_max` links stand or are being dialled, but for a link that replaces one in
//! doubt. Who comes in beyond `links_max` is the core's to refuse, or to give another link's slot,
//! with a reason that the other end understands; so let a few more in than the profile says, and
//! refuse only what the hardware cannot hold.
//!
//! # Links that are dear
//!
//! Where a link takes seconds, power or what the user does with the radio, say
//! [`Dialling::OnDemand`] with what a link carries once it stands. The node then dials a peer in
//! sight only where it is out of reach otherwise, where a link to it has become suspect, or where
//! data waits that such a link would carry much faster, and closes the link when it idles. Go on
//! reporting sightings as they are: a dial that failed is tried again after 10 s to 10 min, whatever
//! is sighted meanwhile. The last of `links_max` slots is for peers out of reach, so a faster link
//! takes two.
//!
//! # Does mine keep them?
//!
//! [`conformance`] tries a driver on each of these rules, and says which one it broke.

#![forbid(unsafe_code)]

mod beacon;
pub mod conformance;
mod disabled;
mod links;
mod port;

use std::future::Future;
use std::pin::Pin;

pub use beacon::may_be_of;
pub use disabled::Disabled;
pub use hedgerow_core::id::{Address, DialId, LinkId, PeerKey, TransportId};
pub use hedgerow_core::io::{
    ApproximateDistance, Beacon, BeaconIdentity, Condition, ConditionState, ConnectionType,
    DialFailure, Dialling, Endpoint, Hint, LinkEstimate, LinkLoss, LinkOrigin, LinkShape, LinkUp,
    Power, Sighting, TransportCommand, TransportEvent, TransportProfile, whole_pdus,
};
pub use links::{LinkDeadline, Links, OpenLink};
pub use port::{
    CHUNKS_IN_DRIVER, LinkSender, NodeGone, NodePort, NodeSlot, Outgoing, PACKETS_IN_DRIVER, Port,
    Report, Reports, connect,
};

/// What [`Driver::run`] returns.
pub type DriverFuture = Pin<Box<dyn Future<Output = Result<(), DriverError>> + Send>>;

/// A way to reach others.
pub trait Driver: Send + 'static {
    /// What the medium is and can carry. Asked once, before [`Driver::run`].
    fn profile(&self) -> TransportProfile;

    /// Runs the driver until the node shuts down.
    ///
    /// # Errors
    /// When the driver cannot work at all any more. The node shows the error as the transport's
    /// condition and goes on.
    fn run(self: Box<Self>, port: Port) -> DriverFuture;
}

/// Why a driver ended.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct DriverError {
    /// What failed and what to do about it, in a sentence.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DriverError {
    /// An error in words.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// An error in words, with its cause.
    #[must_use]
    pub fn with_source(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl From<NodeGone> for DriverError {
    fn from(gone: NodeGone) -> Self {
        Self::with_source("the node is gone", gone)
    }
}
