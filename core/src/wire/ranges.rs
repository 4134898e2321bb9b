//! What somebody holds in ranges of addresses, to find what two sides do not share (protocol 6.1).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::advert::AdvertKind;
use crate::id::{Address, BootEpoch};
use crate::limits::RANGES_MAX;

/// Which version of an advert somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Whose advert.
    pub owner: Address,
    /// Its kind.
    pub kind: AdvertKind,
    /// Which one of several of that kind.
    pub key: u64,
    /// The owner's boot epoch.
    pub epoch: BootEpoch,
    /// The sequence in that epoch.
    pub sequence: u64,
    /// The first bytes of the advert's hash: settles a tie of epoch and sequence.
    pub hash: u32,
}

/// Addresses from `first` to `last`, both of them included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The lowest address.
    pub first: Address,
    /// The highest address.
    pub last: Address,
}

impl Range {
    /// All addresses.
    pub const ALL: Self =
        Self { first: Address::from_bytes([0; 8]), last: Address::from_bytes([0xff; 8]) };
}

/// Neighbouring ranges in ascending order, and what the sender holds in each.
///
/// On the wire a bound is as short as its owners allow: `first` is filled up with zero bits, each
/// `last` with ones, and each range begins behind the one before it. So ranges cannot overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Where the first range begins.
    pub first: Address,
    /// The ranges: 1 to 16.
    pub parts: Vec<Part>,
}

/// One range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it ends.
    pub last: Address,
    /// What the sender holds there.
    pub content: Content,
}

/// What somebody holds in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Stamps with this hash, keyed by the link.
    Fingerprint([u8; 8]),
    /// Exactly these, in ascending order.
    List(Vec<Stamp>),
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    first: &'a [u8],
    #[serde(borrow)]
    parts: Vec<WirePart<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WirePart<'a> {
    #[serde(borrow)]
    last: &'a [u8],
    content: Content,
}

/// The address that follows; `None` after the last one.
pub(crate) fn after(address: Address) -> Option<Address> {
    let next = u64::from_be_bytes(*address.as_bytes()).checked_add(1)?;
    Some(Address::from_bytes(next.to_be_bytes()))
}

/// The lowest address whose first bytes are those of `last` and are not those of `next`, which is
/// above it, filled up with ones: the same bound in fewer bytes.
pub(crate) fn bound_between(last: Address, next: Address) -> Address {
    let (last, next) = (last.as_bytes(), next.as_bytes());
    let shared = last.iter().zip(next).take_while(|(last, next)| last == next).count();
    let mut bound = [0xff; 8];
    for (to, from) in bound.iter_mut().zip(last).take(shared + 1) {
        *to = *from;
    }
    Address::from_bytes(bound)
}

/// Without the bytes at its end that `filler` makes up for.
fn shortened(address: &Address, filler: u8) -> &[u8] {
    let bytes = address.as_bytes().as_slice();
    let kept = bytes.iter().rposition(|byte| *byte != filler).map_or(0, |at| at + 1);
    bytes.get(..kept).unwrap_or(bytes)
}

fn filled(prefix: &[u8], filler: u8) -> Option<Address> {
    let mut bytes = [filler; 8];
    bytes.get_mut(..prefix.len())?.copy_from_slice(prefix);
    Some(Address::from_bytes(bytes))
}

impl Ranges {
    /// Each range and what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (Range, &Content)> {
        let mut first = Some(self.first);
        self.parts.iter().filter_map(move |part| {
            let range = Range { first: first?, last: part.last };
            first = after(part.last);
            Some((range, &part.content))
        })
    }

    /// Whether it is about all addresses: its sender begins anew.
    #[must_use]
    pub fn is_about_all(&self) -> bool {
        let last = self.parts.last().map(|part| part.last);
        self.first == Range::ALL.first && last == Some(Range::ALL.last)
    }

    pub(super) fn to_bytes(&self) -> postcard::Result<Vec<u8>> {
        let parts = self.parts.iter().map(|part| WirePart {
            last: shortened(&part.last, 0xff),
            content: part.content.clone(),
        });
        postcard::to_allocvec(&Wire { first: shortened(&self.first, 0), parts: parts.collect() })
    }

    /// Reads what fits the rules: 1 to 16 ranges that ascend, stamps that do and lie in theirs.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (wire, _) = postcard::take_from_bytes::<Wire<'_>>(bytes).ok()?;
        if wire.parts.is_empty() || wire.parts.len() > RANGES_MAX {
            return None;
        }
        let first = filled(wire.first, 0)?;
        let mut parts = Vec::with_capacity(wire.parts.len());
        let mut next = Some(first);
        for WirePart { last, content } in wire.parts {
            let last = filled(last, 0xff)?;
            let range = Range { first: next?, last };
            if range.last < range.first || !content.fits(range) {
                return None;
            }
            next = after(last);
            parts.push(Part { last, content });
        }
        Some(Self { first, parts })
    }
}

