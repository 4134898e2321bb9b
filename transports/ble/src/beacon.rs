//! What an advertisement shows (protocol 2.1).
//!
//! An advertisement has 31 bytes, of which flags and the service's UUID take 21; the beacon goes
//! into the scan response. What may stand there is up to the operating system: BlueZ and Apple's
//! stack allow a name and nothing else, so the beacon is written as one; it is read from service
//! and manufacturer data as well.
//!
//! ```text
//!    0      1        2       3       4             16 or 20
//! +--------+--------+-------+-------+----- - - - ----+
//! | lowest | highest|C| free|  psm  |   identity     |
//! +--------+--------+-------+-------+----- - - - ----+
//! ```
//!
//! `C` says that the network is closed, `free` is how many links the node still takes (127 for
//! more), `psm` the node's L2CAP channel (128 to 255, or 0 for none). The identity is tag ‖ address
//! (12 bytes), or nonce ‖ tag ‖ sealed address (16 bytes) where the network is closed.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hedgerow_driver::{Address, Beacon, BeaconIdentity};

/// The bit of a closed network.
const CLOSED: u8 = 0x80;
/// The most free places that are told.
const FREE_MAX: u8 = 0x7f;
const HEADER_BYTES: usize = 4;
const OPEN_BYTES: usize = HEADER_BYTES + 12;
const CLOSED_BYTES: usize = HEADER_BYTES + 16;
/// The company of manufacturer data that is nobody's (Assigned Numbers 7.1). Beacons of Hedgerow
/// stand beside its service.
pub(crate) const NO_COMPANY: u16 = 0xffff;
/// What a scan response of 31 bytes leaves for a name.
pub(crate) const NAME_BYTES_MAX: usize = 29;

/// A beacon as Bluetooth shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) beacon: Beacon,
    /// Links it still takes, 127 at most.
    pub(crate) free: u8,
    /// Its channel, if it has one.
    pub(crate) psm: Option<Psm>,
}

/// The number of an L2CAP channel that the operating system chose: SPSM 0x80 to 0xff (Core
/// Specification 5.4, volume 3 part A 4.22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Psm(u8);

impl Psm {
    /// The channel of a number; `None` outside the dynamic range.
    pub(crate) fn new(number: u16) -> Option<Self> {
        u8::try_from(number).ok().filter(|&number| number >= 0x80).map(Self)
    }

    pub(crate) fn number(self) -> u16 {
        self.0.into()
    }
}

/// Why bytes or a name are no beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a beacon")]
pub(crate) struct NoBeacon;

impl Advertised {
    /// The bytes, 16 or 20.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(CLOSED_BYTES);
        bytes.extend([self.beacon.lowest, self.beacon.highest]);
        let free = self.free.min(FREE_MAX);
        let psm = self.psm.map_or(0, |psm| psm.0);
        match &self.beacon.identity {
            BeaconIdentity::Open { tag, address } => {
                bytes.extend([free, psm]);
                bytes.extend(tag);
                bytes.extend(address.as_bytes());
            }
            BeaconIdentity::Closed { nonce, tag, sealed_address } => {
                bytes.extend([free | CLOSED, psm]);
                bytes.extend(nonce);
                bytes.extend(tag);
                bytes.extend(sealed_address);
            }
        }
        bytes
    }

    /// What `bytes` show. Bytes behind it are for later versions.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoBeacon> {
        let (&[lowest, highest, places, psm], identity) =
            bytes.split_first_chunk().ok_or(NoBeacon)?;
        if lowest > highest || lowest == 0 {
            return Err(NoBeacon);
        }
        let identity = if places & CLOSED == 0 {
            let (tag, rest) = identity.split_first_chunk().ok_or(NoBeacon)?;
            let (address, _) = rest.split_first_chunk().ok_or(NoBeacon)?;
            BeaconIdentity::Open { tag: *tag, address: Address::from_bytes(*address) }
        } else {
            let (nonce, rest) = identity.split_first_chunk().ok_or(NoBeacon)?;
            let (tag, rest) = rest.split_first_chunk().ok_or(NoBeacon)?;
            let (sealed_address, _) = rest.split_first_chunk().ok_or(NoBeacon)?;
            BeaconIdentity::Closed { nonce: *nonce, tag: *tag, sealed_address: *sealed_address }
        };
        let beacon = Beacon { lowest, highest, identity };
        Ok(Self { beacon, free: places & FREE_MAX, psm: Psm::new(psm.into()) })
    }

    /// The bytes as a name: base64 (RFC 4648 section 5, without padding).
    pub(crate) fn name(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.encode())
    }

    /// What a name shows, if it is one of ours.
    pub(crate) fn from_name(name: &str) -> Result<Self, NoBeacon> {
        let mut buffer = [0; NAME_BYTES_MAX];
        let bytes = Base64UrlUnpadded::decode(name, &mut buffer).map_err(|_| NoBeacon)?;
        // A name is a whole one: others may be base64 by chance.
        let shown = Self::decode(bytes)?;
        if shown.encode().len() == bytes.len() { Ok(shown) } else { Err(NoBeacon) }
    }
}

