//! What is under way on one radio: the group that stands, and calls to wpa_supplicant, one after the
//! other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use hedgerow_lan::LanService;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::bus::words;
use super::radio::Radio;
use crate::address::DeviceAddress;
use crate::groups::Way;
use crate::name::Shown;
use crate::told::Key;

/// Looking for devices takes the radio.
const LOOKS_FOR: Duration = Duration::from_secs(8);

/// Goodbyes at the end.
const GOODBYE_WITHIN: Duration = Duration::from_millis(400);

/// Calls that may wait for the one under way.
const CALLS_MAX: usize = 64;

/// The work on one radio.
pub(super) struct Work {
    pub(super) radio: Radio,
    pub(super) lan: LanService,
    /// What the device was called before.
    name: String,
    /// The path of the group that stands.
    pub(super) group: Option<String>,
    /// When to look for devices next.
    pub(super) look_at: Instant,
    /// Since when a group is being formed.
    pub(super) asked_at: Option<Instant>,
    /// The call under way; it ends in what is wrong, if anything. Then the next one: what is asked of
    /// the radio goes by its order.
    pub(super) calls: JoinSet<Option<Wrong>>,
    waiting: VecDeque<Call>,
}

/// A call to wpa_supplicant.
type Call = Pin<Box<dyn Future<Output = Option<Wrong>> + Send>>;

/// What a call came to that failed.
pub(super) enum Wrong {
    /// No group comes about.
    NoGroup(zbus::Error),
    /// The radio cannot be used as it should.
    Radio(zbus::Error),
}

impl Work {
    pub(super) fn new(name: String, radio: Radio, lan: LanService) -> Self {
        Self {
            radio,
            lan,
            name,
            group: None,
            look_at: Instant::now(),
            asked_at: None,
            calls: JoinSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Calls wpa_supplicant without waiting for it.
    pub(super) fn call<F>(&mut self, call: impl FnOnce(Radio) -> F)
    where
        F: Future<Output = Option<Wrong>> + Send + 'static,
    {
        if self.waiting.len() >= CALLS_MAX {
            // The radio is in no state to be told anything; who waits is told by time.
            debug!("wpa_supplicant does not keep up");
            return;
        }
        self.waiting.push_back(Box::pin(call(self.radio.clone())));
        if self.calls.is_empty() {
            self.call_next();
        }
    }

    pub(super) fn call_next(&mut self) {
        if let Some(call) = self.waiting.pop_front() {
            self.calls.spawn(call);
        }
    }

    pub(super) fn show(&mut self, shown: Shown) {
        self.call(async move |radio: Radio| {
            radio.show(&shown.name()).await.err().map(Wrong::Radio)
        });
    }

    pub(super) fn listen(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.listen().await {
                debug!(error = words(&error), "not listening");
            }
            None
        });
    }

    pub(super) fn look(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.find(LOOKS_FOR).await {
                debug!(error = words(&error), "not looking");
            }
            None
        });
    }

    pub(super) fn forget(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.forget(LOOKS_FOR).await {
                debug!(error = words(&error), "not looking anew");
            }
            None
        });
    }

    pub(super) fn connect(&mut self, device: DeviceAddress, intent: u8, way: Way) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| {
            radio.connect(device, intent, way).await.err().map(Wrong::NoGroup)
        });
    }

    pub(super) fn make(&mut self) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| radio.make().await.err().map(Wrong::NoGroup));
    }

    pub(super) fn enter(&mut self, key: Key) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| radio.enter(&key).await.err().map(Wrong::NoGroup));
    }

    /// Groups of other programs are none of nodes from now on.
    pub(super) fn end_names_as_before(&mut self) {
        self.call(async move |radio: Radio| radio.end_names_with("").await.err().map(Wrong::Radio));
    }

    pub(super) fn invite(&mut self, device: DeviceAddress) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.invite(&group, device).await {
                debug!(error = words(&error), "not invited");
            }
            None
        });
    }

    pub(super) fn admit(&mut self, device: DeviceAddress) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.admit(&group, device).await {
                debug!(error = words(&error), "not let in");
            }
            None
        });
    }

    pub(super) fn leave(&mut self) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.leave(&group).await {
                debug!(error = words(&error), "the group is not left");
            }
            None
        });
    }

    /// Says goodbye, leaves the group and is seen no more.
    pub(super) async fn end(mut self) {
        self.lan.shut_down().await;
        let (radio, group) = (&self.radio, self.group.take());
        let goodbye = async {
            if let Some(group) = group {
                radio.leave(&group).await?;
            }
            radio.hide(&self.name).await
        };
        // A radio that is gone hides nothing, and is hidden.
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
    }
}
