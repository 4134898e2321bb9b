//! A transport that is switched off: shown as such instead of not at all.

use std::time::Duration;

use hedgerow_core::io::{
    Condition, ConditionState, ConnectionType, DialFailure, Dialling, TransportCommand,
    TransportProfile,
};

use crate::port::Port;
use crate::{Driver, DriverFuture};

/// A driver that does nothing but say that its transport is switched off.
#[derive(Clone, Debug)]
pub struct Disabled {
    kind: ConnectionType,
    detail: String,
}

impl Disabled {
    /// Stands for a transport; `detail` says how to switch it on.
    #[must_use]
    pub fn new(kind: ConnectionType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl Driver for Disabled {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: self.kind.clone(),
            links_max: 0,
            dials_max: 0,
            dial_timeout: Duration::from_secs(1),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, mut port: Port) -> DriverFuture {
        Box::pin(async move {
            let condition = Condition::new(ConditionState::Disabled, self.detail.clone());
            port.reports.condition(condition).await?;
            while let Some(command) = port.commands.recv().await {
                if let TransportCommand::Dial { dial, .. } = command {
                    let reason = DialFailure::Unavailable(self.detail.clone());
                    port.reports.dial_failed(dial, reason).await?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DialId, Endpoint, NodeSlot, Report, TransportEvent, TransportId, connect};

    #[tokio::test]
    async fn it_says_so_answers_dials_and_ends_with_the_node() {
        let (slot, mut reports) = NodeSlot::new();
        let (node, port) = connect(&slot, TransportId(0));
        let off = Disabled::new(ConnectionType::AccessPoint, "switch it on");
        let driver = tokio::spawn(Box::new(off).run(port));
        let Some((_, Report::Event(TransportEvent::Condition(condition)))) = reports.recv().await
        else {
            panic!()
        };
        assert_eq!(condition, Condition::new(ConditionState::Disabled, "switch it on"));
        let dial = TransportCommand::Dial { dial: DialId(7), endpoint: Endpoint::new("h:1") };
        node.commands.send(dial).await.unwrap();
        let answer = reports.recv().await;
        let Some((_, Report::Event(TransportEvent::DialFailed { dial, .. }))) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(dial, DialId(7));
        drop(node);
        driver.await.unwrap().unwrap();
    }
}
