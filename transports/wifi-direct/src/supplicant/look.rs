//! A look at Wi-Fi Direct without a node.

use std::time::Duration;

use hedgerow_driver::{Condition, ConditionState};
use tokio::time::timeout;

use super::radio::Radio;
use crate::WifiDirectConfig;

/// A bus and a daemon that are well answer within milliseconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// The condition in which a driver with this configuration would be.
pub(crate) async fn look(config: &WifiDirectConfig) -> Condition {
    match timeout(ANSWERED_WITHIN, Radio::find_one(config)).await {
        Ok(Ok(_)) => Condition::ok(),
        Ok(Err(no_radio)) => no_radio.condition(),
        Err(_) => Condition::new(
            ConditionState::TemporarilyUnavailable,
            "wpa_supplicant does not answer: restart it, `systemctl restart wpa_supplicant`",
        ),
    }
}
