//! Closed networks: the right secret, a wrong one, none.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::namespace::script_with_ip;
use crate::node::Node;
use crate::process::{DEADLINE, Run, run};

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
    let (_, rest) = check["message"].as_str().unwrap().split_once("cannot join (").unwrap();
    rest.split_once(" tr").unwrap().0.parse().unwrap()
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

/// By multicast DNS nobody dials a beacon that it cannot read: both know of each other all the
/// same.
#[test]
fn a_wrong_secret_is_told_where_nodes_find_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let test = "a_wrong_secret_is_told_where_nodes_find_each_other";
    let text = "cd \"$HEDGEROW_HOME\"\n\
         ip link add cable type veth peer name other\n\
         ip address add 10.79.2.1/24 dev cable\nip link set other up\nip link set cable up\n\
         for n in a b c; do \"$0\" secret $n.secret >&2; done\ncp -p a.secret c.secret.copy\n\
         up() { \"$0\" up --name $1 --home $1 $2 $3 >$1.out 2>$1.log & pids=\"$pids $!\"; }\n\
         trap 'kill $pids' EXIT\n\
         up a --secret-file a.secret\nup b --secret-file b.secret\n\
         up c --secret-file c.secret.copy\nup d\n\
         for n in a b c d; do until \"$0\" peers --home $n >/dev/null 2>&1; do :; done; done\n\
         \"$0\" wait --peer c --home a --timeout 50 >&2\n\
         for want in a2 b3 d3; do n=${want%?}\n\
         until test \"$(\"$0\" doctor --home $n --json | grep '\"stranger\"' | tee $n.found | \
         grep -c 10.79.2.1:)\" -eq ${want#?}; do :; done\n\
         sed s/^/$n/ $n.found; done";
    let Some(command) = script_with_ip(test, folder.path(), text, &[]) else { return };
    let ended = Run::of(command).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = String::from_utf8(ended.stdout).unwrap();
    let told = |node: &str, reason: &str| {
        said.lines().any(|line| line.starts_with(node) && line.contains(reason))
    };
    assert!(told("b", "it is in another network or has another secret"), "{said}");
    assert!(told("d", "its network is closed, this one is open"), "{said}");
    assert!(said.lines().all(|line| line.contains("10.79.2.1:")), "not all addresses: {said}");
}
