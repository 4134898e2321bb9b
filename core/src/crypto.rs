//! The only place that names cryptographic crates.
//!
//! Everything above speaks of identities, handshakes, seals and hashes; which crate computes
//! them is decided here and can change here in one commit.

pub mod aead;
pub mod cipher;
pub mod hash;
pub mod noise;
pub(crate) mod sign;
pub mod verifier;
