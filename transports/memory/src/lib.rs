//! In-process links for tests, demos and examples: a medium with the shape of a radio.
//!
//! A [`Medium`] is an air that nodes share. Each node attaches with a driver of its own; who is
//! in reach of whom, and how fast and how far, is said by name, before or after they attach:
//!
//! ```
//! use hedgerow_memory::{Medium, Shape};
//!
//! let medium = Medium::new();
//! medium.connect("anna", "ben", Shape::slow_radio())?;
//! medium.connect("ben", "cleo", Shape::lan())?;
//!
//! let driver = medium.driver("anna").links_max(4); // give it to the node
//! # let _ = driver;
//!
//! medium.disconnect("ben", "cleo")?; // both notice
//! medium.mend("ben", "cleo")?;
//! medium.silence("anna", "ben")?; // nobody notices, and nothing arrives
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An endpoint on a medium is the name of a node. Several media can stand beside each other,
//! each with a name of its own ([`Medium::named`]), and a node can be on more than one.
//!
//! Links are stream-shaped, reliable and in order, where the shape has no MTU. Where it has one,
//! they are packet-shaped, and what the shape does to packets happens to them: they are lost,
//! doubled, late or damaged, by a chance that is the same in each run.
//!
//! ```
//! # use hedgerow_memory::{Medium, Shape};
//! # let medium = Medium::new();
//! // One value of twenty is lost, as beside an oven.
//! medium.connect("dora", "emil", Shape { loss_ppm: 50_000, ..Shape::bluetooth() })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The bytes of each direction pass a [`Pipe`](hedgerow_netem::Pipe) that gives them their rate
//! and delay; they arrive chunk by chunk, each when its last byte does. Time is tokio's, so
//! `tokio::time::pause` makes it virtual; timers are good to a millisecond, and so is each
//! arrival, but the rate is exact.
//!
//! Not supported: loss on streams (it is refused), packets that are cut or in order, another MTU
//! while a link stands, and other shapes in one direction than in the other.

#![forbid(unsafe_code)]

mod air;
mod attached;
mod dial;
mod driver;
mod figures;
mod link;
mod medium;
mod sightings;
mod way;

pub use driver::Memory;
pub use hedgerow_netem::{Burst, Shape};
pub use medium::{ConnectError, Medium, NotConnected};
