//! Which commit of the source this is.

use std::process::Command;

/// The commit of the source tree this was built from, with `-dirty` if the tree differs from it;
/// `unknown` where there is no repository any more.
pub(crate) fn name() -> String {
    let describe = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let name = describe.ok().filter(|output| output.status.success());
    let name = name.and_then(|output| String::from_utf8(output.stdout).ok());
    name.map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())
}
