//! One condition out of several things that may not work.

use std::collections::BTreeMap;

use hedgerow_driver::{Condition, NodeGone, Reports};
use tokio::sync::Mutex;

/// What may not work, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The listeners as a whole.
    Listen,
    /// The accept loop of one listener.
    Accept(usize),
    /// Multicast DNS.
    Mdns,
}

/// Reports the condition whenever it changes: the gravest state, and what to do about all.
#[derive(Debug)]
pub(crate) struct Conditions {
    reports: Reports,
    // Held while a report waits, so that reports leave in the order of the changes.
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    failing: BTreeMap<Part, Condition>,
    told: Option<Condition>,
}

impl Conditions {
    pub(crate) fn new(reports: Reports) -> Self {
        Self { reports, current: Mutex::default() }
    }

    /// A part does not work, or works again (`None`).
    pub(crate) async fn set(
        &self,
        part: Part,
        condition: Option<Condition>,
    ) -> Result<(), NodeGone> {
        let mut current = self.current.lock().await;
        match condition {
            Some(condition) => current.failing.insert(part, condition),
            None => current.failing.remove(&part),
        };
        let whole = combine(&current.failing);
        if current.told.as_ref() != Some(&whole) {
            self.reports.condition(whole.clone()).await?;
            current.told = Some(whole);
        }
        Ok(())
    }
}

fn combine(failing: &BTreeMap<Part, Condition>) -> Condition {
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
        let conditions = Conditions::new(port.reports);
        let mut told = async |part, condition| {
            conditions.set(part, condition).await.unwrap();
            match node.try_recv() {
                Ok((_, Report::Event(TransportEvent::Condition(condition)))) => Some(condition),
                _ => None,
            }
        };
        let mdns = Condition::new(ConditionState::MdnsFailure, "m");
        let listen = Condition::new(ConditionState::ListenFailure, "l");

        assert_eq!(told(Part::Listen, None).await, Some(Condition::ok()));
        assert_eq!(told(Part::Mdns, Some(mdns.clone())).await, Some(mdns.clone()));
        assert_eq!(told(Part::Mdns, Some(mdns.clone())).await, None, "nothing changed");
        let both = told(Part::Listen, Some(listen)).await.unwrap();
        assert_eq!((both.state, both.detail.as_str()), (ConditionState::ListenFailure, "l; m"));
        assert_eq!(told(Part::Listen, None).await, Some(mdns));
        assert_eq!(told(Part::Mdns, None).await, Some(Condition::ok()));
    }
}
