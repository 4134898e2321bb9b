//! Everything of a fixed form: preamble, prefix, routing header, the hello of a link, a trace's
//! answer, beacons, keys as text. Whatever decodes encodes again, in as few bytes as there are, and
//! means the same.

use arbitrary::{Result, Unstructured};
use hedgerow_core::id::{Address, Instance, PeerKey};
use hedgerow_core::identity::StaticBinding;
use hedgerow_core::io::{Beacon, BeaconIdentity, Endpoint};
use hedgerow_core::network::{Network, NetworkSecret};
use hedgerow_core::wire::fragment::{self, Ack, Brief, HEADER_BYTES};
use hedgerow_core::wire::frame::{PREFIX_BYTES, Prefix};
use hedgerow_core::wire::handshake::{LinkHello, LinkLimits, PREAMBLE_BYTES, Preamble, Versions};
use hedgerow_core::wire::routing::{ROUTING_HEADER_BYTES, RoutingHeader};
use hedgerow_core::wire::trace::Tell;

use crate::input::{below, medium, number, rest, text, value};
use crate::people::{self, Seeded};

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What is at its end is padded: there is no error to tell of.
    let _ = one(&mut input);
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    match below(u, 8)? {
        0 => fixed(rest(u)),
        1 => hello_bytes(rest(u)),
        2 => tell_bytes(rest(u)),
        3 => hello_value(u)?,
        4 => tell_value(u)?,
        5 => beacon(u)?,
        6 => texts(&text(u)?),
        _ => key(value(u)?),
    }
    Ok(())
}

fn fixed(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk::<PREAMBLE_BYTES>()
        && let Some(preamble) = Preamble::decode(bytes)
    {
        assert_eq!(Preamble::decode(&preamble.encode()), Some(preamble));
        assert_eq!(preamble.encode()[..6], bytes[..6]);
        let Versions { lowest, highest } = preamble.versions;
        let common = preamble.versions.highest_common(Versions::OURS);
        assert!(common.is_none_or(|version| (lowest..=highest).contains(&version)));
    }
    if let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() {
        assert_eq!(fragment::Header::decode(*bytes).encode(), *bytes);
        let brief = Brief::decode(*bytes);
        let [first, second] = brief.encode();
        assert_eq!((first, second), (bytes[0] & 0x87, bytes[1]));
    }
    let mut rest = bytes;
    if let Some(ack) = Ack::decode(&mut rest) {
        let mut again = Vec::new();
        ack.encode(|part| again.extend_from_slice(part));
        assert!(again.len() == ack.encoded_bytes() && again.len() <= bytes.len() - rest.len());
        assert_eq!(Ack::decode(&mut &again[..]), Some(ack));
    }
    if let Some(bytes) = bytes.first_chunk::<PREFIX_BYTES>() {
        let prefix = Prefix::decode(*bytes);
        let again = prefix.encode();
        assert_eq!(Prefix::decode(again), prefix);
        assert_eq!((again[0], &again[1..]), (bytes[0] & 0xe0, &bytes[1..]));
    }
    if let Some(bytes) = bytes.first_chunk::<ROUTING_HEADER_BYTES>() {
        let header = RoutingHeader::decode(bytes);
        let again = header.encode();
        assert_eq!(RoutingHeader::decode(&again), header);
        assert_eq!((again[0], &again[1..]), (bytes[0] & 0xfc, &bytes[1..]));
    }
}

/// What holds for everything that ends in fields of later versions.
pub(crate) fn again<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let Some(value) = decode(bytes) else { return };
    let canonical = encode(&value);
    assert!(canonical.len() <= bytes.len(), "{value:?}: {canonical:x?}, not {bytes:x?}");
    whole(&value, &canonical, decode);
}

/// Canonical bytes give the value, with a later version's fields, too, and cut they do not.
fn whole<T: PartialEq + std::fmt::Debug>(
    value: &T,
    canonical: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
) {
    assert_eq!(decode(canonical).as_ref(), Some(value));
    let later = [canonical, b"a later field"].concat();
    assert_eq!(decode(&later).as_ref(), Some(value));
    assert_eq!(decode(&canonical[..canonical.len() - 1]), None, "cut {value:?}");
}

fn hello_bytes(bytes: &[u8]) {
    again(bytes, LinkHello::decode, LinkHello::encode);
}

fn tell_bytes(bytes: &[u8]) {
    // A name that is cut to what fits is another, shorter one.
    again(bytes, Tell::decode, Tell::encode);
}

fn hello_value(u: &mut Unstructured<'_>) -> Result<()> {
    let hello = LinkHello {
        peer_key: people::key(usize::from(value::<u8>(u)?)),
        binding: binding(u)?,
        instance: Instance::from_bytes(value(u)?),
        epoch: number(u)?,
        versions: Versions { lowest: value(u)?, highest: value(u)? },
        limits: LinkLimits {
            payload_bytes_max: number(u)? as u32,
            control_bytes_max: number(u)? as u32,
            fragments_max: value(u)?,
            lanes: value(u)?,
        },
        profile_sequence: number(u)?,
    };
    whole(&hello, &hello.encode(), LinkHello::decode);
    Ok(())
}

pub(crate) fn binding(u: &mut Unstructured<'_>) -> Result<StaticBinding> {
    Ok(match below(u, 2)? {
        0 => StaticBinding::Converted,
        _ => StaticBinding::Separate {
            key: value(u)?,
            signature_r: value(u)?,
            signature_s: value(u)?,
        },
    })
}

fn tell_value(u: &mut Unstructured<'_>) -> Result<()> {
    let peer_key = people::key(usize::from(value::<u8>(u)?));
    let tell = Tell { peer_key, kind: medium(u)?, held_us: number(u)? as u32 };
    whole(&tell, &tell.encode(), Tell::decode);
    Ok(())
}

fn beacon(u: &mut Unstructured<'_>) -> Result<()> {
    let secret = NetworkSecret::from_bytes(value(u)?);
    let closed = Network::closed("fuzz", &secret).expect("a short name is a network's");
    let identity = match below(u, 2)? {
        0 => BeaconIdentity::Open { tag: value(u)?, address: Address::from_bytes(value(u)?) },
        _ => BeaconIdentity::Closed { nonce: value(u)?, tag: value(u)?, sealed_address: value(u)? },
    };
    let heard = Beacon { lowest: value(u)?, highest: value(u)?, identity };
    assert_eq!(heard.label().len(), 16);
    let address = Address::from_bytes(value(u)?);
    for (network, other) in [(people::network(), &closed), (&closed, people::network())] {
        let own = Beacon::new(network, address, &mut Seeded(number(u)?));
        assert_eq!((own.address_in(network), own.address_in(other)), (Some(address), None));
        let _ = heard.address_in(network);
    }
    Ok(())
}

fn texts(text: &str) {
    if let Ok(key) = text.parse::<PeerKey>() {
        assert_eq!(key.to_string(), text, "one text for each key");
    }
    let host = Endpoint::new(text);
    assert!(text.starts_with(host.host()));
}

fn key(bytes: [u8; 32]) {
    if let Ok(key) = PeerKey::from_bytes(bytes) {
        assert_eq!(*key.as_bytes(), bytes);
        assert_eq!(bytes[31] & 0x80, 0);
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
