//! The address of a Wi-Fi Direct device.

use std::fmt;

use hedgerow_driver::Endpoint;

/// Six bytes, written `02:00:00:00:01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DeviceAddress(pub(crate) [u8; 6]);

impl DeviceAddress {
    /// The device at an endpoint; `None` for other endpoints, such as those within a group.
    pub(crate) fn parse(endpoint: &Endpoint) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut parts = endpoint.as_str().split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(bytes))
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
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let path = "/fi/w1/wpa_supplicant1/Interfaces/0/Peers/02000000ab01";
        assert_eq!(DeviceAddress::of_path(path), Some(address));
        for path in ["/", "/Peers/02000000ab0", "/Peers/02000000ab0g", "/Peers/\u{e9}2000000ab0"] {
            assert_eq!(DeviceAddress::of_path(path), None, "{path}");
        }
    }
}
