//! Which folder, and making it.

use std::env;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::HomeError;

/// The platform's data folder for Hedgerow: `~/.local/share/hedgerow` (or under
/// `XDG_DATA_HOME`), on macOS `~/Library/Application Support/hedgerow`, on Windows
/// `%LOCALAPPDATA%\hedgerow`.
///
/// # Errors
/// [`HomeError::NoDataFolder`] for a user without a home directory.
pub fn default_folder() -> Result<PathBuf, HomeError> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let in_home = |path: &str| {
        let home = env::home_dir().filter(|home| home.is_absolute());
        home.map(|home| home.join(path))
    };
    let data = if cfg!(windows) {
        absolute("LOCALAPPDATA").or_else(|| in_home("AppData/Local"))
    } else if cfg!(target_vendor = "apple") {
        in_home("Library/Application Support")
    } else {
        // The XDG specification ignores a relative path.
        absolute("XDG_DATA_HOME").or_else(|| in_home(".local/share"))
    };
    data.map(|data| data.join("hedgerow")).ok_or(HomeError::NoDataFolder)
}

/// Makes `folder` if it is missing, for its owner only, and gives its one absolute path.
pub(super) fn create(folder: &Path) -> Result<PathBuf, HomeError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    for_owner_only(&mut builder);
    let made = builder.create(folder).and_then(|()| fs::canonicalize(folder));
    let folder = made.map_err(|source| match source.kind() {
        // What is there is no folder.
        ErrorKind::AlreadyExists => {
            let source = ErrorKind::NotADirectory.into();
            HomeError::from_io("make the folder", folder, source)
        }
        _ => HomeError::from_io("make the folder", folder, source),
    })?;
    refuse_foreign(&folder)?;
    Ok(folder)
}

/// Refuses another user's folder, root included: files of root's in a user's home would lock
/// that user out of it, and in a folder that another user owns that user can exchange the key.
#[cfg(unix)]
pub(super) fn refuse_foreign(folder: &Path) -> Result<(), HomeError> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::metadata(folder);
    let metadata = metadata.map_err(|source| HomeError::from_io("look at", folder, source))?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(HomeError::ForeignHome { folder: folder.to_owned(), owner, user })
}

/// Elsewhere the folder's own protection holds.
#[cfg(not(unix))]
pub(super) fn refuse_foreign(_folder: &Path) -> Result<(), HomeError> {
    Ok(())
}

/// Makes folders that only their owner may enter.
pub(super) fn for_owner_only(builder: &mut DirBuilder) {
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    #[cfg(not(unix))]
    let _ = builder;
}
