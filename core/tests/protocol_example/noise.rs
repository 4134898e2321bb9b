//! Noise XX and KK (Noise specification, revision 34), written from the specification and with
//! both ends' secrets in hand: a second opinion on what the core does through its own crate.

use blake2::{Blake2s256, Digest as _};
use chacha20poly1305::{AeadInPlace as _, ChaCha20Poly1305, KeyInit as _};
use curve25519_dalek::MontgomeryPoint;

pub(crate) type Key = [u8; 32];

/// Both secrets of one end.
pub(crate) struct End {
    pub(crate) fixed: Key,
    pub(crate) ephemeral: Key,
}

/// What a finished handshake leaves.
pub(crate) struct Finished {
    pub(crate) hash: Key,
    /// The key of the initiator's direction, then the responder's.
    pub(crate) keys: [Key; 2],
}

pub(crate) fn hash(parts: &[&[u8]]) -> Key {
    let mut hash = Blake2s256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// RFC 2104 with a hash of 64-byte blocks.
fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let pad = |byte: u8| -> [u8; 64] {
        std::array::from_fn(|at| key.get(at).copied().unwrap_or(0) ^ byte)
    };
    let inner = hash(&[&[pad(0x36).as_slice()], parts].concat());
    hash(&[&pad(0x5c), &inner])
}

fn hkdf(chaining: &Key, input: &[u8]) -> (Key, Key) {
    let secret = hmac(chaining, &[input]);
    let first = hmac(&secret, &[&[1]]);
    (first, hmac(&secret, &[&first, &[2]]))
}

pub(crate) fn public(secret: &Key) -> Key {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

fn dh(secret: &Key, other: &Key) -> Key {
    MontgomeryPoint(public(other)).mul_clamped(*secret).to_bytes()
}

/// Opens `sealed` with a tag behind it; the nonce is four zero bytes and `number`, little-endian.
pub(crate) fn open(key: &Key, number: u64, associated: &[u8], sealed: &[u8]) -> Vec<u8> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    let (body, tag) = sealed.split_at(sealed.len() - 16);
    let mut text = body.to_vec();
    ChaCha20Poly1305::new(key.into())
        .decrypt_in_place_detached(&nonce.into(), associated, &mut text, tag.into())
        .expect("the seal fits");
    text
}

/// A handshake read by somebody who knows every secret.
pub(crate) struct Transcript<'a> {
    hash: Key,
    chaining: Key,
    key: Option<(Key, u64)>,
    ends: [&'a End; 2],
}

impl<'a> Transcript<'a> {
    /// `known`: the static keys of both ends are known beforehand (KK).
    pub(crate) fn new(name: &str, prologue: &[u8], ends: [&'a End; 2], known: bool) -> Self {
        let start = hash(&[name.as_bytes()]);
        let mut transcript = Self { hash: start, chaining: start, key: None, ends };
        transcript.mix_hash(prologue);
        if known {
            ends.iter().for_each(|end| transcript.mix_hash(&public(&end.fixed)));
        }
        transcript
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = hash(&[&self.hash, bytes]);
    }

    fn mix_key(&mut self, one: &Key, other: &Key) {
        let (chaining, key) = hkdf(&self.chaining, &dh(one, other));
        (self.chaining, self.key) = (chaining, Some((key, 0)));
    }

    /// Takes `length` bytes, and a tag if there is a key, off `message`.
    fn take(&mut self, message: &mut &[u8], length: usize) -> Vec<u8> {
        let tag = if self.key.is_some() { 16 } else { 0 };
        let (sealed, rest) = message.split_at(length + tag);
        *message = rest;
        let text = match &mut self.key {
            Some((key, number)) => {
                *number += 1;
                open(key, *number - 1, &self.hash, sealed)
            }
            None => sealed.to_vec(),
        };
        self.mix_hash(sealed);
        text
    }

    /// Reads the message of end `from` with these tokens; gives its payload.
    pub(crate) fn read(&mut self, from: usize, tokens: &[&str], mut message: &[u8]) -> Vec<u8> {
        let [initiator, responder] = self.ends;
        for token in tokens {
            match *token {
                "e" => {
                    let (shown, rest) = message.split_at(32);
                    assert_eq!(shown, public(&self.ends[from].ephemeral));
                    self.mix_hash(shown);
                    message = rest;
                }
                "s" => {
                    let shown = self.take(&mut message, 32);
                    assert_eq!(shown, public(&self.ends[from].fixed));
                }
                "ee" => self.mix_key(&initiator.ephemeral, &responder.ephemeral),
                "es" => self.mix_key(&initiator.ephemeral, &responder.fixed),
                "se" => self.mix_key(&initiator.fixed, &responder.ephemeral),
                "ss" => self.mix_key(&initiator.fixed, &responder.fixed),
                other => panic!("{other} is no token"),
            }
        }
        let tag = if self.key.is_some() { 16 } else { 0 };
        let length = message.len() - tag;
        let payload = self.take(&mut message, length);
        assert!(message.is_empty());
        payload
    }

    pub(crate) fn finish(self) -> Finished {
        let (first, second) = hkdf(&self.chaining, &[]);
        Finished { hash: self.hash, keys: [first, second] }
    }
}
