//! What chance has in store for each item.

use crate::chance::Chance;
use crate::micros;
use crate::shape::Shape;

/// How an item is damaged on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage(u64);

impl Damage {
    /// Flips one bit of `bytes`: the same one for the same damage and length.
    pub fn strike(self, bytes: &mut [u8]) {
        let Some(bits) = bytes.len().checked_mul(8).filter(|bits| *bits > 0) else { return };
        let scaled = u128::from(self.0) * bits as u128;
        let bit = usize::try_from(scaled >> 64).expect("less than the number of bits");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// How one item, or the second of a pair, fares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    /// Added to the delay, in microseconds.
    pub(crate) jitter: u64,
    /// How much later than in its turn it arrives, in microseconds.
    pub(crate) late_by: u64,
    pub(crate) damage: Option<Damage>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) is_lost: bool,
    pub(crate) first: Passage,
    /// A duplicate of it.
    pub(crate) second: Option<Passage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Fair,
    Foul,
}

/// Deals out fates.
///
/// Each item has a chance of its own, and in it a fixed place for each question, asked or not.
/// So what becomes of an item never changes the luck of later ones, and a shape that differs in
/// one respect changes nothing in others.
#[derive(Clone, Debug)]
pub(crate) struct Luck {
    chance: Chance,
    weather: Weather,
}

impl Luck {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed), weather: Weather::Fair }
    }

    pub(crate) fn next(&mut self, shape: &Shape) -> Fate {
        let mut own = self.chance.split();
        let loss_ppm = self.loss_ppm(shape, &mut own);
        let is_lost = own.hits(loss_ppm);
        let first = passage(shape, &mut own.split());
        let is_doubled = own.hits(shape.duplicate_ppm);
        let second = is_doubled.then(|| passage(shape, &mut own.split()));
        Fate { is_lost, first, second }
    }

    /// Lets the weather change, and gives the loss in it.
    fn loss_ppm(&mut self, shape: &Shape, own: &mut Chance) -> u32 {
        let mut turn = own.split();
        let Some(burst) = shape.burst else {
            self.weather = Weather::Fair;
            return shape.loss_ppm;
        };
        self.weather = match self.weather {
            Weather::Fair if turn.hits(burst.begin_ppm) => Weather::Foul,
            Weather::Foul if turn.hits(burst.end_ppm) => Weather::Fair,
            same => same,
        };
        if self.weather == Weather::Foul { burst.loss_ppm } else { shape.loss_ppm }
    }
}

fn passage(shape: &Shape, own: &mut Chance) -> Passage {
    let jitter = own.up_to(micros(shape.jitter));
    let is_late = own.hits(shape.reorder_ppm);
    let late_by = own.up_to(micros(shape.reorder_delay));
    let is_damaged = own.hits(shape.corrupt_ppm);
    let damage = Damage(own.next());
    Passage {
        jitter,
        late_by: if is_late { late_by } else { 0 },
        damage: is_damaged.then_some(damage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_flips_one_bit_and_every_bit_can_be_it() {
        let mut chance = Chance::new(5);
        let mut flipped = [0_u32; 24];
        for _ in 0..2_400 {
            let mut bytes = [0; 3];
            Damage(chance.next()).strike(&mut bytes);
            let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
            assert_eq!(bits.count_ones(), 1);
            flipped[bits.trailing_zeros() as usize] += 1;
        }
        assert!(flipped.iter().all(|&times| (50..150).contains(&times)), "{flipped:?}");
    }

    #[test]
    fn nothing_cannot_be_damaged() {
        Damage(u64::MAX).strike(&mut []);
    }
}
