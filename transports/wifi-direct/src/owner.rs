//! Who owns a group: decided before anybody asks, and the same at both ends.

use std::cmp::Ordering;

use crate::Power;
use crate::name::Shown;

/// The highest intent.
pub(crate) const INTENT_MAX: u8 = 15;

/// An intent goes from 0 to 15, and who says 15 must be the owner (Wi-Fi Direct 1.9, section
/// 3.1.4.2.2). These leave a device that is not ours the last word.
const OWNS: u8 = 14;
const JOINS: u8 = 1;

/// The intent to be the group owner. The owner is awake for all: who has more power is it, and of
/// equals the one whose beacon has the lower label.
pub(crate) fn intent(own: &Shown, other: &Shown) -> u8 {
    let by_power = strength(own.power).cmp(&strength(other.power));
    match by_power.then_with(|| other.beacon.label().cmp(&own.beacon.label())) {
        Ordering::Greater => OWNS,
        Ordering::Less | Ordering::Equal => JOINS,
    }
}

/// Whether this device is to own the group of two that know of each other.
pub(crate) fn owns(own: &Shown, other: &Shown) -> bool {
    intent(own, other) == OWNS
}

fn strength(power: Power) -> u8 {
    match power {
        Power::Low => 0,
        Power::Battery => 1,
        Power::Mains => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::tests::shown;

    #[test]
    fn of_two_devices_exactly_one_owns_the_group() {
        let powers = [Power::Mains, Power::Battery, Power::Low];
        let devices: Vec<_> =
            powers.iter().flat_map(|&p| [shown(1, 3, p), shown(1, 9, p)]).collect();
        for (i, one) in devices.iter().enumerate() {
            for other in devices.iter().skip(i + 1) {
                if one.beacon.label() == other.beacon.label() {
                    continue;
                }
                let mut intents = [intent(one, other), intent(other, one)];
                intents.sort_unstable();
                assert_eq!(intents, [JOINS, OWNS], "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn who_has_power_owns_it_whatever_its_label() {
        let (high, low) = (shown(1, 9, Power::Mains), shown(1, 3, Power::Battery));
        assert_eq!(intent(&high, &low), OWNS);
        assert_eq!(intent(&low, &high), JOINS);
    }
}
