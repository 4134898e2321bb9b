//! The demo, from beginning to end.

use crate::process::run;

#[test]
fn the_demo_ends_well_and_says_so_in_its_last_line() {
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), &["demo"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["peers"], &summary["hops"]), (&5.into(), &4.into()));
    assert!(summary["delivered"].as_u64() >= Some(3), "{summary}");
    assert_eq!((&summary["healed"], &summary["ok"]), (&true.into(), &true.into()));
    assert!(text.contains("A > B > C > D > E"), "{text}");
    // It needs no home and leaves none behind.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn for_programs_every_line_of_the_demo_is_an_event() {
    let home = tempfile::tempdir().unwrap();
    let events = run(home.path(), &["demo", "--json"]).ok();
    assert!(events.iter().all(|event| event["event"].is_string()));
    let joined = events.iter().filter(|event| event["event"] == "joined");
    let hops: Vec<_> = joined.map(|event| event["hops"].as_u64().unwrap()).collect();
    assert_eq!(hops, [0, 1, 2, 3, 4]);
    assert_eq!(events.last().unwrap()["event"], "summary");
}

/// In a network namespace of its own not even 127.0.0.1 is there, so that A and B never meet.
#[test]
#[cfg(target_os = "linux")]
fn a_step_that_fails_is_named_and_the_demo_ends() {
    use std::io::Write;
    use std::process::Command;

    let namespace = ["-U", "-r", "-n"];
    let usable = Command::new("unshare").args(namespace).arg("true").output();
    if !usable.is_ok_and(|output| output.status.success()) {
        let name = "a_step_that_fails_is_named_and_the_demo_ends";
        let line = format!("SKIP {name}: `unshare -Urn` does not work here\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let mut command = Command::new("unshare");
    command.args(namespace).arg(env!("CARGO_BIN_EXE_hedgerow")).args(["demo", "--json"]);
    let ended = crate::process::Run::of(command).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let summary = ended.json().pop().unwrap();
    assert_eq!((&summary["event"], &summary["ok"]), (&"summary".into(), &false.into()));
    assert_eq!((&summary["failedStep"], &summary["peers"]), (&"A sees B".into(), &1.into()));
    assert_eq!((&summary["delivered"], &summary["healed"]), (&0.into(), &false.into()));
}
