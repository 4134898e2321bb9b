//! What goes wrong around a node, and what to do about it.
//!
//! A node goes on whatever strangers and peers do to it. What a person may want to act on is told
//! here, in sentences; [`crate::Counters`] count all of it.
//!
//! What a node says of its surroundings, by question:
//!
//! | question | answer |
//! |---|---|
//! | what went wrong, as it happens? | [`Mesh::notices`]: a reader of events, the latest ones first |
//! | who is near now and cannot join, and why? | [`Mesh::strangers`]: a list, also of those that only show a beacon |
//! | how is each transport now? | [`Mesh::transports`]: its condition |
//! | how often did it happen, all in all? | [`Mesh::counters`] |
//!
//! A failed handshake is in three of them: it makes a notice, once a minute for each host; it
//! makes or counts a stranger; and it is counted. A node of another network that only shows
//! itself is a stranger and no notice: nothing is wrong with it.
//!
//! [`Mesh::notices`]: crate::Mesh::notices
//! [`Mesh::strangers`]: crate::Mesh::strangers
//! [`Mesh::transports`]: crate::Mesh::transports
//! [`Mesh::counters`]: crate::Mesh::counters

use std::collections::VecDeque;
use std::sync::Arc;

pub use hedgerow_core::advert::Refusal;
use hedgerow_core::event::Event;
use hedgerow_core::id::PeerKey;
use hedgerow_core::limits::{METADATA_BYTES_MAX, PEERS_MAX};
use hedgerow_core::link::LinkEnd;
pub use hedgerow_core::link::{HandshakeFailure, Violation};
use hedgerow_core::wire::handshake::Versions;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::presence::metadata::MetadataError;
use crate::runtime::Shared;

/// Something that went wrong, once or several times.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Notice {
    /// What.
    pub trouble: Trouble,
    /// How often the same has happened since it was told last, beside this time.
    pub repeated: u64,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.repeated {
            0 => write!(f, "{}", self.trouble),
            repeated => write!(f, "{} ({repeated} more times)", self.trouble),
        }
    }
}

/// What can go wrong around a node. The text says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Somebody speaks no version of the protocol that this node speaks.
    #[error(
        "{endpoint} is incompatible: it speaks protocol versions {lowest} to {highest}, this node \
         {} to {}; update the older one", Versions::OURS.lowest, Versions::OURS.highest
    )]
    Incompatible {
        /// Where.
        endpoint: String,
        /// The lowest version spoken there, as claimed.
        lowest: u8,
        /// The highest version spoken there, as claimed.
        highest: u8,
    },
    /// A link's handshake failed.
    #[error("no link with {endpoint}: {why}{}", advice(*why))]
    NoHandshake {
        /// Where.
        endpoint: String,
        /// Why.
        why: HandshakeFailure,
    },
    /// Connections that do not go on with their handshake were closed for newcomers.
    #[error(
        "too many connections do not finish their handshake, most of them from {host}; the oldest \
         ones are closed so that newcomers get in: find out what connects from there, or block it"
    )]
    Crowded {
        /// The host that has most of them.
        host: String,
    },
    /// A newcomer was turned away.
    #[error(
        "{endpoint} was turned away: all links of this transport are taken; it will come again, \
         and reaches this node through others meanwhile"
    )]
    TurnedAway {
        /// Where.
        endpoint: String,
    },
    /// A peer broke the protocol; the link is closed.
    #[error(
        "{peer} at {endpoint} broke the protocol, its link is closed: {violation}; update what \
         runs there, and if it does so again, shut it out of the network by a new secret"
    )]
    BrokeProtocol {
        /// Who.
        peer: PeerKey,
        /// Where.
        endpoint: String,
        /// How.
        violation: Violation,
    },
    /// A neighbour offers adverts that are not taken. True nodes check before they pass them on.
    #[error("{from} offers an advert that is not taken: {refusal}{}", refusal_advice(*refusal))]
    AdvertRefused {
        /// Who offers.
        from: PeerKey,
        /// Why it is not taken.
        refusal: Refusal,
    },
    /// A peer tells of more metadata than a node may have, or the cache is full.
    #[error(
        "the metadata of {peer} is not fetched: it tells of {bytes} bytes, at most \
         {METADATA_BYTES_MAX} are allowed, and all of it has to fit the cache; it is shown without"
    )]
    MetadataRefused {
        /// Whose.
        peer: PeerKey,
        /// How large it is said to be.
        bytes: usize,
    },
    /// A peer's metadata is not what metadata may be.
    #[error(
        "the metadata of {peer} is not valid and shown as empty, its owner must set it anew: {why}"
    )]
    InvalidMetadata {
        /// Whose.
        peer: PeerKey,
        /// What is wrong with it.
        why: Arc<MetadataError>,
    },
    /// Another running node has this node's key.
    #[error(
        "another running node uses this node's key, so that others reach now the one, now the \
         other: give one of them a home folder of its own"
    )]
    DuplicateKey,
    /// Peers whose keys give the same address.
    #[error(
        "these peers share an address and cannot be reached: {}; one of them made its key for \
         that, shut it out",
        names(peers)
    )]
    AddressCollision {
        /// Who.
        peers: Vec<PeerKey>,
    },
    /// The node was so busy that it missed events of its own; it has looked at everything again.
    #[error("this node was too busy to follow {lost} of its own events and has looked again")]
    Overloaded {
        /// How many.
        lost: u64,
    },
    /// The reader of the notices was too slow.
    #[error("{missed} notices were missed; the log has them")]
    Missed {
        /// How many.
        missed: u64,
    },
}

