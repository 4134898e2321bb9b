//! The GATT service (protocol 2.2).

use hedgerow_driver::{Address, Beacon, BeaconIdentity};

use crate::beacon::Psm;

/// The service; advertisements show it.
pub(crate) const SERVICE: &str = "3e1c0001-95b7-4d08-a5c6-6bd1f4a27e90";
/// Readable by everybody: [`Info`].
pub(crate) const INFO: &str = "3e1c0002-95b7-4d08-a5c6-6bd1f4a27e90";
/// Written without response: a packet from the central.
pub(crate) const RX: &str = "3e1c0003-95b7-4d08-a5c6-6bd1f4a27e90";
/// Notifies: a packet from the peripheral.
pub(crate) const TX: &str = "3e1c0004-95b7-4d08-a5c6-6bd1f4a27e90";

/// The same as numbers.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Uuids {
    pub(crate) service: uuid::Uuid,
    pub(crate) rx: uuid::Uuid,
    pub(crate) tx: uuid::Uuid,
}

#[cfg(not(target_os = "linux"))]
impl Uuids {
    pub(crate) fn new() -> Self {
        let parse = |text| uuid::Uuid::parse_str(text).expect("the constants are UUIDs");
        Self { service: parse(SERVICE), rx: parse(RX), tx: parse(TX) }
    }
}

/// The longest attribute value (Core Specification 5.4, volume 3 part F 3.2.9).
const VALUE_BYTES_MAX: usize = 512;
/// What a write or a notification needs beside its value.
const HEADER_BYTES: usize = 3;

/// The largest value that one write or notification carries at an ATT MTU.
pub(crate) fn value_bytes_max(mtu: u16) -> usize {
    usize::from(mtu).saturating_sub(HEADER_BYTES).min(VALUE_BYTES_MAX)
}

/// The largest value of a notification that BlueZ sends whole: it leaves room to put several into one
/// PDU (Core Specification 5.4, volume 3 part F 3.4.7.4), and cuts what does not fit with that.
#[cfg(target_os = "linux")]
pub(crate) fn notified_bytes_max(mtu: u16) -> usize {
    const HEADERS_BYTES: usize = 5;
    usize::from(mtu).saturating_sub(HEADERS_BYTES).min(VALUE_BYTES_MAX)
}

/// What `info` says: in an open network who this is, in a closed one nothing.
///
/// ```text
/// +--------+---------+----------+---------+-------------+
/// | lowest | highest | psm (2)  | tag (4) | address (8) |
/// +--------+---------+----------+---------+-------------+
/// ```
///
/// The PSM is little-endian as everywhere in Bluetooth, 0 for none. Bytes behind it are for later
/// versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) lowest: u8,
    pub(crate) highest: u8,
    pub(crate) psm: Option<Psm>,
    pub(crate) tag: [u8; 4],
    pub(crate) address: Address,
}

impl Info {
    /// What a node of this beacon says; `None` in a closed network.
    pub(crate) fn of(beacon: &Beacon, psm: Option<Psm>) -> Option<Self> {
        let BeaconIdentity::Open { tag, address } = beacon.identity else { return None };
        Some(Self { lowest: beacon.lowest, highest: beacon.highest, psm, tag, address })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.lowest, self.highest];
        bytes.extend(self.psm.map_or(0, Psm::number).to_le_bytes());
        bytes.extend(self.tag);
        bytes.extend(self.address.as_bytes());
        bytes
    }

    /// What a value says; `None` if it is empty, cut or out of order.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[lowest, highest, p0, p1], rest) = bytes.split_first_chunk()?;
        let (&tag, rest) = rest.split_first_chunk()?;
        let (&address, _) = rest.split_first_chunk()?;
        let psm = Psm::new(u16::from_le_bytes([p0, p1]));
        let address = Address::from_bytes(address);
        (lowest <= highest).then_some(Self { lowest, highest, psm, tag, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: Info = Info {
        lowest: 1,
        highest: 2,
        psm: None,
        tag: [4, 5, 6, 7],
        address: Address::from_bytes([8, 9, 10, 11, 12, 13, 14, 15]),
    };

    #[test]
    fn golden_bytes() {
        let info = Info { psm: Psm::new(0x91), ..INFO };
        let bytes = [1, 2, 0x91, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(info.encode(), bytes);
        assert_eq!(Info::decode(&bytes), Some(info));
        for end in 0..bytes.len() {
            assert_eq!(Info::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Info::decode(&INFO.encode()), Some(INFO));
    }

    #[test]
    fn a_closed_network_says_nothing() {
        let identity =
            BeaconIdentity::Closed { nonce: [1; 4], tag: [2; 4], sealed_address: [3; 8] };
        assert_eq!(Info::of(&Beacon { lowest: 1, highest: 1, identity }, None), None);
    }

    #[test]
    fn values_are_cut_at_the_mtu_and_at_what_an_attribute_holds() {
        assert_eq!([0, 23, 247, 517, u16::MAX].map(value_bytes_max), [0, 20, 244, 512, 512]);
        #[cfg(target_os = "linux")]
        assert_eq!([0, 23, 247, 517, u16::MAX].map(notified_bytes_max), [0, 18, 242, 512, 512]);
    }
}
