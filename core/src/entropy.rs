//! Randomness as an input.

/// A source of randomness that the host gives to the core.
///
/// A node's keys, nonces and back-off all come from here. On a real host it must be a
/// cryptographic generator (the operating system's); a simulation gives a seeded one and gets
/// the same run again.
pub trait Entropy: Send {
    /// Fills `bytes` with random bytes.
    ///
    /// # Panics
    /// An implementation without randomness to give must panic rather than return: every
    /// secret of the node depends on it.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<E: Entropy + ?Sized> Entropy for alloc::boxed::Box<E> {
    fn fill(&mut self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// A random array.
pub(crate) fn array<const N: usize>(entropy: &mut dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// A random number in `0..bound`; 0 if `bound` is 0.
///
/// The bias of the modulo is below 2^-32 for the bounds used here (jitter of delays).
pub(crate) fn below(entropy: &mut dyn Entropy, bound: u64) -> u64 {
    u64::from_le_bytes(array(entropy)).checked_rem(bound).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Entropy;

    /// A seeded generator for tests (splitmix64): the same seed gives the same run.
    pub(crate) struct Seeded(pub(crate) u64);

    impl Entropy for Seeded {
        fn fill(&mut self, bytes: &mut [u8]) {
            for chunk in bytes.chunks_mut(8) {
                self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = self.0;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^= z >> 31;
                chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
            }
        }
    }

    #[test]
    fn a_bound_of_zero_gives_zero() {
        assert_eq!(super::below(&mut Seeded(1), 0), 0);
        assert!((0..100).all(|_| super::below(&mut Seeded(7), 10) < 10));
    }
}