const _: () = assert!(CLOSED_BYTES.div_ceil(3) * 4 - 1 <= NAME_BYTES_MAX, "fits a scan response");
const _: () = assert!(OPEN_BYTES < CLOSED_BYTES, "the capacity of the longer one serves both");

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Advertised {
        let address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let identity = BeaconIdentity::Open { tag: [0xde, 0xad, 0xbe, 0xef], address };
        let beacon = Beacon { lowest: 1, highest: 2, identity };
        Advertised { beacon, free: 5, psm: Psm::new(0x81) }
    }

    fn closed() -> Advertised {
        let identity =
            BeaconIdentity::Closed { nonce: [1; 4], tag: [2; 4], sealed_address: [3; 8] };
        let beacon = Beacon { lowest: 1, highest: 1, identity };
        Advertised { beacon, free: 0, psm: None }
    }

    #[test]
    fn golden_bytes() {
        let bytes = b"\x01\x02\x05\x81\xde\xad\xbe\xef\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(open().encode(), bytes);
        assert_eq!(Advertised::decode(bytes), Ok(open()));
        let bytes =
            b"\x01\x01\x80\x00\x01\x01\x01\x01\x02\x02\x02\x02\x03\x03\x03\x03\x03\x03\x03\x03";
        assert_eq!(closed().encode(), bytes);
        assert_eq!(Advertised::decode(bytes), Ok(closed()));
    }

    #[test]
    fn a_name_fits_the_scan_response_and_comes_back() {
        for shown in [open(), closed()] {
            assert!(shown.name().len() <= NAME_BYTES_MAX);
            assert_eq!(Advertised::from_name(&shown.name()), Ok(shown));
        }
        assert_eq!(open().name(), "AQIFgd6tvu8BAgMEBQYHCA");
    }

    #[test]
    fn every_truncation_is_refused_and_more_is_for_later_versions() {
        for whole in [open(), closed()] {
            let mut bytes = whole.encode();
            for end in 0..bytes.len() {
                assert_eq!(Advertised::decode(&bytes[..end]), Err(NoBeacon), "{end}");
            }
            bytes.push(7);
            assert_eq!(Advertised::decode(&bytes), Ok(whole));
        }
    }

    #[test]
    fn names_of_other_devices_are_no_beacons() {
        let long = "A".repeat(1_000);
        for name in [
            "",
            "kitchen",
            "Bose QC35 II",
            "AQIFgd6tvu8BAgMEBQYHC",
            "AQIFgd6tvu8BAgMEBQYHCAAA",
            &long,
        ] {
            assert_eq!(Advertised::from_name(name), Err(NoBeacon), "{name}");
        }
        let backwards =
            Advertised { beacon: Beacon { lowest: 2, highest: 1, ..open().beacon }, ..open() };
        assert_eq!(Advertised::decode(&backwards.encode()), Err(NoBeacon));
    }

    #[test]
    fn numbers_outside_the_dynamic_range_are_no_channels() {
        assert_eq!(Psm::new(0x7f), None);
        assert_eq!(Psm::new(0x80).map(Psm::number), Some(0x80));
        assert_eq!(Psm::new(0xff).map(Psm::number), Some(0xff));
        assert_eq!(Psm::new(0x100), None);
    }
}