fn advice(why: HandshakeFailure) -> &'static str {
    match why {
        HandshakeFailure::NotHedgerow => {
            "; if it is in the list of peers, correct its address and port"
        }
        HandshakeFailure::TimedOut => {
            "; if it is a peer, look whether it is overloaded or behind a firewall"
        }
        HandshakeFailure::Malformed => "; update what runs there",
        // The others say it themselves.
        _ => "",
    }
}

fn refusal_advice(refusal: Refusal) -> String {
    match refusal {
        Refusal::Malformed | Refusal::Forged | Refusal::TooMany => {
            "; update what runs there, and if it does so again, shut it out of the network".into()
        }
        Refusal::Full => format!("; this node knows {PEERS_MAX} peers, divide the network"),
        // Old news: nothing to do.
        _ => String::new(),
    }
}

fn names(peers: &[PeerKey]) -> String {
    peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Trouble {
    /// What an event of the core means to a person; `None` for what goes well or heals by itself.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::LinkDown { endpoint, end: LinkEnd::Handshake(why), .. } => {
                let endpoint = endpoint.to_string();
                match *why {
                    HandshakeFailure::Incompatible { lowest, highest } => {
                        Self::Incompatible { endpoint, lowest, highest }
                    }
                    why => Self::NoHandshake { endpoint, why },
                }
            }
            Event::LinkDown { peer, endpoint, end: LinkEnd::Violation(violation), .. } => {
                let endpoint = endpoint.to_string();
                Self::BrokeProtocol { peer: (*peer)?, endpoint, violation: *violation }
            }
            Event::TurnedAway { endpoint, .. } => {
                Self::TurnedAway { endpoint: endpoint.to_string() }
            }
            Event::Crowded { endpoint, .. } => Self::Crowded { host: endpoint.host().to_owned() },
            // Two who speak at once, or one who comes back: every node offers those at times.
            Event::AdvertRefused { refusal: Refusal::Expired, .. } => return None,
            Event::AdvertRefused { from, refusal } => {
                Self::AdvertRefused { from: *from, refusal: *refusal }
            }
            Event::MetadataRefused { owner, bytes } => {
                Self::MetadataRefused { peer: *owner, bytes: *bytes }
            }
            Event::DuplicateKey { .. } => Self::DuplicateKey,
            Event::AddressCollision(peers) => Self::AddressCollision { peers: peers.clone() },
            Event::Overflow(lost) => Self::Overloaded { lost: *lost },
            _ => return None,
        })
    }

    /// Whether anybody who can reach this node's port can bring it about.
    pub(crate) fn is_of_strangers(&self) -> bool {
        matches!(
            self,
            Self::Incompatible { .. }
                | Self::NoHandshake { .. }
                | Self::Crowded { .. }
                | Self::TurnedAway { .. }
        )
    }

    /// What makes two of them the same trouble: what it is, and who makes it.
    pub(crate) fn subject(&self) -> (std::mem::Discriminant<Self>, String) {
        let host = |endpoint: &str| hedgerow_core::io::Endpoint::new(endpoint).host().to_owned();
        let subject = match self {
            Self::Incompatible { endpoint, .. }
            | Self::NoHandshake { endpoint, .. }
            | Self::TurnedAway { endpoint } => host(endpoint),
            Self::Crowded { host } => host.clone(),
            Self::BrokeProtocol { peer, .. }
            | Self::AdvertRefused { from: peer, .. }
            | Self::MetadataRefused { peer, .. }
            | Self::InvalidMetadata { peer, .. } => peer.to_string(),
            Self::AddressCollision { peers } => names(peers),
            Self::DuplicateKey | Self::Overloaded { .. } | Self::Missed { .. } => String::new(),
        };
        (std::mem::discriminant(self), subject)
    }
}

