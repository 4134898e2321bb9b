//! What the applications of a world share: who is who, how each behaves, and what happened.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hedgerow_core::id::{Instance, PeerKey};
use hedgerow_core::time::Duration;

use super::{Affair, Who};
use crate::ledger::Account;

/// How an application takes what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    #[default]
    Prompt,
    /// A few messages at a time, seldom: the others wait and hold their senders back.
    Slow {
        /// How often it looks.
        every: Duration,
        /// How many it takes then.
        at_once: usize,
    },
    /// It takes messages, and says later whether it accepts them; some it refuses.
    Pondering {
        /// How long it thinks.
        time: Duration,
        /// One of so many is refused; 0: none.
        refuse_one_of: u32,
    },
}

/// What all applications of a world know and write down.
#[derive(Debug, Default)]
pub struct Desk {
    affairs: Vec<Affair>,
    runs: BTreeMap<usize, (u32, Instance)>,
    keys: BTreeMap<usize, PeerKey>,
    owners: BTreeMap<PeerKey, usize>,
    manners: BTreeMap<usize, Manner>,
    orders: BTreeMap<usize, Vec<usize>>,
    /// Whether planned traffic flows.
    pub(crate) is_open: bool,
}

/// The desk as all hold it.
pub type Shared = Rc<RefCell<Desk>>;

impl Desk {
    /// A desk where traffic may flow.
    #[must_use]
    pub fn new() -> Shared {
        Rc::new(RefCell::new(Self { is_open: true, ..Self::default() }))
    }

    /// No new planned traffic begins from now on; streams are finished.
    pub fn close(&mut self) {
        self.is_open = false;
    }

    /// A node has this key from now on.
    pub fn set_key(&mut self, node: usize, key: PeerKey) {
        self.keys.insert(node, key);
        self.owners.insert(key, node);
    }

    pub(crate) fn key(&self, node: usize) -> Option<PeerKey> {
        self.keys.get(&node).copied()
    }

    pub(crate) fn owner(&self, key: &PeerKey) -> Option<usize> {
        self.owners.get(key).copied()
    }

    /// A node's application behaves like this from now on.
    pub fn set_manner(&mut self, node: usize, manner: Manner) {
        self.manners.insert(node, manner);
    }

    pub(crate) fn manner(&self, node: usize) -> Manner {
        self.manners.get(&node).copied().unwrap_or_default()
    }

    /// Has `from` send one small reliable message to `to`, whatever is planned.
    pub fn order(&mut self, from: usize, to: usize) {
        self.orders.entry(from).or_default().push(to);
    }

    pub(crate) fn take_orders(&mut self, node: usize) -> Vec<usize> {
        self.orders.remove(&node).unwrap_or_default()
    }

    pub(crate) fn note(&mut self, affair: Affair) {
        // Whoever writes, the paper is nobody's.
        let _nobodys = Account::WORLD.enter();
        self.affairs.push(affair);
    }

    /// How many affairs were written down since they were last taken.
    pub(crate) fn affairs(&self) -> usize {
        self.affairs.len()
    }

    pub(crate) fn split_off(&mut self, at: usize) -> Vec<Affair> {
        self.affairs.split_off(at)
    }

    /// What happened since the last call.
    pub fn take_affairs(&mut self) -> Vec<Affair> {
        core::mem::take(&mut self.affairs)
    }

    /// A run of `node` begins.
    pub(crate) fn begin(&mut self, node: usize, instance: Instance) -> Who {
        let run = self.runs.get(&node).map_or(1, |(run, _)| run + 1);
        self.runs.insert(node, (run, instance));
        Who { node, run }
    }

    /// The instance of a run, if no later one began.
    #[must_use]
    pub fn instance(&self, who: Who) -> Option<Instance> {
        self.runs.get(&who.node).filter(|(run, _)| *run == who.run).map(|(_, instance)| *instance)
    }
}
