//! A running node.

use std::net::SocketAddr;
use std::sync::Arc;

use hedgerow_core::counters::Counters;
use hedgerow_core::id::PeerKey;
use tokio::sync::watch;

use crate::builder::MeshBuilder;
use crate::bus::Bus;
use crate::links::{Link, Refusal, Stranger, TransportStatus};
use crate::notice::Notices;
use crate::presence::Presence;
use crate::runtime::{Call, Shared};

/// A running node: this device's part of the mesh.
///
/// Cheap to clone; every clone is the same node. When the last clone is dropped the node shuts
/// down by itself, without waiting; [`Mesh::shutdown`] waits and says goodbye.
#[derive(Clone, Debug)]
pub struct Mesh {
    pub(crate) shared: Arc<Shared>,
    /// Closes the runtime when the last handle is gone.
    _alive: Arc<Alive>,
}

/// The node has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mesh node has shut down")]
pub struct MeshClosed;

/// Held by handles only: its drop asks the runtime to end.
#[derive(Debug)]
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.stop.cancel();
    }
}

impl Mesh {
    /// Configures a node.
    #[must_use]
    pub fn builder() -> MeshBuilder {
        MeshBuilder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { _alive: Arc::new(Alive(shared.clone())), shared }
    }

    /// Who is there.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::new(self.shared.clone())
    }

    /// Messages and streams.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.shared.clone())
    }

    /// This node's peer key.
    #[must_use]
    pub fn peer_key(&self) -> PeerKey {
        self.shared.peer_key
    }

    /// The network this node is in.
    #[must_use]
    pub fn network_name(&self) -> &str {
        &self.shared.network_name
    }

    /// Whether everybody who knows the network's name may join it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.open
    }

    /// The addresses the local network's listener was bound to at the start; empty without one.
    /// One that could not be bound then is tried again, and its transport's condition says so.
    #[must_use]
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        &self.shared.listen_addresses
    }

    /// All links, up or coming up.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn links(&self) -> Result<Vec<Link>, MeshClosed> {
        self.shared.ask(Call::Links).await
    }

    /// Who is near and cannot join: at most 64 of them, those that were met last. Failed attempts
    /// are told as [`Mesh::notices`], too; [`crate::notice`] says what is for what.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn strangers(&self) -> Result<Vec<Stranger>, MeshClosed> {
        self.shared.ask(Call::Strangers).await
    }

    /// Where peers are not reached for now, and why: what was dialled in vain or broke, and is
    /// dialled again later and later, up to ten minutes. Where links are made on demand, failures
    /// are remembered for as long as that even when the peer is out of sight.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn refusals(&self) -> Result<Vec<Refusal>, MeshClosed> {
        self.shared.ask(Call::Refusals).await
    }

    /// What was dropped, refused or skipped, by cause.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn counters(&self) -> Result<Counters, MeshClosed> {
        self.shared.ask(Call::Counters).await
    }

    /// What goes wrong around this node, in sentences that say what to do: the latest 64 notices,
    /// and then those that come. The same trouble is told once a minute; [`crate::notice`] says
    /// what else there is to ask.
    #[must_use]
    pub fn notices(&self) -> Notices {
        Notices::new(self.shared.clone())
    }

    /// The transports and their conditions.
    #[must_use]
    pub fn transports(&self) -> Arc<[TransportStatus]> {
        self.shared.transports.borrow().clone()
    }

    /// The transports' conditions as they change. Waiting for a change is an error once the node
    /// has shut down.
    #[must_use]
    pub fn transport_changes(&self) -> watch::Receiver<Arc<[TransportStatus]>> {
        let mut changes = self.shared.transports.clone();
        // Those from now on.
        changes.mark_unchanged();
        changes
    }

    /// Says goodbye to everybody, closes every link and ends every task of the node. Afterwards
    /// all handles answer [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Once polled, the shutdown goes on when the future is dropped.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.ended.cancelled().await;
    }
}
