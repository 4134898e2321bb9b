//! What neighbours are told of where a node listens, over whatever link stands (protocol 2.5).
//!
//! ```text
//!    0        1        2        3        4              16 or 20
//! +--------+--------+--------+--------+------ - - - ------+---- - - - ----+
//! |  form  | lowest | highest| closed | network, address  |   addresses   |
//! +--------+--------+--------+--------+------ - - - ------+---- - - - ----+
//!
//!    0        1                    5 or 17
//! +--------+------ - - - ------+--------+--------+
//! | family |        IP         |      port       |     each address
//! +--------+------ - - - ------+--------+--------+
//! ```

use std::net::{IpAddr, SocketAddr};

use hedgerow_core::id::Address;
use hedgerow_core::limits::HINT_BYTES_MAX;
use hedgerow_driver::{Beacon, BeaconIdentity, Hint};

/// Addresses of one hint: a machine on three networks has about ten.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// The largest hint: a closed network's beacon, and every address of IPv6.
const _: () = assert!(4 + 16 + ADDRESSES_MAX * 19 <= HINT_BYTES_MAX);

/// The one form that there is.
const FORM: u8 = 1;
const OPEN: u8 = 0;
const CLOSED: u8 = 1;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// Where a node says that it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    pub(crate) beacon: Beacon,
    /// The most promising first.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Why a hint says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHint {
    #[error("a form that this version does not know")]
    Form,
    #[error("no versions, or not two numbers in order")]
    Versions,
    #[error("neither an open nor a closed network")]
    Network,
    #[error("it ends in the middle")]
    Cut,
}

/// Whether an address means the same machine to whoever is told it, as far as can be seen: not one
/// of the teller's own (loopback), of its own cable (link-local), of many, or of nobody.
pub(crate) fn is_tellable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            let is_reserved = first == 0 || first >= 240;
            !is_reserved && !v4.is_loopback() && !v4.is_link_local() && !v4.is_multicast()
        }
        // An IPv4 address in the form of an IPv6 one is told as what it is; `::` and `::1` have
        // that form as well.
        IpAddr::V6(v6) => {
            v6.to_ipv4().is_none() && !v6.is_unicast_link_local() && !v6.is_multicast()
        }
    }
}

/// What tells that a node shows `beacon` and listens on these addresses, the first of them; empty
/// without one.
pub(crate) fn encode(beacon: &Beacon, addresses: &[SocketAddr]) -> Hint {
    if addresses.is_empty() {
        return Hint::default();
    }
    let mut bytes = vec![FORM, beacon.lowest, beacon.highest];
    match &beacon.identity {
        BeaconIdentity::Open { tag, address } => {
            bytes.push(OPEN);
            bytes.extend_from_slice(tag);
            bytes.extend_from_slice(address.as_bytes());
        }
        BeaconIdentity::Closed { nonce, tag, sealed_address } => {
            bytes.push(CLOSED);
            bytes.extend_from_slice(nonce);
            bytes.extend_from_slice(tag);
            bytes.extend_from_slice(sealed_address);
        }
    }
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.push(IPV4);
                bytes.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(IPV6);
                bytes.extend_from_slice(&ip.octets());
            }
        }
        bytes.extend_from_slice(&address.port().to_be_bytes());
    }
    Hint::new(&bytes).unwrap_or_default()
}

