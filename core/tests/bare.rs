//! The core needs neither std nor an operating system: `core/bare` is built and run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the bare program knows the system calls.
const HOST_IS_KNOWN: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// Says past the test harness's capture that a test did not run.
fn skip(name: &str, reason: &str) {
    let line = format!("\nSKIP {name}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
}

/// Builds the program in a target folder of its own and returns its path.
fn build() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("bare/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--color=never", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        // Flags and targets that somebody set for the workspace are not meant for this program.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .expect("the cargo that runs this test can be run again");
    assert!(
        built.status.success(),
        "core/bare does not build. E0152 means that something in the core's graph links std; \
         a stale lock file is mended by `cp Cargo.lock core/bare/ && cargo build --release \
         --manifest-path core/bare/Cargo.toml`.\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    target.join("release/hedgerow-bare")
}

#[test]
fn the_core_runs_without_std_and_libc() {
    if !HOST_IS_KNOWN {
        return skip("bare", "the bare program runs on Linux on x86_64 and aarch64 only");
    }
    let ran = Command::new(build()).output().expect("the program that was just built can be run");
    let stdout = String::from_utf8_lossy(&ran.stdout);
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{stdout}{stderr}", ran.status);
    let reached = "bare: ok, two nodes met, 1 message delivered";
    assert!(stdout.starts_with(reached) && stdout.lines().count() == 1, "{stdout}");
}
