//! Runs each example as a newcomer would.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Killed and reaped if the test ends before it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the program printed, after it has ended well and in time.
fn run(program: &str) -> String {
    let child = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut stdout = running.0.stdout.take().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        sender.send(text)
    });
    let text = receiver.recv_timeout(Duration::from_secs(60)).expect("an end in time");
    let status = running.0.wait().unwrap();
    assert!(status.success(), "{status}\n{text}");
    text
}

#[test]
fn hello_says_hello() {
    let text = run(env!("CARGO_BIN_EXE_hello"));
    assert!(text.contains("ann: delivered in"), "{text}");
    assert!(text.contains("ben: got \"hello, ben\""), "{text}");
}

#[test]
fn presence_tells_who_comes_and_goes() {
    let text = run(env!("CARGO_BIN_EXE_presence"));
    assert!(text.contains("graph: ann sees []"), "{text}");
    assert_eq!(text.matches("\njoined: ").count(), 2, "{text}");
    let places: Vec<_> = ["joined: ", "\nconnected: ", "{\"room\":\"kitchen\"}", "left: cleo"]
        .iter()
        .map(|line| text.find(line).unwrap_or_else(|| panic!("no {line:?} in\n{text}")))
        .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn own_driver_carries_a_message_and_comes_back_after_a_cut() {
    let text = run(env!("CARGO_BIN_EXE_own_driver"));
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("ben: got \"hello through a pipe\" in "), "{text}");
    assert_eq!(lines[1..], ["the pipe broke", "a new pipe is up"], "{text}");
}
