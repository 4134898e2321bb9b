//! Reading and replacing small files that hold one line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::{HomeError, Malformed};

/// More than any of the files has.
const BYTES_MAX: u64 = 4_096;

/// Makes files that only their owner may read and write.
pub(super) fn for_owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Reads a file that others must not be able to read; `None` if there is none.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
    let Some(file) = open(path)? else { return Ok(None) };
    refuse_open_permissions(path, &file)?;
    read_content(path, &file).map(Some)
}

/// Reads a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
    let Some(file) = open(path)? else { return Ok(None) };
    read_content(path, &file).map(Some)
}

fn open(path: &Path) -> Result<Option<File>, HomeError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        // A link to nowhere, such as a disk that is not mounted, is not a missing file.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        Err(source) => Err(unreadable(path, source)),
    }
}

fn unreadable(path: &Path, source: io::Error) -> HomeError {
    HomeError::Io { action: "read", path: path.to_owned(), source }
}

fn read_content(path: &Path, file: &File) -> Result<Zeroizing<Vec<u8>>, HomeError> {
    // Room for all of it at once: a vector that grows leaves copies of a secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize + 64));
    let read = file.take(BYTES_MAX).read_to_end(&mut content);
    read.map_err(|source| unreadable(path, source))?;
    Ok(content)
}

#[cfg(unix)]
fn refuse_open_permissions(path: &Path, file: &File) -> Result<(), HomeError> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(HomeError::TooOpen { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Elsewhere the folder's own protection holds: a user's data folder is that user's.
#[cfg(not(unix))]
fn refuse_open_permissions(_path: &Path, _file: &File) -> Result<(), HomeError> {
    Ok(())
}

/// The second word of a line whose first word is `header`.
pub(super) fn second_word<'a>(
    content: &'a [u8],
    header: &'static str,
) -> Result<&'a str, Malformed> {
    if content.is_empty() {
        return Err(Malformed::Empty);
    }
    let wrong = Malformed::Header { expected: header };
    let text = std::str::from_utf8(content).map_err(|_| wrong)?;
    let rest = text.trim_ascii_end().strip_prefix(header).ok_or(wrong)?;
    rest.strip_prefix(' ').ok_or(wrong)
}

/// The secret that the second word of a line holds.
pub(super) fn second_word_secret<const N: usize>(
    content: &[u8],
    header: &'static str,
) -> Result<Zeroizing<[u8; N]>, Malformed> {
    use base64ct::{Base64UrlUnpadded, Encoding};

    let word = second_word(content, header)?;
    let expected = (N * 4).div_ceil(3);
    if word.len() != expected {
        return Err(Malformed::Length { characters: word.chars().count(), expected });
    }
    let mut secret = Zeroizing::new([0; N]);
    let decoded = Base64UrlUnpadded::decode(word, secret.as_mut_slice());
    decoded.map_err(|_| Malformed::Encoding)?;
    Ok(secret)
}

/// The line whose second word holds `secret`.
pub(super) fn secret_line(header: &str, secret: &[u8]) -> Zeroizing<String> {
    use base64ct::{Base64UrlUnpadded, Encoding};

    let word = Zeroizing::new(Base64UrlUnpadded::encode_string(secret));
    let mut line = Zeroizing::new(String::with_capacity(header.len() + word.len() + 2));
    for part in [header, " ", word.as_str(), "\n"] {
        line.push_str(part);
    }
    line
}

/// Puts a file in the place of `name` in `folder`, for its owner only: after a crash there is
/// the old one or this one, and after the return it is this one.
///
/// The caller holds the folder's lock.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), HomeError> {
    let (path, draft) = (folder.join(name), folder.join(format!("{name}.new")));
    let result = write_draft(&draft, content)
        .and_then(|()| fs::rename(&draft, &path))
        .and_then(|()| sync_folder(folder));
    result.map_err(|source| {
        let _ = fs::remove_file(&draft);
        HomeError::from_io("write", &path, source)
    })
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    // A crash may have left one, with whatever permissions.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    create(draft, content)
}

/// Writes a file that must not be there yet, for its owner only, down to the disk; whole or not
/// at all.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = for_owner_only(options.write(true).create_new(true)).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        // What a full disk left of it would only be in the way.
        let _ = fs::remove_file(path);
    })
}

/// Makes a rename last: it is the folder that changed.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
