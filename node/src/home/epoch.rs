//! The file that counts starts.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use hedgerow_core::id::BootEpoch;

use super::{HomeError, Malformed, file};

const HEADER: &str = "hedgerow-epoch-1";

/// Where counting goes on when the file is missing and the clock has never been set: the start
/// of 2026 in milliseconds, since nobody ran this before.
const CLOCK_MIN_MS: u64 = 1_767_225_600_000;

/// The next number, which is on disk when this returns.
pub(super) fn next(folder: &Path, key_is_new: bool) -> Result<BootEpoch, HomeError> {
    let path = folder.join("epoch");
    let next = match file::read(&path)? {
        Some(content) => parse(&content)
            .and_then(|last| last.checked_add(1).ok_or(Malformed::Number))
            .map_err(|source| HomeError::InvalidEpoch { path, source })?,
        None if key_is_new => 1,
        None => clock_ms().max(CLOCK_MIN_MS),
    };
    file::replace(folder, "epoch", format!("{HEADER} {next}\n").as_bytes())?;
    Ok(next)
}

fn parse(content: &[u8]) -> Result<BootEpoch, Malformed> {
    let number = file::second_word(content, HEADER)?;
    if !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Malformed::Number);
    }
    number.parse().map_err(|_| Malformed::Number)
}

fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(CLOCK_MIN_MS)
}
