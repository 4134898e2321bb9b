//! What must hold in every world, looked at all the time.
//!
//! Each checker is a file with one promise in it. It sees the whole world after every moment, what
//! the applications did and saw as it happens, and says in words what is broken.

mod control;
mod converged;
mod delivery;
mod hints;
mod idle;
mod loops;
mod loose;
mod memory;
mod streams;
mod timers;

use std::fmt;

use hedgerow_core::id::PeerKey;
use hedgerow_core::io::Hint;
use hedgerow_core::presence::Graph;
use hedgerow_core::time::{Duration, Instant};

pub use control::Control;
pub use converged::{CONVERGED_WITHIN, Converged, difference};
pub use delivery::Delivery;
pub use hints::Hints;
pub use idle::Idle;
pub use loops::Loops;
pub use loose::Loose;
pub use memory::Memory;
pub use streams::Streams;
pub use timers::Timers;

use crate::app::{Affair, Desk, Who};
use crate::double::Double;
use crate::host::State;
use crate::tally::Sent;
use crate::world::World;

/// A promise is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach(pub String);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says in words what is broken.
macro_rules! breach {
    ($($words:tt)*) => { Err(Breach(format!($($words)*))) };
}
use breach;

/// How far a story is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Things go wrong.
    Storm,
    /// Everything is well again; the mesh finds together.
    Calm,
    /// Everybody sees everybody, and what is still under way comes to its end.
    Ending,
    /// Everybody has a word for somebody that has to arrive.
    LastWords,
    /// Nobody has anything to say.
    Idle,
}

/// The whole world, as a checker sees it.
pub struct View<'a> {
    /// The nodes and what is between them.
    pub world: &'a World,
    /// Who is who.
    pub desk: &'a Desk,
    /// How far the story is.
    pub phase: Phase,
    /// Since when.
    pub since: Instant,
    /// What a test has a node pretend.
    pub double: Option<&'a Double>,
}

impl View<'_> {
    /// The world's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Whether this very run of a node still goes on.
    #[must_use]
    pub fn runs(&self, who: Who) -> bool {
        let host = self.world.host(who.node);
        let instance = host.node().map(|node| node.local().instance);
        host.state() != State::Off && instance.is_some() && instance == self.desk.instance(who)
    }

    /// To whom `node` hands what is for `to`.
    #[must_use]
    pub fn next_hop(&self, node: usize, to: usize) -> Option<usize> {
        if let Some(next) = self.double.and_then(|double| double.next_hop(node, to)) {
            return Some(next);
        }
        let core = self.world.host(node).node()?;
        let route = core.route(&self.world.host(to).key())?;
        // A neighbour that lost its key since is nobody who could hand anything on.
        let next = self.world.owner(&route.next_hop)?;
        (self.world.host(next).key() == route.next_hop).then_some(next)
    }

    /// The graph as `node` sees it.
    #[must_use]
    pub fn graph(&self, node: usize) -> Option<Graph> {
        let host = self.world.host(node);
        let graph = host.node()?.graph(host.clock(self.now()));
        Some(match self.double {
            Some(double) => double.graph(node, graph),
            None => graph,
        })
    }

    /// Bytes of control of one direction of a link, all in all.
    #[must_use]
    pub fn control_bytes(&self, node: usize, sent: &Sent) -> u64 {
        let bytes = sent.control.bytes;
        self.double.map_or(bytes, |double| double.control_bytes(node, bytes))
    }

    /// What the driver of a medium at `node` was told by a neighbour's.
    #[must_use]
    pub fn hint(&self, node: usize, medium: u8, from: PeerKey) -> Hint {
        let heard = self.world.host(node).hints().heard(medium, from);
        self.double.map_or(heard.clone(), |double| double.hint(node, heard))
    }

    /// Time in this phase.
    #[must_use]
    pub fn phase_time(&self) -> Duration {
        self.now().since(self.since)
    }
}

/// One promise.
pub trait Checker {
    /// What it is called, in failures and on the command line.
    fn name(&self) -> &'static str;

    /// An application did or saw something.
    ///
    /// # Errors
    /// What is broken.
    fn on_affair(&mut self, affair: &Affair) -> Result<(), Breach> {
        let _ = affair;
        Ok(())
    }

    /// A moment is over: nothing more happens at this time.
    ///
    /// # Errors
    /// What is broken.
    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let _ = view;
        Ok(())
    }

    /// The story is over.
    ///
    /// # Errors
    /// What is broken.
    fn on_end(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let _ = view;
        Ok(())
    }

    /// What it counted, for summaries.
    fn figures(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// All promises.
#[must_use]
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::<Timers>::default(),
        Box::<Delivery>::default(),
        Box::<Loose>::default(),
        Box::<Streams>::default(),
        Box::<Loops>::default(),
        Box::<Converged>::default(),
        Box::<Memory>::default(),
        Box::<Control>::default(),
        Box::<Idle>::default(),
        Box::<Hints>::default(),
    ]
}
