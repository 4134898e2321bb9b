//! What puts pieces together, each beside a model that is too simple to be wrong: the bytes of a
//! stream, unreliable messages, sets of ranges, packet numbers, metadata bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use hedgerow_core::bus::fuzzing::{Arrivals, Assembly, Incoming, Ranges, put_varint, take_varint};
use hedgerow_core::limits::{METADATA_CHUNK_BYTES, REPLAY_WINDOW_PACKETS, WINDOW_BYTES_MIN};
use hedgerow_core::presence::{Bodies, body_hash};
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::control::BodyChunk;

use crate::input::{below, number, rest, short, value};
use crate::people;

/// See the module.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    // What is at its end is padded: there is no error to tell of.
    let _ = one(&mut input);
}

fn one(u: &mut Unstructured<'_>) -> Result<()> {
    match below(u, 6)? {
        0 => stream(u, true),
        1 => stream(u, false),
        2 => datagrams(u),
        3 => ranges(u),
        4 => arrivals(u),
        _ => bodies(u),
    }
}

/// The largest message that the stream takes.
const MESSAGE_BYTES_MAX: usize = 300_000;

/// The bytes of whole messages, or any.
fn stream_bytes(u: &mut Unstructured<'_>, well_formed: bool) -> Result<Vec<u8>> {
    if !well_formed {
        return short(u).map(<[u8]>::to_vec);
    }
    let mut all = BytesMut::new();
    for number in 0..below(u, 6)? {
        let length = usize::from(value::<u16>(u)?);
        put_varint(&mut all, length as u64);
        all.resize(all.len() + length, number);
    }
    Ok(all.to_vec())
}

/// The whole messages at the start of a stream, the bytes after them, and whether those are
/// impossible.
fn messages_in(bytes: &[u8]) -> (Vec<Bytes>, usize, bool) {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut messages = Vec::new();
    loop {
        let mut body = rest.clone();
        let length = take_varint(&mut body);
        let impossible = length.map_or(rest.len() >= 10, |n| n > MESSAGE_BYTES_MAX as u64);
        match length.map(|length| length as usize) {
            Some(length) if !impossible && body.len() >= length => {
                messages.push(body.split_to(length));
                rest = body;
            }
            _ => return (messages, rest.len(), impossible),
        }
    }
}

fn stream(u: &mut Unstructured<'_>, well_formed: bool) -> Result<()> {
    let all = stream_bytes(u, well_formed)?;
    let mut incoming = Incoming::new(MESSAGE_BYTES_MAX);
    let (mut covered, mut ended) = (vec![false; all.len()], false);
    let (mut budget, mut now) = (400_000_u64, Instant::from_millis(1));
    let mut got = Vec::new();
    for _ in 0..200 {
        // What came out of order was cut up, so the rest comes in order at the end.
        let in_order = u.is_empty();
        let first_gap = covered.iter().position(|held| !held).unwrap_or(all.len());
        let (at, length) = if in_order {
            (first_gap, 4_000)
        } else {
            let place = usize::from(value::<u16>(u)?) * 4;
            (place % (all.len() + 1), usize::from(value::<u16>(u)?))
        };
        let end = all.len().min(at + length).min(incoming.limit() as usize);
        let at = at.min(end);
        let fin = end == all.len();
        let piece = Bytes::copy_from_slice(&all[at..end]);
        let received = incoming.receive(at as u64, piece, fin);
        covered[at..end].fill(true);
        ended |= fin;
        let contiguous = covered.iter().position(|held| !held).unwrap_or(all.len());
        let (expected, left, impossible) = messages_in(&all[..contiguous]);
        if received.is_err() {
            assert!(impossible, "refused at {at}..{end} of {}", all.len());
            return Ok(());
        }
        while let Some((sequence, message)) = incoming.next_message() {
            got.push(message);
            assert_eq!(sequence, got.len() as u64);
        }
        assert!(!incoming.is_readable());
        assert_eq!(got, expected);
        now += Duration::from_millis(1);
        let before = (incoming.limit(), budget + incoming.budgeted());
        let widened = incoming.widen(now, Duration::from_millis(1), &mut budget);
        assert!(widened.is_none_or(|limit| limit > before.0 && limit == incoming.limit()));
        assert_eq!(budget + incoming.budgeted(), before.1, "the budget adds up");
        assert!(incoming.limit() >= WINDOW_BYTES_MIN);
        if ended && contiguous == all.len() {
            assert_eq!((incoming.is_finished(), incoming.is_cut()), (left == 0, left > 0));
            return Ok(());
        }
    }
    Ok(())
}

