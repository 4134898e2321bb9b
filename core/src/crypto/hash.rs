//! BLAKE2s-256 with domain separation.

use blake2::{Blake2s256, Digest};

/// What a hash is for. Every hash and signature starts with its domain's label, so that bytes
/// made for one purpose mean nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Address,
    Network,
    NetworkPsk,
    Beacon,
    AdvertBytes,
    AdvertSignature,
    BindingSignature,
    MetadataBody,
    Payload,
    SessionKey,
    Range,
}

impl Domain {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Address => b"hedgerow 1 address\0",
            Self::Network => b"hedgerow 1 network\0",
            Self::NetworkPsk => b"hedgerow 1 network psk\0",
            Self::Beacon => b"hedgerow 1 beacon\0",
            Self::AdvertBytes => b"hedgerow 1 advert bytes\0",
            Self::AdvertSignature => b"hedgerow 1 advert signature\0",
            Self::BindingSignature => b"hedgerow 1 binding signature\0",
            Self::MetadataBody => b"hedgerow 1 metadata\0",
            Self::Payload => b"hedgerow 1 payload\0",
            Self::SessionKey => b"hedgerow 1 session key\0",
            Self::Range => b"hedgerow 1 range\0",
        }
    }
}

/// The hash of `parts`, one after the other, in `domain`.
///
/// The parts are not delimited: callers pass at most one part of variable length.
pub(crate) fn digest(domain: Domain, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    hash.update(domain.label());
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// A hash of many parts, one after the other.
pub(crate) struct Running(Blake2s256);

impl Running {
    pub(crate) fn new(domain: Domain) -> Self {
        let mut hash = Blake2s256::new();
        hash.update(domain.label());
        Self(hash)
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The first `N` (at most 32) bytes.
    pub(crate) fn prefix<const N: usize>(self) -> [u8; N] {
        let mut short = [0; N];
        for (to, from) in short.iter_mut().zip(self.0.finalize()) {
            *to = from;
        }
        short
    }
}

/// The first `N` (at most 32) bytes of [`digest`].
pub(crate) fn prefix<const N: usize>(domain: Domain, parts: &[&[u8]]) -> [u8; N] {
    let mut short = [0; N];
    for (to, from) in short.iter_mut().zip(digest(domain, parts)) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_separate() {
        assert_ne!(digest(Domain::Address, &[b"x"]), digest(Domain::Network, &[b"x"]));
        assert_eq!(digest(Domain::Address, &[b"x", b"y"]), digest(Domain::Address, &[b"xy"]));
        let mut running = Running::new(Domain::Address);
        running.add(b"x");
        running.add(b"y");
        assert_eq!(running.prefix(), digest(Domain::Address, &[b"xy"]));
    }
}
