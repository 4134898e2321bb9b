//! Chance from a seed: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014). Good enough for links, useless for secrets.

use crate::shape::PPM;

#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A chance of its own, which takes one number of this one, however many are drawn from it.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `max`, both included, all equally likely to within 2^-64 * `max`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let scaled = u128::from(self.next()) * (u128::from(max) + 1);
        u64::try_from(scaled >> 64).expect("a 64-bit number times at most 2^64, over 2^64")
    }

    /// Whether something happens that happens `ppm` times of a million.
    pub(crate) fn hits(&mut self, ppm: u32) -> bool {
        self.up_to(u64::from(PPM) - 1) < u64::from(ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_sequence() {
        let mut chance = Chance::new(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([chance.next(), chance.next()], expected);
    }

    #[test]
    fn both_ends_of_the_range_come_up() {
        let mut chance = Chance::new(0);
        let mut seen = [0; 4];
        for _ in 0..1_000 {
            seen[usize::try_from(chance.up_to(3)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&times| (200..300).contains(&times)), "{seen:?}");
    }

    #[test]
    fn what_is_drawn_from_a_part_does_not_change_the_whole() {
        let draws = |from_the_part| {
            let mut chance = Chance::new(3);
            let mut part = chance.split();
            let _: u64 = (0..from_the_part).map(|_| part.next() % 2).sum();
            chance.next()
        };
        assert_eq!(draws(0), draws(100));
    }

    #[test]
    fn certainty_hits_and_impossibility_misses() {
        let mut chance = Chance::new(0);
        assert!((0..1_000).all(|_| chance.hits(PPM) && !chance.hits(0)));
    }
}
