//! Single messages that come in.

use std::sync::Arc;

use bytes::Bytes;
use hedgerow_core::bus::{IncomingMessage, Reliability};
use hedgerow_core::id::PeerKey;

use crate::runtime::Shared;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Who sent it.
    pub from: PeerKey,
    /// How it was sent.
    pub reliability: Reliability,
    /// Its number among the sender's messages of that reliability to this node, from 1.
    pub sequence: u64,
    /// What it says.
    pub data: Bytes,
}

impl Message {
    pub(crate) fn from_core(message: IncomingMessage) -> Self {
        let IncomingMessage { peer, reliability, sequence, data, .. } = message;
        Self { from: peer, reliability, sequence, data }
    }
}

/// A reader of single messages; see [`super::Bus::messages`].
#[derive(Debug)]
pub struct Messages {
    shared: Arc<Shared>,
}

impl Messages {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next message; `None` once the node has shut down and everything was taken.
    ///
    /// # Cancel safety
    /// Safe: no message is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.shared.inbox.next(|| self.shared.attention.notify_one()).await
    }
}
