//! One endpoint that may lead to a peer.

use super::{Candidacy, Failure, jitter};
use crate::entropy::Entropy;
use crate::id::{Address, DialId, LinkId, PeerKey};
use crate::limits::{DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN};
use crate::time::{Duration, Instant};

/// A link that lasted so long was a success: the next back-off starts from the shortest wait.
const STEADY: Duration = Duration::from_secs(10);

/// What is known of an endpoint, and what is being done with it.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Whom it leads to: first what its beacon claims, then what was found.
    pub(super) address: Option<Address>,
    pub(super) peer: Option<PeerKey>,
    pub(super) configured: bool,
    /// Its place among the sightings: a driver tells the most promising endpoint of a peer first.
    pub(super) order: u64,
    pub(super) failures: u32,
    /// When the back-off after its last failure is over.
    pub(super) backed_off: Option<Instant>,
    pub(super) phase: Phase,
    /// While dialling: since when, and when to give up.
    pub(super) dialled_at: Instant,
    pub(super) deadline: Instant,
    /// When its link's handshake was done.
    up_since: Option<Instant>,
    /// It vanished while it was in use: it goes when it is idle.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle {
        next_at: Instant,
    },
    Dialling(DialId),
    Linked(LinkId),
    /// It leads back to this node.
    Never,
}

impl Candidate {
    pub(super) fn new(
        address: Option<Address>,
        configured: bool,
        order: u64,
        next_at: Instant,
    ) -> Self {
        Self {
            address,
            peer: None,
            configured,
            order,
            failures: 0,
            backed_off: None,
            phase: Phase::Idle { next_at },
            dialled_at: next_at,
            deadline: next_at,
            up_since: None,
            lost: false,
        }
    }

    pub(super) fn candidacy(&self) -> Candidacy {
        Candidacy { address: self.address }
    }

    pub(super) fn is_of(&self, peer: &PeerKey) -> bool {
        self.peer == Some(*peer) || self.address == Some(peer.address())
    }

    /// Its link's handshake showed who is there.
    pub(super) fn on_established(&mut self, now: Instant, peer: PeerKey) {
        self.peer = Some(peer);
        self.address = Some(peer.address());
        self.up_since = Some(now);
    }

    /// Seen again, perhaps as somebody else: then it starts afresh.
    pub(super) fn on_sighting(&mut self, now: Instant, address: Option<Address>, configured: bool) {
        self.lost = false;
        self.configured |= configured;
        if address.is_some() && address != self.address {
            self.address = address;
            self.peer = None;
            (self.failures, self.backed_off) = (0, None);
            if let Phase::Idle { next_at } = &mut self.phase {
                *next_at = (*next_at).min(now);
            }
        }
    }

    /// False when nothing keeps it.
    pub(super) fn on_lost(&mut self) -> bool {
        self.lost = !self.configured;
        self.configured || !matches!(self.phase, Phase::Idle { .. })
    }

    pub(super) fn on_failure(&mut self, now: Instant, entropy: &mut dyn Entropy, failure: Failure) {
        if self.up_since.take().is_some_and(|since| now.since(since) >= STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = match failure {
            Failure::Ordinary => jitter(entropy, backoff(self.failures)).min(DIAL_BACKOFF_MAX),
            Failure::Hopeless => jitter(entropy, DIAL_BACKOFF_MAX * 6),
            Failure::Later(wait) => wait + jitter(entropy, DIAL_BACKOFF_MIN),
            Failure::Myself => {
                self.phase = Phase::Never;
                return;
            }
        };
        self.backed_off = Some(now + wait);
        self.phase = Phase::Idle { next_at: now + wait };
    }

    /// Whether it vanished and nothing uses it any more.
    pub(super) fn is_over(&self) -> bool {
        self.lost && matches!(self.phase, Phase::Idle { .. })
    }
}

/// Doubles from the shortest wait to the longest.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DIAL_BACKOFF_MIN * (1 << doublings)).min(DIAL_BACKOFF_MAX)
}
