//! What does not work, and what to do about it.

use std::path::Path;

use hedgerow_driver::{Condition, ConditionState};

use super::bus::{error_name, words};
use super::station::Choice;

/// Where the kernel lists its adapters, whether BlueZ runs or not.
const ADAPTERS: &str = "/sys/class/bluetooth";

/// The condition of an adapter that cannot be used; `None` for one that can.
pub(super) fn of_choice(choice: &Choice, wanted: Option<&str>) -> Option<Condition> {
    let condition = match choice {
        Choice::Ready { .. } => return None,
        Choice::Off { adapter } => Condition::new(
            ConditionState::RadioOff,
            format!(
                "the Bluetooth adapter {adapter} is switched off: switch it on, `bluetoothctl \
                 power on`; if that is refused, `rfkill unblock bluetooth`"
            ),
        ),
        Choice::Missing { others } => missing(others, wanted),
        Choice::NoDaemon => no_daemon(has_adapters(Path::new(ADAPTERS))),
    };
    Some(condition)
}

fn missing(others: &[String], wanted: Option<&str>) -> Condition {
    let detail = match wanted {
        Some(wanted) if others.is_empty() => {
            format!("there is no Bluetooth adapter {wanted}, nor any other one: plug one in")
        }
        Some(wanted) => format!(
            "there is no Bluetooth adapter {wanted}, but {}: set transports.ble.adapter",
            others.join(", ")
        ),
        None => "this machine has no Bluetooth adapter: plug one in, or set \
                 transports.ble.enabled = false"
            .into(),
    };
    Condition::new(ConditionState::NoHardware, detail)
}

fn no_daemon(has_adapters: bool) -> Condition {
    if has_adapters {
        Condition::new(
            ConditionState::TemporarilyUnavailable,
            "bluetoothd does not run: start it, `systemctl start bluetooth` (the package is bluez)",
        )
    } else {
        missing(&[], None)
    }
}

fn has_adapters(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// The condition when there is no way to BlueZ at all.
pub(super) fn of_bus(error: &zbus::Error) -> Condition {
    if has_adapters(Path::new(ADAPTERS)) {
        Condition::new(
            ConditionState::TemporarilyUnavailable,
            format!(
                "the system's message bus cannot be reached, and bluetoothd is behind it: start \
                 dbus, then bluetooth ({})",
                words(error)
            ),
        )
    } else {
        missing(&[], None)
    }
}

/// The condition when BlueZ does not answer.
pub(super) fn silent() -> Condition {
    Condition::new(
        ConditionState::TemporarilyUnavailable,
        "bluetoothd does not answer: restart it, `systemctl restart bluetooth`",
    )
}

/// The condition when BlueZ refuses what the driver needs.
pub(super) fn of_call(error: &zbus::Error) -> Condition {
    match error_name(error) {
        Some("org.freedesktop.DBus.Error.AccessDenied" | "org.bluez.Error.NotAuthorized") => {
            Condition::new(
                ConditionState::NoPermission,
                format!(
                    "this user may not use Bluetooth: add it to the group bluetooth and log in again \
                 ({})",
                    words(error)
                ),
            )
        }
        _ => Condition::new(
            ConditionState::TemporarilyUnavailable,
            format!("bluetoothd refuses, and is asked again: {}", words(error)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let state = |choice: &Choice, wanted| {
            let condition = of_choice(choice, wanted).unwrap();
            (condition.state, condition.detail)
        };
        let (none, detail) = state(&Choice::Missing { others: vec![] }, None);
        assert_eq!(none, ConditionState::NoHardware);
        assert!(detail.contains("transports.ble.enabled"), "{detail}");
        let others = Choice::Missing { others: vec!["hci0".into(), "hci1".into()] };
        let (_, detail) = state(&others, Some("hci7"));
        assert!(detail.contains("no Bluetooth adapter hci7, but hci0, hci1"), "{detail}");
        let (off, detail) = state(&Choice::Off { adapter: "hci0".into() }, None);
        assert_eq!(off, ConditionState::RadioOff);
        assert!(detail.contains("bluetoothctl power on"), "{detail}");
    }

    #[test]
    fn a_daemon_that_does_not_run_is_no_missing_hardware() {
        assert_eq!(no_daemon(true).state, ConditionState::TemporarilyUnavailable);
        assert_eq!(no_daemon(false).state, ConditionState::NoHardware);
    }
}
