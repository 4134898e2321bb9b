//! How far away somebody is, by how strongly the radio hears them.
//!
//! Strength falls with the logarithm of the distance (the log-distance path loss model; ITU-R P.1238
//! has it for rooms): `strength = strength at 1 m - 10 * n * log10(metres)`, where `n` is 2 in the
//! open. Bodies, walls and reflections move it by 6 to 10 dB, which is a factor of two or three.

use hedgerow_driver::ApproximateDistance;

/// What the first metre takes from the power that a device sends with, in dB: 40 by the open space of
/// 2.4 GHz (ITU-R P.525), the rest by both antennas and their cases. It is what beacons assume that
/// give -59 dBm for 1 m.
const FIRST_METRE_DB: i16 = 59;
/// What devices send with that do not tell, in dBm.
const TX_POWER_DBM_DEFAULT: i8 = 0;
/// `10 * n`, with `n` for the open.
const DB_PER_DECADE: f64 = 20.0;
/// Strengths that are remembered of a device. The one in the middle counts: a reflection or a hand
/// before the antenna changes a few of them by 20 dB.
const STRENGTHS_MAX: usize = 5;
/// Turns of scanning after which a strength says nothing any more.
const TURNS_MAX: u8 = 3;

/// How strongly a device was heard lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hearing {
    /// The oldest first.
    strengths: Vec<Strength>,
    /// What it says that it sends with.
    tx_power_dbm: Option<i8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strength {
    dbm: i8,
    /// Turns of scanning that ended since.
    turns: u8,
}

impl Hearing {
    /// The device was heard, in dBm. 127 says that the controller does not know how strongly (Core
    /// Specification 5.4, volume 4 part E 7.7.65.2); it and what is beyond -127 to 20 count as
    /// nothing.
    pub(crate) fn note(&mut self, dbm: i16) {
        let Some(dbm) = possible(dbm) else { return };
        if self.strengths.len() == STRENGTHS_MAX {
            self.strengths.remove(0);
        }
        self.strengths.push(Strength { dbm, turns: 0 });
    }

    /// The device tells what it sends with, in dBm; 127 as before.
    pub(crate) fn note_tx_power(&mut self, dbm: i16) {
        self.tx_power_dbm = possible(dbm).or(self.tx_power_dbm);
    }

    /// A turn of scanning is over.
    pub(crate) fn end_turn(&mut self) {
        for strength in &mut self.strengths {
            strength.turns += 1;
        }
        self.strengths.retain(|strength| strength.turns < TURNS_MAX);
    }

    /// About how far away it is; `None` if it was not heard lately.
    pub(crate) fn distance(&self) -> Option<ApproximateDistance> {
        let mut strengths: Vec<i8> = self.strengths.iter().map(|strength| strength.dbm).collect();
        strengths.sort_unstable();
        let middle = *strengths.get(strengths.len() / 2)?;
        Some(distance(middle, self.tx_power_dbm.unwrap_or(TX_POWER_DBM_DEFAULT)))
    }
}

/// A strength or a power that radios have.
fn possible(dbm: i16) -> Option<i8> {
    i8::try_from(dbm).ok().filter(|dbm| (-127..=20).contains(dbm))
}

/// The distance at which somebody who sends with `tx_power_dbm` is heard with `strength_dbm`.
fn distance(strength_dbm: i8, tx_power_dbm: i8) -> ApproximateDistance {
    let loss_db = i16::from(tx_power_dbm) - i16::from(strength_dbm) - FIRST_METRE_DB;
    let metres = 10_f64.powf(f64::from(loss_db) / DB_PER_DECADE);
    // At most 25 km: the cast cuts nothing but a fraction.
    ApproximateDistance::from_centimetres((metres * 100.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use hedgerow_core::limits::DISTANCE_CM_MAX;

    use super::*;

    fn centimetres(strength_dbm: i8, tx_power_dbm: i8) -> u32 {
        distance(strength_dbm, tx_power_dbm).centimetres()
    }

    fn heard(strengths: &[i16]) -> Hearing {
        let mut hearing = Hearing::default();
        strengths.iter().for_each(|dbm| hearing.note(*dbm));
        hearing
    }

    fn of(hearing: &Hearing) -> Option<u32> {
        hearing.distance().map(ApproximateDistance::centimetres)
    }

    #[test]
    fn golden_distances() {
        let known = [(-39, 10), (-53, 50), (-59, 100), (-65, 200), (-79, 1_000), (-99, 10_000)];
        for (strength_dbm, expected) in known {
            assert_eq!(centimetres(strength_dbm, 0), expected, "{strength_dbm} dBm");
        }
        // Who sends with more is further away where it is as loud.
        assert_eq!([-20, 0, 12].map(|tx_power_dbm| centimetres(-59, tx_power_dbm)), [10, 100, 398]);
    }

    #[test]
    fn weaker_is_never_nearer_and_nothing_is_beyond_the_limits() {
        for tx_power_dbm in [-127, 0, 20] {
            let all: Vec<u32> =
                (-127..=20).rev().map(|strength| centimetres(strength, tx_power_dbm)).collect();
            assert!(all.is_sorted(), "{tx_power_dbm} dBm");
            assert!(all.iter().all(|centimetres| (1..DISTANCE_CM_MAX).contains(centimetres)));
        }
        assert_eq!(centimetres(20, -127), 1);
    }

    #[test]
    fn what_a_controller_does_not_know_counts_as_nothing() {
        for dbm in [127, 21, -128, i16::MIN, i16::MAX] {
            assert_eq!(heard(&[dbm]), Hearing::default(), "{dbm}");
        }
        assert_eq!(of(&heard(&[-127])), Some(251_189));
        let mut hearing = heard(&[-59]);
        hearing.note_tx_power(4);
        hearing.note_tx_power(127);
        assert_eq!(of(&hearing), Some(158));
    }

    #[test]
    fn the_middle_of_the_last_few_counts() {
        assert_eq!(of(&heard(&[-59, -99, -59, -20, -59])), Some(100));
        assert_eq!(of(&heard(&[-99, -99, -99, -99, -99, -59, -59, -59])), Some(100));
    }

    #[test]
    fn what_is_not_heard_any_more_ages_out() {
        let mut hearing = heard(&[-99, -99, -99]);
        hearing.end_turn();
        hearing.note(-59);
        hearing.end_turn();
        assert_eq!(of(&hearing), Some(10_000));
        hearing.end_turn();
        assert_eq!(of(&hearing), Some(100), "only the newest is left");
        hearing.end_turn();
        assert_eq!(of(&hearing), None);
    }
}
