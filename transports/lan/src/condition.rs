//! One condition out of several things that may not work.

use std::collections::BTreeMap;

use hedgerow_driver::{Condition, NodeGone};
use tokio::sync::watch;

use crate::audience::{Audience, LanNews};

/// What may not work, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The listeners as a whole.
    Listen,
    /// The accept loop of one listener.
    Accept(usize),
    /// The interfaces that discovery may use.
    Interfaces,
    /// Multicast DNS.
    Mdns,
}

type Failing = BTreeMap<Part, Condition>;

/// What does not work right now.
#[derive(Debug)]
pub(crate) struct Conditions {
    failing: watch::Sender<Failing>,
}

/// Tells of every change.
#[derive(Debug)]
pub(crate) struct Reporter {
    failing: watch::Receiver<Failing>,
    audience: Audience,
}

/// The conditions of a driver, and who reports them.
pub(crate) fn conditions(audience: Audience) -> (Conditions, Reporter) {
    let (sender, failing) = watch::channel(Failing::new());
    (Conditions { failing: sender }, Reporter { failing, audience })
}

impl Conditions {
    /// A part does not work, or works again (`None`).
    pub(crate) fn set(&self, part: Part, condition: Option<Condition>) {
        self.failing.send_if_modified(|failing| {
            let before = match condition {
                Some(condition) => failing.insert(part, condition),
                None => failing.remove(&part),
            };
            before.as_ref() != failing.get(&part)
        });
    }
}

impl Reporter {
    /// Reports the condition now and whenever it changes, until nobody can change it any more:
    /// the gravest state, and what to do about all. What passes while the node is busy is not
    /// told.
    pub(crate) async fn run(mut self) -> Result<(), NodeGone> {
        let mut told = None;
        loop {
            let whole = combine(&self.failing.borrow_and_update());
            if told.as_ref() != Some(&whole) {
                self.audience.tell(LanNews::Condition(whole.clone())).await?;
                told = Some(whole);
            }
            if self.failing.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

fn combine(failing: &Failing) -> Condition {
    let Some(gravest) = failing.values().next() else { return Condition::ok() };
    let details: Vec<&str> = failing.values().map(|condition| condition.detail.as_str()).collect();
    Condition::new(gravest.state, details.join("; "))
}

#[cfg(test)]
mod tests {
    use hedgerow_driver::{ConditionState, NodeSlot, Report, TransportEvent, TransportId, connect};

    use super::*;

    #[tokio::test]
    async fn all_is_well_only_when_every_part_is() {
        let (slot, mut node) = NodeSlot::new();
        let (_commands, port) = connect(&slot, TransportId(0));
        let (conditions, reporter) = conditions(Audience::Node(port.reports));
        let reporter = tokio::spawn(reporter.run());
        let mut told = async || match node.recv().await {
            Some((_, Report::Event(TransportEvent::Condition(condition)))) => condition,
            other => panic!("{other:?}"),
        };
        let mdns = Condition::new(ConditionState::MdnsFailure, "m");
        let listen = Condition::new(ConditionState::ListenFailure, "l");

        assert_eq!(told().await, Condition::ok());
        conditions.set(Part::Mdns, Some(mdns.clone()));
        assert_eq!(told().await, mdns);
        conditions.set(Part::Mdns, Some(mdns.clone()));
        conditions.set(Part::Listen, Some(listen));
        let both = told().await;
        assert_eq!((both.state, both.detail.as_str()), (ConditionState::ListenFailure, "l; m"));
        conditions.set(Part::Listen, None);
        assert_eq!(told().await, mdns);
        conditions.set(Part::Mdns, None);
        assert_eq!(told().await, Condition::ok());
        drop(conditions);
        assert_eq!(reporter.await.unwrap(), Ok(()));
    }
}
