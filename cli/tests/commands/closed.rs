//! Closed networks: the right secret, a wrong one, none.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::run;

fn secret(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    let made = run(folder, &["secret", file.to_str().unwrap(), "--json"]).ok().remove(0);
    assert_eq!(made["event"], "secret");
    file
}

#[test]
fn a_fresh_secret_is_for_its_owner_only_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let file = secret(folder.path(), "secret");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("hedgerow-secret-1 "), "the documented form");
    let again = run(folder.path(), &["secret", file.to_str().unwrap(), "--json"]).error(7);
    assert!(again["message"].as_str().unwrap().contains("is not overwritten"), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    let other = secret(folder.path(), "other");
    assert_ne!(std::fs::read_to_string(other).unwrap(), text);
    let nowhere = folder.path().join("no/such/folder");
    let error = run(folder.path(), &["secret", nowhere.to_str().unwrap(), "--json"]).error(7);
    assert!(error["hint"].as_str().unwrap().contains("check the path"), "{error}");
    // People are told how to go on, and the secret itself is never printed.
    let third = folder.path().join("third");
    let ended = run(folder.path(), &["secret", third.to_str().unwrap()]);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.contains("--secret-file"), "{said}");
    assert!(
        !said.contains(std::fs::read_to_string(third).unwrap().split_once(' ').unwrap().1.trim())
    );
}
