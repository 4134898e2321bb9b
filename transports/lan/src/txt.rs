//! A beacon as the TXT record of a DNS service (RFC 6763 section 6).
//!
//! `v=<lowest>-<highest>` and, in an open network, `n=<tag>` and `a=<address>`; in a closed one,
//! `b=<nonce, tag, sealed address>`. Bytes are hexadecimal. Unknown keys are ignored.

use std::fmt::Write as _;

use hedgerow_core::id::Address;
use hedgerow_driver::{Beacon, BeaconIdentity};

/// Why a record is not a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTxt {
    #[error("no versions, or not two numbers in order")]
    Versions,
    #[error("neither an open nor a closed network, or both")]
    Network,
    #[error("not the right number of hexadecimal digits")]
    Hex,
}

/// The record of a beacon.
pub(crate) fn encode(beacon: &Beacon) -> Vec<(&'static str, String)> {
    let mut record = vec![("v", format!("{}-{}", beacon.lowest, beacon.highest))];
    match &beacon.identity {
        BeaconIdentity::Open { tag, address } => {
            record.push(("n", hex(&[tag])));
            record.push(("a", hex(&[address.as_bytes()])));
        }
        BeaconIdentity::Closed { nonce, tag, sealed_address } => {
            record.push(("b", hex(&[nonce, tag, sealed_address])));
        }
    }
    record
}

/// The beacon of a record, given by key.
pub(crate) fn decode<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Beacon, InvalidTxt> {
    let (lowest, highest) =
        value("v").and_then(|text| text.split_once('-')).ok_or(InvalidTxt::Versions)?;
    let (lowest, highest) = (number(lowest)?, number(highest)?);
    if lowest > highest {
        return Err(InvalidTxt::Versions);
    }
    let identity = match (value("n"), value("a"), value("b")) {
        (Some(tag), Some(address), None) => {
            BeaconIdentity::Open { tag: bytes(tag)?, address: Address::from_bytes(bytes(address)?) }
        }
        (None, None, Some(sealed)) => {
            let [n0, n1, n2, n3, t0, t1, t2, t3, sealed_address @ ..] = bytes::<16>(sealed)?;
            BeaconIdentity::Closed {
                nonce: [n0, n1, n2, n3],
                tag: [t0, t1, t2, t3],
                sealed_address,
            }
        }
        _ => return Err(InvalidTxt::Network),
    };
    Ok(Beacon { lowest, highest, identity })
}

fn hex(parts: &[&[u8]]) -> String {
    let mut text = String::new();
    for byte in parts.iter().copied().flatten() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Digits only: no sign, as `parse` alone would take.
fn number(text: &str) -> Result<u8, InvalidTxt> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(InvalidTxt::Versions)
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], InvalidTxt> {
    let mut digits =
        text.chars().map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let mut digit = || digits.next().flatten().ok_or(InvalidTxt::Hex);
        *byte = digit()? << 4 | digit()?;
    }
    if digits.next().is_some() { Err(InvalidTxt::Hex) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Beacon {
        let address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 0xff]);
        let identity = BeaconIdentity::Open { tag: [0xde, 0xad, 0xbe, 0xef], address };
        Beacon { lowest: 1, highest: 12, identity }
    }

    fn closed() -> Beacon {
        let identity =
            BeaconIdentity::Closed { nonce: [1; 4], tag: [2; 4], sealed_address: [3; 8] };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn decode_pairs(record: &[(&str, &str)]) -> Result<Beacon, InvalidTxt> {
        decode(|key| record.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    fn strings<'a>(record: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
        record.iter().map(|(key, value)| (*key, value.as_str())).collect()
    }

    const VERSION: (&str, &str) = ("v", "1-1");
    const SEALED: &str = "01010101020202020303030303030303";

    #[test]
    fn an_open_beacon_shows_tag_and_address() {
        let record = encode(&open());
        let shown = [("v", "1-12"), ("n", "deadbeef"), ("a", "01020304050607ff")];
        assert_eq!(strings(&record), shown);
        assert_eq!(decode_pairs(&shown), Ok(open()));
    }

    #[test]
    fn a_closed_beacon_shows_one_string() {
        let record = encode(&closed());
        assert_eq!(strings(&record), [VERSION, ("b", SEALED)]);
        assert_eq!(decode_pairs(&strings(&record)), Ok(closed()));
    }

    #[test]
    fn keys_of_later_versions_are_ignored() {
        assert_eq!(decode_pairs(&[VERSION, ("b", SEALED), ("x", "new")]), Ok(closed()));
    }

    #[test]
    fn bad_versions_are_refused() {
        for versions in ["", "1", "-", "1-", "-1", "2-1", "1-256", "+1-2", "1-+2", "1-2-3", "a-b"] {
            let record = [("v", versions), ("b", SEALED)];
            assert_eq!(decode_pairs(&record), Err(InvalidTxt::Versions), "{versions:?}");
        }
        assert_eq!(decode_pairs(&[("b", SEALED)]), Err(InvalidTxt::Versions));
    }

    #[test]
    fn half_an_identity_or_two_are_refused() {
        let (tag, address, sealed) = (("n", "deadbeef"), ("a", "0102030405060708"), ("b", SEALED));
        let records: [&[_]; 5] = [
            &[VERSION],
            &[VERSION, tag],
            &[VERSION, address],
            &[VERSION, tag, sealed],
            &[VERSION, tag, address, sealed],
        ];
        for record in records {
            assert_eq!(decode_pairs(record), Err(InvalidTxt::Network), "{record:?}");
        }
    }

    #[test]
    fn bad_hexadecimal_is_refused() {
        for tag in
            ["", "d", "deadbee", "deadbeef0", "deadbeef00", "deadbeeg", "dead beef", "déadbee"]
        {
            let record = [VERSION, ("n", tag), ("a", "0102030405060708")];
            assert_eq!(decode_pairs(&record), Err(InvalidTxt::Hex), "{tag:?}");
        }
        for length in 0..SEALED.len() {
            let record = [VERSION, ("b", &SEALED[..length])];
            assert_eq!(decode_pairs(&record), Err(InvalidTxt::Hex), "{length}");
        }
    }
}
