//! Endpoints of Bluetooth: `C0:FF:EE:00:00:12/random`, an address and its type.

use std::str::FromStr;

use bluer::{Address, AddressType};
use hedgerow_driver::Endpoint;

/// A device as it can be dialled. Its address may change within minutes; peers are known by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceAddress {
    pub(crate) address: Address,
    pub(crate) is_random: bool,
}

impl DeviceAddress {
    /// What an endpoint's text says; `None` if it is not one of Bluetooth.
    pub(crate) fn parse(endpoint: &Endpoint) -> Option<Self> {
        let (address, kind) = endpoint.as_str().split_once('/')?;
        let is_random = match kind {
            "public" => false,
            "random" => true,
            _ => return None,
        };
        Some(Self { address: Address::from_str(address).ok()?, is_random })
    }

    /// The device of BlueZ's object path: `/org/bluez/hci0/dev_00_AA_01_00_00_42`.
    pub(crate) fn of_path(path: &str, is_random: bool) -> Option<Self> {
        let (_, address) = path.rsplit_once("/dev_")?;
        Some(Self { address: Address::from_str(&address.replace('_', ":")).ok()?, is_random })
    }

    pub(crate) fn address_type(self) -> AddressType {
        if self.is_random { AddressType::LeRandom } else { AddressType::LePublic }
    }

    pub(crate) fn endpoint(self) -> Endpoint {
        let kind = if self.is_random { "random" } else { "public" };
        Endpoint::new(&format!("{}/{kind}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_back() {
        for text in ["00:AA:01:00:00:42/public", "C0:FF:EE:00:00:12/random"] {
            let device = DeviceAddress::parse(&Endpoint::new(text)).unwrap();
            assert_eq!(device.endpoint().as_str(), text);
            assert_eq!(device.endpoint().host(), text, "nothing of it is a port");
        }
    }

    #[test]
    fn a_path_names_its_device() {
        let device = DeviceAddress::of_path("/org/bluez/hci0/dev_00_AA_01_00_00_42", false);
        assert_eq!(device.unwrap().endpoint().as_str(), "00:AA:01:00:00:42/public");
        assert_eq!(DeviceAddress::of_path("/org/bluez/hci0", false), None);
    }

    #[test]
    fn other_texts_are_no_endpoints() {
        for text in
            ["", "kitchen", "00:AA:01:00:00:42", "00:AA:01:00:00/public", "192.168.1.7:4040"]
        {
            assert_eq!(DeviceAddress::parse(&Endpoint::new(text)), None, "{text}");
        }
    }
}
