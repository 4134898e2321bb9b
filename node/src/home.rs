//! Where a node keeps its key: the home folder.
//!
//! ```text
//! key            hedgerow-key-1 <the 32-byte seed in URL-safe base64>     only its owner may read it
//! epoch          hedgerow-epoch-1 <how often the node has started, decimal>
//! lock           held by the one node that uses the folder
//! control.sock   where commands reach that node
//! config.toml    read by the command line, not here
//! ```
//!
//! A file is replaced as a whole (written beside, synced, renamed), so a crash leaves the old
//! one or the new one. What cannot be read is never overwritten: a key is somebody's identity.

mod control;
mod epoch;
mod error;
mod file;
mod folder;
mod key;
mod secret;
mod survey;

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hedgerow_core::id::BootEpoch;
use hedgerow_core::identity::Identity;

pub use control::find_control_socket;
pub use error::{HomeError, Malformed};
pub use folder::default_folder;
pub use secret::parse_network_secret;
pub use secret::{create_network_secret, generate_network_secret, load_network_secret};
pub use survey::{Survey, survey};

/// An open home folder. As long as it lives, nobody else opens the same one.
pub struct Home {
    folder: PathBuf,
    identity: Identity,
    /// Whether the key file was there before; a new key has used no epoch yet.
    key_is_new: bool,
    /// Locked; the lock goes when the file is closed, also by a crash.
    _lock: File,
}

impl Home {
    /// Opens `folder`, or the platform's data folder ([`default_folder`]). Makes what is
    /// missing: the folder, for its owner only, and the key.
    ///
    /// # Errors
    /// [`HomeError`]: in use, not writable, a key that others may read, a key that is damaged.
    /// Nothing that was there is changed.
    pub fn open(folder: Option<&Path>) -> Result<Self, HomeError> {
        let folder = folder.map_or_else(default_folder, |folder| Ok(folder.to_owned()))?;
        let folder = folder::create(&folder)?;
        let lock = lock(&folder)?;
        let (identity, key_is_new) = key::load_or_create(&folder)?;
        Ok(Self { folder, identity, key_is_new, _lock: lock })
    }

    /// The folder, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node's identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Counts one more start of the node: larger than every number given for this key before,
    /// and on disk before it is returned.
    ///
    /// The first start of a new key is number 1. When the file is missing beside an older key
    /// (restored without it, or deleted), counting goes on from the clock: milliseconds since
    /// 1970, which no node reaches by starting. If the clock is wrong as well the mesh tells
    /// the node its newest number, and it steps above.
    ///
    /// # Errors
    /// [`HomeError`]: a full or read-only disk, a damaged file.
    pub fn next_boot_epoch(&mut self) -> Result<BootEpoch, HomeError> {
        epoch::next(&self.folder, self.key_is_new, SystemTime::now())
    }

    /// Writes down that this key has used `epoch`: the mesh told the node of a later run than
    /// its own file did, and it stepped above. Without this the next start would fall behind.
    ///
    /// # Errors
    /// [`HomeError`]: a full or read-only disk, a damaged file.
    pub fn raise_boot_epoch(&mut self, epoch: BootEpoch) -> Result<(), HomeError> {
        epoch::raise(&self.folder, epoch)
    }

    /// Where this node listens for commands. Makes the short runtime folder if one is needed.
    ///
    /// That is `control.sock` in the home folder, unless the whole path has over 100 bytes,
    /// more than a socket address holds. Then it is a folder of the same user's, named by a
    /// hash of the home folder, in `XDG_RUNTIME_DIR` or else the folder for temporary files.
    ///
    /// # Errors
    /// [`HomeError`]: the runtime folder cannot be made, or belongs to somebody else.
    pub fn control_socket_path(&self) -> Result<PathBuf, HomeError> {
        control::prepare(&self.folder)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer_key = self.identity.peer_key();
        let mut debug = f.debug_struct("Home");
        debug.field("folder", &self.folder).field("peer_key", &peer_key).finish_non_exhaustive()
    }
}

fn lock(folder: &Path) -> Result<File, HomeError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = file::for_owner_only(&mut options).open(&path);
    let file = file.map_err(|source| HomeError::from_io("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HomeError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(HomeError::from_io("lock", &path, source)),
    }
}

#[cfg(test)]
mod tests;
