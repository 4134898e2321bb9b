//! What makes big worlds possible: a stand-in for the cipher of links, and a memory for checked
//! signatures. Small worlds run the real things.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hedgerow_core::crypto::aead::{Aead, AeadProvider, Nonce, SealBroken, Tag};
use hedgerow_core::crypto::verifier::{Strict, Verifier};

use crate::chance::mix;
use crate::ledger::Account;

/// Seals that keep nothing secret: data stays as it is, the tag is a quick keyed sum. It finds
/// what was altered, mixed up or sealed under another key or number; it resists nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuickSeals;

impl AeadProvider for QuickSeals {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Box::new(Quick(sum(0, key)))
    }
}

struct Quick(u64);

impl Quick {
    fn tag(&self, nonce: &Nonce, associated: &[u8], data: &[u8]) -> Tag {
        let first = sum(sum(sum(self.0, nonce), associated), data);
        let second = mix(first ^ self.0);
        (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
    }
}

impl Aead for Quick {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        self.tag(nonce, associated, data)
    }

    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        if self.tag(nonce, associated, data) == *tag { Ok(()) } else { Err(SealBroken) }
    }
}

fn sum(start: u64, bytes: &[u8]) -> u64 {
    let mut sum = mix(start ^ bytes.len() as u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        sum = (sum.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    for byte in rest {
        sum = (sum.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    mix(sum)
}

/// Checks each key and each signature once and remembers the answer. Nodes of a world share one:
/// what one node had checked, the next one finds.
#[derive(Debug, Default)]
pub struct Remembered {
    keys: Mutex<BTreeMap<[u8; 32], bool>>,
    /// By signature, which is as good as random; with what it was said to be of.
    signatures: Mutex<BTreeMap<[u8; 64], Vec<Checked>>>,
}

#[derive(Debug)]
struct Checked {
    key: [u8; 32],
    message: [u8; 32],
    holds: bool,
}

impl Remembered {
    /// Signatures that were really checked.
    #[must_use]
    pub fn checked(&self) -> usize {
        let signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        signatures.values().map(Vec::len).sum()
    }
}

impl Verifier for Remembered {
    fn admits(&self, key: &[u8; 32]) -> bool {
        let _nobodys = Account::WORLD.enter();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        *keys.entry(*key).or_insert_with(|| Strict.admits(key))
    }

    fn verify(&self, key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
        let _nobodys = Account::WORLD.enter();
        let mut signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = signatures.entry(*signature).or_default();
        let same = |checked: &&Checked| checked.key == *key && checked.message == *message;
        if let Some(checked) = known.iter().find(same) {
            return checked.holds;
        }
        let holds = Strict.verify(key, message, signature);
        known.push(Checked { key: *key, message: *message, holds });
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_altered_breaks_a_quick_seal() {
        let [aead, other] = [[7; 32], [8; 32]].map(|key| QuickSeals.chacha20_poly1305(&key));
        let [five, six] = [[5; 12], [6; 12]];
        let mut data = *b"hedgerow goes on";
        let tag = aead.seal(&five, b"ad", &mut data);
        let open = |aead: &dyn Aead, nonce, associated: &[u8], mut data: [u8; 16], tag| {
            aead.open(nonce, associated, &mut data, tag).is_ok()
        };
        assert!(open(aead.as_ref(), &five, b"ad", data, &tag));
        assert!(!open(other.as_ref(), &five, b"ad", data, &tag));
        assert!(!open(aead.as_ref(), &six, b"ad", data, &tag));
        assert!(!open(aead.as_ref(), &five, b"AD", data, &tag));
        assert!(!open(aead.as_ref(), &five, b"ad", data, &[0; 16]));
        for at in 0..16 {
            let mut altered = data;
            altered[at] ^= 1;
            assert!(!open(aead.as_ref(), &five, b"ad", altered, &tag), "byte {at}");
        }
    }

    /// RFC 8032, section 7.1, test 3.
    #[test]
    fn what_is_remembered_is_what_strict_says() {
        let hex = |text: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
            (0..text.len() / 2).map(digit).collect()
        };
        let key: [u8; 32] = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
            .try_into()
            .unwrap();
        let signature: [u8; 64] =
            hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")
            .try_into()
            .unwrap();
        let remembered = Remembered::default();
        for _ in 0..2 {
            // The message of the vector is shorter than a hash, so it cannot hold here.
            assert!(!remembered.verify(&key, &[1; 32], &signature));
            assert!(!remembered.verify(&key, &[2; 32], &signature));
            assert_eq!(remembered.admits(&key), Strict.admits(&key));
            assert!(!remembered.admits(&[0; 32]));
        }
        assert_eq!(remembered.checked(), 2);
    }
}
