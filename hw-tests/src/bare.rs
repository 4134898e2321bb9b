//! Programs of a few lines on plain BlueZ and plain TCP, without Hedgerow: what a link carries at all,
//! and what strangers do to a node.

mod central;
mod channel;
mod line;
mod service;
pub(crate) mod tcp;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::ObjectManager;

pub(crate) use central::{Central, Characteristic, NodeService, discover};
pub(crate) use channel::channel;
pub(crate) use line::{Line, sink};
use service::ROOT;
pub(crate) use service::{NOTIFIED, Service, WRITTEN};

/// A call on the bus without an answer after this has failed.
const CALL_MAX: Duration = Duration::from_secs(25);

/// The daemon's name on the bus.
const BLUEZ: &str = "org.bluez";

/// This machine's bus, for programs of this process.
pub(crate) struct Bare {
    runtime: Runtime,
    connection: Connection,
}

impl Bare {
    pub(crate) fn open() -> anyhow::Result<Self> {
        // BlueZ also asks while nobody waits here.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        // Before anybody can ask: who gets the first object later may miss a call.
        let opening = async {
            let builder = Builder::system().method_timeout(CALL_MAX);
            builder.serve_at(ROOT, ObjectManager).build().await
        };
        let connection = runtime.block_on(opening).context("cannot reach the system's bus")?;
        Ok(Self { runtime, connection })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Does something on the bus, for `limit` at most.
    pub(crate) fn run<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let limited = async { timeout(limit, work).await };
        let done = self.runtime.block_on(limited);
        done.unwrap_or_else(|_| Err(anyhow!("not done within {} s", limit.as_secs())))
    }
}
