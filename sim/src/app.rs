//! What applications do on the nodes of a world: planned traffic, and receivers of every temper.

mod desk;
mod flow;
mod letter;
mod streams;
mod traffic;

use std::fmt;

use hedgerow_core::bus::{MessageId, Outcome, StreamEnd, StreamId};

pub use desk::{Desk, Manner, Shared};
pub use flow::{Flow, Kind};
pub use letter::{LETTER_BYTES_MIN, Letter, Post};
pub use traffic::Traffic;

/// One run of a node: what restarts is somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who {
    /// The node.
    pub node: usize,
    /// Its run, from 1.
    pub run: u32,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} (run {})", self.node, self.run)
    }
}

/// Names a stream at both of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    /// Who opened it.
    pub opener: Who,
    /// Its number among those of the opener, from 1.
    pub number: u32,
}

/// Something an application did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affair {
    /// A reliable message was taken by the Bus.
    Sent {
        /// Who sent it.
        by: Who,
        /// What its outcome will name.
        id: MessageId,
        /// What it is.
        letter: Letter,
    },
    /// The outcome of a reliable message.
    Done {
        /// Who sent it.
        by: Who,
        /// Which.
        id: MessageId,
        /// What became of it.
        outcome: Outcome,
    },
    /// An unreliable message was taken by the Bus.
    LooseSent {
        /// What it is.
        letter: Letter,
    },
    /// A message is in an application's queue; a reliable one was accepted.
    Taken {
        /// Whose queue.
        by: Who,
        /// What came.
        letter: Letter,
    },
    /// An application refused a reliable message.
    Refused {
        /// Whose.
        by: Who,
        /// What came.
        letter: Letter,
        /// With which code.
        code: u32,
    },
    /// Something came that nobody sent so, or not from there, or not to here.
    Wrong {
        /// To whom.
        by: Who,
        /// What is wrong.
        what: String,
    },
    /// A stream has a number at one of its ends.
    StreamBegan {
        /// At whom.
        by: Who,
        /// Its number there.
        id: StreamId,
        /// Which stream.
        name: StreamName,
    },
    /// A message was taken onto a stream.
    StreamSent {
        /// Who sent it.
        by: Who,
        /// On which stream.
        id: StreamId,
        /// What it is.
        letter: Letter,
    },
    /// The opener sends no more.
    StreamDone {
        /// Who.
        by: Who,
        /// On which stream.
        id: StreamId,
    },
    /// A message came out of a stream.
    StreamTaken {
        /// At whom.
        by: Who,
        /// Of which stream.
        id: StreamId,
        /// What came.
        letter: Letter,
    },
    /// The opener heard how far the other side's application got.
    StreamAcked {
        /// Who.
        by: Who,
        /// On which stream.
        id: StreamId,
        /// All messages up to this number.
        upto: u64,
    },
    /// An end heard that the other side finished and everything was read.
    StreamEndRead {
        /// Who.
        by: Who,
        /// Of which stream.
        id: StreamId,
    },
    /// A stream is no more.
    StreamClosed {
        /// At whom.
        by: Who,
        /// Which.
        id: StreamId,
        /// Why.
        end: StreamEnd,
    },
}
