//! `ping`, `trace` and `watch`.

use serde_json::Value;

use crate::node::Node;
use crate::process::{Run, run};

/// Three nodes in a line: ann - ben - cid.
fn line() -> [Node; 3] {
    let ann = Node::alone("ann");
    let ben = Node::start("ben", &[&ann], "");
    let cid = Node::start("cid", &[&ben], "");
    ann.run(&["wait", "--peer", "cid", "--hops", "2"]).ok();
    cid.run(&["wait", "--peer", "ann", "--hops", "2"]).ok();
    // Who goes by a name has told who it is: the relay can answer it.
    ben.run(&["wait", "--peer", "ann"]).ok();
    ben.run(&["wait", "--peer", "cid"]).ok();
    [ann, ben, cid]
}

#[test]
fn a_ping_counts_its_answers_and_sums_them_up() {
    let [ann, _ben, _cid] = line();
    let lines = ann.run(&["ping", "cid", "--count", "3", "--interval", "0.01"]).ok();
    assert_eq!(lines.len(), 4);
    for (sequence, pong) in (1..).zip(&lines[..3]) {
        assert_eq!((&pong["event"], &pong["sequence"]), (&"pong".into(), &sequence.into()));
        assert!(pong["hops"] == 2 && pong["rttMs"].as_f64().unwrap() > 0.0, "{pong}");
    }
    let summary = &lines[3];
    assert_eq!((&summary["event"], &summary["sent"]), (&"summary".into(), &3.into()));
    assert_eq!((&summary["received"], &summary["lossPercent"]), (&3.into(), &0.0.into()));
    let figure = |key: &str| summary[key].as_f64().unwrap();
    assert!(figure("minMs") <= figure("medianMs") && figure("medianMs") <= figure("maxMs"));

    let ended = run(ann.home(), &["ping", "ben", "--count", "1"]);
    let text = String::from_utf8(ended.stdout).unwrap();
    assert!(text.starts_with("answer 1 from ben in ") && text.contains("over 1 hop\n"), "{text}");
    assert!(text.contains("1 sent, 1 received, 0 % lost; min "), "{text}");
}

#[test]
fn a_ping_ends_with_a_summary_when_interrupted() {
    let (ann, _ben) = Node::pair("");
    let ping = Run::start_by_lines(ann.home(), &["ping", "ben", "--interval", "0.01", "--json"]);
    for _ in 0..3 {
        assert!(ping.line().contains("pong"));
    }
    ping.terminate();
    let summary = std::iter::repeat_with(|| ping.line()).find(|line| line.contains("summary"));
    let summary: Value = serde_json::from_str(&summary.unwrap()).unwrap();
    assert!(summary["received"].as_u64() >= Some(3) && summary["lossPercent"] == 0.0, "{summary}");
    assert_eq!(ping.end().code, Some(0));
}

#[test]
fn without_an_answer_ping_and_trace_say_why() {
    let (ann, mut ben) = Node::pair("");
    for command in ["ping", "trace"] {
        let error = ann.run(&[command, "carol"]).error(4);
        assert_eq!(error["code"], "peer_unknown", "{command}");
        assert_eq!(ann.run(&[command, "ann"]).error(4)["code"], "peer_unknown");
    }
    ann.run(&["ping", "ben", "--count", "1"]).ok();
    ben.up.kill();
    ann.run(&["wait", "--gone", "ben"]).ok();
    let arguments = ["ping", "ben", "--count", "2", "--interval", "0.01", "--timeout", "0.2"];
    let ended = ann.run(&arguments);
    let lines = ended.json();
    let [first, second, summary, error] = &lines[..] else { panic!("{lines:?}") };
    for (sequence, line) in [(1, first), (2, second)] {
        assert_eq!((&line["event"], &line["sequence"]), (&"noPong".into(), &sequence.into()));
        assert_eq!(line["code"], "no_route");
    }
    assert!(summary["lossPercent"] == 100.0 && summary["minMs"].is_null(), "{summary}");
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &"no_route".into()));
    assert_eq!(ended.code, Some(5));
    assert_eq!(ann.run(&["trace", "ben"]).error(5)["code"], "no_route");
}

