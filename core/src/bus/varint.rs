//! Numbers of 1 to 10 bytes: little-endian base 128, as postcard writes them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Appends `value`.
pub(super) fn put(to: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        to.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.put_u8(value.to_le_bytes()[0]);
}

/// The number at the start of `bytes` and its length; `None` if it is cut or over 64 bits.
pub(super) fn read(bytes: impl IntoIterator<Item = u8>) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.into_iter().take(10).enumerate() {
        let low = u64::from(byte & 0x7f);
        if at == 9 && low > 1 {
            return None;
        }
        value |= low << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Takes a number off the front of `bytes`.
pub(super) fn take(bytes: &mut Bytes) -> Option<u64> {
    let (value, length) = read(bytes.iter().copied())?;
    bytes.advance(length);
    Some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        for (value, bytes) in [
            (0, b"\x00".as_slice()),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (u64::MAX, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            let mut to = BytesMut::new();
            put(&mut to, value);
            assert_eq!(&to[..], bytes);
            assert_eq!(take(&mut to.freeze()), Some(value));
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert_eq!(read([0xff; 12]), None);
        assert_eq!(read(*b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), None);
    }

    proptest! {
        #[test]
        fn every_number_comes_back_and_no_prefix_of_it(value: u64) {
            let mut to = BytesMut::new();
            put(&mut to, value);
            for cut in 0..to.len() {
                prop_assert_eq!(read(to[..cut].iter().copied()), None);
            }
            prop_assert_eq!(take(&mut to.freeze()), Some(value));
        }
    }
}
