//! A look at Bluetooth without a node.

use std::time::Duration;

use hedgerow_driver::Condition;
use tokio::time::timeout;
use zbus::connection::Builder;

use super::condition;
use super::objects::Objects;
use super::station::choose;

/// A bus and a daemon that are well answer within milliseconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// The condition in which a driver that uses this adapter would be.
pub(crate) async fn look(adapter: Option<&str>) -> Condition {
    let looked = async {
        let connection = Builder::system().method_timeout(ANSWERED_WITHIN).build().await?;
        let objects = Objects::new();
        tokio::select! {
            followed = objects.follow(&connection) => followed.map(|()| None),
            choice = objects.until(|state| state.is_filled.then(|| choose(state, adapter))) => {
                Ok(Some(choice))
            }
        }
    };
    match timeout(ANSWERED_WITHIN, looked).await {
        Ok(Ok(Some(choice))) => {
            condition::of_choice(&choice, adapter).unwrap_or_else(Condition::ok)
        }
        Ok(Err(error)) => condition::of_bus(&error),
        Ok(Ok(None)) | Err(_) => condition::silent(),
    }
}