/// Byte `at` of the unreliable message `name`.
fn byte_of(name: (u64, u64), total: usize, at: usize) -> u8 {
    (name.0 as usize * 31 + name.1 as usize * 7 + total + at) as u8
}

fn datagrams(u: &mut Unstructured<'_>) -> Result<()> {
    const BYTES_MAX: usize = 4_000;
    let mut assembly = Assembly::default();
    let mut now = Instant::from_millis(1);
    let mut seen = BTreeMap::<_, BTreeSet<(usize, usize)>>::new();
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        if below(u, 16)? == 0 {
            now += Duration::from_millis(u64::from(value::<u16>(u)?));
            assembly.expire(now);
            assert!(assembly.deadline().is_none_or(|at| at > now));
            continue;
        }
        let name = (u64::from(below(u, 2)?), u64::from(below(u, 100)?));
        let total = usize::from(value::<u8>(u)?) * 17;
        let offset = usize::from(value::<u8>(u)?) * 17;
        let length = usize::from(value::<u8>(u)?) * 17;
        let piece: Bytes = (offset..offset + length).map(|at| byte_of(name, total, at)).collect();
        let place = (total as u64, offset as u64);
        let got = assembly.receive(now, name, place, piece, BYTES_MAX);
        let fits = offset + length <= total && total <= BYTES_MAX && (length > 0 || total == 0);
        assert!(fits || got.is_err());
        let pieces = seen.entry((name, total)).or_default();
        if got.is_ok() {
            pieces.insert((offset, offset + length));
        }
        if let Ok(Some(whole)) = got {
            assert!((0..total).all(|at| whole[at] == byte_of(name, total, at)));
            assert_eq!(whole.len(), total);
            let covered = |at| pieces.iter().any(|&(start, end)| start <= at && at < end);
            assert!((0..total).all(covered), "made of what never came");
        }
    }
    Ok(())
}

fn ranges(u: &mut Unstructured<'_>) -> Result<()> {
    let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
    for _ in 0..200 {
        if u.is_empty() {
            break;
        }
        let (what, start) = (below(u, 5)?, u64::from(value::<u8>(u)?));
        let range: Range<u64> = start..start + u64::from(below(u, 40)?);
        let missing: Vec<u64> = ranges.missing(&range).into_iter().flatten().collect();
        let expected: Vec<u64> = range.clone().filter(|n| !set.contains(n)).collect();
        assert_eq!(missing, expected);
        match what {
            0 | 1 => {
                set.extend(range.clone());
                ranges.insert(range);
            }
            2 => {
                set.retain(|n| !range.contains(n));
                ranges.remove(&range);
            }
            3 => {
                let first = ranges.to_vec().first().cloned();
                let taken = ranges.take_first(range.end - range.start);
                assert_eq!(taken.is_some(), first.is_some());
                taken.into_iter().flatten().for_each(|n| assert!(set.remove(&n)));
            }
            _ => {
                let first = ranges.to_vec().first().cloned();
                ranges.forget_first();
                first.into_iter().flatten().for_each(|n| assert!(set.remove(&n)));
            }
        }
        let held = ranges.to_vec();
        assert!(held.windows(2).all(|pair| pair[0].end < pair[1].start), "{held:?}");
        assert!(held.iter().all(|range| !range.is_empty()), "{held:?}");
        assert!(held.into_iter().flatten().eq(set.iter().copied()));
        assert!((0..300).all(|n| ranges.contains(n) == set.contains(&n)));
    }
    Ok(())
}

