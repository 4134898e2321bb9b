//! The beacon as the name of a Wi-Fi Direct device (protocol 2.4).
//!
//! A device shows its name to whoever looks for devices, and nothing else that a program may choose
//! everywhere: 32 bytes (Wi-Fi Simple Configuration 2.0.8, section 12).
//!
//! ```text
//!  "HDG" ‖ base64 of:    0      1        2          3           15 or 19
//!                    +--------+--------+-+-----+--- - - - ---+
//!                    | lowest | highest|C|power|  identity   |
//!                    +--------+--------+-+-----+--- - - - ---+
//! ```
//!
//! `C` says that the network is closed; `power` is 0 on mains, 1 on battery, 2 where little of that
//! is left. The identity is tag ‖ address (12 bytes), or nonce ‖ tag ‖ sealed address (16 bytes).

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hedgerow_driver::{Address, Beacon, BeaconIdentity};

use crate::Power;

/// Other names are nobody of ours.
const PREFIX: &str = "HDG";
const CLOSED: u8 = 0x80;
const HEADER_BYTES: usize = 3;
const CLOSED_BYTES: usize = HEADER_BYTES + 16;
/// The longest name of a device.
const NAME_BYTES_MAX: usize = 32;

/// What a device shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) beacon: Beacon,
    pub(crate) power: Power,
}

impl Shown {
    /// The name that shows it.
    pub(crate) fn name(&self) -> String {
        let mut bytes = Vec::with_capacity(CLOSED_BYTES);
        bytes.extend([self.beacon.lowest, self.beacon.highest]);
        let power = match self.power {
            Power::Mains => 0,
            Power::Battery => 1,
            Power::Low => 2,
        };
        match &self.beacon.identity {
            BeaconIdentity::Open { tag, address } => {
                bytes.push(power);
                bytes.extend(tag);
                bytes.extend(address.as_bytes());
            }
            BeaconIdentity::Closed { nonce, tag, sealed_address } => {
                bytes.push(power | CLOSED);
                bytes.extend(nonce);
                bytes.extend(tag);
                bytes.extend(sealed_address);
            }
        }
        format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(&bytes))
    }

    /// What a name shows; `None` if it is not one of ours. An unknown power counts as mains: the
    /// device may own groups.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let mut buffer = [0; NAME_BYTES_MAX];
        let bytes = Base64UrlUnpadded::decode(name.strip_prefix(PREFIX)?, &mut buffer).ok()?;
        let (&[lowest, highest, flags], identity) = bytes.split_first_chunk()?;
        if lowest == 0 || lowest > highest {
            return None;
        }
        let identity = if flags & CLOSED == 0 {
            let (tag, rest) = identity.split_first_chunk()?;
            let (address, _) = rest.split_first_chunk()?;
            BeaconIdentity::Open { tag: *tag, address: Address::from_bytes(*address) }
        } else {
            let (nonce, rest) = identity.split_first_chunk()?;
            let (tag, rest) = rest.split_first_chunk()?;
            let (sealed_address, _) = rest.split_first_chunk()?;
            BeaconIdentity::Closed { nonce: *nonce, tag: *tag, sealed_address: *sealed_address }
        };
        let power = match flags & !CLOSED {
            1 => Power::Battery,
            2 => Power::Low,
            _ => Power::Mains,
        };
        Some(Self { beacon: Beacon { lowest, highest, identity }, power })
    }

    /// Whether two devices may be of one network, as far as strangers can tell.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        match (&self.beacon.identity, &other.beacon.identity) {
            (BeaconIdentity::Open { tag, .. }, BeaconIdentity::Open { tag: theirs, .. }) => {
                tag == theirs
            }
            (BeaconIdentity::Closed { .. }, BeaconIdentity::Closed { .. }) => true,
            _ => false,
        }
    }
}

const _: () = assert!(PREFIX.len() + (CLOSED_BYTES * 4).div_ceil(3) <= NAME_BYTES_MAX);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A device of the open network that `tag` stands for.
    pub(crate) fn shown(tag: u8, address: u8, power: Power) -> Shown {
        let identity =
            BeaconIdentity::Open { tag: [tag; 4], address: Address::from_bytes([address; 8]) };
        Shown { beacon: Beacon { lowest: 1, highest: 1, identity }, power }
    }

    fn closed() -> Shown {
        let identity =
            BeaconIdentity::Closed { nonce: [1; 4], tag: [2; 4], sealed_address: [0xff; 8] };
        Shown { beacon: Beacon { lowest: 1, highest: 3, identity }, power: Power::Low }
    }

    #[test]
    fn a_name_says_what_was_put_into_it_and_fits() {
        for power in [Power::Mains, Power::Battery, Power::Low] {
            let open = shown(0xde, 7, power);
            assert_eq!(Shown::from_name(&open.name()), Some(open));
        }
        assert_eq!(Shown::from_name(&closed().name()), Some(closed()));
        assert!(closed().name().len() <= NAME_BYTES_MAX);
        assert_eq!(shown(0xde, 7, Power::Battery).name(), "HDGAQEB3t7e3gcHBwcHBwcH");
    }

    #[test]
    fn other_names_are_nobody() {
        let ours = closed().name();
        let cut = &ours[..ours.len() - 1];
        for name in ["", "HDG", "HDGAQEB", "my phone", cut, &ours[1..], "HDG?QEB3t7e3gcHBwcHBwcH"] {
            assert_eq!(Shown::from_name(name), None, "{name}");
        }
        let long = format!("{}{}", ours, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Shown::from_name(&long), None);
    }

    #[test]
    fn devices_of_two_networks_do_not_meet() {
        let of = |tag| shown(tag, 7, Power::Mains);
        assert!(of(1).may_meet(&of(1)));
        assert!(!of(1).may_meet(&of(2)));
        assert!(closed().may_meet(&closed()), "only members can tell");
        assert!(!closed().may_meet(&of(1)));
    }
}
