//! Checks of keys and signatures behind a small trait.
//!
//! The core brings [`Strict`]. A host may bring another one that gives the same answers in
//! another way: by an accelerator, or, where one process runs many nodes, from memory.

use super::sign;

/// Checks peer keys and Ed25519 signatures of adverts.
///
/// Every answer must be the one that [`Strict`] gives: the mesh believes what passes here.
pub trait Verifier: Send + Sync {
    /// Whether `key` is a public key that protocol 1.1 admits: canonical, on the curve, not
    /// small-order, free of torsion, sign bit 0.
    fn admits(&self, key: &[u8; 32]) -> bool;

    /// Whether `signature` over `message`, a hash, is that of `key`, by the strict rules: no
    /// small-order points, no second encodings.
    fn verify(&self, key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool;
}

/// Computes every answer (RFC 8032, strict verification).
#[derive(Clone, Copy, Debug, Default)]
pub struct Strict;

impl Verifier for Strict {
    fn admits(&self, key: &[u8; 32]) -> bool {
        sign::is_valid_public(key)
    }

    fn verify(&self, key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
        sign::verify_hash(key, message, signature)
    }
}