#[test]
fn a_trace_names_each_hop_in_turn() {
    let [ann, ben, cid] = line();
    let lines = ann.run(&["trace", "cid"]).ok();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for ((number, node, name), hop) in [(1, &ben, "ben"), (2, &cid, "cid")].into_iter().zip(&lines)
    {
        assert_eq!((&hop["hop"], &hop["peerKeyString"]), (&number.into(), &node.key().into()));
        assert_eq!((&hop["transport"], &hop["deviceName"]), (&"AccessPoint".into(), &name.into()));
        assert!(hop["rttMs"].as_f64() > Some(0.0) && hop["heldMs"].is_f64(), "{hop}");
    }
    let text = String::from_utf8(run(ann.home(), &["trace", "cid"]).stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "to cid, 2 hops as the graph has it");
    assert!(lines[1].starts_with(" 1  ben  pk") && lines[2].starts_with(" 2  cid  pk"), "{text}");
    assert_eq!(lines.len(), 3, "both agree: {text}");
}

#[test]
fn a_watch_begins_with_who_is_there_and_tells_who_comes_and_goes() {
    let (ann, ben) = Node::pair("");
    let watch = Run::start_by_lines(ann.home(), &["watch", "--json"]);
    let next = || -> Value { serde_json::from_str(&watch.line()).unwrap() };
    let first = next();
    assert_eq!((&first["event"], &first["initial"]), (&"peerJoined".into(), &true.into()));
    assert_eq!((&first["peerKeyString"], &first["deviceName"]), (&ben.key().into(), &"ben".into()));

    let until = |event: &str, key: &str, value: &str| {
        std::iter::repeat_with(next).find(|line| line["event"] == event && line[key] == value)
    };
    let mut cid = Node::start("cid", &[&ben], "");
    let joined = until("peerJoined", "peerKeyString", &cid.key()).unwrap();
    assert!(joined.get("initial").is_none() && joined.get("reason").is_none(), "{joined}");
    ann.run(&["wait", "--peer", "cid"]).ok();
    cid.up.kill();
    let key = cid.key();
    let down = std::iter::repeat_with(next).find(|line| line["event"] == "connectionDown").unwrap();
    let ends = [&down["peerKeyString1"], &down["peerKeyString2"]];
    assert!(ends.contains(&&key.as_str().into()) && down["id"].is_string(), "{down}");
    let left = until("peerLeft", "peerKeyString", &key).unwrap();
    assert_eq!((&left["reason"], &left["deviceName"]), (&"unreachable".into(), &"cid".into()));
    watch.terminate();
    assert_eq!(watch.end().code, Some(0));
}

#[test]
fn a_watch_ends_after_its_changes_or_its_time_or_with_its_node() {
    let (ann, ben) = Node::pair("");
    let error = ann.run(&["watch", "--count", "1000", "--timeout", "0.3"]).error(5);
    assert_eq!(error["code"], "timed_out");
    let watch = Run::start_by_lines(ann.home(), &["watch", "--count", "1"]);
    assert!(watch.line().contains("  there    ben  pk"));
    ben.run(&["metadata", "set", "{\"room\":4}"]).ok();
    assert!(watch.line().contains("Z  updated  ben  pk"));
    assert_eq!(watch.end().code, Some(0));
    let watch = Run::start_by_lines(ann.home(), &["watch", "--json"]);
    watch.line();
    ann.up.terminate();
    let error = std::iter::repeat_with(|| watch.line()).find(|line| line.contains("error"));
    assert!(error.unwrap().contains("no_node"));
    assert_eq!(watch.end().code, Some(3));
}
