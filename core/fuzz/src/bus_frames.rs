//! What sessions read: varints, the frames of a packet, the hello and the caller of a handshake.

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use hedgerow_core::bus::fuzzing::{Frame, Refused, caller, hello_again, put_varint, take_varint};
use hedgerow_core::id::Address;
use hedgerow_core::limits::ACK_RANGES_MAX;

use crate::input::{below, number, rest, value};
use crate::people;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What is at its end is padded: there is no error to tell of.
    let _ = one(&mut input);
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    match below(u, 8)? {
        0 => varints(number(u)?, rest(u)),
        1 => hello(rest(u)),
        2 => {
            let source = Address::from_bytes(value(u)?);
            call(source, rest(u));
        }
        3 => {
            let who = usize::from(value::<u8>(u)?);
            let head = [people::key(who).as_bytes().as_slice(), rest(u)].concat();
            call(people::key(who).address(), &head);
        }
        4 => packet(&built(u)?),
        _ => packet(rest(u)),
    }
    Ok(())
}

fn varints(number: u64, bytes: &[u8]) {
    let mut to = BytesMut::new();
    put_varint(&mut to, number);
    let whole = to.freeze();
    assert_eq!(take_varint(&mut whole.clone()), Some(number));
    for end in 0..whole.len() {
        assert_eq!(take_varint(&mut whole.slice(..end)), None);
    }
    let mut from = Bytes::copy_from_slice(bytes);
    while let Some(value) = take_varint(&mut from) {
        let mut again = BytesMut::new();
        put_varint(&mut again, value);
        assert!(again.len() <= bytes.len());
    }
    assert!(from.is_empty() || from.len() < 10 || from.iter().take(9).all(|byte| byte & 0x80 != 0));
}

fn hello(bytes: &[u8]) {
    let Some(again) = hello_again(bytes) else { return };
    assert!(again.len() <= bytes.len());
    assert_eq!(hello_again(&again).as_ref(), Some(&again));
    let later = [&again, b"a later field".as_slice()].concat();
    assert_eq!(hello_again(&later).as_ref(), Some(&again));
    assert_eq!(hello_again(&again[..again.len() - 1]), None);
}

fn call(source: Address, payload: &[u8]) {
    let stranger = caller(source, None, payload);
    for known in [0, 1].map(people::key) {
        assert_eq!(caller(source, Some(known), payload), stranger, "known or not, it is the same");
    }
    assert!(stranger.is_none_or(|peer| peer.address() == source));
}

/// Numbers as a packet of frames has them, so that most of them are frames.
fn built(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut packet = BytesMut::new();
    while !u.is_empty() && packet.len() < 1_400 {
        let kind = below(u, 17)?;
        put_varint(&mut packet, u64::from(kind));
        let numbers = [0, 0, 5, 2, 2, 4, 2, 2, 2, 2, 1, 2, 2, 1, 1, 0, 3][usize::from(kind)];
        let mut last = 0;
        for _ in 0..numbers {
            last = number(u)?;
            put_varint(&mut packet, last);
        }
        let more = match kind {
            2 => 2 * (last % 34) + 1,
            _ => 0,
        };
        for _ in 0..more {
            put_varint(&mut packet, number(u)?);
        }
        let strings = [0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0][usize::from(kind)];
        for _ in 0..strings {
            let bytes = crate::input::short(u)?;
            put_varint(&mut packet, bytes.len() as u64);
            packet.extend_from_slice(bytes);
        }
    }
    Ok(packet.to_vec())
}

fn packet(bytes: &[u8]) {
    let mut from = Bytes::copy_from_slice(bytes);
    loop {
        let before = from.len();
        let frame = match Frame::decode(&mut from) {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                assert_eq!(before, 0);
                return;
            }
            Err(Refused) => return,
        };
        let taken = before - from.len();
        assert!(taken > 0, "reading goes on");
        if let Some(ranges) = frame.ack_ranges() {
            assert!((1..=ACK_RANGES_MAX).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| range.start() <= range.end()));
            let apart = |pair: &[std::ops::RangeInclusive<u64>]| {
                pair[1].end().checked_add(1).is_some_and(|above| above < *pair[0].start())
            };
            assert!(ranges.windows(2).all(apart), "{ranges:?}");
        }
        let mut again = BytesMut::new();
        frame.encode(&mut again);
        assert!(again.len() <= taken, "{frame:?}: {taken}");
        for end in 1..again.len() {
            let mut cut = again.clone().freeze().slice(..end);
            assert_eq!(Frame::decode(&mut cut), Err(Refused), "{frame:?} cut at {end}");
        }
        assert_eq!(Frame::decode(&mut again.freeze()), Ok(Some(frame)));
    }
}
