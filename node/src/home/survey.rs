//! A look at a home folder that changes nothing, for `doctor` and for a user interface.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hedgerow_core::id::{BootEpoch, PeerKey};

use super::{HomeError, epoch, folder, key};

/// What a look at a home folder found. Nothing was made, changed or locked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The folder, absolute where it exists.
    pub folder: PathBuf,
    /// Whether it exists; the first start makes it.
    pub exists: bool,
    /// Whether a node could write there.
    pub writable: Result<(), HomeError>,
    /// Whether others than the owner may write there, and so exchange the key.
    pub open_to_others: bool,
    /// Bytes that the disk still takes, where the system says.
    pub free_bytes: Option<u64>,
    /// The key; `None` if there is none yet.
    pub key: Result<Option<PeerKey>, HomeError>,
    /// How often the key's node has started; `None` if it never did.
    pub epoch: Result<Option<BootEpoch>, HomeError>,
    /// When the count was last written.
    pub epoch_written: Option<SystemTime>,
    /// The process that uses the folder, where the system says.
    pub user: Option<u32>,
}

/// Looks at `folder` without changing anything.
#[must_use]
pub fn survey(folder: &Path) -> Survey {
    let found = fs::canonicalize(folder);
    let exists = found.is_ok();
    let folder = found.unwrap_or_else(|_| folder.to_owned());
    let written = fs::metadata(folder.join("epoch")).and_then(|metadata| metadata.modified());
    Survey {
        exists,
        writable: writable(&folder, exists),
        open_to_others: is_open_to_others(&folder),
        free_bytes: free_bytes(existing(&folder)),
        key: key::load(&folder).map(|identity| identity.map(|identity| identity.peer_key())),
        epoch: epoch::read(&folder),
        epoch_written: written.ok(),
        user: lock_holder(&folder.join("lock")),
        folder,
    }
}

fn writable(folder: &Path, exists: bool) -> Result<(), HomeError> {
    if exists {
        folder::refuse_foreign(folder)?;
    }
    let place = existing(folder);
    if !place.is_dir() {
        let source = std::io::ErrorKind::NotADirectory.into();
        return Err(HomeError::Io { action: "write in", path: place.to_owned(), source });
    }
    check_access(place)
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn check_access(folder: &Path) -> Result<(), HomeError> {
    use rustix::fs::{Access, access};

    let checked = access(folder, Access::WRITE_OK | Access::EXEC_OK);
    checked.map_err(|error| HomeError::from_io("write in", folder, error.into()))
}

#[cfg(not(unix))]
fn check_access(_folder: &Path) -> Result<(), HomeError> {
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o022 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_folder: &Path) -> bool {
    false
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// Who holds the lock, by the system's own list: to try the lock would be to hold it for a
/// moment, and a node that starts in that moment would be refused.
#[cfg(target_os = "linux")]
fn lock_holder(lock: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    let inode = fs::metadata(lock).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`; the device is written in ways that
    // differ between file systems, the inode is enough.
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let (pid, file) = (words.nth(2)?, words.next()?);
        let same = is_flock && file.rsplit(':').next() == Some(inode.as_str());
        if same { pid.parse().ok() } else { None }
    })
}

#[cfg(not(target_os = "linux"))]
fn lock_holder(_lock: &Path) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::home::Home;

    #[test]
    fn a_home_that_is_not_there_can_be_made_and_is_not() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("a/b");
        let survey = survey(&folder);
        assert!(!survey.exists && survey.writable.is_ok() && survey.free_bytes.is_some());
        assert!(matches!((survey.key, survey.epoch), (Ok(None), Ok(None))));
        assert!(!outer.path().join("a").exists());
    }

    #[test]
    fn a_home_in_use_is_seen_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::open(Some(folder.path())).unwrap();
        home.next_boot_epoch().unwrap();
        let found = survey(folder.path());
        assert_eq!(found.key.unwrap(), Some(home.identity().peer_key()));
        assert_eq!((found.epoch.unwrap(), found.exists), (Some(1), true));
        assert!(found.epoch_written.is_some() && !found.open_to_others);
        if cfg!(target_os = "linux") {
            assert_eq!(found.user, Some(std::process::id()));
        }
        drop(home);
        assert_eq!(survey(folder.path()).user, None);
        Home::open(Some(folder.path())).expect("the look has left no lock");
    }

    #[test]
    fn what_is_wrong_is_told_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("epoch"), "x").unwrap();
        let found = survey(folder.path());
        assert!(matches!(found.epoch, Err(HomeError::InvalidEpoch { .. })));
        assert!(matches!(found.key, Ok(None)) && found.writable.is_ok());
        let file = folder.path().join("epoch");
        let found = survey(&file.join("home"));
        assert!(matches!(found.writable, Err(HomeError::Io { .. })), "{:?}", found.writable);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), mode).unwrap();
        assert!(survey(folder.path()).open_to_others);
    }
}
