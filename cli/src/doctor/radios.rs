//! Whether the radios could be used, where no node says so.

use hedgerow::config::TransportsConfig;
use hedgerow::driver::{Condition, ConditionState, ConnectionType};

use crate::control::TransportLine;

/// Looks at what a node with this configuration would use, Bluetooth first.
pub(crate) async fn look(config: &TransportsConfig) -> Vec<TransportLine> {
    let disabled = |section: &str| {
        let how = format!("set transports.{section}.enabled = true to use it");
        Condition::new(ConditionState::Disabled, how)
    };
    let bluetooth = match config.ble.enabled {
        true => hedgerow::ble::look(&config.ble.driver()).await,
        false => disabled("ble"),
    };
    let wifi_direct = match config.wifi_direct.enabled {
        true => hedgerow::wifi_direct::look(&config.wifi_direct.driver()).await,
        false => disabled("wifi_direct"),
    };
    vec![
        TransportLine::of(&ConnectionType::Bluetooth, &bluetooth),
        TransportLine::of(&ConnectionType::P2PWiFi, &wifi_direct),
    ]
}
