//! Authenticated encryption behind a small trait.
//!
//! The core brings a portable ChaCha20-Poly1305 (RFC 8439). A host with a faster one injects it
//! as an [`AeadProvider`]; bytes on the wire are the same.

use alloc::boxed::Box;
use core::fmt;

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;

/// An authentication tag.
pub type Tag = [u8; TAG_BYTES];

/// A cipher under one key. Nonces are 64-bit numbers that the caller never uses twice to seal.
///
/// The 96-bit nonce of RFC 8439 is four zero bytes and the number, little-endian, as in the
/// Noise specification, section 12.3.
pub trait Aead: Send {
    /// Encrypts `data` in place and returns the tag over `associated` and the ciphertext.
    fn seal(&self, nonce: u64, associated: &[u8], data: &mut [u8]) -> Tag;

    /// Checks the tag and decrypts `data` in place; `data` is unspecified after a failure.
    ///
    /// # Errors
    /// [`SealBroken`] when the tag does not fit.
    fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken>;
}

/// Makes ciphers from keys: how a host injects an accelerated implementation.
pub trait AeadProvider: Send + Sync {
    /// ChaCha20-Poly1305 (RFC 8439) under `key`.
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead>;
}

/// Sealed bytes were altered, cut, reordered, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal does not fit its bytes")]
pub struct SealBroken;

/// The provider that runs everywhere: pure Rust, no std.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl AeadProvider for Portable {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Box::new(PortableChaCha(ChaCha20Poly1305::new(key.into())))
    }
}

struct PortableChaCha(ChaCha20Poly1305);

impl fmt::Debug for PortableChaCha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortableChaCha(redacted)")
    }
}

fn long_nonce(nonce: u64) -> [u8; 12] {
    let mut long = [0; 12];
    for (to, from) in long.iter_mut().skip(4).zip(nonce.to_le_bytes()) {
        *to = from;
    }
    long
}

impl Aead for PortableChaCha {
    fn seal(&self, nonce: u64, associated: &[u8], data: &mut [u8]) -> Tag {
        self.0
            .encrypt_in_place_detached(&long_nonce(nonce).into(), associated, data)
            .expect("a frame is far below the 256 GiB that ChaCha20-Poly1305 can seal")
            .into()
    }

    fn open(
        &self,
        nonce: u64,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        self.0
            .decrypt_in_place_detached(&long_nonce(nonce).into(), associated, data, tag.into())
            .map_err(|_| SealBroken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_altered_breaks_the_seal() {
        let aead = Portable.chacha20_poly1305(&[7; 32]);
        let mut data = *b"hedgerow";
        let tag = aead.seal(5, b"ad", &mut data);
        assert_ne!(&data, b"hedgerow");

        let sealed = data;
        assert_eq!(aead.open(6, b"ad", &mut sealed.clone(), &tag), Err(SealBroken));
        assert_eq!(aead.open(5, b"AD", &mut sealed.clone(), &tag), Err(SealBroken));
        assert_eq!(aead.open(5, b"ad", &mut sealed.clone(), &[0; 16]), Err(SealBroken));
        assert_eq!(aead.open(5, b"ad", &mut data, &tag), Ok(()));
        assert_eq!(&data, b"hedgerow");
    }
}