fn arrivals(u: &mut Unstructured<'_>) -> Result<()> {
    let mut arrivals = Arrivals::default();
    let mut noted = BTreeSet::new();
    let now = Instant::from_millis(1);
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        let end = noted.last().map_or(0, |last| last + 1);
        let number = match below(u, 4)? {
            0 => end + u64::from(value::<u16>(u)?),
            1 => end.saturating_sub(u64::from(value::<u16>(u)?)),
            // Packets under one key are far fewer than 2^62, and the low bits name one only near
            // the largest.
            2 => arrivals.expand(value(u)?).min(1 << 60),
            _ => number(u)? >> 4,
        };
        let is_new =
            number >= end || (number + REPLAY_WINDOW_PACKETS >= end && !noted.contains(&number));
        assert_eq!(arrivals.is_new(number), is_new, "{number} of {end}");
        if end.abs_diff(number) < 1 << 31 {
            assert_eq!(arrivals.expand(number as u32), number, "{end}");
        }
        if is_new {
            arrivals.note(now, number, value::<u8>(u)? & 1 == 0);
            noted.insert(number);
        }
        if below(u, 4)? == 0
            && let Some(ack) = arrivals.take_ack(now)
        {
            let ranges = ack.ack_ranges().expect("an acknowledgement").to_vec();
            assert!(ranges.windows(2).all(|pair| pair[1].end() + 1 < *pair[0].start()));
            for range in &ranges {
                assert!(range.clone().take(5_000).all(|n| noted.contains(&n)), "{range:?}");
            }
            if below(u, 2)? == 0 {
                arrivals.on_ack_acked(*ranges[0].end());
            }
        }
    }
    Ok(())
}

/// Bodies of a few lengths come in pieces, altered ones among them: what is held is what its hash
/// says, and an undisturbed fetch ends.
fn bodies(u: &mut Unstructured<'_>) -> Result<()> {
    let mut bodies = Bodies::default();
    let mut now = Instant::from_millis(1);
    let lengths = [1_usize, 1_024, 1_025, usize::from(value::<u16>(u)?)];
    let all: Vec<Bytes> = lengths.iter().map(|&n| vec![n as u8; n.max(1)].into()).collect();
    let wanted = |index: usize| (people::key(index), body_hash(&all[index]), all[index].len());
    let want_all = |bodies: &mut Bodies, now| {
        for (owner, hash, length) in (0..all.len()).map(wanted) {
            bodies.want(now, owner, Some((hash, length)));
        }
    };
    want_all(&mut bodies, now);
    while !u.is_empty() {
        let index = usize::from(below(u, 4)?);
        let (owner, hash, length) = wanted(index);
        let offset = usize::from(value::<u16>(u)?);
        match below(u, 8)? {
            0 => now += Duration::from_millis(value::<u16>(u)?.into()),
            1 => {
                let data = Bytes::copy_from_slice(short(u)?);
                bodies.on_chunk(now, &BodyChunk { hash, offset: offset as u32, data });
            }
            2 => bodies.on_have(now, &hash),
            3 => bodies.want(now, owner, Some((hash, length + offset))),
            4 => want_all(&mut bodies, now),
            _ => serve(&mut bodies, now, &all),
        }
        let held: Vec<_> =
            (0..all.len()).filter_map(|at| Some((at, bodies.body(&wanted(at).1)?))).collect();
        assert!(held.iter().all(|(at, body)| *body == all[*at]));
    }
    let _ = rest(u);
    want_all(&mut bodies, now);
    for _ in 0..400 {
        now += Duration::from_secs(1);
        serve(&mut bodies, now, &all);
    }
    assert!((0..all.len()).all(|at| bodies.body(&wanted(at).1).is_some()), "a fetch ends");
    Ok(())
}

fn serve(bodies: &mut Bodies, now: Instant, all: &[Bytes]) {
    for _ in 0..16 {
        let Some(fetch) = bodies.poll_fetch(now) else { return };
        let body = all.iter().find(|body| body_hash(body) == fetch.want.hash);
        let body = body.expect("what is asked for is wanted");
        for piece in 0..u32::from(fetch.want.pieces) {
            let offset = fetch.want.offset + piece * METADATA_CHUNK_BYTES as u32;
            let start = (offset as usize).min(body.len());
            let data = body.slice(start..body.len().min(start + METADATA_CHUNK_BYTES));
            bodies.on_chunk(now, &BodyChunk { hash: fetch.want.hash, offset, data });
        }
    }
}
