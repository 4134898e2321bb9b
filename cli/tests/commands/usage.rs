//! What goes wrong before any node is asked.

use crate::process::run;

#[test]
fn an_unknown_option_is_a_usage_error() {
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), &["peers", "--colour"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("--colour") && ended.stdout.is_empty(), "{ended:?}");
    let error = run(home.path(), &["peers", "--colour", "--json"]).error(2);
    assert_eq!(error["code"], "usage");
    assert!(run(home.path(), &[]).code == Some(2));
}

#[test]
fn a_reader_that_has_ended_is_told_as_such() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.arg("doctor").env("HEDGEROW_HOME", home.path()).stdout(writer);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let text = String::from_utf8(ended.stderr).unwrap();
    assert!(text.contains("nobody reads it any more") && !text.contains("HEDGEROW_LOG"), "{text}");
}

#[test]
fn help_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["--version"], &["pipe", "--help"]] {
        assert_eq!(run(home.path(), arguments).code, Some(0));
    }
}

#[test]
#[cfg(unix)]
fn without_a_node_there_is_nobody_to_ask() {
    let home = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 11] = [
        &["peers"],
        &["graph"],
        &["links"],
        &["send", "ben", "hello"],
        &["listen"],
        &["metadata", "get"],
        &["wait", "--peers", "1"],
        &["graph", "--dot"],
        &["ping", "ben"],
        &["trace", "ben"],
        &["watch"],
    ];
    for command in commands {
        let error = run(home.path(), &[command, &["--json"]].concat()).error(3);
        assert_eq!(error["code"], "no_node", "{command:?}");
    }
    let ended = run(home.path(), &["peers"]);
    assert!(ended.stderr.contains("no node is running") && ended.stdout.is_empty(), "{ended:?}");
    // Standard output of a pipe is data.
    let ended = run(home.path(), &["pipe", "ben", "t", "--json"]);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("no_node"), "{ended:?}");
    assert_eq!(ended.code, Some(3));
    // A home that is not there was not made by asking.
    let nowhere = home.path().join("nowhere");
    assert_eq!(run(&nowhere, &["peers"]).code, Some(3));
    assert!(!nowhere.exists());
}

#[test]
fn bad_metadata_is_told_with_its_place_before_a_node_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let ended = run(home.path(), &["metadata", "set", "{location:\"inside\"}", "--json"]);
    let error = ended.error(2);
    assert!(error["message"].as_str().unwrap().contains("line 1 column 2"), "{error}");
}
