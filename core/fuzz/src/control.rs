//! Control messages: a frame of arbitrary bytes is read to its end, and every message comes back
//! as it was written.

use arbitrary::{Result, Unstructured};
use hedgerow_core::wire::advert::BodyHash;
use hedgerow_core::wire::control::{
    AdvertCopy, BodyChunk, BodyWant, Close, CloseCode, Control, Decoded, Keepalive, Stamp, Summary,
    decode,
};

use crate::input::{address, below, kind, number, owned, rest, value};

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
            let mut again = Vec::new();
            message.encode(&mut again);
            assert!(again.len() <= taken, "{message:?}");
            assert_eq!(decode(&mut again.as_slice()), Some(Decoded::Message(message)));
        }
    }
}

/// A control message of any kind.
pub(crate) fn message(u: &mut Unstructured<'_>) -> Result<Control> {
    Ok(match below(u, 10)? {
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
        2 => Control::Summary(summary(u)?),
        3 => Control::Advert(AdvertCopy {
            signed_age_s: value(u)?,
            reachable_age_s: value(u)?,
            advert: owned(u)?,
        }),
        4 => Control::Want(address(u)?),
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
        _ => Control::Full,
    })
}

/// Few hashes, so that questions and answers meet.
fn hash(u: &mut Unstructured<'_>) -> Result<BodyHash> {
    value::<u8>(u).map(|byte| [byte; 32])
}

fn summary(u: &mut Unstructured<'_>) -> Result<Summary> {
    let last = value::<u8>(u)? & 1 == 0;
    let count = below(u, 40)?;
    let stamp = |u: &mut Unstructured<'_>| {
        Ok(Stamp {
            owner: address(u)?,
            kind: kind(u)?,
            key: number(u)?,
            epoch: number(u)?,
            sequence: number(u)?,
            hash: value(u)?,
        })
    };
    let stamps = (0..count).map(|_| stamp(u)).collect::<Result<_>>()?;
    Ok(Summary { last, stamps })
}
