//! The file that counts starts.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hedgerow_core::id::BootEpoch;

use super::{HomeError, Malformed, file};

const NAME: &str = "epoch";
const HEADER: &str = "hedgerow-epoch-1";

/// Where counting goes on when the file is missing and the clock has never been set: the start
/// of 2026 in milliseconds, since nobody ran this before.
const CLOCK_MIN_MS: u64 = 1_767_225_600_000;

/// The next number, which is on disk when this returns. `now` counts only where the file is
/// missing beside an older key.
pub(super) fn next(
    folder: &Path,
    key_is_new: bool,
    now: SystemTime,
) -> Result<BootEpoch, HomeError> {
    let next = match read(folder)? {
        Some(last) => match last.checked_add(1) {
            Some(next) => next,
            None => return Err(invalid(folder, Malformed::Number)),
        },
        None if key_is_new => 1,
        None => millis(now).max(CLOCK_MIN_MS),
    };
    write(folder, next)?;
    Ok(next)
}

/// Makes the number on disk at least `epoch`.
pub(super) fn raise(folder: &Path, epoch: BootEpoch) -> Result<(), HomeError> {
    if read(folder)?.is_some_and(|last| last >= epoch) {
        return Ok(());
    }
    write(folder, epoch)
}

/// The number on disk; `None` if there is none.
pub(super) fn read(folder: &Path) -> Result<Option<BootEpoch>, HomeError> {
    let Some(content) = file::read(&path(folder))? else { return Ok(None) };
    parse(&content).map(Some).map_err(|source| invalid(folder, source))
}

fn write(folder: &Path, epoch: BootEpoch) -> Result<(), HomeError> {
    file::replace(folder, NAME, format!("{HEADER} {epoch}\n").as_bytes())
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

fn invalid(folder: &Path, source: Malformed) -> HomeError {
    HomeError::InvalidEpoch { path: path(folder), source }
}

fn parse(content: &[u8]) -> Result<BootEpoch, Malformed> {
    let number = file::second_word(content, HEADER)?;
    if !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Malformed::Number);
    }
    number.parse().map_err(|_| Malformed::Number)
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(CLOCK_MIN_MS)
}
