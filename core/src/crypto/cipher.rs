//! The ciphers of links and sessions, and how two ends agree on one (protocol 4.1, 8.1, 8.3).

use alloc::boxed::Box;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::aead::{Aead, AeadProvider, Nonce, SealBroken, Tag};

/// A cipher that seals a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305 (RFC 8439): every node has it.
    ChaCha20Poly1305,
    /// AES-256-GCM: between two nodes whose processors have instructions for it.
    Aes256Gcm,
}

impl Cipher {
    /// The byte that stands for it in the labels of keys.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ChaCha20Poly1305 => 1,
            Self::Aes256Gcm => 2,
        }
    }

    /// Four zero bytes and the number in the byte order of the Noise specification, 12.3 and 12.4.
    fn nonce(self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        let bytes = match self {
            Self::ChaCha20Poly1305 => number.to_le_bytes(),
            Self::Aes256Gcm => number.to_be_bytes(),
        };
        nonce[4..].copy_from_slice(&bytes);
        nonce
    }
}

/// A bit set of ciphers, as handshakes show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ciphers(u8);

impl Ciphers {
    const CHACHA20_POLY1305: u8 = 1;
    const AES_256_GCM: u8 = 1 << 1;

    /// What a provider offers.
    pub(crate) fn of(provider: &dyn AeadProvider) -> Self {
        let aes = provider.aes_256_gcm(&[0; 32]).map_or(0, |_| Self::AES_256_GCM);
        Self(Self::CHACHA20_POLY1305 | aes)
    }

    /// The set as a byte.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Whether it has the cipher that every set must have.
    pub(crate) const fn is_valid(self) -> bool {
        self.0 & Self::CHACHA20_POLY1305 != 0
    }

    /// The best cipher that both sets have; the same at both ends.
    pub(crate) const fn agree(self, other: Self) -> Cipher {
        if self.0 & other.0 & Self::AES_256_GCM != 0 {
            Cipher::Aes256Gcm
        } else {
            Cipher::ChaCha20Poly1305
        }
    }
}

/// A cipher under one key, with numbers for nonces.
pub(crate) struct Keyed {
    cipher: Cipher,
    aead: Box<dyn Aead>,
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

impl Keyed {
    /// # Panics
    /// When `provider` offered the cipher and does not make it: an error of the host.
    pub(crate) fn new(provider: &dyn AeadProvider, cipher: Cipher, key: &[u8; 32]) -> Self {
        let aead = match cipher {
            Cipher::ChaCha20Poly1305 => provider.chacha20_poly1305(key),
            Cipher::Aes256Gcm => {
                provider.aes_256_gcm(key).expect("a provider offers AES-256-GCM always or never")
            }
        };
        Self { cipher, aead }
    }

    pub(crate) const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Seals `data` in place. The caller never uses a number twice.
    pub(crate) fn seal(&self, number: u64, associated: &[u8], data: &mut [u8]) -> Tag {
        self.aead.seal(&self.cipher.nonce(number), associated, data)
    }

    pub(crate) fn open(
        &self,
        number: u64,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        self.aead.open(&self.cipher.nonce(number), associated, data, tag)
    }
}

#[cfg(test)]
mod tests {
    use super::super::aead::Portable;
    use super::*;

    #[test]
    fn nonces_are_those_of_noise() {
        let number = 0xc0_00_00_00_00_00_01_02;
        assert_eq!(Cipher::ChaCha20Poly1305.nonce(number), [0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0xc0]);
        assert_eq!(Cipher::Aes256Gcm.nonce(number), [0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn aes_takes_two_and_an_unknown_bit_counts_for_nothing() {
        let (plain, aes) = (Ciphers(1), Ciphers(3));
        assert_eq!(Ciphers::of(&Portable), plain);
        assert_eq!(aes.agree(aes), Cipher::Aes256Gcm);
        assert_eq!(aes.agree(plain), Cipher::ChaCha20Poly1305);
        assert_eq!(plain.agree(Ciphers(0xff)), Cipher::ChaCha20Poly1305);
        assert_eq!(Ciphers(0xf9).agree(Ciphers(0xff)), Cipher::ChaCha20Poly1305);
        assert!(!Ciphers(2).is_valid());
    }
}
