//! What a radio does about groups: pure, so that many radios can be tried against each other.
//!
//! A radio is in one group at a time. Whoever is dialled is met in the group that stands, or by one
//! that is formed: by joining that of an owner, by inviting a device into one's own, or by a
//! negotiation about who becomes the owner of a new one. Those that have another link to talk over need
//! no negotiation: see [`told`]. A group without links is left.

mod asked;
mod order;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hedgerow_driver::{Beacon, DialFailure, DialId, Endpoint, PeerKey};
use tokio::time::Instant;

use crate::address::DeviceAddress;
use crate::name::Shown;
use crate::owner::intent;
use crate::told::{Key, Secret, Told};
pub(crate) use order::{Order, Way};

/// Devices that are remembered.
const DEVICES_MAX: usize = 256;
/// Endpoints within the group.
const NEIGHBOURS_MAX: usize = 64;
/// Devices that ask for a group before it is known what they are.
const ASKING_MAX: usize = 16;
/// A negotiation that takes longer has failed: it takes 2 to 10 s, and 15 s more where a part of it is
/// tried again. wpa_supplicant itself would ask for minutes, and the radio is held up meanwhile.
const FORMED_WITHIN: Duration = Duration::from_secs(25);
/// The owner of a group to come makes it and tells its key within some seconds.
const WAITS_FOR_KEY: Duration = Duration::from_secs(12);
/// A group in which nobody has a link is left after this: the next dial may come at once, and one
/// that comes later forms the group again within seconds.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How the group that is being formed comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    /// The device is asked.
    Asking { intent: u8, way: Way },
    /// It is made here, and whoever is to be met will be told the key.
    Making,
    /// Another device makes it, and will tell the key.
    Waiting,
    /// It is there, and its key is known.
    Entering(Key),
}

/// What becomes of the radio.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    /// In a group of another program.
    Taken,
    /// A negotiation is under way.
    Forming {
        with: DeviceAddress,
        until: Instant,
        /// It was begun for a dial.
        is_ours: bool,
        by: By,
    },
    /// In a group.
    Member {
        owns: bool,
        /// Who owns it, if that is another device and known: groups that form again form by themselves.
        owner: Option<DeviceAddress>,
        idle_since: Option<Instant>,
        /// It was idle for long enough once, and spared for whoever was being met.
        is_spared: bool,
        /// How others get in, where that is known.
        key: Option<Key>,
    },
}

/// A device in sight.
#[derive(Clone, Copy, Debug)]
struct Device {
    shown: Shown,
    owns_group: bool,
}

/// The decisions of one radio.
#[derive(Debug)]
pub(crate) struct Groups {
    own: Option<Shown>,
    /// Whether there is a radio for all this.
    has_radio: bool,
    phase: Phase,
    devices: BTreeMap<DeviceAddress, Device>,
    /// What neighbours tell over other links.
    told: BTreeMap<PeerKey, Told>,
    /// Neighbours whose wishes led to no link.
    rests: BTreeMap<PeerKey, told::Rest>,
    /// Who is in the group, by endpoint.
    neighbours: BTreeMap<Endpoint, Beacon>,
    /// Who was asked into the group last.
    invited: Option<DeviceAddress>,
    /// Who asked for a group and is not known yet.
    asking: BTreeSet<DeviceAddress>,
    /// Dials that wait for a group, or to meet their peer in it.
    waiting: BTreeMap<DialId, DeviceAddress>,
    links: usize,
    orders: VecDeque<Order>,
}

