//! Logs, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::arguments::Command;

/// Logs what `HEDGEROW_LOG` asks for, such as `debug` or `hedgerow=trace`; without it `up` tells
/// its story and the other commands only what went wrong.
pub(crate) fn start(command: &Command) {
    let default = if matches!(command, Command::Up(_)) { "info" } else { "error" };
    let asked = std::env::var("HEDGEROW_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if asked.is_some_and(|asked| EnvFilter::try_new(asked).is_err()) {
        tracing::warn!("HEDGEROW_LOG is not a log filter, write it as `debug` or `hedgerow=trace`");
    }
}
