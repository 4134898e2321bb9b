//! What transports tell those of their medium at neighbours (protocol 4.6).
//!
//! A hint is a state, not a message: the newest one counts, whatever became of those before it. It is
//! owed to a neighbour from when it changes, or from when one of the neighbour's links comes or goes,
//! which may have taken it along, until a link has taken it. Over another link a newer one may overtake
//! it, so each has a number.

use alloc::vec::Vec;

use super::Node;
use super::neighbour::Neighbour;
use crate::id::{PeerKey, TransportId};
use crate::io::{ConnectionType, Hint, TransportCommand};
use crate::wire::control::{Control, HintCopy};

impl Node {
    /// A driver has something else to tell.
    pub(super) fn on_own_hint(&mut self, transport: TransportId, hint: Hint) {
        let Some(profile) = self.transports.get(&transport) else { return };
        if self.hints.get(&transport).is_some_and(|own| own.hint == hint) {
            return;
        }
        let medium = profile.kind.clone();
        self.hints_told += 1;
        self.hints.insert(transport, HintCopy { medium, sequence: self.hints_told, hint });
        self.neighbours.values_mut().for_each(|neighbour| {
            neighbour.hints.owed.insert(transport);
        });
    }

    /// A neighbour's links have changed.
    pub(super) fn owe_hints(&mut self, peer: PeerKey) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.hints.owed.extend(self.hints.keys());
        }
    }

    /// Tells what is owed, as far as links take it.
    pub(super) fn tell_hints(&mut self) {
        for neighbour in self.neighbours.values_mut().filter(|n| !n.hints.owed.is_empty()) {
            let link = neighbour.active().and_then(|link| self.links.get_mut(&link));
            let Some(entry) = link else { continue };
            neighbour.hints.owed.retain(|transport| {
                self.hints
                    .get(transport)
                    .is_some_and(|own| !entry.link.send_control(&Control::Hint(own.clone())))
            });
        }
    }

    /// A neighbour tells something.
    pub(super) fn on_hint(&mut self, from: PeerKey, copy: HintCopy) {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        if neighbour.hints.hear(copy.clone()) {
            self.pass_hint(from, &copy.medium, &copy.hint);
        }
    }

    fn pass_hint(&mut self, from: PeerKey, medium: &ConnectionType, hint: &Hint) {
        for (transport, _) in self.transports.iter().filter(|(_, own)| own.kind == *medium) {
            let hint = TransportCommand::Hint { from, hint: hint.clone() };
            self.outputs.command(*transport, hint);
        }
    }

    /// A neighbour is gone, and what it told with it.
    pub(super) fn forget_hints(&mut self, from: PeerKey, neighbour: &Neighbour) {
        for (medium, (_, hint)) in &neighbour.hints.heard {
            if !hint.is_empty() {
                self.pass_hint(from, medium, &Hint::default());
            }
        }
    }

    /// A transport is new: what was told before is news to it.
    pub(super) fn repeat_hints(&mut self, transport: TransportId, medium: &ConnectionType) {
        let told = |(from, neighbour): (&PeerKey, &Neighbour)| {
            let (_, hint) = neighbour.hints.heard.get(medium)?;
            (!hint.is_empty()).then(|| (*from, hint.clone()))
        };
        let told: Vec<_> = self.neighbours.iter().filter_map(told).collect();
        for (from, hint) in told {
            self.outputs.command(transport, TransportCommand::Hint { from, hint });
        }
    }

    /// A transport is gone: it tells nothing any more.
    pub(super) fn withdraw_hint(&mut self, transport: TransportId) {
        if self.hints.contains_key(&transport) {
            self.on_own_hint(transport, Hint::default());
        }
    }
}
