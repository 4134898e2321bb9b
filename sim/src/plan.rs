//! What a world is made of.

use std::sync::Arc;

use hedgerow_core::config::NodeConfig;
use hedgerow_core::crypto::aead::{AeadProvider, Portable};
use hedgerow_core::crypto::verifier::{Strict, Verifier};
use hedgerow_core::time::Duration;

use crate::medium::Medium;
use crate::swift::{QuickSeals, Remembered};

/// What a world is made of; all else follows from it.
#[derive(Clone)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// The media; every node has all of them. The first one is number 0.
    pub media: Vec<Medium>,
    /// Nodes start within this, by chance.
    pub start_within: Duration,
    /// Clocks differ by up to this, by chance.
    pub clocks_within: Duration,
    /// Clocks go fast by up to this, by chance, in parts in a million.
    pub fast_ppm_max: u64,
    /// Drivers tell those at neighbours something else whenever a link comes up.
    pub tells_hints: bool,
    /// What nodes say of themselves; each gets a device name of its own.
    pub config: NodeConfig,
    /// What seals.
    pub aead: Arc<dyn AeadProvider>,
    /// What checks the signatures of adverts.
    pub verifier: Arc<dyn Verifier>,
}

impl Plan {
    /// Nodes on one medium that start at once, with clocks up to a day apart that all go as fast.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, medium: Medium) -> Self {
        Self {
            seed,
            nodes,
            media: vec![medium],
            start_within: Duration::ZERO,
            clocks_within: Duration::from_secs(24 * 3_600),
            fast_ppm_max: 0,
            tells_hints: false,
            config: NodeConfig::default(),
            aead: Arc::new(Portable),
            verifier: Arc::new(Strict),
        }
    }

    /// The same with quick seals and remembered signatures: for worlds too big for the real ones.
    #[must_use]
    pub fn swift(self) -> Self {
        let (aead, verifier) = (Arc::new(QuickSeals), Arc::new(Remembered::default()));
        Self { aead, verifier, ..self }
    }
}
