//! Chance from one seed: SplitMix64 (Steele, Lea, Flood, 2014). Useless for secrets, and that is
//! all right here: nothing in a simulated world is one.

use hedgerow_core::entropy::Entropy;
use hedgerow_core::time::Duration;

/// A seeded source of chance. The same seed gives the same numbers for ever.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The chance that follows from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A source of its own for `purpose`, so that drawing more here moves nothing there.
    #[must_use]
    pub fn fork(&self, purpose: u64) -> Self {
        Self(mix(self.0 ^ mix(purpose.wrapping_add(1))))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(scaled >> 64).expect("a 64-bit number times another one, over 2^64")
    }

    /// An index below `bound`; 0 if `bound` is 0.
    pub fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a usize")
    }

    /// A time up to `most`, both ends included.
    pub fn within(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(micros + 1))
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        // The 53 bits of a double's mantissa.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Entropy for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let bits = self.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

/// Spreads every bit of `z` over all bits.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_differ_and_repeat() {
        let chance = Chance::new(7);
        let draw = |purpose| chance.fork(purpose).bits();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1), Chance::new(8).fork(1).bits());
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let mut chance = Chance::new(1);
        let mut seen = [0; 5];
        (0..1_000).for_each(|_| seen[chance.index(5)] += 1);
        assert!(seen.iter().all(|times| (150..250).contains(times)), "{seen:?}");
        assert_eq!(chance.below(0), 0);
        assert!((0..1_000).all(|_| (0.0..1.0).contains(&chance.fraction())));
    }
}
