//! What drivers tell each other over links that stand, in place of what they would have to find out by
//! radio (protocol 2.4).
//!
//! ```text
//!    0      1      2        2 + n   3 + n
//! +------+------+--------+-------+---------- - - - ---+-------------- - - -
//! | form | n    | name   | count | neighbours wanted  | key of the group
//! +------+------+--------+-------+---------- - - - ---+-------------- - - -
//!
//! key of the group, if there is one: owner ‖ MHz (2) ‖ length ‖ its name ‖ length ‖ its passphrase
//! ```

use std::fmt;

use crate::address::DeviceAddress;
use crate::name::Shown;

/// The form that is spoken here; others say nothing that could be read.
const FORM: u8 = 1;
/// Neighbours that are wanted at once: more than a radio is asked for.
pub(crate) const WANTED_MAX: usize = 8;
/// How the name of a group begins (Wi-Fi Direct 1.9, section 3.2.1).
const NAME_BEGIN: &str = "DIRECT-";
/// How the name of every group of nodes ends.
pub(crate) const NAME_END: &str = "-hedgerow";
const NAME_BYTES_MAX: usize = 32;
/// The length of a passphrase (IEEE 802.11-2020, annex J.4.1).
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 8..=63;

/// What lets a device into a group.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// What stands for it.
    pub(crate) owner: DeviceAddress,
    /// Where it is, in MHz; 0 if that is not known.
    pub(crate) mhz: u16,
    /// The name of the group.
    pub(crate) name: String,
    pub(crate) passphrase: String,
}

impl Key {
    /// The key of a group of nodes; `None` for what could not be one.
    pub(crate) fn new(
        owner: DeviceAddress,
        mhz: u16,
        name: String,
        passphrase: String,
    ) -> Option<Self> {
        let is_text = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let is_name = name.starts_with(NAME_BEGIN)
            && name.ends_with(NAME_END)
            && name.len() <= NAME_BYTES_MAX
            && is_text(&name);
        let is_passphrase = PASSPHRASE_BYTES.contains(&passphrase.len()) && is_text(&passphrase);
        (is_name && is_passphrase).then_some(Self { owner, mhz, name, passphrase })
    }
}

/// Without the passphrase.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} of {} at {} MHz)", self.name, self.owner, self.mhz)
    }
}

/// What an owner knows of its group.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) mhz: u16,
    pub(crate) name: String,
    pub(crate) passphrase: String,
}

/// Without the passphrase.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} at {} MHz)", self.name, self.mhz)
    }
}

/// What a driver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) shown: Shown,
    /// What stands for those it would meet in a group.
    pub(crate) wants: Vec<DeviceAddress>,
    /// Of the group that it is in.
    pub(crate) key: Option<Key>,
}

impl Told {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        put(&self.shown.name(), &mut bytes);
        let wants = self.wants.get(..WANTED_MAX).unwrap_or(&self.wants);
        bytes.extend(u8::try_from(wants.len()));
        wants.iter().for_each(|wanted| put_neighbour(*wanted, &mut bytes));
        if let Some(key) = &self.key {
            put_neighbour(key.owner, &mut bytes);
            bytes.extend(key.mhz.to_be_bytes());
            put(&key.name, &mut bytes);
            put(&key.passphrase, &mut bytes);
        }
        bytes
    }

    /// What stands for whoever tells it.
    pub(crate) fn device(&self) -> DeviceAddress {
        DeviceAddress::of(&self.shown.beacon)
    }

    /// What bytes tell; `None` if they are not of this form. A key that is none is left out.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[FORM], mut rest) = bytes.split_first_chunk()? else { return None };
        let shown = Shown::from_name(text(&mut rest)?)?;
        let (&[count], left) = rest.split_first_chunk()?;
        rest = left;
        let wants = (0..count).map(|_| neighbour(&mut rest)).collect::<Option<Vec<_>>>()?;
        let wants = wants.into_iter().take(WANTED_MAX).collect();
        Some(Self { shown, wants, key: key(&mut rest) })
    }
}

