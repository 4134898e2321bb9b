//! What scenarios leave to chance: all of it follows from a seed, by which a failure is repeated.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

/// Chooses the seed; without it every run has another one.
pub(crate) const SEED: &str = "HEDGEROW_RIG_SEED";

/// The seed of this run.
///
/// # Errors
/// If the environment asks for one that cannot be.
pub(crate) fn seed() -> anyhow::Result<u32> {
    match std::env::var_os(SEED).filter(|value| !value.is_empty()) {
        Some(wanted) => parse(&wanted),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            Ok(now.context("the clock is before 1970")?.subsec_nanos())
        }
    }
}

fn parse(wanted: &OsStr) -> anyhow::Result<u32> {
    let text = wanted.to_string_lossy();
    match text.parse() {
        Ok(seed) => Ok(seed),
        Err(_) => bail!("{SEED} is `{text}`: set it to a number below 2^32, or not at all"),
    }
}

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// The next number, below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // Numerical Recipes' generator. Its upper bits are as good as needed here, and they alone
        // count in the product.
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let product = u64::from(self.0) * u64::from(end);
        u32::try_from(product >> 32).expect("a product of two of 32 bits has no more than 64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed_and_stay_below_the_end() {
        let drawn = |seed, end| {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| random.below(end)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7, 100), drawn(7, 100));
        assert_ne!(drawn(7, 100), drawn(8, 100));
        let mut kinds = drawn(7, 3);
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [0, 1, 2]);
    }

    #[test]
    fn a_seed_is_a_number() {
        assert_eq!(parse(OsStr::new("4294967295")).unwrap(), u32::MAX);
        let error = parse(OsStr::new("x")).unwrap_err().to_string();
        assert!(error.starts_with("HEDGEROW_RIG_SEED is `x`: "), "{error}");
    }
}
