//! `send --lines`: many messages by one command.

use serde_json::Value;

use crate::node::Node;
use crate::process::{Ended, Run};

fn send(node: &Node, more: &[&str], input: &[u8]) -> Ended {
    let mut sending = Run::start(node.home(), &[&["send", "ben", "--lines"], more].concat());
    assert!(sending.try_write(input));
    sending.end()
}

fn summary(ended: &Ended) -> Value {
    let last = ended.json().into_iter().rfind(|line| line["event"] == "summary");
    last.unwrap_or_else(|| panic!("no summary: {ended:?}"))
}

#[test]
fn each_line_is_a_message_in_order_and_the_last_needs_no_end() {
    const COUNT: usize = 1_000;
    let (ann, ben) = Node::pair("bus.when_full = \"wait\"");
    let count = COUNT.to_string();
    let listening = Run::start(ben.home(), &["listen", "--count", &count, "--json"]);
    let lines: Vec<String> = (1..=COUNT).map(|number| format!("line {number}")).collect();
    let sent = send(&ann, &["--json"], lines.join("\n").as_bytes());
    let heard = listening.end().ok();
    let texts: Vec<&str> = heard.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(texts, lines);
    let summary = summary(&sent);
    assert_eq!((&summary["delivered"], &summary["failed"]), (&COUNT.into(), &0.into()));
    let delivered: Vec<_> = sent.ok().into_iter().filter(|l| l["event"] == "delivered").collect();
    assert_eq!(delivered.len(), COUNT);
    for (number, line) in (1..).zip(&delivered) {
        assert_eq!((&line["line"], &line["to"]), (&number.into(), &ben.key().into()), "{line}");
        assert_eq!(line["bytes"], format!("line {number}").len());
        assert!(line["rttMs"].as_f64() > Some(0.0) && line["hops"] == 1, "{line}");
    }
}

#[test]
fn what_was_printed_is_not_given_again_after_listen_was_asked_to_end() {
    const COUNT: usize = 4_000;
    let (ann, ben) = Node::pair("bus.when_full = \"wait\"");
    let lines: String = (1..=COUNT).map(|number| format!("{number}\n")).collect();
    let mut sending = Run::start(ann.home(), &["send", "ben", "--lines", "--json"]);
    assert!(sending.try_write(lines.as_bytes()));
    sending.close_input();
    let mut heard: Vec<Value> = Vec::new();
    while heard.len() < COUNT / 4 {
        let listening = Run::start_by_lines(ben.home(), &["listen", "--json"]);
        let mut printed = vec![listening.line()];
        listening.terminate();
        printed.extend(listening.lines_left());
        heard.extend(printed.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        let texts: Vec<_> = heard.iter().filter_map(|line| line["text"].as_str()).collect();
        let expected: Vec<_> = (1..=texts.len()).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
    }
}

#[test]
fn a_message_is_on_its_way_before_the_next_line_is_there() {
    let (ann, ben) = Node::pair("");
    let mut sending = Run::start_by_lines(ann.home(), &["send", "ben", "--lines", "--json"]);
    for number in 1..4 {
        sending.write(format!("{number}\r\n").as_bytes());
        let line: Value = serde_json::from_str(&sending.line()).unwrap();
        assert_eq!((&line["event"], &line["line"]), (&"delivered".into(), &number.into()));
    }
    sending.close_input();
    let heard = ben.run(&["listen", "--count", "3"]).ok();
    assert_eq!(heard.iter().map(|line| &line["text"]).collect::<Vec<_>>(), ["1", "2", "3"]);
}

#[test]
fn what_is_refused_is_told_with_its_line_and_the_exit_code_is_the_last_ones() {
    let (ann, ben) = Node::pair("bus.inbox_messages_max = 2");
    let ended = send(&ann, &["--json"], b"a\nb\nc\nd\n");
    assert_eq!(ended.code, Some(6), "{ended:?}");
    let refused: Vec<_> =
        ended.json().into_iter().filter(|line| line["event"] == "notDelivered").collect();
    assert_eq!(refused.iter().map(|line| &line["line"]).collect::<Vec<_>>(), [3, 4]);
    for line in &refused {
        assert_eq!((&line["code"], &line["reason"]), (&"rejected".into(), &"inbox_full".into()));
    }
    let summary = summary(&ended);
    assert_eq!((&summary["delivered"], &summary["failed"]), (&2.into(), &2.into()));
    assert_eq!(ben.run(&["listen", "--count", "2"]).ok().len(), 2);
    let mut nobody = Run::start(ann.home(), &["send", "eve", "--lines", "--json"]);
    nobody.close_input();
    assert_eq!(nobody.end().error(4)["code"], "peer_unknown");
}

#[test]
fn a_line_that_is_too_long_is_refused_and_those_before_it_are_not() {
    let (ann, ben) = Node::pair("");
    let input =
        [b"short\n", &[b'x'; 128 * 1_024][..], b"\n", &[b'y'; 128 * 1_024 + 1], b"\nlost\n"];
    let ended = send(&ann, &["--json"], &input.concat());
    assert_eq!(summary(&ended)["delivered"], 2);
    let error = ended.error(6);
    assert_eq!(error["code"], "too_large");
    assert!(error["message"].as_str().unwrap().contains("line 3"), "{error}");
    assert_eq!(ben.run(&["listen", "--count", "2"]).ok()[0]["text"], "short");
}

#[test]
fn an_input_that_cannot_be_read_is_no_end_of_lines() {
    let (ann, _ben) = Node::pair("");
    let folder = std::fs::File::open(ann.home()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(["send", "ben", "--lines", "--json"]).env("HEDGEROW_HOME", ann.home());
    let output = command.stdin(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot read standard input"), "{text}");
}

#[test]
fn lanes_and_unreliable_lines_are_taken_too_and_nothing_is_no_message() {
    let (ann, ben) = Node::pair("");
    let ended = send(&ann, &["--unreliable", "--lane", "realtime", "--json"], b"1\n\n3");
    assert_eq!(summary(&ended)["sent"], 3);
    assert_eq!(ben.run(&["listen", "--count", "3"]).ok().len(), 3);
    let empty = send(&ann, &["--lane", "bulk"], b"");
    let text = String::from_utf8(empty.stdout).unwrap();
    assert!(text.starts_with("0 messages delivered to ben in "), "{text}");
}
