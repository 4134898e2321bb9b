//! A node that is stopped as a whole, as a laptop that sleeps: its peers see it leave and come
//! back by themselves.

use rustix::process::{Pid, Signal, kill_process};

use crate::node::Node;
use crate::process::Run;

/// The only test here that waits for real time: over the 16 s after which a link is dead.
#[test]
fn a_stopped_node_leaves_and_returns_by_itself() {
    let (ann, ben) = Node::pair("");
    let doctor = ben.run(&["doctor"]).ok();
    let message = doctor.iter().find(|check| check["check"] == "node").unwrap();
    let words = message["message"].as_str().unwrap().split_whitespace().collect::<Vec<_>>();
    let at = words.iter().position(|word| *word == "process").unwrap() + 1;
    let pid: i32 = words[at].trim_end_matches(',').parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();

    kill_process(pid, Signal::STOP).unwrap();
    // Sent while nobody answers, and within the session's patience.
    let sent = ["send", "ben", "good morning", "--timeout", "60", "--json"];
    let sending = Run::start(ann.home(), &sent);
    ann.run(&["wait", "--gone", "ben"]).ok();
    // A doctor beside a stopped node says so, and what to do.
    let doctor = ben.run(&["doctor"]).json();
    let check = doctor.iter().find(|check| check["check"] == "node").unwrap();
    assert_eq!(check["status"], "fail", "{check}");
    assert!(check["message"].as_str().unwrap().contains("does not answer"), "{check}");
    assert!(check["hint"].as_str().unwrap().contains("kill -CONT"), "{check}");

    kill_process(pid, Signal::CONT).unwrap();
    ann.run(&["wait", "--peer", "ben"]).ok();
    ben.run(&["wait", "--peer", "ann"]).ok();
    let delivered = sending.end().ok().remove(0);
    assert_eq!(delivered["event"], "delivered", "{delivered}");
    let message = ben.run(&["listen", "--count", "1", "--timeout", "30"]).ok().remove(0);
    assert_eq!(message["text"], "good morning");
}
