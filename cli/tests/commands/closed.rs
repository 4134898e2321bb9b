//! Closed networks: the right secret, a wrong one, none.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::node::Node;
use crate::process::{DEADLINE, run};

fn secret(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    let made = run(folder, &["secret", file.to_str().unwrap(), "--json"]).ok().remove(0);
    assert_eq!(made["event"], "secret");
    file
}

fn line(file: &Path) -> String {
    format!("network.secret_file = {file:?}")
}

/// What `links` and `doctor` of a node say of somebody who cannot join; waits until they do.
fn strangers(node: &Node) -> (Value, Value) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        let links = node.run(&["links"]).ok();
        let doctor = node.run(&["doctor"]).json();
        let link = links.into_iter().find(|link| link["state"] == "closed");
        let check = doctor.into_iter().find(|check| check["check"] == "stranger");
        if let (Some(link), Some(check)) = (link, check) {
            return (link, check);
        }
        assert!(std::time::Instant::now() < deadline, "the stranger was not told");
    }
}

fn times_met(check: &Value) -> u64 {
    let (_, rest) = check["message"].as_str().unwrap().split_once("(met ").unwrap();
    rest.split_once(" times").unwrap().0.parse().unwrap()
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

#[test]
fn nodes_with_the_same_secret_meet() {
    let folder = tempfile::tempdir().unwrap();
    let file = secret(folder.path(), "secret");
    let ann = Node::start("ann", &[], &line(&file));
    let ben = Node::start("ben", &[&ann], &line(&file));
    assert_eq!(ann.ready["open"], false);
    ben.run(&["wait", "--peer", "ann"]).ok();
    assert!(ben.run(&["doctor"]).ok().iter().all(|check| check["check"] != "stranger"));
    let links = ben.run(&["links"]).ok();
    assert!(links.iter().all(|link| link["state"] == "up"), "{links:?}");
}

#[test]
fn a_wrong_secret_is_told_to_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (secret(folder.path(), "right"), secret(folder.path(), "wrong"));
    let ann = Node::start("ann", &[], &line(&right));
    let ben = Node::start("ben", &[&ann], &line(&wrong));
    for node in [&ann, &ben] {
        let (link, check) = strangers(node);
        assert_eq!(link["peerKeyString"], Value::Null, "who it is stays unknown");
        assert!(link["lastClose"].as_str().unwrap().contains("another"), "{link}");
        assert_eq!(check["status"], "warn");
        assert!(check["message"].as_str().unwrap().contains("127.0.0.1"), "{check}");
        assert!(check["hint"].as_str().unwrap().contains("secret"), "{check}");
        assert!(node.run(&["peers"]).ok().is_empty());
    }
    let counted = |node: &Node| {
        let doctor = node.run(&["doctor"]).json();
        let limits = doctor.into_iter().find(|check| check["check"] == "limits").unwrap();
        limits["message"].as_str().unwrap().contains("handshakesFailed")
    };
    assert!(counted(&ann), "the side that could not read the first message counts it");
    let text = String::from_utf8(run(ben.home(), &["links"]).stdout).unwrap();
    assert!(text.contains(&format!("no link with {}: ", ann.address())), "{text}");
    // It comes back again and again; the log has it once.
    let deadline = std::time::Instant::now() + DEADLINE;
    while times_met(&strangers(&ann).1) < 3 {
        assert!(std::time::Instant::now() < deadline);
    }
    ann.up.terminate();
    let ended = ann.up.end();
    assert_eq!(ended.stderr.matches("no link").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_node_without_the_secret_is_told_to_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let file = secret(folder.path(), "secret");
    let ann = Node::start("ann", &[], &line(&file));
    let ben = Node::start("ben", &[&ann], "");
    for node in [&ann, &ben] {
        let (link, check) = strangers(node);
        let reason = link["lastClose"].as_str().unwrap();
        assert!(reason.contains("one side's network is open, the other's closed"), "{link}");
        assert!(check["hint"].as_str().unwrap().contains("check the network secret"), "{check}");
    }
}
