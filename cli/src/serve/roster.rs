//! Whom the clients may name: who is in the mesh, and who was.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hedgerow::presence::{Change, Presence};
use hedgerow::{Peer, PeerKey};

use crate::failure::{ErrorCode, Failure};
use crate::naming::{self, Names};

/// Peers that are remembered: as many as a mesh may have, and as many again that left it.
const KNOWN_MAX: usize = 2 * 4_096;

/// Who is in the mesh, and who left it since the node started: a message to a peer that has
/// just left waits for its return instead of failing for its name.
pub(super) struct Roster {
    presence: Presence,
    /// Who was ever there, with its newest name. Kept from when a peer comes, since the graph
    /// is without it before the word that it left is here.
    known: Mutex<Names>,
}

impl Roster {
    pub(super) fn new(presence: Presence) -> Self {
        Self { presence, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Names> {
        // Nothing in a critical section of this lock can panic half way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers who comes and leaves, until the node ends.
    pub(super) async fn follow(&self) {
        let mut changes = self.presence.changes();
        while let Some(change) = changes.next().await {
            self.on_change(&change);
        }
    }

    fn on_change(&self, change: &Change) {
        match change {
            Change::PeerJoined(peer)
            | Change::PeerUpdated(peer)
            | Change::PeerLeft { peer, .. } => self.remember(peer),
            Change::Lagged { graph, .. } => {
                graph.remote_peers.iter().for_each(|peer| self.remember(peer));
            }
            _ => {}
        }
    }

    fn remember(&self, peer: &Peer) {
        let mut known = self.known();
        if known.len() < KNOWN_MAX || known.contains_key(&peer.peer_key) {
            known.insert(peer.peer_key, peer.device_name.clone());
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
        if let Some(key) = naming::find(&self.known(), text)? {
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
            None => self.known().get(key).cloned().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hedgerow::Mesh;

    use super::*;
    use crate::naming::tests::keys;

    #[tokio::test]
    async fn who_is_gone_from_the_graph_can_be_named_before_the_word_of_it_is_here() {
        let mesh =
            Mesh::builder().name("me").network("test").own_drivers_only().start().await.unwrap();
        let (roster, key) = (Roster::new(mesh.presence()), keys()[0]);
        assert_eq!(roster.find("ben"), Ok(None));
        roster.on_change(&Change::PeerJoined(Peer::new(key, "").into()));
        roster.on_change(&Change::PeerUpdated(Peer::new(key, "ben").into()));
        // The graph of a node that is alone has never seen it.
        assert_eq!(roster.find("ben"), Ok(Some(key)));
        assert_eq!(roster.device_name(&key), "ben");
    }
}
