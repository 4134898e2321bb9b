//! Pipes: all bytes, both ways, and an end on both sides.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::node::Node;
use crate::process::{Ended, Run};

fn accept(node: &Node, topic: &str) -> Run {
    Run::start(node.home(), &["pipe", "--accept", topic, "--timeout", "50"])
}

/// Opens a pipe, again while nobody accepts: the other process may not be that far.
fn open_and_send(node: &Node, topic: &str, data: &[u8]) -> Ended {
    let deadline = std::time::Instant::now() + crate::process::DEADLINE;
    loop {
        let mut opening = Run::start(node.home(), &["pipe", "ben", topic]);
        let written = opening.try_write(data);
        let ended = opening.end();
        if ended.code != Some(6) {
            assert!(written);
            return ended;
        }
        assert!(std::time::Instant::now() < deadline, "{ended:?}");
    }
}

fn finished(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let event: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(event["event"], "finished");
    assert!(event["ms"].is_number());
    event
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn a_file_arrives_whole_and_both_sides_say_so() {
    let (ann, ben) = Node::pair("");
    let data = some_bytes(3_000_001);
    let mut accepting = accept(&ben, "files");
    accepting.close_input();
    let sent = open_and_send(&ann, "files", &data);
    let received = accepting.end();
    for ended in [&sent, &received] {
        let event = finished(ended);
        assert_eq!(event["bytes"], data.len());
        assert_eq!(event["sha256"], sha256(&data));
    }
    assert!(received.stdout == data && sent.stdout.is_empty());
}

#[test]
fn a_pipe_goes_both_ways_and_halves_close_one_by_one() {
    let (ann, ben) = Node::pair("");
    let mut accepting = accept(&ben, "talk");
    accepting.write(b"an answer that was ready");
    accepting.close_input();
    let sent = open_and_send(&ann, "talk", b"a question");
    let received = accepting.end();
    assert_eq!(finished(&sent)["bytes"], 10);
    assert_eq!(finished(&received)["bytes"], 24, "of what was sent");
    assert_eq!(sent.stdout, b"an answer that was ready");
    assert_eq!(received.stdout, b"a question");
}

#[test]
fn an_empty_pipe_ends_too() {
    let (ann, ben) = Node::pair("");
    let mut accepting = accept(&ben, "nothing");
    accepting.close_input();
    let sent = open_and_send(&ann, "nothing", b"");
    assert_eq!(finished(&sent)["bytes"], 0);
    assert_eq!(finished(&accepting.end())["sha256"], sha256(b""));
}

#[test]
fn programs_are_told_when_a_topic_may_be_opened() {
    let ben = Node::alone("ben");
    let words = ["pipe", "--accept", "files", "--timeout", "0.2"];
    let for_people = Run::start(ben.home(), &words).end().stderr;
    assert!(for_people.starts_with("error: nobody opened"), "{for_people}");
    let for_programs = ben.run(&words).stderr;
    let lines: Vec<Value> =
        for_programs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"event": "accepting", "topic": "files"}));
    assert_eq!((lines.len(), &lines[1]["code"]), (2, &"timed_out".into()));
}

#[test]
fn what_nobody_accepts_is_refused() {
    let (ann, _ben) = Node::pair("");
    let ended = ann.run(&["pipe", "ben", "files"]);
    assert_eq!(ended.code, Some(6));
    let error: Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &"rejected".into()));
    assert!(ended.stdout.is_empty());
    let ended = ann.run(&["pipe", "--accept", "files", "--timeout", "0.2"]);
    assert_eq!(ended.code, Some(5));
}

#[test]
fn a_sender_that_dies_is_told_to_the_other_side_and_frees_the_topic() {
    let (ann, ben) = Node::pair("");
    let mut accepting = Run::start_by_lines(ben.home(), &["pipe", "--accept", "files"]);
    accepting.close_input();
    let deadline = std::time::Instant::now() + crate::process::DEADLINE;
    loop {
        let mut opening = Run::start_by_lines(ann.home(), &["pipe", "ben", "files"]);
        if opening.try_write(b"half a line\nand then") && accepting.has_line() {
            opening.kill();
            break;
        }
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(accepting.end().code, Some(6));
    let mut accepting = accept(&ben, "files");
    accepting.close_input();
    assert_eq!(finished(&open_and_send(&ann, "files", b"again"))["bytes"], 5);
    assert_eq!(accepting.end().stdout, b"again");
}

#[test]
fn a_pipe_from_somebody_else_is_not_accepted() {
    let (ann, ben) = Node::pair("");
    let _accepting = Run::start(ben.home(), &["pipe", "--accept", "files", "--from", "carol"]);
    let deadline = std::time::Instant::now() + crate::process::DEADLINE;
    loop {
        let ended = ann.run(&["pipe", "ben", "files"]);
        assert_eq!(ended.code, Some(6), "{ended:?}");
        // Before, nobody listened there.
        if ended.stderr.contains("application") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{ended:?}");
    }
}