/// What a hint that is not empty tells. Addresses behind the first so many, and whatever follows one
/// of a family that is not known, are passed over; nothing is checked of the addresses.
pub(crate) fn decode(bytes: &[u8]) -> Result<Whereabouts, InvalidHint> {
    let mut rest = bytes;
    let [form] = take(&mut rest)?;
    if form != FORM {
        return Err(InvalidHint::Form);
    }
    let [lowest, highest, kind] = take(&mut rest)?;
    if lowest == 0 || lowest > highest {
        return Err(InvalidHint::Versions);
    }
    let identity = match kind {
        OPEN => BeaconIdentity::Open {
            tag: take(&mut rest)?,
            address: Address::from_bytes(take(&mut rest)?),
        },
        CLOSED => BeaconIdentity::Closed {
            nonce: take(&mut rest)?,
            tag: take(&mut rest)?,
            sealed_address: take(&mut rest)?,
        },
        _ => return Err(InvalidHint::Network),
    };
    let mut addresses = Vec::new();
    while addresses.len() < ADDRESSES_MAX && !rest.is_empty() {
        let [family] = take(&mut rest)?;
        let ip: IpAddr = match family {
            IPV4 => take::<4>(&mut rest)?.into(),
            IPV6 => take::<16>(&mut rest)?.into(),
            _ => break,
        };
        addresses.push(SocketAddr::new(ip, u16::from_be_bytes(take(&mut rest)?)));
    }
    Ok(Whereabouts { beacon: Beacon { lowest, highest, identity }, addresses })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], InvalidHint> {
    let (taken, left) = rest.split_first_chunk().ok_or(InvalidHint::Cut)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Beacon {
        let address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let identity = BeaconIdentity::Open { tag: [0xde, 0xad, 0xbe, 0xef], address };
        Beacon { lowest: 1, highest: 2, identity }
    }

    fn closed() -> Beacon {
        let identity =
            BeaconIdentity::Closed { nonce: [1; 4], tag: [2; 4], sealed_address: [3; 8] };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const OPEN_BYTES: &[u8] = b"\x01\x01\x02\x00\xde\xad\xbe\xef\x01\x02\x03\x04\x05\x06\x07\x08\
        \x04\xc0\xa8\x01\x07\x0f\xc8\
        \x06\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\x0f\xc8";
    const CLOSED_BYTES: &[u8] = b"\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\
        \x03\x03\x03\x03\x03\x03\x03\x03\x04\x0a\x4d\x00\x02\x00\x50";

    #[test]
    fn golden_bytes_both_ways() {
        let told = addresses(&["192.168.1.7:4040", "[fd77::7]:4040"]);
        assert_eq!(encode(&open(), &told).as_bytes(), OPEN_BYTES);
        assert_eq!(decode(OPEN_BYTES), Ok(Whereabouts { beacon: open(), addresses: told }));
        let told = addresses(&["10.77.0.2:80"]);
        assert_eq!(encode(&closed(), &told).as_bytes(), CLOSED_BYTES);
        assert_eq!(decode(CLOSED_BYTES), Ok(Whereabouts { beacon: closed(), addresses: told }));
    }

    #[test]
    fn without_an_address_there_is_nothing_to_tell() {
        assert!(encode(&open(), &[]).is_empty());
    }

    #[test]
    fn every_cut_in_the_middle_is_refused() {
        for (bytes, whole) in [(OPEN_BYTES, [16, 23, 42]), (CLOSED_BYTES, [20, 27, 27])] {
            for length in 0..bytes.len() {
                let expected = if whole.contains(&length) { Ok(()) } else { Err(InvalidHint::Cut) };
                assert_eq!(decode(&bytes[..length]).map(|_| ()), expected, "{length}");
            }
        }
    }

    #[test]
    fn other_forms_versions_and_networks_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = OPEN_BYTES.to_vec();
            bytes[at] = byte;
            decode(&bytes).map(|_| ())
        };
        assert_eq!(with(0, 0), Err(InvalidHint::Form));
        assert_eq!(with(0, 2), Err(InvalidHint::Form));
        assert_eq!(with(1, 0), Err(InvalidHint::Versions));
        assert_eq!(with(1, 3), Err(InvalidHint::Versions));
        assert_eq!(with(3, 2), Err(InvalidHint::Network));
    }

    #[test]
    fn an_address_of_another_family_ends_what_is_read() {
        let bytes = [CLOSED_BYTES, &[5, 1, 2, 3], CLOSED_BYTES].concat();
        assert_eq!(decode(&bytes), decode(CLOSED_BYTES));
    }

    #[test]
    fn so_many_addresses_are_told_and_read_and_no_more() {
        let many: Vec<_> =
            (1..=40).map(|port| SocketAddr::new([10, 0, 0, 7].into(), port)).collect();
        let hint = encode(&closed(), &many);
        assert_eq!(decode(hint.as_bytes()).unwrap().addresses, many[..ADDRESSES_MAX]);
        assert_eq!(hint.as_bytes().len(), 20 + 7 * ADDRESSES_MAX);
        let more = [hint.as_bytes(), &[IPV4, 10, 0, 0, 7, 0, 99]].concat();
        assert_eq!(decode(&more), decode(hint.as_bytes()));
    }

    #[test]
    fn garbage_is_read_without_a_panic() {
        let mut state = 1_u64;
        for round in 0..20_000 {
            let mut bytes = OPEN_BYTES.to_vec();
            for _ in 0..=round % 7 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let [at, byte, ..] = state.to_be_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(told) = decode(&bytes) {
                assert!(told.addresses.len() <= ADDRESSES_MAX);
            }
        }
    }

    #[test]
    fn addresses_that_mean_nothing_or_another_machine_elsewhere_are_not_told() {
        for ip in
            ["10.77.0.2", "192.168.1.7", "100.64.0.1", "203.0.113.7", "fd77::7", "2001:db8::7"]
        {
            assert!(is_tellable(ip.parse().unwrap()), "{ip}");
        }
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.1.1",
            "224.0.0.251",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.7",
            "::127.0.0.1",
            "fe80::1",
            "ff02::fb",
        ];
        for ip in never {
            assert!(!is_tellable(ip.parse().unwrap()), "{ip}");
        }
    }
}