fn put(text: &str, bytes: &mut Vec<u8>) {
    let length = u8::try_from(text.len()).expect("names and passphrases have at most 63 bytes");
    bytes.push(length);
    bytes.extend(text.bytes());
}

fn put_neighbour(neighbour: DeviceAddress, bytes: &mut Vec<u8>) {
    let [_, label @ ..] = neighbour.0;
    bytes.extend(label);
}

fn neighbour(rest: &mut &[u8]) -> Option<DeviceAddress> {
    let (label, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(DeviceAddress::of_label(*label))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (&[length], left) = rest.split_first_chunk()?;
    let (text, left) = left.split_at_checked(length.into())?;
    *rest = left;
    std::str::from_utf8(text).ok()
}

fn key(rest: &mut &[u8]) -> Option<Key> {
    let owner = neighbour(rest)?;
    let (mhz, left) = rest.split_first_chunk()?;
    *rest = left;
    let (name, passphrase) = (text(rest)?.to_owned(), text(rest)?.to_owned());
    Key::new(owner, u16::from_be_bytes(*mhz), name, passphrase)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Power;
    use crate::name::tests::shown;

    pub(crate) fn group(owner: DeviceAddress, number: u64) -> Key {
        let name = format!("DIRECT-{number}-hedgerow");
        Key::new(owner, 2_437, name, "correct horse".to_owned()).unwrap()
    }

    fn told() -> Told {
        let other = DeviceAddress::of_label([9; 5]);
        let shown = shown(0xde, 7, Power::Battery);
        Told { shown, wants: vec![other], key: Some(group(other, 7)) }
    }

    #[test]
    fn what_is_told_is_read_as_it_was_written() {
        let golden = b"\x01\x17HDGAQEB3t7e3gcHBwcHBwcH\x01\x09\x09\x09\x09\x09\
            \x09\x09\x09\x09\x09\x09\x85\x11DIRECT-7-hedgerow\x0dcorrect horse";
        assert_eq!(told().to_bytes(), golden);
        assert_eq!(Told::from_bytes(golden), Some(told()));
        let without = Told { key: None, wants: Vec::new(), ..told() };
        assert_eq!(Told::from_bytes(&without.to_bytes()), Some(without));
        let newer = [golden.as_slice(), b"and more"].concat();
        assert_eq!(Told::from_bytes(&newer), Some(told()), "a later version may say more");
    }

    #[test]
    fn what_is_cut_or_of_another_form_says_nothing() {
        let whole = told().to_bytes();
        let without = Told { key: None, ..told() };
        for end in 0..whole.len() {
            let cut = Told::from_bytes(&whole[..end]);
            assert!(cut.is_none() || cut.as_ref() == Some(&without), "{end}: {cut:?}");
        }
        assert_eq!(Told::from_bytes(&[&[2], &whole[1..]].concat()), None);
        let many = Told { wants: vec![told().device(); 20], ..told() };
        let read = Told::from_bytes(&many.to_bytes()).unwrap();
        assert_eq!(read.wants.len(), WANTED_MAX);
        assert_eq!(read.key, told().key, "nothing is lost behind them");
    }

    #[test]
    fn networks_that_are_no_groups_of_nodes_are_not_entered() {
        let owner = told().device();
        let of = |name: &str, passphrase: &str| Key::new(owner, 0, name.into(), passphrase.into());
        assert!(of("DIRECT-ab-hedgerow", "12345678").is_some());
        for (name, passphrase) in [
            ("home", "12345678"),
            ("home-hedgerow", "12345678"),
            ("DIRECT-ab-printer", "12345678"),
            ("DIRECT-a-name-that-is-long-hedgerow", "12345678"),
            ("DIRECT-a\nb-hedgerow", "12345678"),
            ("DIRECT-ab-hedgerow", "1234567"),
            ("DIRECT-ab-hedgerow", "1234567\u{e9}"),
        ] {
            assert_eq!(of(name, passphrase), None, "{name} {passphrase}");
        }
        let long = "7".repeat(64);
        assert_eq!(of("DIRECT-ab-hedgerow", &long), None);
    }

    #[test]
    fn a_passphrase_is_not_written_into_logs() {
        assert!(!format!("{:?}", told()).contains("horse"));
    }
}
