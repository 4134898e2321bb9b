//! Only 64 files may be open: the node keeps running, refuses politely, says it once, recovers.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::node::Node;
use crate::process::{DEADLINE, Ended, Run, run};

#[test]
fn a_node_with_64_files_goes_on_and_recovers() {
    // A node that has run before, so that there is a home with a configuration.
    let Node { home, up, .. } = Node::alone("ann");
    drop(up);
    let mut command = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" up --json";
    command.args(["-c", script, env!("CARGO_BIN_EXE_hedgerow")]).env("HEDGEROW_HOME", home.path());
    command.stdin(Stdio::null());
    let up = Run::of_by_lines(command);
    let ready: Value = serde_json::from_str(&up.line()).unwrap();
    let address = ready["listen"][0].as_str().unwrap().to_owned();

    // Strangers take every file that is left: they connect and say nothing.
    let mut idle: Vec<TcpStream> = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    let error = loop {
        for _ in 0..16 {
            idle.push(TcpStream::connect(&address).unwrap());
        }
        let ended = run(home.path(), &["peers", "--json"]);
        // A file that was just freed may go to a link; then the command waits for its turn.
        if ended.code == Some(6) {
            break ended.error(6);
        }
        assert!(Instant::now() < deadline, "it never ran out of files");
    };
    assert_eq!(error["code"], "too_many_clients");
    assert!(error["message"].as_str().unwrap().contains("no file descriptors left"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("ulimit -n"), "{error}");

    drop(idle);
    while run(home.path(), &["peers", "--json"]).code != Some(0) {
        assert!(Instant::now() < deadline, "it did not recover");
    }
    up.terminate();
    let Ended { code, stderr, .. } = up.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.matches("cannot accept commands").count(), 1, "{stderr}");
    let lines = stderr.lines().count();
    assert!(lines < 40, "{lines} lines of log: {stderr}");
}

#[test]
fn a_limit_that_nothing_can_start_with_is_told() {
    let home = tempfile::tempdir().unwrap();
    for (limit, arguments) in [("6", "up"), ("23", "doctor"), ("12", "peers")] {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" {arguments} --json");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_hedgerow")]);
        command.env("HEDGEROW_HOME", home.path());
        let error = Run::of(command).end().error(1);
        assert!(error["message"].as_str().unwrap().contains(limit), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("ulimit -n"), "{error}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn commands_leave_files_for_links() {
    let Node { home, up, .. } = Node::alone("ann");
    drop(up);
    let mut command = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" up --json";
    command.args(["-c", script, env!("CARGO_BIN_EXE_hedgerow")]).env("HEDGEROW_HOME", home.path());
    let up = Run::of_by_lines(command);
    up.line();
    // A quarter of 64 are served; the next one is told why not.
    let clients: Vec<UnixStream> =
        (0..17).map(|_| UnixStream::connect(home.path().join("control.sock")).unwrap()).collect();
    clients[16].set_read_timeout(Some(DEADLINE)).unwrap();
    let mut line = String::new();
    BufReader::new(&clients[16]).read_line(&mut line).unwrap();
    assert!(line.contains("too_many_clients") && line.contains("16 commands"), "{line}");
    drop(clients);
    let deadline = Instant::now() + DEADLINE;
    while run(home.path(), &["peers", "--json"]).code != Some(0) {
        assert!(Instant::now() < deadline, "places stay taken");
    }
}
