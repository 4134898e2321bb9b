//! The accept loop of one listener.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_core::limits::HANDSHAKES_PENDING_MAX;
use hedgerow_driver::{Beacon, Condition, ConditionState, Endpoint, LinkOrigin, NodeGone};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::debug;

use crate::LINKS_MAX;
use crate::condition::{Conditions, Part};
use crate::interface::InterfaceRules;
use crate::link::{DRAINS_MAX, TcpLinks};
use crate::survey::interface_of;
use crate::task::outcome;

/// Links that one listener holds: those that are up, those whose handshake the core lets be under
/// way, and those that are closing with a reason. The rest waits in the backlog.
const ACCEPTED_MAX: usize = LINKS_MAX + HANDSHAKES_PENDING_MAX + DRAINS_MAX;
/// The wait after a failed accept, doubled each time up to the second.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// After a failure, an accept that waits for this long without another one is a recovery.
const RECOVERED_AFTER: Duration = Duration::from_secs(1);

/// What the loop works for.
pub(crate) struct Accept {
    pub(crate) listener: TcpListener,
    /// Which part of the condition is its own.
    pub(crate) part: Part,
    pub(crate) links: Arc<TcpLinks>,
    pub(crate) conditions: Arc<Conditions>,
    /// The first beacon lets it begin; when the sender is gone, it ends.
    pub(crate) beacon: watch::Receiver<Option<Beacon>>,
    /// Who comes in over another interface is turned away.
    pub(crate) only_over: Option<InterfaceRules>,
}

/// What an accept came to.
enum Accepted {
    Connection(TcpStream, SocketAddr, OwnedSemaphorePermit),
    /// Nobody came, but nothing failed either.
    Nobody,
}

impl Accept {
    /// Accepts until the driver shuts down, then waits for the links to end.
    pub(crate) async fn run(mut self) -> Result<(), NodeGone> {
        if self.beacon.wait_for(Option::is_some).await.is_err() {
            return Ok(());
        }
        let mut beacon = self.beacon.clone();
        let mut shutdown = pin!(async move { while beacon.changed().await.is_ok() {} });
        let room = Arc::new(Semaphore::new(ACCEPTED_MAX));
        let mut tasks = JoinSet::new();
        let mut back_off = None;
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = tasks.join_next() => {
                    outcome(ended)?;
                    continue;
                }
                accepted = self.accept(&room, back_off.is_some()) => accepted,
            };
            match accepted {
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    let wait = self.on_failure(&error, &mut back_off);
                    tokio::select! {
                        () = &mut shutdown => break,
                        () = sleep(wait) => continue,
                    }
                }
                Ok(Accepted::Nobody) => {}
                Ok(Accepted::Connection(stream, peer, permit)) => {
                    if !self.is_welcome(&stream) {
                        debug!(%peer, "turned away: it came in over another interface");
                        continue;
                    }
                    let links = Arc::clone(&self.links);
                    tasks.spawn(async move {
                        let _permit = permit;
                        let endpoint = Endpoint::new(&peer.to_string());
                        links.carry(stream, LinkOrigin::Accepted, endpoint).await
                    });
                }
            }
            if back_off.take().is_some() {
                self.conditions.set(self.part, None);
            }
        }
        drop(self.listener);
        while let Some(ended) = tasks.join_next().await {
            outcome(ended)?;
        }
        Ok(())
    }

    fn is_welcome(&self, stream: &TcpStream) -> bool {
        let Some(rules) = &self.only_over else { return true };
        let name = stream.local_addr().and_then(interface_of);
        name.is_ok_and(|name| name.is_some_and(|name| rules.allows(&name)))
    }

    /// The next connection.
    ///
    /// # Cancel safety
    /// No connection is lost.
    async fn accept(&self, room: &Arc<Semaphore>, after_failure: bool) -> io::Result<Accepted> {
        let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
        tokio::select! {
            accepted = self.listener.accept() => {
                let (stream, peer) = accepted?;
                Ok(Accepted::Connection(stream, peer, permit))
            }
            () = sleep(RECOVERED_AFTER), if after_failure => Ok(Accepted::Nobody),
        }
    }

    fn on_failure(&self, error: &io::Error, back_off: &mut Option<Duration>) -> Duration {
        let wait = back_off.map_or(BACK_OFF, |last| (2 * last).min(BACK_OFF_MAX));
        if back_off.replace(wait).is_none() {
            debug!(%error, "cannot accept connections");
            let detail = format!(
                "cannot accept connections for now ({error}): close programs that use many files \
                 and connections, or raise the limit of open files for this program; trying again"
            );
            let condition = Condition::new(ConditionState::TemporarilyUnavailable, detail);
            self.conditions.set(self.part, Some(condition));
        }
        wait
    }
}

/// Whether the error concerns the connection that was to be accepted, and not the listener
/// (accept(2): such errors wait on the new socket).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
    )
}
