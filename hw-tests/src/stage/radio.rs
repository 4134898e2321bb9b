//! A radio of Wi-Fi, as scenarios name it.

use std::path::PathBuf;

/// A radio of Wi-Fi, and where everything that has to do with it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Radio {
    /// Index of the host that is its network namespace.
    pub(super) host: usize,
    pub(crate) namespace: String,
    /// The address of its bus, which is reached from every namespace.
    pub(crate) bus: String,
    /// As the kernel calls it: `wlan0`.
    pub(crate) interface: String,
}

impl Radio {
    pub(super) fn new(number: usize, host: usize) -> Self {
        Self {
            host,
            namespace: format!("radio{number}"),
            bus: format!("unix:path={}", socket(number).display()),
            interface: format!("wlan{number}"),
        }
    }

    /// What others read of it in the air.
    pub(crate) fn name(&self) -> &str {
        &self.namespace
    }
}

/// Where the bus of a radio listens.
pub(super) fn socket(number: usize) -> PathBuf {
    PathBuf::from(format!("/run/bus-{number}/sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_radios_share_anything() {
        let [one, other] = [Radio::new(0, 1), Radio::new(1, 2)];
        assert_eq!(one.bus, "unix:path=/run/bus-0/sock");
        assert_eq!((one.namespace.as_str(), one.interface.as_str()), ("radio0", "wlan0"));
        assert!(one.host != other.host && one.bus != other.bus);
        assert!(one.namespace != other.namespace && one.interface != other.interface);
    }
}
