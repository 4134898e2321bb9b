//! The inbox, and the clients that drain it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hedgerow::bus::{Message, Messages};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::roster::Roster;
use super::{ClientIncoming, ClientOutgoing, Parting, say};
use crate::control::{Answer, MessageLine, REQUEST_BYTES_MAX, Request};
use crate::failure::{ErrorCode, Failure};

/// The node's inbox. The node itself bounds it; here are only messages that a client got and
/// did not confirm, at most one for each client.
pub(super) struct Inbox {
    /// Locked by the client whose turn it is.
    messages: AsyncMutex<Messages>,
    returned: Mutex<VecDeque<Message>>,
    returns: Notify,
}

/// A message on its way to a client; goes back to the front if it is dropped.
struct Taken<'a> {
    inbox: &'a Inbox,
    message: Option<Message>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.inbox.returned().push_front(message);
            self.inbox.returns.notify_one();
        }
    }
}

impl Inbox {
    pub(super) fn new(messages: Messages) -> Self {
        let messages = AsyncMutex::new(messages);
        Self { messages, returned: Mutex::default(), returns: Notify::new() }
    }

    fn returned(&self) -> MutexGuard<'_, VecDeque<Message>> {
        // Nothing in a critical section of this lock can panic half way.
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives messages to a client until it leaves. A message counts as taken when the client
    /// says so; what it does not confirm is for the next one.
    pub(super) async fn drain(
        &self,
        roster: &Roster,
        incoming: &mut ClientIncoming,
        outgoing: &mut ClientOutgoing,
    ) -> Result<(), Parting> {
        loop {
            let taken = super::unless_closed(incoming, self.next()).await?;
            let mut taken = taken.ok_or_else(Failure::node_stopped)?;
            let Some(message) = &taken.message else { continue };
            let line = MessageLine::new(message, &roster.device_name(&message.from));
            say(outgoing, &Answer::Message { message: line }).await?;
            // A person may hold up the output for long; the connection tells who is there.
            let confirmation = incoming.read_line(REQUEST_BYTES_MAX).await?;
            if Request::parse(&confirmation)? != Request::Taken {
                let hint = "say `{\"command\":\"taken\"}` after each message";
                let message = "a message was not confirmed";
                return Err(Failure::new(ErrorCode::BadRequest, message, hint).into());
            }
            taken.message = None;
        }
    }

    /// The next message; `None` once the node has shut down.
    async fn next(&self) -> Option<Taken<'_>> {
        let mut messages = self.messages.lock().await;
        loop {
            let returned = self.returned().pop_front();
            let message = match returned {
                Some(message) => message,
                None => tokio::select! {
                    message = messages.next() => message?,
                    () = self.returns.notified() => continue,
                },
            };
            return Some(Taken { inbox: self, message: Some(message) });
        }
    }
}
