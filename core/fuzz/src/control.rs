//! Control messages: a frame of arbitrary bytes is read to its end, and every message comes back
//! as it was written.

use std::collections::BTreeSet;

use arbitrary::{Result, Unstructured};
use hedgerow_core::id::Address;
use hedgerow_core::io::Hint;
use hedgerow_core::limits::RANGES_MAX;
use hedgerow_core::wire::advert::BodyHash;
use hedgerow_core::wire::control::{
    AdvertCopy, AdvertName, BodyChunk, BodyWant, Close, CloseCode, Control, Decoded, HintCopy,
    Keepalive, Want, decode,
};
use hedgerow_core::wire::ranges::{Content, Part, Range, Ranges, Stamp};

use crate::input::{address, below, kind, medium, number, owned, rest, value};

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What is at its end is padded: there is no error to tell of.
    let _ = one(&mut input);
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    if below(u, 2)? == 0 {
        frame(rest(u));
        return Ok(());
    }
    let mut messages = Vec::new();
    while !u.is_empty() && messages.len() < 16 {
        messages.push(message(u)?);
    }
    let mut bytes = Vec::new();
    for message in &messages {
        let start = bytes.len();
        message.encode(&mut bytes);
        for end in start + 1..bytes.len() {
            assert_eq!(decode(&mut &bytes[start..end]), Some(Decoded::Malformed), "{message:?}");
        }
    }
    let mut left = bytes.as_slice();
    for message in messages {
        assert_eq!(decode(&mut left), Some(Decoded::Message(message)));
    }
    assert_eq!(decode(&mut left), None);
    Ok(())
}

fn frame(mut bytes: &[u8]) {
    loop {
        let before = bytes;
        let Some(decoded) = decode(&mut bytes) else {
            assert!(before.is_empty());
            return;
        };
        let taken = before.len() - bytes.len();
        assert!(taken > 0, "reading goes on");
        if let Decoded::Message(message) = decoded {
            if let Control::Ranges(ranges) = &message {
                check_ranges(ranges);
            }
            let mut again = Vec::new();
            message.encode(&mut again);
            assert!(again.len() <= taken, "{message:?}");
            assert_eq!(decode(&mut again.as_slice()), Some(Decoded::Message(message)));
        }
    }
}

/// A control message of any kind.
pub(crate) fn message(u: &mut Unstructured<'_>) -> Result<Control> {
    Ok(match below(u, 11)? {
        0 => Control::Keepalive(Keepalive {
            sequence: value(u)?,
            flags: value(u)?,
            echo: value(u)?,
            held_us: number(u)? as u32,
        }),
        1 => {
            let code: u8 = value(u)?;
            assert!([code, 255].contains(&(CloseCode::from_byte(code) as u8)));
            Control::Close(Close { code, retry_after_ms: number(u)? as u32 })
        }
        2 => Control::Ranges(ranges(u)?),
        3 => Control::Advert(AdvertCopy {
            signed_age_s: value(u)?,
            reachable_age_s: value(u)?,
            advert: owned(u)?,
        }),
        4 => Control::Want(want(u)?),
        5 => Control::BodyWant(BodyWant {
            hash: hash(u)?,
            offset: number(u)? as u32,
            pieces: value(u)?,
        }),
        6 => Control::BodyChunk(BodyChunk {
            hash: hash(u)?,
            offset: number(u)? as u32,
            data: owned(u)?,
        }),
        7 => Control::BodyHave(hash(u)?),
        8 => Control::BodyMiss(hash(u)?),
        9 => Control::Full(address(u)?),
        _ => Control::Hint(HintCopy {
            medium: medium(u)?,
            sequence: number(u)?,
            hint: Hint::new(&owned(u)?).unwrap_or_default(),
        }),
    })
}

/// Few hashes, so that questions and answers meet.
fn hash(u: &mut Unstructured<'_>) -> Result<BodyHash> {
    value::<u8>(u).map(|byte| [byte; 32])
}

fn want(u: &mut Unstructured<'_>) -> Result<Want> {
    let owner = address(u)?;
    let count = below(u, 5)?;
    let name = |u: &mut Unstructured<'_>| Ok(AdvertName { kind: kind(u)?, key: number(u)? });
    Ok(Want { owner, which: (0..count).map(|_| name(u)).collect::<Result<_>>()? })
}

/// Ranges that keep the rules: they ascend, and so do the stamps in them.
fn ranges(u: &mut Unstructured<'_>) -> Result<Ranges> {
    let mut owners = (0..below(u, 20)?).map(|_| address(u)).collect::<Result<BTreeSet<_>>>()?;
    let first = owners.pop_first().unwrap_or(Range::ALL.first);
    let mut lasts: Vec<_> = owners.into_iter().take(RANGES_MAX - 1).collect();
    let to_the_end = value::<u8>(u)? & 1 == 0 && lasts.last() != Some(&Range::ALL.last);
    if lasts.is_empty() || to_the_end {
        lasts.push(Range::ALL.last);
    }
    let mut ranges = Ranges { first, parts: Vec::new() };
    let mut begin = first;
    for last in lasts {
        let content = content(u, Range { first: begin, last })?;
        ranges.parts.push(Part { last, content });
        let next = u64::from_be_bytes(*last.as_bytes()).wrapping_add(1);
        begin = Address::from_bytes(next.to_be_bytes());
    }
    Ok(ranges)
}

fn content(u: &mut Unstructured<'_>, range: Range) -> Result<Content> {
    let count = below(u, 12)?;
    if count == 0 {
        return Ok(Content::Fingerprint(value(u)?));
    }
    let mut stamps = BTreeSet::new();
    for _ in 1..count {
        let owner = address(u)?.clamp(range.first, range.last);
        let (kind, key, epoch, sequence) = (kind(u)?, number(u)?, number(u)?, number(u)?);
        stamps.insert(Stamp { owner, kind, key, epoch, sequence, hash: value(u)? });
    }
    Ok(Content::List(stamps.into_iter().collect()))
}

/// What is read of ranges keeps their rules.
fn check_ranges(ranges: &Ranges) {
    let parts: Vec<_> = ranges.iter().collect();
    assert!((1..=RANGES_MAX).contains(&parts.len()) && parts.len() == ranges.parts.len());
    assert!(parts.iter().all(|(range, _)| range.first <= range.last));
    assert!(parts.windows(2).all(|pair| pair[0].0.last < pair[1].0.first));
    for (range, content) in parts {
        let Content::List(stamps) = content else { continue };
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(stamps.iter().all(|stamp| (range.first..=range.last).contains(&stamp.owner)));
    }
}
