//! The links of a driver that are up, and how each is told to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hedgerow_core::id::LinkId;
use hedgerow_core::io::LinkLoss;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::port::Reports;

/// The links that are up, for a driver with a task for each: rules 4 and 6 in one place.
#[derive(Debug)]
pub struct Links {
    reports: Reports,
    table: Mutex<Table>,
    standing: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Table {
    ends: HashMap<LinkId, watch::Sender<Option<LinkLoss>>>,
    shutting_down: bool,
}

impl Links {
    /// No links yet.
    #[must_use]
    pub fn new(reports: Reports) -> Self {
        Self { reports, table: Mutex::default(), standing: watch::Sender::new(0) }
    }

    /// Where the driver reports to.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// How many links stand, as it changes.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<usize> {
        self.standing.subscribe()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one call on a map: a panic elsewhere leaves it whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a number and a place for a new link.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> OpenLink {
        let link = self.reports.next_link();
        let mut table = self.table();
        let (sender, end) = watch::channel(table.shutting_down.then_some(LinkLoss::Shutdown));
        table.ends.insert(link, sender);
        self.standing.send_replace(table.ends.len());
        OpenLink { links: Arc::clone(self), link, end: LinkDeadline(end) }
    }

    /// The core closes a link; one that is already down is no matter.
    pub fn close(&self, link: LinkId) {
        if let Some(end) = self.table().ends.get(&link) {
            end.send_replace(Some(LinkLoss::Closed));
        }
    }

    /// Ends all links, and each that comes up from now on.
    pub fn shut_down(&self) {
        let mut table = self.table();
        table.shutting_down = true;
        for end in table.ends.values() {
            end.send_replace(Some(LinkLoss::Shutdown));
        }
    }
}

/// A link's place among [`Links`], until it is dropped.
#[derive(Debug)]
pub struct OpenLink {
    links: Arc<Links>,
    /// Its number.
    pub link: LinkId,
    /// When it is to end.
    pub end: LinkDeadline,
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        let mut table = self.links.table();
        table.ends.remove(&self.link);
        self.links.standing.send_replace(table.ends.len());
    }
}

/// Tells a link when it is to end, and why.
///
/// # Cancel safety
/// Its futures only wait; dropping them changes nothing.
#[derive(Clone, Debug)]
pub struct LinkDeadline(watch::Receiver<Option<LinkLoss>>);

impl LinkDeadline {
    /// Waits until the link is to end: by the core, or with the driver.
    pub async fn asked(&mut self) {
        let _ = self.0.wait_for(Option::is_some).await;
    }

    async fn shutting_down(&mut self) {
        // An error says that the table is gone, and the driver with it.
        let _ = self.0.wait_for(|end| *end == Some(LinkLoss::Shutdown)).await;
    }

    /// Waits until the link had its time to end well: so long after the core's `Close`, or after
    /// the shutdown.
    pub async fn overdue(mut self, close_within: Duration, shutdown_within: Duration) -> LinkLoss {
        let asked = self.0.wait_for(Option::is_some).await.is_ok();
        if asked && *self.0.borrow() == Some(LinkLoss::Closed) {
            tokio::select! {
                () = sleep(close_within) => return LinkLoss::Closed,
                () = self.shutting_down() => {}
            }
        }
        sleep(shutdown_within).await;
        LinkLoss::Shutdown
    }

    /// Why it was to end.
    #[must_use]
    pub fn reason(&self) -> LinkLoss {
        self.0.borrow().clone().unwrap_or(LinkLoss::Closed)
    }
}
