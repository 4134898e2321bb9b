//! Authenticated encryption behind a small trait.
//!
//! The core brings a portable ChaCha20-Poly1305 (RFC 8439). A host with faster ciphers injects
//! them as an [`AeadProvider`]; what ChaCha20-Poly1305 puts on the wire is the same.

use alloc::boxed::Box;
use core::fmt;

use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};

/// Bytes of an authentication tag.
pub const TAG_BYTES: usize = 16;

/// An authentication tag.
pub type Tag = [u8; TAG_BYTES];

/// A nonce of 96 bits, never used twice to seal under one key: the caller sees to that.
pub type Nonce = [u8; 12];

/// A cipher under one key, in the sense of RFC 5116, with the tag apart from the data.
///
/// Erase the key when this is dropped, where the implementation behind it can.
pub trait Aead: Send {
    /// Encrypts `data` in place and returns the tag over `associated` and the ciphertext.
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag;

    /// Checks the tag and decrypts `data` in place; `data` is unspecified after a failure.
    ///
    /// # Errors
    /// [`SealBroken`] when the tag does not fit.
    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken>;
}

/// Makes ciphers from keys: how a host injects an accelerated implementation.
pub trait AeadProvider: Send + Sync {
    /// ChaCha20-Poly1305 (RFC 8439) under `key`.
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead>;

    /// AES-256-GCM (NIST SP 800-38D) under `key`, or `None` where it is not offered: the same
    /// answer for every key, as this is what peers are told.
    ///
    /// Offer it only where the processor has instructions for AES and for GHASH. Software is
    /// slower than ChaCha20-Poly1305, and its timing tells about the key.
    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        let _ = key;
        None
    }
}

/// Sealed bytes were altered, cut, reordered, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal does not fit its bytes")]
pub struct SealBroken;

/// The provider that runs everywhere: pure Rust, no std, ChaCha20-Poly1305 only.
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

impl Aead for PortableChaCha {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        self.0
            .encrypt_in_place_detached(nonce.into(), associated, data)
            .expect("a frame is far below the 256 GiB that ChaCha20-Poly1305 can seal")
            .into()
    }

    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        self.0
            .decrypt_in_place_detached(nonce.into(), associated, data, tag.into())
            .map_err(|_| SealBroken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_altered_breaks_the_seal() {
        let aead = Portable.chacha20_poly1305(&[7; 32]);
        let [five, six] = [[5; 12], [6; 12]];
        let mut data = *b"hedgerow";
        let tag = aead.seal(&five, b"ad", &mut data);
        assert_ne!(&data, b"hedgerow");

        let sealed = data;
        assert_eq!(aead.open(&six, b"ad", &mut sealed.clone(), &tag), Err(SealBroken));
        assert_eq!(aead.open(&five, b"AD", &mut sealed.clone(), &tag), Err(SealBroken));
        assert_eq!(aead.open(&five, b"ad", &mut sealed.clone(), &[0; 16]), Err(SealBroken));
        assert_eq!(aead.open(&five, b"ad", &mut data, &tag), Ok(()));
        assert_eq!(&data, b"hedgerow");
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn the_vector_of_the_rfc() {
        let key: [u8; 32] = core::array::from_fn(|at| 0x80 + at as u8);
        let nonce = *b"\x07\0\0\0\x40\x41\x42\x43\x44\x45\x46\x47";
        let associated = b"\x50\x51\x52\x53\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7";
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
                     for the future, sunscreen would be it.";
        let mut data = *text;
        let aead = Portable.chacha20_poly1305(&key);
        let tag = aead.seal(&nonce, associated, &mut data);
        assert_eq!(data[..8], *b"\xd3\x1a\x8d\x34\x64\x8e\x60\xdb");
        assert_eq!(data[106..], *b"\xd2\x65\x86\xce\xc6\x4b\x61\x16");
        assert_eq!(tag, *b"\x1a\xe1\x0b\x59\x4f\x09\xe2\x6a\x7e\x90\x2e\xcb\xd0\x60\x06\x91");
        assert_eq!(aead.open(&nonce, associated, &mut data, &tag), Ok(()));
        assert_eq!(&data, text);
    }
}