impl Content {
    fn fits(&self, range: Range) -> bool {
        let Self::List(stamps) = self else { return true };
        let bounds = range.first..=range.last;
        stamps.iter().all(|stamp| bounds.contains(&stamp.owner))
            && stamps.iter().zip(stamps.iter().skip(1)).all(|(stamp, next)| stamp < next)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(bytes: &[u8], filler: u8) -> Address {
        filled(bytes, filler).unwrap()
    }

    fn stamp(owner: &[u8]) -> Stamp {
        let kind = AdvertKind::Profile;
        Stamp { owner: address(owner, 0), kind, key: 0, epoch: 1, sequence: 1, hash: 1 }
    }

    fn list(last: &[u8], owners: &[&[u8]]) -> Part {
        let stamps = owners.iter().map(|owner| stamp(owner)).collect();
        Part { last: address(last, 0xff), content: Content::List(stamps) }
    }

    fn read(ranges: &Ranges) -> Option<Ranges> {
        Ranges::from_bytes(&ranges.to_bytes().unwrap())
    }

    #[test]
    fn bounds_are_as_short_as_can_be() {
        let content = Content::Fingerprint(*b"12345678");
        let all = Ranges {
            first: Range::ALL.first,
            parts: alloc::vec![Part { last: Range::ALL.last, content }],
        };
        assert_eq!(all.to_bytes().unwrap(), b"\0\x01\0\x0012345678");
        assert!(all.is_about_all());
        let bound = bound_between(address(b"\x12\x34\x56", 7), address(b"\x12\x39", 0));
        assert_eq!(shortened(&bound, 0xff), b"\x12\x34");
        let tight = bound_between(address(&[1; 7], 0xfe), address(&[1; 7], 0xff));
        assert_eq!(shortened(&tight, 0xff), [1, 1, 1, 1, 1, 1, 1, 0xfe]);
    }

    #[test]
    fn ranges_that_do_not_ascend_are_malformed() {
        let first = address(b"\x10", 0);
        let good =
            Ranges { first, parts: alloc::vec![list(b"\x10", &[b"\x10\x01"]), list(b"", &[])] };
        assert_eq!(read(&good), Some(good.clone()));
        let bounds: Vec<_> = good.iter().map(|(range, _)| range.first).collect();
        assert_eq!(bounds, [first, address(b"\x11", 0)]);
        for (parts, why) in [
            (alloc::vec![], "no range"),
            (alloc::vec![list(b"\x0f", &[])], "it ends before it begins"),
            (alloc::vec![list(b"\x20", &[]), list(b"\x20", &[])], "twice the same"),
            (alloc::vec![list(b"", &[]), list(b"", &[])], "nothing is behind the last address"),
            (alloc::vec![list(b"\x10", &[b"\x11"])], "a stamp beyond its range"),
            (alloc::vec![list(b"\x20", &[b"\x0f"])], "a stamp before its range"),
            (alloc::vec![list(b"\x20", &[b"\x12", b"\x11"])], "stamps descend"),
            (alloc::vec![list(b"\x20", &[b"\x12", b"\x12"])], "one stamp twice"),
            ((0..17).map(|n| list(&[0x20 + n], &[])).collect(), "17 ranges"),
        ] {
            assert_eq!(read(&Ranges { first, parts }), None, "{why}");
        }
        assert_eq!(Ranges::from_bytes(b"\x09123456789\x01\0\x0112345678"), None, "9 bytes");
    }

    #[test]
    fn sixteen_ranges_pass() {
        let parts = (0..16).map(|n| list(&[0x20 + n], &[])).collect();
        let ranges = Ranges { first: Range::ALL.first, parts };
        assert_eq!(read(&ranges), Some(ranges.clone()));
        assert!(!ranges.is_about_all());
    }

    proptest! {
        #[test]
        fn a_bound_lies_between(a: u64, b: u64) {
            prop_assume!(a != b);
            let [a, b] = [a.min(b), a.max(b)].map(|n| Address::from_bytes(n.to_be_bytes()));
            let bound = bound_between(a, b);
            prop_assert!(a <= bound && bound < b);
            let short = shortened(&bound, 0xff);
            prop_assert_eq!(filled(short, 0xff), Some(bound));
        }

        #[test]
        fn what_is_read_ascends(bytes: Vec<u8>) {
            if let Some(ranges) = Ranges::from_bytes(&bytes) {
                let all: Vec<_> = ranges.iter().map(|(range, _)| range).collect();
                prop_assert_eq!(all.len(), ranges.parts.len());
                prop_assert!(all.iter().all(|range| range.first <= range.last));
                prop_assert!(all.windows(2).all(|pair| pair[0].last < pair[1].first));
                prop_assert_eq!(read(&ranges), Some(ranges));
            }
        }
    }
}