impl Groups {
    pub(crate) fn new() -> Self {
        Self {
            own: None,
            has_radio: false,
            phase: Phase::Free,
            devices: BTreeMap::new(),
            told: BTreeMap::new(),
            rests: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            invited: None,
            asking: BTreeSet::new(),
            waiting: BTreeMap::new(),
            links: 0,
            orders: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(crate) fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// What this device shows from now on.
    pub(crate) fn show(&mut self, own: Shown) {
        self.own = Some(own);
    }

    /// Whether the radio is in no group and forms none: it may look for devices at length.
    pub(crate) fn is_free(&self) -> bool {
        self.phase == Phase::Free
    }

    /// Whether somebody waits to be met.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A device of ours is in sight.
    pub(crate) fn on_device(
        &mut self,
        now: Instant,
        device: DeviceAddress,
        shown: Shown,
        owns_group: bool,
    ) {
        let is_known = self.devices.contains_key(&device);
        if !is_known && self.devices.len() >= DEVICES_MAX {
            return;
        }
        self.devices.insert(device, Device { shown, owns_group });
        if self.asking.remove(&device) {
            self.on_request(now, device);
        }
        if owns_group {
            self.join_instead(now, device);
        }
    }

    /// A group is in sight while another one is negotiated: joining is surer, and whoever does not
    /// answer may be in it.
    fn join_instead(&mut self, now: Instant, owner: DeviceAddress) {
        let is_better = match &self.phase {
            Phase::Forming { with, by: By::Asking { way, .. }, .. } => {
                *with != owner && *way != Way::Joined && self.is_welcome(owner)
            }
            _ => false,
        };
        if is_better {
            self.orders.push_back(Order::Abandon);
            self.begin(now, owner, By::Asking { intent: 0, way: Way::Joined });
        }
    }

    /// A device is out of sight.
    pub(crate) fn on_device_lost(&mut self, device: DeviceAddress) {
        self.devices.remove(&device);
    }

    /// The node dials a device.
    pub(crate) fn on_dial(&mut self, now: Instant, dial: DialId, device: DeviceAddress) {
        let told = self.teller(device).filter(|_| self.has_radio).cloned();
        let known = self.devices.get(&device).copied();
        let Some(own) = self.own.filter(|_| known.is_some() || told.is_some()) else {
            self.orders.push_back(Order::Failed(dial, DialFailure::Unreachable));
            return;
        };
        if known.is_some_and(|known| known.owns_group) {
            self.join_instead(now, device);
        }
        match &self.phase {
            Phase::Free => match (told, known) {
                (Some(told), _) => self.dial_told(now, dial, &told),
                (None, Some(known)) => {
                    self.waiting.insert(dial, device);
                    self.ask(now, device, &own, &known);
                }
                (None, None) => {}
            },
            Phase::Taken => {
                let what = "the radio is in a group of another program".to_owned();
                self.orders.push_back(Order::Failed(dial, DialFailure::Unavailable(what)));
            }
            Phase::Forming { with, by, .. }
                if *with == device
                    || (told.is_some() && !matches!(by, By::Asking { .. }))
                    || self.owner_for(device) == Some(*with) =>
            {
                self.waiting.insert(dial, device);
            }
            Phase::Forming { with, .. } => {
                let what = format!("the radio forms a group with {with}");
                self.orders.push_back(Order::Failed(dial, DialFailure::Unavailable(what)));
            }
            Phase::Member { owns, owner, .. } => {
                let dialled = self.identity(device);
                let (owns, is_elsewhere) = (*owns, owner.is_some_and(|owner| owner != dialled));
                let here = if owns { self.own_device() } else { *owner };
                let is_in_another = match &told {
                    Some(told) => told.key.as_ref().is_some_and(|key| Some(key.owner) != here),
                    None => is_elsewhere && !owns && known.is_some_and(|known| known.owns_group),
                };
                self.waiting.insert(dial, device);
                if self.meet(dial) {
                    return;
                }
                if owns && told.is_none() {
                    self.invite(device);
                } else if is_in_another {
                    self.waiting.remove(&dial);
                    let what = "the two radios are in different groups".to_owned();
                    self.orders.push_back(Order::Failed(dial, DialFailure::Unavailable(what)));
                }
                // A device without a group may be joining this one just now, or is told its key.
            }
        }
    }

    /// The node gives a dial up. Says whether it was waiting here; else its connection is being made.
    pub(crate) fn on_cancel(&mut self, dial: DialId) -> bool {
        if self.waiting.remove(&dial).is_none() {
            return false;
        }
        self.orders.push_back(Order::Failed(dial, DialFailure::Cancelled));
        if matches!(self.phase, Phase::Forming { is_ours: true, .. }) && self.waiting.is_empty() {
            self.phase = Phase::Free;
            self.orders.push_back(Order::Abandon);
        }
        true
    }

    /// The group to join for a device: its own, or that of another one in sight, in which it may be.
    fn owner_for(&self, device: DeviceAddress) -> Option<DeviceAddress> {
        let wanted = self.devices.get(&device)?;
        if wanted.owns_group {
            return Some(device);
        }
        let is_it = |known: &Device| known.owns_group && known.shown.may_meet(&wanted.shown);
        self.devices.iter().find(|(_, known)| is_it(known)).map(|(owner, _)| *owner)
    }

    /// Asks a device for a group. Who is in one already cannot form another one; what it is in has an
    /// owner.
    fn ask(&mut self, now: Instant, device: DeviceAddress, own: &Shown, known: &Device) {
        let owner = self.owner_for(device);
        let way = if owner.is_some() { Way::Joined } else { Way::Again };
        let intent = intent(own, &known.shown);
        self.begin(now, owner.unwrap_or(device), By::Asking { intent, way });
    }

    fn begin(&mut self, now: Instant, device: DeviceAddress, by: By) {
        match &by {
            By::Asking { intent, way } => {
                self.orders.push_back(Order::Connect { device, intent: *intent, way: *way });
            }
            By::Making => self.orders.push_back(Order::Make),
            By::Waiting => {}
            By::Entering(key) => self.orders.push_back(Order::Enter(key.clone())),
        }
        let (is_ours, until) = (!self.waiting.is_empty(), now + Self::patience(&by));
        self.phase = Phase::Forming { with: device, until, is_ours, by };
    }

    fn invite(&mut self, device: DeviceAddress) {
        self.invited = Some(device);
        self.orders.push_back(Order::Invite(device));
    }

    /// The last group with a device cannot be formed again, or a device does not come into the one
    /// that stands: where it was in the group before and has forgotten it since, wpa_supplicant knows
    /// so now, and asks otherwise the second time.
    pub(crate) fn on_no_more(&mut self) {
        match self.phase {
            Phase::Forming { with, by: By::Asking { intent, .. }, .. } => {
                let connect = Order::Connect { device: with, intent, way: Way::Negotiated };
                self.orders.push_back(connect);
            }
            Phase::Member { owns: true, .. } => {
                self.orders.extend(self.invited.take().map(Order::Invite));
            }
            Phase::Free | Phase::Taken | Phase::Forming { .. } | Phase::Member { .. } => {}
        }
    }

    /// The radio is in a group; an owner knows how others get in.
    pub(crate) fn on_started(&mut self, now: Instant, owns: bool, secret: Option<Secret>) {
        self.neighbours.clear();
        let own_key = || {
            let Secret { mhz, name, passphrase } = secret.filter(|_| owns)?;
            Key::new(self.own_device()?, mhz, name, passphrase)
        };
        let (owner, key) = match &self.phase {
            Phase::Forming { by: By::Entering(key), .. } if !owns => {
                (Some(key.owner), Some(key.clone()))
            }
            Phase::Forming { with, .. } if !owns => (Some(self.identity(*with)), None),
            _ => (None, own_key()),
        };
        let idle_since = (self.links == 0).then_some(now);
        self.phase = Phase::Member { owns, owner, idle_since, is_spared: false, key };
    }

    /// The radio is in a group of another program, which is left alone.
    pub(crate) fn on_taken(&mut self) {
        self.end(|| DialFailure::Unavailable("the radio is in a group of another program".into()));
        self.phase = Phase::Taken;
    }

    /// A negotiation has failed. It may be one that was given up for an invitation.
    pub(crate) fn on_not_negotiated(&mut self, why: &str) {
        let Phase::Forming { by: By::Asking { way, .. }, .. } = self.phase else { return };
        if way != Way::Joined {
            self.on_failed(why);
        }
    }

    /// Forming a group has failed. It may be an earlier one that did: what is under way now is given up
    /// with it, or the radio would go on with what nobody waits for.
    pub(crate) fn on_failed(&mut self, why: &str) {
        if let Phase::Forming { by, .. } = &self.phase
            && *by != By::Waiting
        {
            self.orders.push_back(Order::Abandon);
            self.end(|| DialFailure::Other(why.to_owned()));
        }
    }

    /// The group is gone. Who owned it and who was in it is over: they would be sought where they are
    /// no more.
    pub(crate) fn on_finished(&mut self, now: Instant) {
        match self.phase {
            Phase::Member { .. } | Phase::Taken => {
                self.neighbours.clear();
                self.end(|| DialFailure::Other("the group ended".to_owned()));
                self.orders.push_back(Order::Forget);
                self.heed_all(now);
            }
            Phase::Forming { by: By::Entering(_), .. } => {
                self.on_failed("the group that was told of could not be entered");
            }
            Phase::Free | Phase::Forming { .. } => {}
        }
    }

    /// Where others are in the group.
    pub(crate) fn members(&self) -> Vec<Endpoint> {
        self.neighbours.keys().cloned().collect()
    }

    /// Nothing can be done with the radio any more, or everything begins anew.
    pub(crate) fn on_radio_gone(&mut self, why: &str) {
        self.devices.clear();
        self.neighbours.clear();
        self.asking.clear();
        self.end(|| DialFailure::Other(why.to_owned()));
        self.orders.retain(|order| matches!(order, Order::Failed(..)));
    }

    fn end(&mut self, why: impl Fn() -> DialFailure) {
        match std::mem::replace(&mut self.phase, Phase::Free) {
            Phase::Forming { with, by: By::Asking { way: Way::Joined, .. }, .. } => {
                // Perhaps it owns no group any more: it is asked for one next time.
                if let Some(owner) = self.devices.get_mut(&with) {
                    owner.owns_group = false;
                }
            }
            Phase::Forming { with, by: By::Entering(_), .. } => self.forget_key(with),
            _ => {}
        }
        self.invited = None;
        let failed = std::mem::take(&mut self.waiting);
        self.orders.extend(failed.into_keys().map(|dial| Order::Failed(dial, why())));
    }

    /// Somebody is in the group.
    pub(crate) fn on_neighbour(&mut self, endpoint: Endpoint, beacon: Beacon) {
        if self.neighbours.len() < NEIGHBOURS_MAX || self.neighbours.contains_key(&endpoint) {
            self.neighbours.insert(endpoint, beacon);
            let waiting: Vec<DialId> = self.waiting.keys().copied().collect();
            for dial in waiting {
                self.meet(dial);
            }
        }
    }

    /// Somebody is not in the group any more.
    pub(crate) fn on_neighbour_lost(&mut self, endpoint: &Endpoint) {
        self.neighbours.remove(endpoint);
    }

    /// Dials whoever a dial waits for, if that is in the group.
    fn meet(&mut self, dial: DialId) -> bool {
        let Some(device) = self.waiting.get(&dial).copied() else { return false };
        let seen = self.devices.get(&device).map(|known| known.shown);
        let told = || self.teller(device).map(|told| told.shown);
        let Some(label) = seen.or_else(told).map(|shown| shown.beacon.label()) else {
            return false;
        };
        let Some((at, _)) = self.neighbours.iter().find(|(_, beacon)| beacon.label() == label)
        else {
            return false;
        };
        self.waiting.remove(&dial);
        let (at, known_as) = (at.clone(), device.endpoint());
        self.orders.push_back(Order::Dial { dial, at, known_as });
        true
    }

    /// So many links stand.
    pub(crate) fn on_links(&mut self, now: Instant, links: usize) {
        self.links = links;
        if links > 0 {
            self.rests.clear();
        }
        if let Phase::Member { idle_since, is_spared, .. } = &mut self.phase {
            if links > 0 {
                (*idle_since, *is_spared) = (None, false);
            } else {
                *idle_since = Some(idle_since.unwrap_or(now));
            }
        }
    }

    /// When to call [`Groups::on_timeout`].
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Free | Phase::Taken => None,
            Phase::Forming { until, .. } => Some(*until),
            Phase::Member { idle_since, .. } => idle_since.map(|since| since + IDLE_MAX),
        }
    }

    /// Time has passed.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Forming { with, until, by: By::Waiting, .. } if *until <= now => {
                let with = *with;
                if !self.ask_instead(now, with) {
                    self.end(|| DialFailure::Other("the other device made no group".to_owned()));
                }
            }
            Phase::Forming { until, .. } if *until <= now => {
                self.orders.push_back(Order::Abandon);
                self.end(|| DialFailure::Other("no group came about in time".to_owned()));
            }
            Phase::Member { idle_since: Some(since), is_spared, .. }
                if *since + IDLE_MAX <= now =>
            {
                // Who is dialled comes within that time, or is not there any more: then it is sought
                // anew without the group.
                if self.waiting.is_empty() || *is_spared {
                    self.orders.push_back(Order::Leave);
                }
                // Asked once more if it does not end.
                (*since, *is_spared) = (now, true);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod air;
#[cfg(test)]
mod tests;
