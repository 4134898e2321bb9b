//! Presence of a running node.

use std::sync::Arc;

use serde::Serialize;

use super::metadata::{self, METADATA_BYTES_WARN, Metadata, MetadataError};
use super::{Changes, JsonObject, Peer, PresenceGraph, PresenceObserver};
use crate::mesh::MeshClosed;
use crate::runtime::Shared;

/// Who is there, and what this node says of itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Presence {
    shared: Arc<Shared>,
}

impl Presence {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The mesh as this node knows it at this moment. Shared, not copied.
    #[must_use]
    pub fn graph(&self) -> PresenceGraph {
        self.shared.graph.borrow().clone()
    }

    /// This node.
    #[must_use]
    pub fn local_peer(&self) -> Arc<Peer> {
        self.shared.graph.borrow().local_peer.clone()
    }

    /// Calls `callback` with the graph, at once and then after every change of a peer or a
    /// connection; newer figures alone (round trip, rate) are no change. Bursts of changes
    /// make one call; see `presence.observer_coalesce_ms` in the configuration.
    ///
    /// The callback runs on a thread that may block. A slow one sees fewer graphs, a panicking
    /// one is called again next time; neither holds the node up. It ends when the observer is
    /// dropped or cancelled, or with the node.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn observe(
        &self,
        callback: impl FnMut(PresenceGraph) + Send + 'static,
    ) -> PresenceObserver {
        PresenceObserver::start(&self.shared, Box::new(callback))
    }

    /// [`Presence::observe`] under its newer name.
    ///
    /// # Errors
    /// [`MeshClosed`] once the node has shut down.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn register_observer(
        &self,
        callback: impl FnMut(PresenceGraph) + Send + 'static,
    ) -> Result<PresenceObserver, MeshClosed> {
        if self.shared.ended.is_cancelled() {
            return Err(MeshClosed);
        }
        Ok(self.observe(callback))
    }

    /// Typed changes from now on. A reader that lags behind gets one `Lagged` with a fresh
    /// graph instead of what it missed.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared.clone())
    }

    /// Waits until the graph satisfies `condition`.
    ///
    /// # Errors
    /// [`MeshClosed`].
    ///
    /// # Cancel safety
    /// Safe: nothing changes.
    pub async fn wait_for(
        &self,
        mut condition: impl FnMut(&PresenceGraph) -> bool,
    ) -> Result<PresenceGraph, MeshClosed> {
        let mut graphs = self.shared.graph.subscribe();
        tokio::select! {
            biased;
            graph = graphs.wait_for(|graph| condition(graph)) => match graph {
                Ok(graph) => Ok(graph.clone()),
                Err(_) => Err(MeshClosed),
            },
            () = self.shared.ended.cancelled() => Err(MeshClosed),
        }
    }

    /// Replaces this node's metadata by what `value` serialises to: a JSON object of at most
    /// 131,072 bytes and 64 levels. Sent once per change, in the background; of several changes
    /// in a row the last one is sent.
    ///
    /// # Errors
    /// [`MetadataError`]; nothing changed then.
    pub fn set_peer_metadata(
        &self,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), MetadataError> {
        self.set(metadata::validate(value)?);
        Ok(())
    }

    /// [`Presence::set_peer_metadata`] from JSON text.
    ///
    /// # Errors
    /// [`MetadataError`]; nothing changed then.
    pub fn set_peer_metadata_json_str(&self, json: &str) -> Result<(), MetadataError> {
        self.set(metadata::validate_json_str(json)?);
        Ok(())
    }

    /// [`Presence::set_peer_metadata`] from JSON bytes.
    ///
    /// # Errors
    /// [`MetadataError`]; nothing changed then.
    pub fn set_peer_metadata_json_data(&self, json: &[u8]) -> Result<(), MetadataError> {
        self.set(metadata::validate_json_data(json)?);
        Ok(())
    }

    fn set(&self, metadata: Metadata) {
        let bytes = metadata.json().len();
        if bytes > METADATA_BYTES_WARN {
            tracing::warn!(
                bytes,
                "metadata over {METADATA_BYTES_WARN} bytes is slow and costly over Bluetooth"
            );
        }
        self.shared.set_metadata(metadata);
    }

    /// This node's metadata; `{}` until it is set.
    #[must_use]
    pub fn peer_metadata(&self) -> JsonObject {
        self.shared.own_metadata().into_object()
    }

    /// This node's metadata as the JSON text that travels.
    #[must_use]
    pub fn peer_metadata_json_string(&self) -> String {
        self.shared.own_metadata().json().to_owned()
    }
}
