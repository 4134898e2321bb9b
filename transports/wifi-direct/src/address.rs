//! The address of a Wi-Fi Direct device, and what stands for one that told of itself over another link.

use std::fmt;

use hedgerow_driver::{Beacon, Endpoint};

/// Six bytes, written `02:00:00:00:01:00`. One that is no device's, as its first byte is that of groups of
/// receivers (IEEE 802-2014, 8.2.2), stands for a neighbour that told of itself: its other bytes are the
/// first five of its beacon's label, and it is written `neighbour-0102030405`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeviceAddress(pub(crate) [u8; 6]);

const NEIGHBOUR: u8 = 0x03;
const NEIGHBOUR_TEXT: &str = "neighbour-";

impl DeviceAddress {
    /// What stands for whoever shows a beacon.
    pub(crate) fn of(beacon: &Beacon) -> Self {
        let label = beacon.label();
        let mut bytes = [NEIGHBOUR; 6];
        for (byte, at) in bytes.iter_mut().skip(1).zip((0..).step_by(2)) {
            let digits = label.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
            *byte = digits.unwrap_or_default();
        }
        Self(bytes)
    }

    /// What stands for whoever has a beacon whose label begins so.
    pub(crate) const fn of_label([a, b, c, d, e]: [u8; 5]) -> Self {
        Self([NEIGHBOUR, a, b, c, d, e])
    }

    /// Whether it stands for a neighbour, and is no device's.
    pub(crate) fn is_neighbour(self) -> bool {
        self.0[0] == NEIGHBOUR
    }

    /// The device at an endpoint; `None` for other endpoints, such as those within a group.
    pub(crate) fn parse(endpoint: &Endpoint) -> Option<Self> {
        if let Some(digits) = endpoint.as_str().strip_prefix(NEIGHBOUR_TEXT) {
            return Self::of_path(&format!("03{digits}"));
        }
        let mut bytes = [0; 6];
        let mut parts = endpoint.as_str().split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        let is_device = parts.next().is_none() && bytes[0] != NEIGHBOUR;
        is_device.then_some(Self(bytes))
    }

    /// Where it is dialled.
    pub(crate) fn endpoint(self) -> Endpoint {
        Endpoint::new(&self.to_string())
    }

    /// The device behind the last part of a path, twelve hexadecimal digits.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let digits = path.rsplit('/').next().filter(|digits| digits.len() == 12)?;
        let mut bytes = [0; 6];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        if self.is_neighbour() {
            return write!(f, "{NEIGHBOUR_TEXT}{b:02x}{c:02x}{d:02x}{e:02x}{g:02x}");
        }
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Power;
    use crate::name::tests::shown;

    #[test]
    fn an_address_is_read_as_it_is_written_and_nothing_else_is_one() {
        let address = DeviceAddress([2, 0, 0, 0, 0xab, 1]);
        assert_eq!(address.to_string(), "02:00:00:00:ab:01");
        assert_eq!(DeviceAddress::parse(&address.endpoint()), Some(address));
        for text in
            ["", "02:00:00:00:ab", "02:00:00:00:ab:01:02", "2:0:0:0:ab:1", "[fe80::1%3]:4040"]
        {
            assert_eq!(DeviceAddress::parse(&Endpoint::new(text)), None, "{text}");
        }
        let neighbour = DeviceAddress::of(&shown(1, 7, Power::Mains).beacon);
        assert_eq!(neighbour.to_string(), "neighbour-0707070707");
        assert_eq!(DeviceAddress::parse(&neighbour.endpoint()), Some(neighbour));
        for text in ["03:07:07:07:07:07", "neighbour-07", "neighbour-07070707070707"] {
            assert_eq!(DeviceAddress::parse(&Endpoint::new(text)), None, "{text}");
        }
        let path = "/fi/w1/wpa_supplicant1/Interfaces/0/Peers/02000000ab01";
        assert_eq!(DeviceAddress::of_path(path), Some(address));
        for path in ["/", "/Peers/02000000ab0", "/Peers/02000000ab0g", "/Peers/\u{e9}2000000ab0"] {
            assert_eq!(DeviceAddress::of_path(path), None, "{path}");
        }
    }
}
