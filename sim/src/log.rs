//! What happened: the last events for whoever looks for a cause, and a hash of all of them.
//!
//! Two runs of one seed have one hash. Where they do not, something in the world or in the core
//! depends on more than its inputs.

use std::collections::VecDeque;
use std::fmt;

use hedgerow_core::time::Instant;

use crate::air::CableId;
use crate::chance::mix;

/// Events that are kept.
pub const KEPT: usize = 50;

/// Something that happened in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// To whom; `None` for the world itself.
    pub node: Option<usize>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The node put bytes on a link; with their digest.
    Sent(CableId, usize, u64),
    /// Bytes came in on a link.
    Received(CableId, usize, u64),
    /// The node's own time had come.
    Timeout,
    /// Anything else, in words: an event of the core, a command, a fault.
    Said(String),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.at)?;
        match self.node {
            Some(node) => write!(f, "node {node}: ")?,
            None => write!(f, "world: ")?,
        }
        match &self.what {
            What::Sent(cable, bytes, _) => write!(f, "sent {bytes} bytes on cable {}", cable.0),
            What::Received(cable, bytes, _) => write!(f, "got {bytes} bytes on cable {}", cable.0),
            What::Timeout => f.write_str("timeout"),
            What::Said(words) => f.write_str(words),
        }
    }
}

/// The log of a world.
#[derive(Debug, Default)]
pub struct Log {
    last: VecDeque<Entry>,
    hash: u64,
    count: u64,
    echo: bool,
}

impl Log {
    /// Puts every entry but bytes and timeouts on stderr, too.
    pub fn set_echo(&mut self, echo: bool) {
        self.echo = echo;
    }

    pub(crate) fn note(&mut self, at: Instant, node: Option<usize>, what: What) {
        let mut add = |value: u64| self.hash = mix(self.hash.rotate_left(17) ^ value);
        add(at.as_micros());
        add(node.map_or(u64::MAX, |node| node as u64));
        match &what {
            What::Sent(cable, bytes, digest) => [1, cable.0, *bytes as u64, *digest].map(&mut add),
            What::Received(cable, bytes, digest) => {
                [2, cable.0, *bytes as u64, *digest].map(&mut add)
            }
            What::Timeout => [3, 0, 0, 0].map(&mut add),
            What::Said(words) => [4, digest(words.as_bytes()), 0, 0].map(&mut add),
        };
        self.count += 1;
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        let entry = Entry { at, node, what };
        if self.echo && matches!(entry.what, What::Said(_)) {
            eprintln!("{entry}");
        }
        self.last.push_back(entry);
    }

    /// The last events, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &Entry> {
        self.last.iter()
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Events so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// A quick digest of bytes: finds differences, resists nobody.
#[must_use]
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    mix(hash)
}
