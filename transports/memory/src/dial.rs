//! Dialling: a round trip, and then a link or a reason.

use std::time::Duration;

use hedgerow_driver::{DialFailure, Endpoint};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::air::{Hearing, Name};
use crate::link::LinkEnd;
use crate::medium::Medium;

/// A dial without an answer is given up after this: several round trips of the slowest radio.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Dials `endpoint` from `name` until there is a result or `cancel` is told or dropped.
pub(crate) async fn dial(
    medium: Medium,
    name: Name,
    endpoint: Endpoint,
    cancel: oneshot::Receiver<()>,
) -> Result<LinkEnd, DialFailure> {
    if endpoint.as_str().is_empty() {
        return Err(DialFailure::InvalidEndpoint);
    }
    tokio::select! {
        biased;
        _ = cancel => Err(DialFailure::Cancelled),
        result = timeout(DIAL_TIMEOUT, reach(&medium, &name, endpoint.as_str())) => {
            result.unwrap_or(Err(DialFailure::TimedOut))
        }
    }
}

async fn reach(medium: &Medium, name: &Name, to: &str) -> Result<LinkEnd, DialFailure> {
    let path = medium.air().path(name, to);
    let (shape, mut hearing) = path.ok_or(DialFailure::Unreachable)?;
    sleep(shape.delay * 2).await;
    let heard = hearing.wait_for(|&hearing| hearing == Hearing::Clear).await.is_ok();
    if !heard {
        return Err(DialFailure::Unreachable);
    }
    medium.air().join(name, to)
}
