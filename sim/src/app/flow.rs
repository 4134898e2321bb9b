//! A planned flow of traffic from one node to another.

use std::fmt;

use hedgerow_core::io::Lane;
use hedgerow_core::time::Duration;

/// What a flow is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reliable messages; each gives up by itself after this, if it says so.
    Reliable(Option<Duration>),
    /// Unreliable messages.
    Loose,
    /// Reliable streams of so many messages each.
    Stream(u32),
}

/// A flow of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sends.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// On which lane.
    pub lane: Lane,
    /// What.
    pub kind: Kind,
    /// How long after its node's first start the first message goes.
    pub begins_after: Duration,
    /// The time between two messages.
    pub every: Duration,
    /// Messages in all.
    pub messages: u32,
    /// The smallest and the largest message, in bytes.
    pub bytes: (usize, usize),
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, lane, kind, every, messages, bytes: (least, most), .. } = self;
        write!(
            f,
            "{from} to {to}: {messages} of {least} to {most} bytes, one in {every:?}, {lane:?}, \
             {kind:?}"
        )
    }
}
