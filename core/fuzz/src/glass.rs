//! A cipher of glass: it seals nothing, and every seal fits. What a fuzzer changes on the way is
//! then read as if the other end had said it, so that the code behind the seals is reached.

use hedgerow_core::crypto::aead::{Aead, AeadProvider, Nonce, SealBroken, TAG_BYTES, Tag};

/// The provider of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Glass;

impl AeadProvider for Glass {
    fn chacha20_poly1305(&self, _key: &[u8; 32]) -> Box<dyn Aead> {
        Box::new(Self)
    }
}

impl Aead for Glass {
    fn seal(&self, _nonce: &Nonce, _associated: &[u8], _data: &mut [u8]) -> Tag {
        [0x55; TAG_BYTES]
    }

    fn open(
        &self,
        _nonce: &Nonce,
        _associated: &[u8],
        _data: &mut [u8],
        _tag: &Tag,
    ) -> Result<(), SealBroken> {
        Ok(())
    }
}
