//! Whether Bluetooth could be used, where no node says so.

use hedgerow::config::BleConfig;
use hedgerow::driver::{Condition, ConditionState, ConnectionType};

use crate::control::TransportLine;

/// Looks at the adapter that a node with this configuration would use.
pub(crate) async fn look(config: &BleConfig) -> TransportLine {
    let condition = if config.enabled {
        hedgerow::ble::look(&config.driver()).await
    } else {
        let how = "set transports.ble.enabled = true to use it";
        Condition::new(ConditionState::Disabled, how)
    };
    TransportLine::of(&ConnectionType::Bluetooth, &condition)
}
