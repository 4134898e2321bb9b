//! Ed25519 signatures (RFC 8032, strict verification) and the conversion to X25519.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::hash::{self, Domain};

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Whether `bytes` are a public key that protocol 1.1 admits: canonical, on the curve, not
/// small-order, free of torsion, sign bit 0.
pub(crate) fn is_valid_public(bytes: &[u8; 32]) -> bool {
    if bytes[31] & 0x80 != 0 {
        return false;
    }
    let Some(point) = CompressedEdwardsY(*bytes).decompress() else { return false };
    point.compress().as_bytes() == bytes && !point.is_small_order() && point.is_torsion_free()
}

/// A key pair. It keeps the public half: computing it costs as much as a signature.
#[derive(Clone)]
pub(crate) struct KeyPair(SigningKey);

impl KeyPair {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The X25519 secret key, by the standard birational map.
    pub(crate) fn x25519_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_scalar_bytes())
    }

    /// Signs the hash of `parts` in `domain`.
    pub(crate) fn sign(&self, domain: Domain, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&hash::digest(domain, parts)).to_bytes()
    }
}

/// The X25519 public key of a valid Ed25519 public key, by the standard birational map.
pub(crate) fn x25519_public(public: &[u8; 32]) -> Option<[u8; 32]> {
    VerifyingKey::from_bytes(public).ok().map(|key| key.to_montgomery().to_bytes())
}

/// Whether `signature` over `parts` in `domain` is `public`'s.
pub(crate) fn verify(
    public: &[u8; 32],
    domain: Domain,
    parts: &[&[u8]],
    signature: &[u8; SIGNATURE_BYTES],
) -> bool {
    verify_hash(public, &hash::digest(domain, parts), signature)
}

/// Whether `signature` over the hash `message` is `public`'s.
pub(crate) fn verify_hash(
    public: &[u8; 32],
    message: &[u8; 32],
    signature: &[u8; SIGNATURE_BYTES],
) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair_with_sign_bit(sign: u8) -> KeyPair {
        let mut pairs = (0..=u8::MAX).map(|n| KeyPair::from_seed(&[n; 32]));
        pairs.find(|pair| pair.public()[31] >> 7 == sign).unwrap()
    }

    #[test]
    fn a_key_with_sign_bit_one_is_refused_though_it_signs() {
        let pair = pair_with_sign_bit(1);
        let key = pair.public();
        let signature = pair.sign(Domain::AdvertSignature, &[b"x"]);
        assert!(verify(&key, Domain::AdvertSignature, &[b"x"], &signature));
        assert!(!is_valid_public(&key));
        assert!(is_valid_public(&pair_with_sign_bit(0).public()));
    }

    #[test]
    fn low_order_and_non_canonical_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!is_valid_public(&identity));
        assert!(!is_valid_public(&[0; 32]));
        // y = p + 1, a second encoding of y = 1.
        let mut second = [0xff; 32];
        second[0] = 0xee;
        second[31] = 0x7f;
        assert!(!is_valid_public(&second));
    }

    #[test]
    fn a_signature_holds_in_its_domain_only() {
        let pair = pair_with_sign_bit(0);
        let signature = pair.sign(Domain::AdvertSignature, &[b"x"]);
        assert!(!verify(&pair.public(), Domain::BindingSignature, &[b"x"], &signature));
        assert!(!verify(&pair.public(), Domain::AdvertSignature, &[b"y"], &signature));
    }

    #[test]
    fn both_halves_convert_to_one_x25519_pair() {
        use curve25519_dalek::MontgomeryPoint;
        let pair = pair_with_sign_bit(0);
        let derived = MontgomeryPoint::mul_base_clamped(*pair.x25519_secret()).to_bytes();
        assert_eq!(Some(derived), x25519_public(&pair.public()));
    }
}
