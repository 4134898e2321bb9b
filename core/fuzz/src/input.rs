//! Values out of a fuzzer's bytes, read front to back.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use hedgerow_core::id::Address;
use hedgerow_core::io::ConnectionType;
use hedgerow_core::wire::advert::AdvertKind;
use hedgerow_core::wire::lane::Lane;

use crate::people;

/// A fixed-size value, from the front; zeros when the input is at its end.
///
/// # Errors
/// Never for numbers and arrays: they are padded.
pub fn value<'a, T: Arbitrary<'a>>(u: &mut Unstructured<'a>) -> Result<T> {
    u.arbitrary()
}

/// A byte below `bound`.
///
/// # Errors
/// As [`value`].
pub fn below(u: &mut Unstructured<'_>, bound: u8) -> Result<u8> {
    Ok(value::<u8>(u)? % bound.max(1))
}

/// As many bytes as one byte says, as far as there are.
///
/// # Errors
/// As [`value`].
pub fn short<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length = usize::from(value::<u8>(u)?);
    u.bytes(length.min(u.len()))
}

/// As many bytes as two bytes say, as far as there are.
///
/// # Errors
/// As [`value`].
pub fn long<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length = usize::from(value::<u16>(u)?);
    u.bytes(length.min(u.len()))
}

/// Everything that is left.
pub fn rest<'a>(u: &mut Unstructured<'a>) -> &'a [u8] {
    let length = u.len();
    u.bytes(length).unwrap_or_default()
}

/// Short bytes as text.
///
/// # Errors
/// As [`value`].
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    short(u).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Short bytes of their own.
///
/// # Errors
/// As [`value`].
pub fn owned(u: &mut Unstructured<'_>) -> Result<Bytes> {
    short(u).map(Bytes::copy_from_slice)
}

/// A number of the size that a byte says: small ones must be likely, too.
///
/// # Errors
/// As [`value`].
pub fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    let bits = value::<u8>(u)?;
    let number: u64 = value(u)?;
    Ok(number.checked_shr(u32::from(bits) % 65).unwrap_or(0))
}

/// Somebody's address, mostly one that exists.
///
/// # Errors
/// As [`value`].
pub fn address(u: &mut Unstructured<'_>) -> Result<Address> {
    let who = usize::from(value::<u8>(u)?);
    if who < 128 { Ok(people::key(who).address()) } else { value(u).map(Address::from_bytes) }
}

/// A medium.
///
/// # Errors
/// As [`value`].
pub fn medium(u: &mut Unstructured<'_>) -> Result<ConnectionType> {
    Ok(match below(u, 6)? {
        0 => ConnectionType::Unknown,
        1 => ConnectionType::Bluetooth,
        2 => ConnectionType::AccessPoint,
        3 => ConnectionType::P2PWiFi,
        4 => ConnectionType::WebSocket,
        _ => ConnectionType::other(&text(u)?),
    })
}

/// A kind of advert.
///
/// # Errors
/// As [`value`].
pub fn kind(u: &mut Unstructured<'_>) -> Result<AdvertKind> {
    value::<u8>(u).map(AdvertKind::from)
}

/// A lane.
///
/// # Errors
/// As [`value`].
pub fn lane(u: &mut Unstructured<'_>) -> Result<Lane> {
    below(u, 4).map(|at| Lane::ALL[usize::from(at)])
}

/// A lane of application data.
///
/// # Errors
/// As [`value`].
pub fn data_lane(u: &mut Unstructured<'_>) -> Result<Lane> {
    below(u, 3).map(|at| Lane::DATA[usize::from(at)])
}
