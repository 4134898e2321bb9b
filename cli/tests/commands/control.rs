//! The control socket, with clients that are not this binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::node::Node;
use crate::process::DEADLINE;

fn connect(node: &Node) -> UnixStream {
    let stream = UnixStream::connect(node.home().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn answer(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

fn ask(node: &Node, line: &[u8]) -> Value {
    let mut stream = connect(node);
    stream.write_all(line).unwrap();
    answer(&stream)
}

#[test]
fn what_is_no_request_gets_an_error_and_the_node_goes_on() {
    let node = Node::alone("ann");
    for line in [&b"GET / HTTP/1.1\r\n"[..], b"{\"command\":\"fly\"}\n", b"\xff\x00\n", b"\n"] {
        let answer = ask(&node, line);
        assert_eq!(answer["error"]["code"], "bad_request", "{answer}");
    }
    let answer = ask(&node, b"{\"command\":\"fly\"}\n");
    assert!(answer["error"]["message"].as_str().unwrap().contains("`fly`"), "{answer}");
    node.run(&["peers"]).ok();
}

#[test]
fn an_endless_line_is_cut_off() {
    let node = Node::alone("ann");
    let mut stream = connect(&node);
    let chunk = [b'x'; 64 * 1_024];
    // The node stops reading, so that some write fails in the end.
    while stream.write_all(&chunk).is_ok() {}
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(text.contains("bad_request") && text.contains("262144"), "{text}");
    node.run(&["peers"]).ok();
}

#[test]
fn a_client_too_many_is_turned_away_and_one_that_leaves_makes_room() {
    let node = Node::alone("ann");
    let idle: Vec<UnixStream> = (0..64)
        .map(|_| {
            let mut stream = connect(&node);
            stream.write_all(b"{\"command\":\"accept\",\"topic\":\"t\"}\n").unwrap();
            stream
        })
        .collect();
    // One has the topic, 63 are told that it is taken; they stay connected until they leave.
    let mut listeners: Vec<UnixStream> = Vec::new();
    for _ in 0..64 {
        let mut stream = connect(&node);
        stream.write_all(b"{\"command\":\"listen\"}\n").unwrap();
        listeners.push(stream);
    }
    let error = loop {
        let ended = node.run(&["peers"]);
        match ended.code {
            Some(6) => break ended.error(6),
            // Some of the first 64 are being let go meanwhile: fill their places.
            _ => {
                let mut stream = connect(&node);
                stream.write_all(b"{\"command\":\"listen\"}\n").unwrap();
                listeners.push(stream);
            }
        }
        assert!(listeners.len() < 256, "nobody was turned away");
    };
    assert_eq!(error["code"], "too_many_clients");
    drop((idle, listeners));
    let deadline = std::time::Instant::now() + DEADLINE;
    while node.run(&["peers"]).code != Some(0) {
        assert!(std::time::Instant::now() < deadline, "places stay taken");
    }
}
