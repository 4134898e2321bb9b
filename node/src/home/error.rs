//! Why a home folder cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// Why a home folder, or a file with a secret, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The system names no folder for this user's data.
    #[error("this user has no data folder: set HEDGEROW_HOME to a folder")]
    NoDataFolder,
    /// Another node uses the folder.
    #[error("{} is in use by another node: stop it, or choose another home", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Others than the owner may read a secret.
    #[error("others may read {} (mode {mode:03o}): run `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file that is damaged, or no key file.
    #[error(
        "{} is not a usable key: {source}; restore it from a copy, or move it away to start with a new identity", 
        path.display()
    )]
    InvalidKey {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A network's secret file that is damaged, or no secret file.
    #[error("{} is not a network secret: {source}; copy it again from another node", path.display())]
    InvalidSecret {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The file that counts starts is damaged.
    #[error("{} does not count starts: {source}; remove it, and counting goes on from the clock", path.display())]
    InvalidEpoch {
        /// The file, left as it was.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// The place is read-only, or the permissions forbid writing.
    #[error("cannot {action} {}: {source}; make it writable, or choose another home", path.display())]
    NotWritable {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk or the quota is full.
    #[error("cannot {action} {}: {source}; free some space", path.display())]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refuses in another way.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is there that would have been overwritten.
    #[error("{} exists and is not overwritten: choose another name, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else's folder stands where the control socket belongs.
    #[error("{} belongs to another user or is open to others: remove it, or choose a home with a shorter path", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {source}")]
    NoRandomness {
        /// The system's answer.
        source: getrandom::Error,
    },
}

/// What is wrong with the content of a file. Never tells the content: it may be most of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
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
