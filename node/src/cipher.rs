//! What seals links and sessions, and how to bring ciphers of one's own.
//!
//! With the feature `accelerated` (on by default) a node uses the assembly of [ring]: several
//! times the speed of the portable cipher, and AES-256-GCM besides, where the processor has
//! instructions for it. Two nodes that both have them use it between them, without being told.
//! Without the feature a node is pure Rust and seals with ChaCha20-Poly1305; every node
//! understands every other one.
//!
//! A host with a better implementation, of its platform or in a chip, implements
//! [`AeadProvider`] and gives it to [`MeshBuilder::ciphers`].
//!
//! [ring]: https://docs.rs/ring
//! [`MeshBuilder::ciphers`]: crate::MeshBuilder::ciphers

#[cfg(feature = "accelerated")]
mod accelerated;

use std::sync::Arc;

#[cfg(feature = "accelerated")]
pub use accelerated::Accelerated;
pub use hedgerow_core::crypto::aead::{Aead, AeadProvider, Nonce, Portable, SealBroken, Tag};

/// The fastest provider of this build.
pub(crate) fn fastest() -> Arc<dyn AeadProvider> {
    #[cfg(feature = "accelerated")]
    let provider = Accelerated::detect();
    #[cfg(not(feature = "accelerated"))]
    let provider = Portable;
    Arc::new(provider)
}
