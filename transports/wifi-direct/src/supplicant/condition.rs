//! What does not work, and what to do about it.

use std::path::Path;

use hedgerow_driver::{Condition, ConditionState};

use super::bus::{P2P_DEVICE, error_name, words};

/// Where the kernel lists its radios, whether wpa_supplicant runs or not.
const RADIOS: &str = "/sys/class/ieee80211";

/// Why there is no radio to use.
#[derive(Debug)]
pub(super) enum NoRadio {
    /// The bus cannot be reached.
    NoBus(zbus::Error),
    /// wpa_supplicant has no name on it.
    NoSupplicant,
    /// It refuses.
    Refused(zbus::Error),
    /// It does not manage the interface that is wanted, but these.
    NotManaged { wanted: Option<String>, others: Vec<String> },
    /// The interface's radio, or this wpa_supplicant, does not form groups.
    NoGroups { interface: String },
}

impl NoRadio {
    pub(super) fn condition(&self) -> Condition {
        self.condition_where(has_radios(Path::new(RADIOS)))
    }

    fn condition_where(&self, has_radios: bool) -> Condition {
        let (state, detail) = match self {
            Self::NoBus(_) | Self::NoSupplicant if !has_radios => (
                ConditionState::NoHardware,
                "this machine has no Wi-Fi radio: plug one in, or set \
                 transports.wifi_direct.enabled = false"
                    .to_owned(),
            ),
            Self::NoBus(error) => (
                ConditionState::TemporarilyUnavailable,
                format!(
                    "the message bus cannot be reached, and wpa_supplicant is behind it: start \
                     dbus, or set transports.wifi_direct.bus ({})",
                    words(error)
                ),
            ),
            Self::NoSupplicant => (
                ConditionState::TemporarilyUnavailable,
                "wpa_supplicant does not run, or not on this message bus: start it with `-u`, \
                 `systemctl start wpa_supplicant` (the package is wpasupplicant)"
                    .to_owned(),
            ),
            Self::Refused(error) => return of_call(error),
            Self::NotManaged { wanted, others } => (
                if has_radios {
                    ConditionState::TemporarilyUnavailable
                } else {
                    ConditionState::NoHardware
                },
                not_managed(wanted.as_deref(), others),
            ),
            Self::NoGroups { interface } => (
                ConditionState::NoHardware,
                format!(
                    "{interface} does not do Wi-Fi Direct (its radio, its driver or this \
                     wpa_supplicant): choose another one with transports.wifi_direct.interface, \
                     or set transports.wifi_direct.enabled = false"
                ),
            ),
        };
        Condition::new(state, detail)
    }
}

fn not_managed(wanted: Option<&str>, others: &[String]) -> String {
    let which = wanted.map_or_else(|| "no interface".to_owned(), |name| format!("not {name}"));
    let instead =
        if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) };
    format!(
        "wpa_supplicant looks after {which}{instead}: set transports.wifi_direct.interface, or have \
         it look after the radio, `wpa_supplicant -u -i wlan0` or NetworkManager"
    )
}

/// The condition when wpa_supplicant refuses what the driver needs.
pub(super) fn of_call(error: &zbus::Error) -> Condition {
    let words = words(error);
    match error_name(error) {
        Some("org.freedesktop.DBus.Error.AccessDenied") => Condition::new(
            ConditionState::NoPermission,
            format!(
                "this user may not speak to wpa_supplicant, which listens to root and the group \
                 netdev by default: run as root, or allow it in /etc/dbus-1/system.d ({words})"
            ),
        ),
        _ => Condition::new(
            ConditionState::TemporarilyUnavailable,
            format!("wpa_supplicant refuses, and is asked again: {words}"),
        ),
    }
}

/// The condition when no group can be formed because of channels; `None` for other reasons, which are
/// a peer's affair.
pub(super) fn of_channels(interface: &str, error: &zbus::Error) -> Option<Condition> {
    let detail = match error_name(error)?.strip_prefix(P2P_DEVICE)? {
        ".ConnectChannelUnavailable" => format!(
            "{interface} is busy on another channel, as in a Wi-Fi network, and its radio does one at \
             a time: leave that network, or choose another radio with \
             transports.wifi_direct.interface; it is tried again"
        ),
        ".ConnectChannelUnsupported" => format!(
            "{interface} has no channel on which groups are allowed here: tell the system where it is, \
             `iw reg set DE`, and see `iw reg get`; it is tried again"
        ),
        _ => return None,
    };
    Some(Condition::new(ConditionState::TemporarilyUnavailable, detail))
}

/// The condition while the radio is in a group that another program formed.
pub(super) fn taken(interface: &str) -> Condition {
    Condition::new(
        ConditionState::TemporarilyUnavailable,
        format!(
            "{interface} is in a Wi-Fi Direct group of another program, such as a screen that it \
             shows: end that; goes on by itself once it has ended"
        ),
    )
}

fn has_radios(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_radio_is_told_so_and_one_with_a_radio_what_to_start() {
        let of = |no: &NoRadio, has| no.condition_where(has);
        let none = of(&NoRadio::NoSupplicant, false);
        assert_eq!(none.state, ConditionState::NoHardware);
        assert!(none.detail.contains("transports.wifi_direct.enabled"), "{}", none.detail);
        let stopped = of(&NoRadio::NoSupplicant, true);
        assert_eq!(stopped.state, ConditionState::TemporarilyUnavailable);
        assert!(stopped.detail.contains("systemctl start wpa_supplicant"), "{}", stopped.detail);
    }

    #[test]
    fn a_radio_that_is_busy_and_one_that_may_not_are_told_from_other_refusals() {
        let refused = |name: &str| {
            let message = zbus::message::Message::method_call("/", "Connect");
            let message = message.build(&()).unwrap();
            let name =
                zbus::names::OwnedErrorName::try_from(format!("{P2P_DEVICE}.{name}")).unwrap();
            of_channels("wlan0", &zbus::Error::MethodError(name, None, message))
        };
        let busy = refused("ConnectChannelUnavailable").unwrap();
        assert_eq!(busy.state, ConditionState::TemporarilyUnavailable);
        assert!(busy.detail.contains("wlan0 is busy on another channel"), "{}", busy.detail);
        let regulated = refused("ConnectChannelUnsupported").unwrap();
        assert!(regulated.detail.contains("iw reg set"), "{}", regulated.detail);
        assert_eq!(refused("ConnectUnspecifiedError"), None);
    }

    #[test]
    fn an_interface_that_is_not_looked_after_is_named_with_the_others() {
        let no = NoRadio::NotManaged { wanted: Some("wlan7".into()), others: vec!["wlan0".into()] };
        let condition = no.condition_where(true);
        assert!(condition.detail.contains("not wlan7, but wlan0"), "{}", condition.detail);
        let no = NoRadio::NoGroups { interface: "wlan0".into() };
        assert_eq!(no.condition_where(true).state, ConditionState::NoHardware);
    }
}
