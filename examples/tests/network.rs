//! Runs the examples that need a network, each in a network namespace of its own, where the
//! programs find each other by multicast DNS as they do on a real one.

#![cfg(target_os = "linux")]

#[path = "network/program.rs"]
mod program;

use std::fs;
use std::time::Duration;

use program::{Program, in_namespace, is_inside};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);

const CHAT: &str = env!("CARGO_BIN_EXE_chat");
const FILE_DROP: &str = env!("CARGO_BIN_EXE_file_drop");

#[test]
fn chat_tells_who_is_there_and_what_was_not_delivered() {
    in_namespace("chat_inside");
}

#[test]
fn chat_inside() {
    if !is_inside() {
        return;
    }
    let mut ada = Program::start(CHAT, &["--name", "ada"]);
    ada.until("* you are ada");
    ada.say("anybody?");
    ada.until("* nobody is here; nobody got \"anybody?\"");

    let mut ben = Program::start(CHAT, &["--name", "ben"]);
    let mut stranger = Program::start(CHAT, &["--name", "stranger", "--network", "other"]);
    ada.until("* ben is here");
    ben.until("* ada is here");
    for line in ["one", "two", "three"] {
        ada.say(line);
    }
    for line in ["one", "two", "three"] {
        ben.until(&format!("<ada> {line}"));
    }
    ben.say("hello \u{1b}[31m");
    ada.until("<ben> hello [31m");
    ada.say("/who");
    ada.until("* ben, 1 hops away: ");
    stranger.say("/quit");
    let heard = stranger.until_ended();
    assert!(!heard.iter().any(|line| line.contains("is here")), "{heard:?}");

    // Killed, it says no goodbye; what is said to it is known not to be delivered in the end.
    ben.kill();
    ada.say("still there?");
    let line = ada.until("get \"still there?\"").replace("may not have got", "did not get");
    assert!(line.starts_with("* ben did not get \"still there?\": "), "{line}");

    let mut cleo = Program::start(CHAT, &["--name", "cleo"]);
    ada.until("* cleo is here");
    cleo.end_input();
    cleo.until_ended();
    ada.until("* cleo has left");
    ada.end_input();
    ada.until_ended();
}

#[test]
fn file_drop_goes_on_after_a_kill() {
    in_namespace("file_drop_inside");
}

/// More than arrives before the kill, and not a multiple of anything.
const BYTES: usize = (48 << 20) + 12_345;

#[test]
fn file_drop_inside() {
    if !is_inside() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, drop, home) = (path("a file.bin"), path("drop"), path("home"));
    let data: Vec<u8> =
        (0..BYTES as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    fs::write(&file, &data).unwrap();
    fs::create_dir(&drop).unwrap();
    let receive = ["--name", "box", "--home", &home, "receive", &drop];
    let send = ["--name", "me", "send", "box", &file];

    let mut receiver = Program::start(FILE_DROP, &receive);
    receiver.until("receiving as box");
    let mut sender = Program::start(FILE_DROP, &send);
    receiver.until(&format!("a file.bin: has 0 of {BYTES} bytes"));
    let part = || {
        let mut parts = fs::read_dir(&drop).unwrap().map(|entry| entry.unwrap().path());
        parts.find(|path| path.extension().is_some_and(|end| end == "part"))
    };
    let have = |path: &std::path::Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let part = part().expect("a part");
    program::wait_until(|| have(&part) > BYTES as u64 / 8);
    receiver.kill();
    let kept = have(&part);
    assert!(0 < kept && kept < BYTES as u64, "{kept} bytes came before the kill");

    // The sender goes on by itself, where the receiver was.
    let mut receiver = Program::start(FILE_DROP, &receive);
    receiver.until(&format!("a file.bin: has {kept} of {BYTES} bytes"));
    program::wait_until(|| have(&part) > kept + BYTES as u64 / 8);
    sender.kill();

    // And so does another sender; this time what has come in meanwhile is not sent again.
    let mut sender = Program::start(FILE_DROP, &send);
    let line = receiver.until("a file.bin: has ");
    let kept_now: u64 = line.split(' ').nth(3).unwrap().parse().unwrap();
    assert!(kept_now > kept + BYTES as u64 / 8, "{line}");
    let rest = BYTES as u64 - kept_now;

    // A cut that is shorter than the session gap: the stream goes on, nobody has to resume.
    program::set_loopback("down");
    assert!(have(&part) < BYTES as u64, "cut before the end");
    std::thread::sleep(Duration::from_secs(3));
    assert!(have(&part) < BYTES as u64, "nothing passes a cut");
    program::set_loopback("up");
    receiver.until(&format!("a file.bin: received {rest} bytes, stored"));
    sender.until(&format!("a file.bin: sent {rest} bytes, {kept_now} were there already"));
    sender.until_ended();
    assert!(fs::read(path("drop/a file.bin")).unwrap() == data, "it arrived bit for bit");
    assert_eq!(fs::read_dir(&drop).unwrap().count(), 1, "no part is left");

    // What is there is not overwritten.
    fs::write(&file, b"another").unwrap();
    let mut again = Program::start(FILE_DROP, &send);
    let error = again.until_failed();
    assert!(error.contains("it has another file of this name"), "{error}");
    assert_eq!(fs::metadata(path("drop/a file.bin")).unwrap().len(), BYTES as u64);
}
