//! The ciphers of ring, AES only where the processor has it.

use hedgerow_core::crypto::aead::{Aead, AeadProvider, Nonce, SealBroken, Tag};
use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, UnboundKey};

/// The provider that nodes use by default.
///
/// ring does not erase keys when they are dropped; [`super::Portable`] does.
#[derive(Clone, Copy, Debug)]
pub struct Accelerated {
    has_aes: bool,
}

impl Accelerated {
    /// Looks at what the processor can do. Without instructions for AES and GHASH, the provider
    /// has ChaCha20-Poly1305 only.
    #[must_use]
    pub fn detect() -> Self {
        Self { has_aes: has_aes() }
    }

    /// Whether it offers AES-256-GCM.
    #[must_use]
    pub fn has_aes(self) -> bool {
        self.has_aes
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    // SSSE3 is what ring's GHASH needs beside carry-less multiplication.
    std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("ssse3")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

impl AeadProvider for Accelerated {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        keyed(&CHACHA20_POLY1305, key)
    }

    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        self.has_aes.then(|| keyed(&AES_256_GCM, key))
    }
}

fn keyed(algorithm: &'static Algorithm, key: &[u8; 32]) -> Box<dyn Aead> {
    let key = UnboundKey::new(algorithm, key).expect("both ciphers have keys of 32 bytes");
    Box::new(Keyed(LessSafeKey::new(key)))
}

struct Keyed(LessSafeKey);

/// The core counts its nonces; ring's types for that would count a second time.
fn unique(nonce: &Nonce) -> ring::aead::Nonce {
    ring::aead::Nonce::assume_unique_for_key(*nonce)
}

impl Aead for Keyed {
    fn seal(&self, nonce: &Nonce, associated: &[u8], data: &mut [u8]) -> Tag {
        let tag = self
            .0
            .seal_in_place_separate_tag(unique(nonce), Aad::from(associated), data)
            .expect("a frame is far below the 64 GiB that AES-GCM can seal");
        tag.as_ref().try_into().expect("tags of both ciphers are 16 bytes")
    }

    fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), SealBroken> {
        let (associated, tag) = (Aad::from(associated), (*tag).into());
        self.0
            .open_in_place_separate_tag(unique(nonce), associated, tag, data, 0..)
            .map(drop)
            .map_err(|_| SealBroken)
    }
}

#[cfg(test)]
mod tests {
    use hedgerow_core::crypto::aead::Portable;

    use super::*;

    /// Made even on a processor without AES: the vectors hold there, too.
    const ALL: Accelerated = Accelerated { has_aes: true };

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let byte = |at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        assert_eq!(text.len(), 2 * N);
        std::array::from_fn(byte)
    }

    /// Test case 16 of the specification of GCM, by McGrew and Viega.
    #[test]
    fn the_vector_of_aes_256_gcm() {
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let nonce = hex("cafebabefacedbaddecaf888");
        let associated: [u8; 20] = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let text: [u8; 60] = hex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf\
             0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let sealed: [u8; 60] = hex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b0\
             8b1056828838c5f61e6393ba7a0abcc9f662",
        );
        let aead = ALL.aes_256_gcm(&key).unwrap();
        let mut data = text;
        let tag = aead.seal(&nonce, &associated, &mut data);
        assert_eq!(data, sealed);
        assert_eq!(tag, hex("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert_eq!(aead.open(&nonce, &associated, &mut data, &tag), Ok(()));
        assert_eq!(data, text);
    }

    /// Which itself is held to the vector of RFC 8439.
    #[test]
    fn chacha20_poly1305_is_that_of_the_portable_provider() {
        for length in [0, 1, 15, 16, 17, 28, 63, 64, 65, 255, 1_024, 65_536 + 7] {
            let key = std::array::from_fn(|at| at as u8 ^ length as u8);
            let nonce = [length as u8; 12];
            let text: Vec<u8> = (0..length).map(|at: usize| at as u8).collect();
            let [ours, portable] =
                [&ALL as &dyn AeadProvider, &Portable].map(|p| p.chacha20_poly1305(&key));
            for associated in [&b""[..], &[3; 4], &[3; 30]] {
                let (mut one, mut other) = (text.clone(), text.clone());
                let tag = ours.seal(&nonce, associated, &mut one);
                assert_eq!(tag, portable.seal(&nonce, associated, &mut other));
                assert_eq!(one, other);
                assert_eq!(ours.open(&nonce, associated, &mut one, &tag), Ok(()));
                assert_eq!(one, text);
            }
        }
    }

    #[test]
    fn anything_altered_breaks_the_seal() {
        for aead in [ALL.chacha20_poly1305(&[7; 32]), ALL.aes_256_gcm(&[7; 32]).unwrap()] {
            let (five, six) = ([5; 12], [6; 12]);
            let mut data = *b"hedgerow";
            let tag = aead.seal(&five, b"ad", &mut data);
            let open = |nonce, associated: &[u8], at: usize, tag: Tag| {
                let mut altered = data;
                altered[at % 8] ^= u8::from(at < 8);
                aead.open(nonce, associated, &mut altered, &tag)
            };
            assert_eq!(open(&five, b"ad", 8, tag), Ok(()));
            assert_eq!(open(&six, b"ad", 8, tag), Err(SealBroken));
            assert_eq!(open(&five, b"AD", 8, tag), Err(SealBroken));
            assert_eq!(open(&five, b"ad", 8, [0; 16]), Err(SealBroken));
            for at in 0..8 {
                assert_eq!(open(&five, b"ad", at, tag), Err(SealBroken));
            }
        }
    }

    #[test]
    fn without_the_hardware_aes_is_not_offered() {
        assert!(Accelerated { has_aes: false }.aes_256_gcm(&[0; 32]).is_none());
    }
}
