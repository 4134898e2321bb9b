//! What the two sides say to each other, in JSON.

use std::io::Read;
use std::path::{Component, Path};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The stream's topic.
pub(crate) const TOPIC: &str = "file-drop/1";
/// Longer names do not fit every file system once they have become those of part files.
const NAME_BYTES_MAX: usize = 160;

/// The opener's arguments: what it wants to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The name of the file, without a folder.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub(crate) hash: String,
}

/// The acceptor's arguments: what it has of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Have {
    pub(crate) bytes: u64,
}

/// The acceptor's only message, when it has everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It is in the folder, and its hash is right.
    Stored,
    /// It is not, and why; what was received is gone.
    Failed(String),
}

/// Why an offer is refused, as a number that travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unreadable = 1,
    BadName = 2,
    Exists = 3,
    CannotWrite = 4,
}

impl Refusal {
    /// What to tell the person who sends.
    pub(crate) fn advice(code: u32) -> &'static str {
        match code {
            1 => "it does not understand the offer: use the same version on both sides",
            2 => "it does not take a file of this name: rename it, without folders in the name",
            3 => "it has another file of this name: rename one of them",
            4 => "it cannot write in its folder: see what it says there",
            _ => "for a reason that this version does not know",
        }
    }
}

impl Offer {
    /// Reads a file for its hash. This takes as long as reading does.
    pub(crate) fn of(file: &Path) -> anyhow::Result<Self> {
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} has no name to send", file.display()))?;
        let (bytes, hash) = hash(file)?;
        Ok(Self { name: name.to_owned(), bytes, hash })
    }

    /// Reads an offer that came from outside: afterwards, name and hash are safe as parts of a
    /// path.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let offer: Self = serde_json::from_slice(json).map_err(|_| Refusal::Unreadable)?;
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if offer.hash.len() != 64 || !offer.hash.chars().all(is_hex) {
            return Err(Refusal::Unreadable);
        }
        let mut parts = Path::new(&offer.name).components();
        let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        let is_plain = !offer.name.contains(|c: char| c.is_control() || "/\\:".contains(c));
        // A leading dot is ours, for parts, and hides what a stranger sends.
        if !is_one || !is_plain || offer.name.starts_with('.') || offer.name.len() > NAME_BYTES_MAX
        {
            return Err(Refusal::BadName);
        }
        Ok(offer)
    }
}

/// Size and SHA-256 of a file.
pub(crate) fn hash(file: &Path) -> anyhow::Result<(u64, String)> {
    let context = || format!("{} cannot be read", file.display());
    let mut reader = std::fs::File::open(file).with_context(context)?;
    ensure!(reader.metadata()?.is_file(), "{} is not a file", file.display());
    let (mut bytes, mut hash, mut buffer) = (0, Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match reader.read(&mut buffer).with_context(context)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, hash: &str) -> Result<Offer, Refusal> {
        let offer = Offer { name: name.to_owned(), bytes: 1, hash: hash.to_owned() };
        Offer::parse(&serde_json::to_vec(&offer).unwrap())
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let hash = "0a".repeat(32);
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in
            ["", ".", "..", "../a", "/etc/passwd", "a/b", "a\\b", "C:a", ".hidden", "a\n", &long]
        {
            assert_eq!(parse(name, &hash).unwrap_err(), Refusal::BadName, "{name:?}");
        }
        for name in ["a", "photo.jpg", "two words.tar.gz", "ä..ö"] {
            assert_eq!(parse(name, &hash).unwrap().name, name);
        }
        for hash in ["", "0a", &"0A".repeat(32), &"../".repeat(22)[..64]] {
            assert_eq!(parse("a", hash).unwrap_err(), Refusal::Unreadable);
        }
        assert_eq!(Offer::parse(b"{").unwrap_err(), Refusal::Unreadable);
    }
}