/// A reader of notices; see [`crate::Mesh::notices`].
#[derive(Debug)]
pub struct Notices {
    shared: Arc<Shared>,
    /// Told before this reader was made.
    recent: VecDeque<Notice>,
    notices: broadcast::Receiver<Notice>,
}

impl Notices {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (recent, notices) = shared.subscribe_notices();
        Self { shared, recent, notices }
    }

    /// The next notice; `None` once the node has shut down and everything was read. A reader
    /// that lags behind gets one [`Trouble::Missed`] instead of what it missed.
    ///
    /// # Cancel safety
    /// Safe: no notice is lost.
    pub async fn next(&mut self) -> Option<Notice> {
        if let Some(notice) = self.recent.pop_front() {
            return Some(notice);
        }
        let next = tokio::select! {
            biased;
            next = self.notices.recv() => next,
            () = self.shared.ended.cancelled() => self.notices.try_recv().map_err(|error| {
                match error {
                    TryRecvError::Lagged(missed) => RecvError::Lagged(missed),
                    TryRecvError::Empty | TryRecvError::Closed => RecvError::Closed,
                }
            }),
        };
        match next {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(missed)) => {
                Some(Notice { trouble: Trouble::Missed { missed }, repeated: 0 })
            }
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::metadata::validate_json_str;

    /// What a user reads of each fault, as docs/features.md has it.
    fn sentences() -> Vec<Trouble> {
        let endpoint = || "192.168.1.9:4040".to_owned();
        let peer = "pkJRzoiYZqJJUIXe9rYkVV9XUTha_0rC-bgjTmcCuoYCU".parse::<PeerKey>().unwrap();
        let failed = |why| Trouble::NoHandshake { endpoint: endpoint(), why };
        let broke = |violation| Trouble::BrokeProtocol { peer, endpoint: endpoint(), violation };
        let refused = |refusal| Trouble::AdvertRefused { from: peer, refusal };
        let too_deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
        vec![
            failed(HandshakeFailure::NotHedgerow),
            failed(HandshakeFailure::TimedOut),
            failed(HandshakeFailure::OtherNetwork),
            failed(HandshakeFailure::HungUp),
            failed(HandshakeFailure::OpenAndClosed),
            failed(HandshakeFailure::Malformed),
            Trouble::Crowded { host: "192.168.1.9".to_owned() },
            Trouble::Incompatible { endpoint: endpoint(), lowest: 7, highest: 9 },
            Trouble::TurnedAway { endpoint: endpoint() },
            broke(Violation::FrameTooLarge),
            broke(Violation::SealBroken),
            refused(Refusal::Forged),
            Trouble::MetadataRefused { peer, bytes: 131_073 },
            Trouble::InvalidMetadata {
                peer,
                why: Arc::new(validate_json_str(&too_deep).unwrap_err()),
            },
            Trouble::DuplicateKey,
        ]
    }

    #[test]
    fn every_sentence_of_the_page_is_what_a_user_reads() {
        let page = include_str!("../../docs/features.md");
        let missing: Vec<String> = sentences()
            .iter()
            .map(ToString::to_string)
            .map(|sentence| {
                sentence.replace("pkJRzoiYZqJJUIXe9rYkVV9XUTha_0rC-bgjTmcCuoYCU", "PEER")
            })
            .map(|sentence| sentence.replace("192.168.1.9", "HOST"))
            .filter(|sentence| !page.contains(&format!("\u{60}{sentence}\u{60}")))
            .collect();
        assert!(missing.is_empty(), "docs/features.md has not:\n{}", missing.join("\n"));
    }
}
