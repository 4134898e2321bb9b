//! The home folder, the key and the count of starts.

use hedgerow::home::{HomeError, Survey};

use super::Check;

/// Under this, the key and the count may not fit any more; they need a few KiB.
const FREE_BYTES_MIN: u64 = 64 * 1_024;

pub(crate) fn check(survey: &Survey) -> Vec<Check> {
    vec![folder(survey), key(survey), epoch(survey)]
}

fn fault(check: &'static str, error: &HomeError) -> Check {
    Check::fail(check, error.what(), error.advice())
}

fn folder(survey: &Survey) -> Check {
    let name = survey.folder.display();
    if let Err(error) = &survey.writable {
        return fault("home", error);
    }
    if let Some(free) = survey.free_bytes.filter(|free| *free < FREE_BYTES_MIN) {
        let message = format!("{name} is on a disk with {free} bytes left");
        return Check::fail("home", message, "free some space, or choose another home");
    }
    if survey.open_to_others {
        let message = format!("others may write in {name}, and so exchange the key");
        return Check::warn("home", message, format!("run `chmod go-w {name}`"));
    }
    if survey.exists {
        return Check::ok("home", format!("{name}, writable"));
    }
    Check::ok("home", format!("{name} is not there yet; the first `hedgerow up` makes it"))
}

fn key(survey: &Survey) -> Check {
    match &survey.key {
        Ok(Some(key)) => Check::ok("key", format!("{key}, readable by its owner only")),
        Ok(None) => Check::ok("key", "none yet; the first `hedgerow up` makes it"),
        Err(error) => fault("key", error),
    }
}

fn epoch(survey: &Survey) -> Check {
    match &survey.epoch {
        Ok(Some(epoch)) => Check::ok("epoch", format!("the count of starts is {epoch}")),
        Ok(None) => Check::ok("epoch", "no start was counted yet"),
        Err(error) => fault("epoch", error),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use hedgerow::home::survey;

    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_full_disk_and_an_open_folder_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut found = survey(folder.path());
        found.free_bytes = Some(4_096);
        let check = super::folder(&found);
        assert_eq!((check.status, check.hint.contains("free")), (Level::Fail, true), "{check:?}");
        assert!(check.message.contains("4096 bytes"), "{check:?}");

        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let check = super::folder(&survey(folder.path()));
        assert_eq!(check.status, Level::Warn);
        assert!(check.hint.contains("chmod go-w"), "{check:?}");
    }

    #[test]
    fn a_home_that_is_in_order_is_three_ok() {
        let folder = tempfile::tempdir().unwrap();
        let mut home = hedgerow::Home::open(Some(folder.path())).unwrap();
        home.next_boot_epoch().unwrap();
        let checks = check(&survey(folder.path()));
        assert!(checks.iter().all(|check| check.status == Level::Ok), "{checks:?}");
        assert!(checks[1].message.contains(&home.identity().peer_key().to_string()));
        assert!(checks[2].message.ends_with(" 1"), "{checks:?}");
    }
}
