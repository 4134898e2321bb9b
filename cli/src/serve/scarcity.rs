//! When the process has no file descriptors left: the node goes on, a client is told why it is
//! not served, and the log says it once.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::turn_away;
use crate::control::{Listener, Outgoing};
use crate::failure::{ErrorCode, Failure};

/// Clients at once.
const CLIENTS_MAX: usize = 64;
/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Without a failure for so long, the trouble is over.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);

/// How many clients are served at once: never so many that none of the files that this process
/// may open are left for links.
pub(super) fn clients_max() -> usize {
    let files = files_max().and_then(|files| usize::try_from(files).ok());
    files.map_or(CLIENTS_MAX, |files| (files / 4).clamp(1, CLIENTS_MAX))
}

/// How many files this process may have open; `None` where there is no limit.
#[cfg(unix)]
pub(crate) fn files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
pub(crate) fn files_max() -> Option<u64> {
    None
}

/// A file descriptor that is given up to tell one client at a time why it is not served.
pub(super) struct Reserve {
    file: Option<File>,
    failed_at: Option<Instant>,
}

impl Reserve {
    pub(super) fn new() -> Self {
        Self { file: open(), failed_at: None }
    }

    pub(super) fn on_failure(&mut self, error: &io::Error) {
        if self.failed_at.replace(Instant::now()).is_none() {
            tracing::warn!(
                %error,
                "cannot accept commands, and may refuse links: raise the limit of open files \
                 (`ulimit -n`) for this program; trying again"
            );
        }
    }

    pub(super) fn on_success(&mut self) {
        // At the limit one command is served and the next one not: that is one trouble.
        if self.failed_at.is_some_and(|at| at.elapsed() >= RECOVERED_AFTER) {
            self.failed_at = None;
            tracing::info!("accepting commands again");
        }
    }

    /// Tells one client that waits, with the descriptor that was kept for this.
    pub(super) async fn turn_away(&mut self, listener: &Listener) {
        drop(self.file.take());
        if let Ok(Ok(socket)) = timeout(ACCEPT_PAUSE, listener.accept()).await {
            let message = "the node has no file descriptors left";
            let hint = "end some commands, or start the node with a higher `ulimit -n`";
            let failure = Failure::new(ErrorCode::TooManyClients, message, hint);
            turn_away(Outgoing::new(tokio::io::split(socket).1), failure);
        } else {
            sleep(ACCEPT_PAUSE).await;
        }
        self.file = open();
    }
}

/// The program itself is a file that can always be opened.
fn open() -> Option<File> {
    File::open(std::env::current_exe().ok()?).ok()
}
