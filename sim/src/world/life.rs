//! Who starts, stops, dies and sleeps.

use hedgerow_core::config::NodeConfig;
use hedgerow_core::id::{Instance, LinkId, TransportId};
use hedgerow_core::io::Input;
use hedgerow_core::local::Local;
use hedgerow_core::node::Node;

use super::{World, purpose};
use crate::air::Hearing;
use crate::host::State;

/// How a node's death looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The process dies, the system closes its links: the others are told.
    Told,
    /// The power goes: nobody is told.
    Silent,
}

/// What a node's clock does while its machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It goes on.
    Runs,
    /// It stands.
    Stands,
}

impl World {
    /// Starts a node that is off. Its boot epoch is on the disk before it runs.
    pub fn start(&mut self, node: usize) {
        if self.hosts[node].state != State::Off {
            return;
        }
        let host = &mut self.hosts[node];
        (host.epoch, host.runs, host.state) = (host.epoch + 1, host.runs + 1, State::On);
        let now = host.clock(self.now);
        let mut chance = self.chance.fork(purpose::RUNS).fork(node as u64).fork(host.runs);
        let local = Local {
            identity: host.identity.clone(),
            network: self.network.clone(),
            instance: Instance::from_bytes(chance.bits().to_be_bytes()),
            epoch: host.epoch,
            aead: self.plan.aead.clone(),
            verifier: self.plan.verifier.clone(),
        };
        let config = NodeConfig { device_name: format!("node {node}"), ..self.plan.config.clone() };
        let its_own = host.account.enter();
        let mut core = Box::new(Node::new(now, local, config, Box::new(chance)));
        for (number, medium) in (0..).zip(&self.plan.media) {
            core.add_transport(TransportId(number), medium.profile.clone());
        }
        drop(its_own);
        host.node = Some(core);
        let (runs, epoch) = (host.runs, host.epoch);
        self.say(Some(node), format!("starts: run {runs}, epoch {epoch}"));
        self.turn_soon(node);
    }

    /// Ends a node without a goodbye.
    pub fn crash(&mut self, node: usize, ending: Ending) {
        if self.hosts[node].state == State::Off {
            return;
        }
        self.say(Some(node), format!("crashes: {ending:?}"));
        let links: Vec<LinkId> = self.hosts[node].links.keys().copied().collect();
        for link in links {
            match ending {
                Ending::Told => drop(self.close_end(node, link)),
                Ending::Silent => self.fall_silent(node, link),
            }
        }
        let host = &mut self.hosts[node];
        host.clear();
        host.state = State::Off;
    }

    /// What an end sent arrives; what is sent to it is not acknowledged any more.
    fn fall_silent(&mut self, node: usize, link: LinkId) {
        let id = self.hosts[node].links.get(&link).copied();
        if let Some(cable) = id.and_then(|id| self.air.cable_mut(id))
            && let Some(side) = cable.side(node)
        {
            cable.ways[1 - side].set_hearing(Hearing::Silent);
        }
        self.drop_end(node, link);
    }

    /// Ends a node as its host does: it says goodbye on what has room for it.
    pub fn stop(&mut self, node: usize) {
        let Some(()) = self.with_node(node, |now, core| core.shutdown(now)) else { return };
        self.turn(node);
        self.crash(node, Ending::Told);
    }

    /// Loses a node's home: at its next start it has another key and no epoch. The node is off.
    pub fn lose_home(&mut self, node: usize) {
        assert_eq!(self.hosts[node].state, State::Off, "a home is not lost under a running node");
        let identity = self.new_identity(node, self.hosts[node].runs);
        self.owners.insert(identity.peer_key(), node);
        let host = &mut self.hosts[node];
        (host.identity, host.epoch) = (identity, 0);
        self.say(Some(node), "lost its home".to_owned());
    }

    /// Sets the boot epoch on a node's disk, as an old copy of its home would. The node is off.
    pub fn set_epoch(&mut self, node: usize, epoch: u64) {
        assert_eq!(self.hosts[node].state, State::Off, "a home is not replaced under a node");
        self.hosts[node].epoch = epoch;
        self.say(Some(node), format!("has the home of epoch {epoch}"));
    }

    /// Puts a machine to sleep: nothing of it runs, what comes in waits in its system.
    pub fn suspend(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if host.state == State::On {
            (host.state, host.slept_at, host.timer) = (State::Asleep, self.now, None);
            self.say(Some(node), "sleeps".to_owned());
        }
    }

    /// Wakes a machine: it finds what came in, and a later time if its clock went on.
    pub fn resume(&mut self, node: usize, clock: Clock) {
        if self.hosts[node].state != State::Asleep {
            return;
        }
        self.say(Some(node), format!("wakes: its clock {clock:?}"));
        let host = &mut self.hosts[node];
        host.state = State::On;
        if clock == Clock::Stands {
            // A clock that would fall behind the world's stays with it.
            host.ahead = host.ahead.saturating_sub(self.now.since(host.slept_at));
        }
        for (transport, event) in std::mem::take(&mut host.held) {
            host.run_node(self.now, |now, core| {
                core.handle_input(now, Input::Transport { transport, event });
            });
        }
        self.arm_ways_of(node);
        for medium in 0..=u8::MAX {
            if usize::from(medium) < self.plan.media.len() {
                self.look_around(node, medium);
            }
        }
        self.turn_soon(node);
    }
}
