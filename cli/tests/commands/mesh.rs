//! Two and three nodes on 127.0.0.1, by their commands.

use serde_json::json;

use crate::node::Node;
use crate::process::run;

#[test]
fn each_sees_the_other_in_peers_graph_and_links() {
    let (ann, ben) = Node::pair("");
    let peers = ann.run(&["peers"]).ok();
    assert_eq!(peers.len(), 1);
    let peer = &peers[0];
    assert_eq!((&peer["peerKeyString"], &peer["deviceName"]), (&ben.key().into(), &"ben".into()));
    assert_eq!((&peer["hops"], &peer["route"]["nextHop"]), (&1.into(), &ben.key().into()));
    assert!(peer["route"]["cost"].is_u64() && peer["lastSeenMs"].is_u64(), "{peer}");

    let graph = ann.run(&["graph"]).ok().remove(0);
    assert_eq!(graph["localPeer"]["peerKeyString"], ann.key());
    assert_eq!(graph["remotePeers"].as_array().unwrap().len(), 1);
    let dot = String::from_utf8(run(ann.home(), &["graph", "--dot"]).stdout).unwrap();
    assert!(dot.starts_with("graph hedgerow {") && dot.contains(&ben.key()), "{dot}");

    let links = ann.run(&["links"]).ok();
    assert_eq!(links.len(), 1);
    let pinned = [
        "peerKeyString",
        "transport",
        "state",
        "rttMs",
        "loss",
        "rateBytesPerS",
        "queuedBytes",
        "ageMs",
        "lastClose",
    ];
    assert!(pinned.iter().all(|key| links[0].get(key).is_some()), "{}", links[0]);
    assert!(links[0]["cost"].as_u64() > Some(0), "{}", links[0]);
    assert!(links[0]["advertBytesSent"].as_u64() > Some(0) && links[0]["advertsWaiting"].is_u64());
    let bytes = |key: &str| links[0][key].as_u64();
    assert!(bytes("bytesSent") > Some(100) && bytes("bytesReceived") > Some(100), "{}", links[0]);
    assert!(links[0].get("rttMinMs").is_some_and(|rtt| rtt.is_f64() || rtt.is_null()));
    assert_eq!((&links[0]["state"], &links[0]["transport"]), (&"up".into(), &"AccessPoint".into()));

    for command in ["peers", "graph", "links"] {
        let text = String::from_utf8(run(ann.home(), &[command]).stdout).unwrap();
        assert!(text.contains("ben") && text.contains("AccessPoint") != (command == "peers"));
    }
}

#[test]
fn a_message_arrives_by_name_by_key_and_by_prefix() {
    let (ann, ben) = Node::pair("");
    let key = ben.key();
    for (sequence, name) in [(1, "ben"), (2, key.as_str()), (3, &key[..12])] {
        let sent = ann.run(&["send", name, "hello"]).ok().remove(0);
        assert_eq!((&sent["event"], &sent["to"]), (&"delivered".into(), &key.clone().into()));
        assert_eq!((&sent["sequence"], &sent["hops"]), (&sequence.into(), &1.into()));
        assert!(sent["bytes"] == 5 && sent["rttMs"].as_f64().unwrap() > 0.0, "{sent}");
    }
    let received = ben.run(&["listen", "--count", "3"]).ok();
    for message in &received {
        assert_eq!((&message["event"], &message["from"]), (&"message".into(), &ann.key().into()));
        assert_eq!(
            (&message["reliability"], &message["text"]),
            (&"reliable".into(), &"hello".into())
        );
        assert_eq!(message["dataBase64"], "aGVsbG8=");
    }
    let sent = ann.run(&["send", "ben", "now", "--unreliable"]).ok().remove(0);
    assert_eq!(sent["event"], "sent");
    let message = ben.run(&["listen", "--count", "1"]).ok().remove(0);
    assert_eq!((&message["reliability"], &message["text"]), (&"unreliable".into(), &"now".into()));
}

#[test]
fn a_name_that_is_nobodys_or_everybodys_is_an_error() {
    let ann = Node::alone("ann");
    let ben = Node::start("ben", &[&ann], "");
    let other = Node::start("ben", &[&ann], "");
    ann.run(&["wait", "--peers", "2"]).ok();
    ann.run(&["wait", "--peer", &ben.key()]).ok();
    let both_named = || {
        let peers = ann.run(&["peers"]).ok();
        peers.iter().filter(|peer| peer["deviceName"] == "ben").count() == 2
    };
    let deadline = std::time::Instant::now() + crate::process::DEADLINE;
    while !both_named() {
        assert!(std::time::Instant::now() < deadline);
    }
    let error = ann.run(&["send", "ben", "x"]).error(4);
    assert_eq!(error["code"], "peer_ambiguous");
    let candidates = error["candidates"].as_array().unwrap();
    let mut keys: Vec<_> =
        candidates.iter().map(|c| c["peerKeyString"].as_str().unwrap()).collect();
    let (first, second) = (ben.key(), other.key());
    let mut expected = vec![first.as_str(), second.as_str()];
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);

    for name in ["Ben", "carol", "pk", &first[2..], &first.to_uppercase(), "ann"] {
        let error = ann.run(&["send", name, "x"]).error(4);
        assert_eq!(error["code"], "peer_unknown", "{name}");
    }
    ann.run(&["send", &first, "x"]).ok();
}

#[test]
fn metadata_travels() {
    let (ann, ben) = Node::pair("");
    assert_eq!(ann.run(&["metadata", "get"]).ok(), [json!({})]);
    ann.run(&["metadata", "set", r#"{ "room": 4 }"#]).ok();
    assert_eq!(ann.run(&["metadata", "get"]).ok(), [json!({"room": 4})]);
    let arrived = || ben.run(&["peers"]).ok()[0]["peerMetadata"] == json!({"room": 4});
    let deadline = std::time::Instant::now() + crate::process::DEADLINE;
    while !arrived() {
        assert!(std::time::Instant::now() < deadline, "the metadata did not arrive");
    }
    ann.run(&["metadata", "clear"]).ok();
    assert_eq!(ann.run(&["metadata", "get"]).ok(), [json!({})]);
}

#[test]
fn waiting_has_an_end() {
    let (ann, mut ben) = Node::pair("");
    let late = |arguments: &[&str]| {
        let error = ann.run(&[arguments, &["--timeout", "0.2"]].concat()).error(5);
        assert_eq!(error["code"], "timed_out", "{arguments:?}");
    };
    late(&["wait", "--peers", "2"]);
    late(&["wait", "--peer", "carol"]);
    late(&["wait", "--peer", "ben", "--hops", "2"]);
    late(&["wait", "--gone", "ben"]);
    late(&["listen", "--count", "1"]);
    ann.run(&["wait", "--gone", "carol"]).ok();

    ben.up.kill();
    ann.run(&["wait", "--gone", "ben"]).ok();
    // Known, but out of reach: that is another thing than unknown.
    let error = ann.run(&["send", "ben", "x", "--timeout", "0.5"]).error(5);
    assert!(["no_route", "timed_out", "peer_lost"].contains(&error["code"].as_str().unwrap()));
}

#[test]
fn a_command_learns_when_its_node_stops() {
    let node = Node::alone("ann");
    let waiting = crate::process::Run::start(node.home(), &["wait", "--peers", "1", "--json"]);
    let listening = crate::process::Run::start(node.home(), &["listen", "--json"]);
    // Whether they are connected by then or not, the answer is the same.
    node.run(&["peers"]).ok();
    node.up.terminate();
    for run in [waiting, listening] {
        assert_eq!(run.end().error(3)["code"], "no_node");
    }
}
