//! A deterministic world of many Hedgerow nodes: virtual time, one seed, no clock and no thread.
//!
//! [`World`] runs real core nodes ([`hedgerow_core::node::Node`]) the way a host runs them. Time
//! is a heap of what is to happen, keyed (time, sequence); chance is one seed. The same [`Plan`]
//! and the same calls give the same run, and its [`log::Log`] has the same hash.
//!
//! ```
//! use hedgerow_core::time::Duration;
//! use hedgerow_sim::{Medium, Plan, World, topology};
//!
//! let mut world = World::new(Plan::new(1, 4, Medium::lan()));
//! world.connect_all(0, &topology::ring(4));
//! let end = world.now() + Duration::from_secs(2);
//! assert!(world.run_until_true(end, World::all_see_all));
//! ```
//!
//! Where things are:
//!
//! | file | idea |
//! |---|---|
//! | [`plan`] | what a world is made of |
//! | [`medium`] | what links, sightings and dials on a medium are like: [`Medium::lan`], [`Medium::radio`] |
//! | [`world`] | the loop: [`World::step`], [`World::run_until`], [`World::run_until_true`] |
//! | `world/turn` | what a host does after each input; [`world::Defect`]: stuck timers, turns without rest |
//! | `world/carry` | dials, links, bytes on their way; [`World::cut`] loses a link at both ends |
//! | `world/reach` | [`World::connect`], [`World::disconnect`], [`World::sever`], [`World::set_hearing`] |
//! | `world/life` | [`World::start`], [`World::stop`], [`World::crash`], [`World::suspend`], [`World::resume`], [`World::lose_home`], [`World::set_epoch`] |
//! | `world/truth` | the mesh as it is: [`World::truth`], [`World::all_see_all`] |
//! | [`host`] | one node with its home, clock, links, [`host::View`]; [`host::App`] is what runs on it |
//! | [`air`] | reaches (who is near) and cables (links that stand), each two [`air::Way`]s |
//! | `air/way` | a netem pipe made reliable and in order: loss becomes delay |
//! | [`tally`] | bytes at the core's output by class: handshake, keepalive, control, data |
//! | [`log`] | the last 50 events and a hash of all |
//! | [`topology`] | line, ring, grid, tree, random places |
//! | [`walk`] | people who walk about with radios |
//! | [`ledger`] | memory to the byte, an account for each node: [`host::Host::memory`] |
//! | [`swift`] | for big worlds: quick seals, remembered signatures ([`Plan::swift`]) |
//! | [`scenario`] | what is to happen in a world, drawn from a seed; [`fault`]: what goes wrong |
//! | [`story`] | a scenario from its beginning to its end, with all checkers looking on |
//! | [`check`] | what must hold in every world; a checker is a file |
//! | [`double`] | nodes that break a promise on purpose |
//! | [`scale`] | how meshes behave as they grow: docs/scale.md |
//! | [`chance`] | the one seed, forked by purpose |
//!
//! A fault is a call on `World` between two steps: run until its time, call, run on. What a
//! checker wants to see is in [`World::hosts`] (the nodes themselves by [`host::Host::node`]),
//! [`World::air`] and [`World::truth`]; ask after each moment with [`World::run_until_true`].

pub mod air;
pub mod app;
pub mod chance;
pub mod check;
pub mod double;
pub mod fault;
pub mod host;
pub mod ledger;
pub mod log;
pub mod medium;
pub mod plan;
mod queue;
pub mod scale;
pub mod scenario;
pub mod story;
pub mod swift;
pub mod tally;
pub mod topology;
pub mod walk;
pub mod world;

pub use medium::Medium;
pub use plan::Plan;
pub use world::World;
