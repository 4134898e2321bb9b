//! Groups of devices that tell each other what they need to know over a link that stands: nobody has to
//! look for anybody, and nothing is negotiated by radio.
//!
//! Who is to own the group makes it alone and tells its key; the other one enters. Both know from their
//! peers' power and beacons which of them that is, so no more than a wish and a key go over.

use std::collections::BTreeMap;
use std::time::Duration;

use hedgerow_driver::{Beacon, DialId, PeerKey};
use tokio::time::Instant;

use super::{By, Groups, Phase, WAITS_FOR_KEY};
use crate::address::DeviceAddress;
use crate::owner::owns;
use crate::told::{Told, WANTED_MAX};

/// What a neighbour wishes takes the radio for seconds. As long as no link comes of it, the next wish is
/// heeded after this, twice as long after each further one: not before whoever truly waits asks again.
const RESTS_MIN: Duration = Duration::from_secs(10);
const RESTS_DOUBLINGS_MAX: u32 = 5;

/// How often a neighbour's wishes were heeded in vain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    times: u32,
    until: Instant,
}

/// Neighbours that are remembered: more than a node has.
pub(super) const TELLERS_MAX: usize = 64;

impl Groups {
    /// There is a radio, or none.
    pub(crate) fn set_radio(&mut self, has_radio: bool) {
        self.has_radio = has_radio;
    }

    /// What stands for this device, while it has a radio.
    pub(super) fn own_device(&self) -> Option<DeviceAddress> {
        self.own.filter(|_| self.has_radio).map(|own| DeviceAddress::of(&own.beacon))
    }

    /// What neighbours are to be told.
    pub(crate) fn tells(&self) -> Option<Told> {
        let shown = self.own.filter(|_| self.has_radio)?;
        let mut wants: Vec<_> = self
            .waiting
            .values()
            .copied()
            .filter(|wanted| self.teller(*wanted).is_some())
            .collect();
        wants.sort_unstable();
        wants.dedup();
        wants.truncate(WANTED_MAX);
        let key = match &self.phase {
            Phase::Member { key, .. } => key.clone(),
            _ => None,
        };
        Some(Told { shown, wants, key })
    }

    /// A neighbour's driver tells something; `None`: nothing any more.
    pub(crate) fn on_told(&mut self, now: Instant, from: PeerKey, told: Option<Told>) {
        let is_ours = |told: &Told| self.own.is_none_or(|own| own.may_meet(&told.shown));
        self.told.remove(&from);
        if let Some(told) = told.filter(|told| is_ours(told) && self.told.len() < TELLERS_MAX) {
            self.told.insert(from, told);
            self.heed(now, from);
        }
    }

    /// What stands for a device: for one that is seen, what would stand for it if it told of itself.
    pub(super) fn identity(&self, device: DeviceAddress) -> DeviceAddress {
        let seen = self.devices.get(&device);
        seen.map_or(device, |known| DeviceAddress::of(&known.shown.beacon))
    }

    /// Whom this device could meet, and where each can be dialled: a neighbour that told of itself
    /// there, and not by radio too.
    pub(crate) fn whom(&self) -> BTreeMap<DeviceAddress, Beacon> {
        let told = self.told.values().map(|told| (told.device(), told.shown.beacon));
        let told: BTreeMap<_, _> = told.filter(|_| self.has_radio).collect();
        let seen = self.devices.iter().map(|(device, known)| (*device, known.shown.beacon));
        let seen = seen.filter(|(device, _)| !told.contains_key(&self.identity(*device)));
        seen.chain(told.clone()).collect()
    }

    /// What a device tells over another link.
    pub(super) fn teller(&self, device: DeviceAddress) -> Option<&Told> {
        self.told.values().find(|told| told.device() == device)
    }

    /// Begins what a neighbour waits for, or what was waited for from it.
    fn heed(&mut self, now: Instant, peer: PeerKey) {
        let (Some(told), Some(own), Some(device)) =
            (self.told.get(&peer).cloned(), self.own, self.own_device())
        else {
            return;
        };
        let (is_wanted, from) = (told.wants.contains(&device), told.device());
        match (&self.phase, told.key) {
            (Phase::Forming { with, by, .. }, Some(key)) if *with == from => match by {
                By::Waiting => self.begin(now, from, By::Entering(key)),
                By::Asking { .. } | By::Making | By::Entering(_) => {}
            },
            (Phase::Free, Some(key)) if is_wanted && key.owner != device => {
                self.heed_wish(now, peer, from, By::Entering(key));
            }
            (Phase::Free, None) if is_wanted && owns(&own, &told.shown) => {
                self.heed_wish(now, peer, from, By::Making);
            }
            _ => {}
        }
    }

    /// Begins what a neighbour wishes, unless too much was begun for it in vain.
    fn heed_wish(&mut self, now: Instant, peer: PeerKey, from: DeviceAddress, by: By) {
        if self.rests.len() >= TELLERS_MAX {
            self.rests.retain(|_, rest| now < rest.until);
        }
        let times = match self.rests.get(&peer) {
            Some(rest) if now < rest.until => return,
            Some(rest) => rest.times,
            None if self.rests.len() >= TELLERS_MAX => return,
            None => 0,
        };
        let until = now + RESTS_MIN * (1 << times.min(RESTS_DOUBLINGS_MAX));
        self.rests.insert(peer, Rest { times: times + 1, until });
        self.begin(now, from, by);
    }

    /// The radio is free: whoever has waited for it meanwhile is heeded.
    pub(super) fn heed_all(&mut self, now: Instant) {
        let tellers: Vec<PeerKey> = self.told.keys().copied().collect();
        tellers.into_iter().for_each(|from| self.heed(now, from));
    }

    /// Dials a device that tells how, with a radio that is free.
    pub(super) fn dial_told(&mut self, now: Instant, dial: DialId, told: &Told) {
        let Some(own) = self.own else { return };
        self.waiting.insert(dial, told.device());
        let by = match &told.key {
            Some(key) => By::Entering(key.clone()),
            None if owns(&own, &told.shown) => By::Making,
            None => By::Waiting,
        };
        self.begin(now, told.device(), by);
    }

    /// Nobody has told a key in time: a neighbour that is seen as well is asked by radio.
    pub(super) fn ask_instead(&mut self, now: Instant, neighbour: DeviceAddress) -> bool {
        let seen = self.devices.keys().copied().find(|seen| self.identity(*seen) == neighbour);
        let known = seen.and_then(|seen| Some((seen, *self.devices.get(&seen)?)));
        let (Some((device, known)), Some(own)) = (known, self.own) else { return false };
        self.ask(now, device, &own, &known);
        true
    }

    /// What is told of a group that could not be entered is not true any more.
    pub(super) fn forget_key(&mut self, of: DeviceAddress) {
        for told in self.told.values_mut().filter(|told| told.device() == of) {
            told.key = None;
        }
    }

    /// When what is waited for comes too late.
    pub(super) fn patience(by: &By) -> Duration {
        match by {
            By::Waiting => WAITS_FOR_KEY,
            By::Asking { .. } | By::Making | By::Entering(_) => super::FORMED_WITHIN,
        }
    }
}
