//! The virtual rig works, where one is set up.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Past the harness, which shows what the print macros write for failed tests only.
fn skip(name: &str, reason: &str) {
    let line = format!("\nSKIP {name}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written");
}

#[test]
fn the_virtual_rig_tries_itself() {
    const NAME: &str = "the_virtual_rig_tries_itself";
    let program = Path::new(env!("CARGO_BIN_EXE_hedgerow-hw-tests"));
    // Built with the whole workspace. Which version it is does not matter here.
    let hedgerow = program.with_file_name("hedgerow");
    if !hedgerow.is_file() {
        return skip(NAME, "no hedgerow command was built: `cargo build --workspace`");
    }
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let json = folder.path().join("report.json");
    let output = Command::new(program)
        .args(["--rig", "virtual", "rig-self", "rig-wifi"])
        .arg("--hedgerow")
        .arg(&hedgerow)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("our own program can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = std::fs::read_to_string(&json).unwrap_or_default();
    let lines: Vec<Value> =
        report.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let [outcomes @ .., summary] = &lines[..] else { panic!("no lines: {said}") };
    let ended = |result: &str| outcomes.iter().filter(|o| o["result"] == result).count() as u64;
    assert_eq!(outcomes.len(), 2, "{report}\n{said}");
    assert_eq!(ended("fail"), 0, "{report}\n{said}");
    for (result, counted) in [("pass", "passed"), ("skip", "skipped"), ("fail", "failed")] {
        assert_eq!(summary[counted], ended(result), "{report}");
    }
    assert_eq!(output.status.code(), Some(if ended("skip") > 0 { 77 } else { 0 }), "{said}");
    for outcome in outcomes.iter().filter(|outcome| outcome["result"] == "skip") {
        let scenario = outcome["scenario"].as_str().expect("an outcome has its scenario");
        let reason = outcome["reason"].as_str().expect("a skip has a reason");
        skip(NAME, &format!("{scenario}: {reason}"));
    }
}
