//! Where no back end is written yet.

use hedgerow_driver::{Condition, ConditionState, DriverError, Port, TransportCommand};

use crate::WifiDirectConfig;

fn condition() -> Condition {
    Condition::new(
        ConditionState::Unsupported,
        "Wi-Fi Direct works on Linux only so far: set transports.wifi_direct.enabled = false",
    )
}

pub(crate) async fn look(_config: &WifiDirectConfig) -> Condition {
    condition()
}

/// Says so, and answers every dial.
pub(crate) async fn run(_config: WifiDirectConfig, mut port: Port) -> Result<(), DriverError> {
    port.reports.condition(condition()).await?;
    while let Some(command) = port.commands.recv().await {
        if let TransportCommand::Dial { dial, .. } = command {
            let reason = hedgerow_driver::DialFailure::Unavailable(condition().detail);
            port.reports.dial_failed(dial, reason).await?;
        }
    }
    Ok(())
}
