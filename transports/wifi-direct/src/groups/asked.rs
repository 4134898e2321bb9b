//! What other devices ask by radio, and what they are answered.

use tokio::time::Instant;

use super::{ASKING_MAX, By, Groups, Order, Phase, Way};
use crate::address::DeviceAddress;
use crate::owner::intent;

impl Groups {
    /// A device asks for a group. One that is not known may be another program's affair, or a node
    /// that will be known in a moment: it is let wait.
    pub(crate) fn on_request(&mut self, now: Instant, device: DeviceAddress) {
        let Some((known, own)) = self.devices.get(&device).copied().zip(self.own) else {
            // Who is never seen must not keep out those that are.
            if self.asking.len() >= ASKING_MAX {
                self.asking.pop_first();
            }
            self.asking.insert(device);
            return;
        };
        if !known.shown.may_meet(&own) {
            self.orders.push_back(Order::Reject(device));
            return;
        }
        match &self.phase {
            Phase::Free => {
                let intent = intent(&own, &known.shown);
                self.begin(now, device, By::Asking { intent, way: Way::Negotiated });
            }
            // What was thought of as an owner owns nothing any more.
            Phase::Forming { with, by: By::Asking { way: Way::Joined, .. }, .. }
                if *with == device =>
            {
                self.orders.push_back(Order::Abandon);
                let intent = intent(&own, &known.shown);
                self.begin(now, device, By::Asking { intent, way: Way::Negotiated });
            }
            // It was not told that it is waited for, or not yet.
            Phase::Forming { with, by: By::Waiting, .. } if *with == self.identity(device) => {
                let intent = intent(&own, &known.shown);
                self.begin(now, device, By::Asking { intent, way: Way::Negotiated });
            }
            // Both ask at once, and wpa_supplicant makes one negotiation of it.
            Phase::Forming { with, by: By::Asking { .. }, .. } if *with == device => {}
            // It is not to be asked twice for what it wants.
            Phase::Member { owns: true, .. } => {
                self.orders.push_back(Order::Reject(device));
                self.invite(device);
            }
            Phase::Forming { .. } | Phase::Member { .. } | Phase::Taken => {
                self.orders.push_back(Order::Reject(device));
            }
        }
    }

    /// A device asks to be let into the group that this one owns. Before a negotiation devices ask
    /// the same, and are answered by that.
    pub(crate) fn on_knock(&mut self, device: DeviceAddress) {
        if matches!(self.phase, Phase::Member { owns: true, .. }) && self.is_welcome(device) {
            self.orders.push_back(Order::Admit(device));
        }
    }

    pub(super) fn is_welcome(&self, device: DeviceAddress) -> bool {
        let known = self.devices.get(&device).zip(self.own);
        known.is_some_and(|(known, own)| known.shown.may_meet(&own))
    }

    /// The owner of a group asks this device to join. That is surer than what is under way: who owns a
    /// group forms no other.
    pub(crate) fn on_invitation(&mut self, now: Instant, owner: DeviceAddress) {
        if !self.is_welcome(owner) {
            return;
        }
        match self.phase {
            // What waits for a key has asked wpa_supplicant for nothing yet.
            Phase::Free | Phase::Forming { by: By::Waiting, .. } => {}
            Phase::Forming { .. } => self.orders.push_back(Order::Abandon),
            Phase::Member { .. } | Phase::Taken => return,
        }
        self.begin(now, owner, By::Asking { intent: 0, way: Way::Joined });
    }
}
