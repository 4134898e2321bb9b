//! The local network, switched off: shown as such instead of not at all.

use std::time::Duration;

use hedgerow_driver::{
    Condition, ConditionState, ConnectionType, DialFailure, Driver, DriverFuture, Port,
    TransportCommand, TransportProfile,
};

/// A driver that does nothing but say that the local network is switched off.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disabled;

impl Driver for Disabled {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::AccessPoint,
            links_max: 0,
            dials_max: 0,
            dial_timeout: Duration::from_secs(1),
        }
    }

    fn run(self: Box<Self>, mut port: Port) -> DriverFuture {
        Box::pin(async move {
            let why = "switched off: set transports.lan.enabled = true to use the local network";
            let condition = Condition::new(ConditionState::Disabled, why);
            port.reports.condition(condition).await?;
            while let Some(command) = port.commands.recv().await {
                if let TransportCommand::Dial { dial, .. } = command {
                    let reason = DialFailure::Unavailable(why.to_owned());
                    port.reports.dial_failed(dial, reason).await?;
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_driver::{
        DialId, Endpoint, NodeSlot, Report, TransportEvent, TransportId, connect,
    };

    use super::*;

    #[tokio::test]
    async fn it_says_so_answers_dials_and_ends_with_the_node() {
        let (slot, mut reports) = NodeSlot::new();
        let (node, port) = connect(&slot, TransportId(0));
        let driver = tokio::spawn(Box::new(Disabled).run(port));
        let Some((_, Report::Event(TransportEvent::Condition(condition)))) = reports.recv().await
        else {
            panic!()
        };
        assert_eq!(condition.state, ConditionState::Disabled);
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
