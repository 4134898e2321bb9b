//! Why a home folder cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a home folder, or a file with a secret, cannot be used.
///
/// Its text says what failed and then [`HomeError::advice`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The system names no folder for this user's data.
    NoDataFolder,
    /// Another node uses the folder.
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is another user's: what is written there would be in that user's way.
    ForeignHome {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others than the owner may read a secret.
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that is damaged, or no key file.
    InvalidKey {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A network's secret file that is damaged, or no secret file.
    InvalidSecret {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The file that counts starts is damaged.
    InvalidEpoch {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The place is read-only, or the permissions forbid writing.
    NotWritable {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk or the quota is full.
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses in another way.
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is there that would have been overwritten.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else's folder stands where the control socket belongs.
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    NoRandomness {
        /// The system's answer.
        source: getrandom::Error,
    },
}

impl HomeError {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        let text = match self {
            Self::NoDataFolder => "set HEDGEROW_HOME to a folder",
            Self::InUse { .. } => "stop it, or choose another home",
            Self::ForeignHome { user, folder, .. } => {
                let folder = folder.display();
                return format!(
                    "run as its owner, choose another home, or hand it over with \
                     `chown -R {user} {folder}`"
                );
            }
            Self::TooOpen { path, .. } => return format!("run `chmod 600 {}`", path.display()),
            Self::InvalidKey { .. } => {
                "restore it from a copy, or move it away to start with a new identity"
            }
            Self::InvalidSecret { .. } => "copy it again from another node",
            Self::InvalidEpoch { .. } => "remove it, and counting goes on from the clock",
            Self::NotWritable { .. } => "make it writable, or choose another home",
            Self::DiskFull { .. } => "free some space, or choose another home",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path",
                io::ErrorKind::NotADirectory => {
                    "a file is in the way: choose another home, or move it away"
                }
                io::ErrorKind::PermissionDenied => "run as its owner, or choose another home",
                _ => "see what is there, or choose another home",
            },
            Self::Exists { .. } => "choose another name, or move it away",
            Self::ForeignFolder { .. } => "remove it, or choose a home with a shorter path",
            Self::NoRandomness { .. } => "wait until the system has started, then try again",
        };
        text.to_owned()
    }

    /// What failed, with which value.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::NoDataFolder => "this user has no data folder".to_owned(),
            Self::InUse { folder } => format!("{} is in use by another node", folder.display()),
            Self::ForeignHome { folder, owner, user } => {
                format!("{} belongs to user {owner}, not to user {user}", folder.display())
            }
            Self::TooOpen { path, mode } => {
                format!("others may read {} (mode {mode:03o})", path.display())
            }
            Self::InvalidKey { path, source } => {
                format!("{} is not a usable key: {source}", path.display())
            }
            Self::InvalidSecret { path, source } => {
                format!("{} is not a network secret: {source}", path.display())
            }
            Self::InvalidEpoch { path, source } => {
                format!("{} does not count starts: {source}", path.display())
            }
            Self::NotWritable { action, path, source }
            | Self::DiskFull { action, path, source }
            | Self::Io { action, path, source } => {
                format!("cannot {action} {}: {source}", path.display())
            }
            Self::Exists { path } => format!("{} exists and is not overwritten", path.display()),
            Self::ForeignFolder { path } => {
                format!("{} belongs to another user or is open to others", path.display())
            }
            Self::NoRandomness { source } => {
                format!("the system gives no random numbers: {source}")
            }
        }
    }
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.advice())
    }
}

/// What is wrong with the content of a file. Never tells the content: it may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// There is nothing in it: a disk that was full, or a power cut under another program.
    #[error("it is empty")]
    Empty,
    /// The line does not begin with the word it should.
    #[error("it does not begin with `{expected}`")]
    Header {
        /// The first word, which names the format.
        expected: &'static str,
    },
    /// The second word has another length than the secret's text form.
    #[error("its secret has {characters} characters instead of {expected}")]
    Length {
        /// How many there are.
        characters: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The second word is not URL-safe base64.
    #[error("its secret is not URL-safe base64")]
    Encoding,
    /// The second word is not a number that can be counted on from.
    #[error("its number is not a decimal number below 2^64 - 1")]
    Number,
    /// The seed makes a public key that the protocol does not admit.
    #[error("its seed makes a key that the protocol does not admit")]
    Seed,
}

impl HomeError {
    /// The error for what the system said.
    pub(super) fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { action, path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path, source }
            }
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            _ => Self::Io { action, path, source },
        }
    }
}
