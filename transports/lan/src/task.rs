//! How the driver's tasks end.

use hedgerow_driver::NodeGone;
use tokio::task::JoinError;

/// What a task came to. Its panic goes on.
pub(crate) fn outcome(ended: Result<Result<(), NodeGone>, JoinError>) -> Result<(), NodeGone> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}
