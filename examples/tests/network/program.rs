//! Programs, their lines, and the namespace that they run in.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Set in the namespace.
const INSIDE: &str = "HEDGEROW_EXAMPLES_INSIDE";
/// A network interface that carries multicast: a cable with both ends here.
const SCRIPT: &str = "ip link set lo up && ip link add lan type veth peer name end && \
    ip addr add 10.77.0.1/24 dev lan && ip link set lan up && ip link set end up";

pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a test of this file in a new network namespace, or says why it cannot.
pub(crate) fn in_namespace(test: &str) {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let unshare = if is_root { "-n" } else { "-Urn" };
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output()
    };
    let prepared = match run(SCRIPT) {
        Err(error) => return skip(test, &format!("unshare cannot be run: {error}")),
        Ok(output) => output,
    };
    if !prepared.status.success() {
        return skip(test, String::from_utf8_lossy(&prepared.stderr).trim());
    }
    let output = run(&format!("{SCRIPT} && exec \"$0\" \"$@\"")).unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Two programs on one host talk over the loopback interface: down is a cut.
pub(crate) fn set_loopback(state: &str) {
    let status = Command::new("ip").args(["link", "set", "lo", state]).status().unwrap();
    assert!(status.success(), "{status}");
}

fn skip(test: &str, reason: &str) {
    // Not `eprintln`, which the test runner captures.
    let _ = std::io::stderr().write_all(format!("SKIP {test}: {reason}\n").as_bytes());
}

/// Waits for something that only looking shows.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A program that runs; killed when dropped.
pub(crate) struct Program {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let input = process.stdin.take();
        Self { process, input, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// The next line that has `words` in it.
    pub(crate) fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => heard.push(line),
                Err(_) => panic!("no {words:?}, but {heard:#?}\n{}", self.last_words()),
            }
        }
    }

    /// What it writes until it has ended well.
    pub(crate) fn until_ended(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            heard.push(line);
        }
        assert!(!left().is_zero(), "no end in time: {heard:#?}\n{}", self.last_words());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}: {heard:#?}\n{}", self.last_words());
        heard
    }

    /// What it says on its way to a failure.
    pub(crate) fn until_failed(&mut self) -> String {
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        let text = self.last_words();
        assert!(!self.process.wait().unwrap().success(), "{text}");
        text
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn last_words(&mut self) -> String {
        self.kill();
        let mut text = String::new();
        if let Some(mut errors) = self.process.stderr.take() {
            let _ = errors.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
