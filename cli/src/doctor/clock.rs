//! The clock. Hedgerow works with any, but logs are read with it, and a lost count of starts
//! goes on from it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hedgerow::home::Survey;

use super::Check;

/// The start of 2026: nobody ran this before.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
/// Clocks of one machine and its disk differ by less.
const TOLERANCE: Duration = Duration::from_secs(120);

pub(crate) fn check(now: SystemTime, survey: &Survey) -> Check {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let shown = date(since);
    let hint = "set the clock; the mesh works all the same, but logs tell wrong times";
    if since < EARLIEST {
        return Check::warn("clock", format!("it says {shown}, which is past"), hint);
    }
    let last = survey.epoch_written.into_iter().chain(counted_from_clock(survey)).max();
    match last.and_then(|last| last.duration_since(now).ok()) {
        Some(ahead) if ahead > TOLERANCE => {
            let minutes = ahead.as_secs() / 60;
            let message =
                format!("it says {shown}, but the last start here was {minutes} min later");
            Check::warn("clock", message, hint)
        }
        _ => Check::ok("clock", shown),
    }
}

/// When the count went on from the clock, the number says when that was.
fn counted_from_clock(survey: &Survey) -> Option<SystemTime> {
    let number = survey.epoch.as_ref().ok().copied().flatten()?;
    let time = Duration::from_millis(number);
    (time > EARLIEST).then(|| UNIX_EPOCH + time)
}

/// The date and time in UTC, by Howard Hinnant's `civil_from_days`.
fn date(since: Duration) -> String {
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 1 March of year 0, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use hedgerow::home::survey;

    use super::*;
    use crate::doctor::Level;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_clock_that_was_never_set_or_set_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = survey(folder.path());
        let check = |now, found: &Survey| super::check(now, found);
        assert_eq!(check(at(0), &found).status, Level::Warn);
        assert!(check(at(0), &found).message.contains("1970-01-01"));
        assert_eq!(check(at(1_800_000_000), &found).status, Level::Ok);
        found.epoch_written = Some(at(1_800_000_000));
        let set_back = check(at(1_800_000_000 - 3_600), &found);
        assert_eq!(set_back.status, Level::Warn);
        assert!(set_back.message.contains("60 min later"), "{set_back:?}");
        assert_eq!(check(at(1_800_000_000 - 60), &found).status, Level::Ok);
        found.epoch_written = None;
        found.epoch = Ok(Some(1_900_000_000_000));
        assert_eq!(check(at(1_800_000_000), &found).status, Level::Warn);
        found.epoch = Ok(Some(12));
        assert_eq!(check(at(1_800_000_000), &found).status, Level::Ok);
    }
}
