//! Where the control socket is, also when the home folder's path is long.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{HomeError, folder};

/// The longest path of the socket: a socket address holds 108 bytes, on some systems 104, with
/// a zero at the end.
const PATH_BYTES_MAX: usize = 100;
const NAME: &str = "control.sock";

/// Where the node that uses `home` listens for commands; for the programs that send some. The
/// path is there only while a node runs.
///
/// # Errors
/// [`HomeError::ForeignFolder`] when the path is in a shared place and the folder there belongs
/// to somebody else: do not connect.
pub fn find_control_socket(home: &Path) -> Result<PathBuf, HomeError> {
    // Also a home that does not exist has a path; nobody listens there.
    let absolute = fs::canonicalize(home).or_else(|_| std::path::absolute(home));
    let home = absolute.map_err(|source| HomeError::from_io("find", home, source))?;
    let (path, runtime) = place(&home);
    if let Some(runtime) = runtime {
        match fs::symlink_metadata(&runtime) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => refuse_foreign(&runtime)?,
        }
    }
    Ok(path)
}

/// The path for the node itself, in a folder that is there and its own.
pub(super) fn prepare(home: &Path) -> Result<PathBuf, HomeError> {
    let (path, runtime) = place(home);
    if let Some(runtime) = runtime {
        let mut builder = DirBuilder::new();
        folder::for_owner_only(&mut builder);
        match builder.create(&runtime) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(HomeError::from_io("make the folder", &runtime, source));
            }
            _ => refuse_foreign(&runtime)?,
        }
    }
    Ok(path)
}

/// The path, and the runtime folder it is in if the home folder's path is too long.
fn place(home: &Path) -> (PathBuf, Option<PathBuf>) {
    let direct = home.join(NAME);
    if length(&direct) <= PATH_BYTES_MAX {
        return (direct, None);
    }
    let digest = Sha256::digest(home.as_os_str().as_encoded_bytes());
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let bases = [env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(env::temp_dir())];
    let usable = bases.into_iter().flatten().filter(|base| base.is_dir() && base.is_absolute());
    let runtimes = usable.map(|base| base.join(format!("hedgerow-{hash}")));
    let short = |runtime: &PathBuf| length(&runtime.join(NAME)) <= PATH_BYTES_MAX;
    let last = Path::new("/tmp").join(format!("hedgerow-{hash}"));
    let runtime = runtimes.into_iter().find(short).unwrap_or(last);
    (runtime.join(NAME), Some(runtime))
}

fn length(path: &Path) -> usize {
    path.as_os_str().len()
}

/// In a shared place anybody may have made the folder first.
#[cfg(unix)]
fn refuse_foreign(runtime: &Path) -> Result<(), HomeError> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::symlink_metadata(runtime)
        .map_err(|source| HomeError::from_io("look at", runtime, source))?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if metadata.is_dir() && is_own && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(HomeError::ForeignFolder { path: runtime.to_owned() })
}

/// Elsewhere the folder for temporary files is the user's own.
#[cfg(not(unix))]
fn refuse_foreign(_runtime: &Path) -> Result<(), HomeError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn home_of_length(folder: &Path, bytes: usize) -> PathBuf {
        let folder = fs::canonicalize(folder).unwrap();
        let rest = bytes - length(&folder) - 1 - NAME.len() - 1;
        folder.join("x".repeat(rest))
    }

    #[test]
    fn a_path_of_100_bytes_is_used_and_one_of_101_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (path, runtime) = place(&home_of_length(folder.path(), 100));
        assert_eq!((length(&path), runtime), (100, None));
        let (path, runtime) = place(&home_of_length(folder.path(), 101));
        assert!(length(&path) <= 100 && path.starts_with(runtime.unwrap()));
    }

    #[test]
    fn node_and_command_find_the_same_short_path() {
        let folder = tempfile::tempdir().unwrap();
        let home = home_of_length(folder.path(), 150);
        fs::create_dir(&home).unwrap();
        let path = prepare(&home).unwrap();
        let runtime = path.parent().unwrap();
        assert_eq!(fs::metadata(runtime).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(find_control_socket(&home).unwrap(), path);
        assert_eq!(prepare(&home).unwrap(), path, "again");
        let roundabout = home.join("..").join(home.file_name().unwrap());
        assert_eq!(find_control_socket(&roundabout).unwrap(), path);
        std::os::unix::net::UnixListener::bind(&path).unwrap();

        fs::set_permissions(runtime, fs::Permissions::from_mode(0o777)).unwrap();
        for result in [prepare(&home), find_control_socket(&home)] {
            assert!(matches!(result, Err(HomeError::ForeignFolder { .. })), "{result:?}");
        }
        fs::remove_dir_all(runtime).unwrap();
    }
}
