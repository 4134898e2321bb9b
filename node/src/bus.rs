//! Messages and streams between peers, end to end encrypted over any number of hops.
//!
//! *Delivered* means in the other application's queue. What fails says whether it was surely not
//! delivered or whether nobody can know.

mod acceptor;
mod error;
mod message;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::bus::{Outcome, StreamOpen};
pub use hedgerow_core::bus::{RejectReason, Reliability, StreamEnd};
use hedgerow_core::id::PeerKey;
pub use hedgerow_core::io::Lane;
use tokio::sync::oneshot;

pub use acceptor::{Acceptor, Candidate};
pub use error::{Fate, ListenError, OpenError, SendError, StreamError};
pub use message::{Message, Messages};
pub use stream::{Stream, StreamReceiver, StreamSender};

use crate::runtime::{Call, SendReliable, Shared};

/// Messages and streams of a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    shared: Arc<Shared>,
}

/// A reliable message is in the other application's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Its number among the reliable messages to that peer, from 1.
    pub sequence: u64,
    /// Time from sending to the word that it was delivered.
    pub rtt: Duration,
    /// Hops to the peer.
    pub hops: u8,
}

/// How a single message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendOptions {
    /// Its priority.
    pub lane: Lane,
    /// For a reliable message: how long it may wait for a route and for the word that it was
    /// delivered; `None` for the configured time. For an unreliable one: after this it is not
    /// sent any more.
    pub give_up: Option<Duration>,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { lane: Lane::Normal, give_up: None }
    }
}

/// How a stream is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whether every message arrives, in order.
    pub reliability: Reliability,
    /// The priority of all its messages.
    pub lane: Lane,
    /// Shown to the other side before it accepts; at most 768 bytes.
    pub arguments: Bytes,
}

impl Default for StreamOptions {
    fn default() -> Self {
        let (reliability, lane) = (Reliability::Reliable, Lane::Normal);
        Self { reliability, lane, arguments: Bytes::new() }
    }
}

impl Bus {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a message that arrives exactly once, after those sent before it to the same peer,
    /// and waits until it is in the other application's queue.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::fate`] tells whether it was surely not delivered.
    ///
    /// # Cancel safety
    /// A future that is dropped before its first poll sends nothing; later, the message may
    /// still be delivered.
    pub async fn send_reliable(
        &self,
        peer: PeerKey,
        data: impl Into<Bytes>,
    ) -> Result<Delivered, SendError> {
        self.send_reliable_with(peer, data, SendOptions::default()).await
    }

    /// [`Bus::send_reliable`] with options.
    ///
    /// # Errors
    /// [`SendError`].
    ///
    /// # Cancel safety
    /// As [`Bus::send_reliable`].
    pub async fn send_reliable_with(
        &self,
        peer: PeerKey,
        data: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<Delivered, SendError> {
        let SendOptions { lane, give_up } = options;
        let (reply, answer) = oneshot::channel();
        let send = SendReliable { peer, lane, data: data.into(), give_up, reply };
        self.shared.call(Call::SendReliable(send)).await?;
        match self.shared.answer(answer).await.ok_or(SendError::Lost)?? {
            Outcome::Delivered { rtt, sequence, hops } => Ok(Delivered { sequence, rtt, hops }),
            Outcome::NotDelivered(reason) => Err(SendError::failed(reason, Fate::NotDelivered)),
            Outcome::Unknown(reason) => Err(SendError::failed(reason, Fate::Unknown)),
        }
    }

    /// Sends a message that arrives at most once, in any order. Returns its number as soon as
    /// it is accepted; nothing tells whether it arrives.
    ///
    /// # Errors
    /// [`SendError`], at once.
    ///
    /// # Cancel safety
    /// As [`Bus::send_reliable`].
    pub async fn send_unreliable(
        &self,
        peer: PeerKey,
        data: impl Into<Bytes>,
    ) -> Result<u64, SendError> {
        self.send_unreliable_with(peer, data, SendOptions::default()).await
    }

    /// [`Bus::send_unreliable`] with options.
    ///
    /// # Errors
    /// [`SendError`], at once.
    ///
    /// # Cancel safety
    /// As [`Bus::send_reliable`].
    pub async fn send_unreliable_with(
        &self,
        peer: PeerKey,
        data: impl Into<Bytes>,
        options: SendOptions,
    ) -> Result<u64, SendError> {
        let SendOptions { lane, give_up: deadline } = options;
        let data = data.into();
        let ask = |reply| Call::SendUnreliable { peer, lane, data, deadline, reply };
        Ok(self.shared.ask(ask).await??)
    }

    /// The single messages that come in. Of several readers each message goes to one.
    ///
    /// Until somebody reads, messages wait in the node's inbox; what happens when it is full is
    /// `bus.when_full` in the configuration.
    #[must_use]
    pub fn messages(&self) -> Messages {
        Messages::new(self.shared.clone())
    }

    /// Opens a stream and waits until the other side accepts it.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Cancel safety
    /// A stream whose opening is dropped is reset.
    pub async fn open_stream(
        &self,
        peer: PeerKey,
        topic: &str,
        reliability: Reliability,
    ) -> Result<Stream, OpenError> {
        let options = StreamOptions { reliability, ..StreamOptions::default() };
        self.open_stream_with(peer, topic, options).await
    }

    /// [`Bus::open_stream`] with options.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Cancel safety
    /// As [`Bus::open_stream`].
    pub async fn open_stream_with(
        &self,
        peer: PeerKey,
        topic: &str,
        options: StreamOptions,
    ) -> Result<Stream, OpenError> {
        let StreamOptions { reliability, lane, arguments: args } = options;
        let topic = Bytes::copy_from_slice(topic.as_bytes());
        let open = StreamOpen { topic, reliability, lane, args };
        Ok(self.shared.ask(|reply| Call::OpenStream { peer, open, reply }).await??)
    }

    /// Listens for streams of a topic. Streams of a topic that nobody listens for are refused.
    ///
    /// # Errors
    /// [`ListenError`]: another acceptor has the topic.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn listen(&self, topic: &str) -> Result<Acceptor, ListenError> {
        let topic = Bytes::copy_from_slice(topic.as_bytes());
        let candidates = self.shared.ask(|reply| Call::Listen { topic, reply }).await??;
        Ok(Acceptor::new(candidates))
    }
}
