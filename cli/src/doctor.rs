//! What `doctor` looks at: one file for each part of the machine.

pub(crate) mod clock;
pub(crate) mod configuration;
pub(crate) mod files;
pub(crate) mod firewall;
pub(crate) mod home;
pub(crate) mod interfaces;
pub(crate) mod multicast;
pub(crate) mod node;
pub(crate) mod port;
pub(crate) mod radios;

use serde::Serialize;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) check: &'static str,
    pub(crate) status: Level,
    /// What was found, with its value.
    pub(crate) message: String,
    /// What to do; empty where there is nothing to do.
    pub(crate) hint: String,
}

impl Check {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Level::Ok, message: message.into(), hint: String::new() }
    }

    pub(crate) fn warn(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, status: Level::Warn, message: message.into(), hint: hint.into() }
    }

    pub(crate) fn fail(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, status: Level::Fail, message: message.into(), hint: hint.into() }
    }
}
