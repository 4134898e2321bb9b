//! The key file.

use std::path::Path;

use hedgerow_core::identity::Identity;
use zeroize::Zeroizing;

use super::{HomeError, Malformed, file};

const HEADER: &str = "hedgerow-key-1";

/// The identity of `folder`, and whether it is a new one.
pub(super) fn load_or_create(folder: &Path) -> Result<(Identity, bool), HomeError> {
    if let Some(identity) = load(folder)? {
        return Ok((identity, false));
    }
    let identity = generate()?;
    let line = file::secret_line(HEADER, identity.to_seed().as_slice());
    file::replace(folder, "key", line.as_bytes())?;
    Ok((identity, true))
}

/// The identity of `folder`; `None` if it has no key yet.
pub(super) fn load(folder: &Path) -> Result<Option<Identity>, HomeError> {
    let path = folder.join("key");
    let Some(content) = file::read_private(&path)? else { return Ok(None) };
    let identity = parse(&content);
    identity.map(Some).map_err(|source| HomeError::InvalidKey { path, source })
}

fn parse(content: &[u8]) -> Result<Identity, Malformed> {
    let seed = file::second_word_secret::<32>(content, HEADER)?;
    Identity::from_seed(&seed).map_err(|_| Malformed::Seed)
}

fn generate() -> Result<Identity, HomeError> {
    loop {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())
            .map_err(|source| HomeError::NoRandomness { source })?;
        // Half of all seeds make a key that the protocol admits.
        if let Ok(identity) = Identity::from_seed(&seed) {
            return Ok(identity);
        }
    }
}
