//! Whom the clients may name: who is in the mesh, and who was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hedgerow::presence::{Change, Presence};
use hedgerow::{Peer, PeerKey};

use crate::failure::{ErrorCode, Failure};
use crate::naming::{self, Names};

/// Departed peers that are remembered: as many as a mesh may have.
const DEPARTED_MAX: usize = 4_096;

/// Who is in the mesh, and who left it since the node started: a message to a peer that has
/// just left waits for its return instead of failing for its name.
pub(super) struct Roster {
    presence: Presence,
    departed: Mutex<Names>,
}

impl Roster {
    pub(super) fn new(presence: Presence) -> Self {
        Self { presence, departed: Mutex::default() }
    }

    fn departed(&self) -> MutexGuard<'_, Names> {
        // Nothing in a critical section of this lock can panic half way.
        self.departed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers who leaves, until the node ends.
    pub(super) async fn follow(&self) {
        let mut changes = self.presence.changes();
        while let Some(change) = changes.next().await {
            match change {
                Change::PeerLeft { peer, .. } => self.remember(&peer),
                Change::PeerJoined(peer) => drop(self.departed().remove(&peer.peer_key)),
                _ => {}
            }
        }
    }

    fn remember(&self, peer: &Peer) {
        let mut departed = self.departed();
        if departed.len() < DEPARTED_MAX {
            departed.insert(peer.peer_key, peer.device_name.clone());
        }
    }

    /// The peer that `text` names; who is there goes before who was.
    ///
    /// # Errors
    /// [`ErrorCode::PeerAmbiguous`], or [`ErrorCode::PeerUnknown`] for this node itself.
    pub(super) fn find(&self, text: &str) -> Result<Option<PeerKey>, Failure> {
        let graph = self.presence.graph();
        if let Some(key) = naming::find(&naming::names(graph.remote_peers.iter()), text)? {
            return Ok(Some(key));
        }
        if let Some(key) = naming::find(&self.departed(), text)? {
            return Ok(Some(key));
        }
        match naming::find(&naming::names([&*graph.local_peer]), text)? {
            None => Ok(None),
            Some(_) => {
                let message = format!("{text:?} is this node itself");
                let hint = "name another peer: see `hedgerow peers`";
                Err(Failure::new(ErrorCode::PeerUnknown, message, hint))
            }
        }
    }

    /// As [`Roster::find`]; nobody is an error too.
    pub(super) fn require(&self, text: &str) -> Result<PeerKey, Failure> {
        self.find(text)?.ok_or_else(|| naming::unknown(text))
    }

    /// The device name of a peer; empty if it is not known any more.
    pub(super) fn device_name(&self, key: &PeerKey) -> String {
        let graph = self.presence.graph();
        let present = graph.remote_peers.iter().find(|peer| peer.peer_key == *key);
        match present {
            Some(peer) => peer.device_name.clone(),
            None => self.departed().get(key).cloned().unwrap_or_default(),
        }
    }
}
