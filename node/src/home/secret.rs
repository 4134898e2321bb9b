//! The secret of a closed network, in a file: `hedgerow-secret-1 <16 bytes in URL-safe base64>`.

use std::path::Path;

use hedgerow_core::network::NetworkSecret;
use zeroize::Zeroizing;

use super::{HomeError, Malformed, file};

const HEADER: &str = "hedgerow-secret-1";

/// Reads a network's secret from a file.
///
/// # Errors
/// [`HomeError`]: no such file, one that others may read, or one without a secret.
pub fn load_network_secret(path: impl AsRef<Path>) -> Result<NetworkSecret, HomeError> {
    let path = path.as_ref();
    let content = file::read_private(path)?.ok_or_else(|| HomeError::Io {
        action: "read",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file"),
    })?;
    let secret = file::second_word_secret(&content, HEADER);
    let secret =
        secret.map_err(|source| HomeError::InvalidSecret { path: path.to_owned(), source })?;
    Ok(NetworkSecret::from_bytes(*secret))
}

/// Reads a network's secret from its text form.
///
/// # Errors
/// [`Malformed`].
pub fn parse_network_secret(text: &str) -> Result<NetworkSecret, Malformed> {
    file::second_word_secret(text.as_bytes(), HEADER).map(|bytes| NetworkSecret::from_bytes(*bytes))
}

/// Makes a new secret, with its text form: one line to hand to the other nodes.
///
/// # Errors
/// [`HomeError::NoRandomness`].
pub fn generate_network_secret() -> Result<(NetworkSecret, Zeroizing<String>), HomeError> {
    let mut bytes = Zeroizing::new([0; 16]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|source| HomeError::NoRandomness { source })?;
    let line = file::secret_line(HEADER, bytes.as_slice());
    Ok((NetworkSecret::from_bytes(*bytes), line))
}

/// Makes a new secret and writes it to a new file, for its owner only.
///
/// # Errors
/// [`HomeError`]: the file exists, or cannot be written.
pub fn create_network_secret(path: impl AsRef<Path>) -> Result<NetworkSecret, HomeError> {
    let path = path.as_ref();
    let (secret, line) = generate_network_secret()?;
    file::create(path, line.as_bytes())
        .map_err(|source| HomeError::from_io("write", path, source))?;
    Ok(secret)
}
