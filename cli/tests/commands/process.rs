//! Processes that always end: by themselves, by a deadline, or with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here takes on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A run of the binary; killed and reaped when it is dropped.
pub(crate) struct Run {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<Receiver<Vec<u8>>>,
    stderr: Receiver<Vec<u8>>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// The lines of standard output as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let text = String::from_utf8(self.stdout.clone()).unwrap();
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        text.lines().map(parse).collect()
    }

    /// As [`Ended::json`], after success.
    pub(crate) fn ok(self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }

    /// The error event, after this exit code.
    pub(crate) fn error(self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        let event = self.json().pop().expect("an error event");
        assert_eq!(event["event"], "error");
        assert!(event["message"].is_string() && event["hint"].is_string(), "{event}");
        event
    }
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hedgerow"));
    command.args(arguments).env("HEDGEROW_HOME", home);
    // Without the machine's radios.
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
    for name in ["HEDGEROW_NETWORK", "HEDGEROW_NAME", "HEDGEROW_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = sender.send(all);
    });
    receiver
}

impl Run {
    /// Starts the binary; its standard output is taken as a whole.
    pub(crate) fn start(home: &Path, arguments: &[&str]) -> Self {
        Self::of(command(home, arguments))
    }

    /// Starts any command; its standard output is taken as a whole.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Some(read_all(child.stdout.take().unwrap()));
        let stderr = read_all(child.stderr.take().unwrap());
        Self { child, lines: mpsc::channel().1, stdout, stderr }
    }

    /// Starts the binary; its standard output is taken by lines.
    pub(crate) fn start_by_lines(home: &Path, arguments: &[&str]) -> Self {
        Self::of_by_lines(command(home, arguments))
    }

    /// Starts any command; its standard output is taken by lines.
    pub(crate) fn of_by_lines(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let stderr = read_all(child.stderr.take().unwrap());
        Self { child, lines, stdout: None, stderr }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line in time")
    }

    /// The lines until the end.
    #[cfg(unix)]
    pub(crate) fn lines_left(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(DEADLINE).ok()).collect()
    }

    pub(crate) fn write(&mut self, data: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(data).unwrap();
    }

    /// Writes to a process that may not read to the end.
    #[cfg(unix)]
    pub(crate) fn try_write(&mut self, data: &[u8]) -> bool {
        self.child.stdin.as_mut().unwrap().write_all(data).is_ok()
    }

    /// Whether a line comes soon.
    #[cfg(unix)]
    pub(crate) fn has_line(&self) -> bool {
        self.lines.recv_timeout(Duration::from_secs(2)).is_ok()
    }

    pub(crate) fn close_input(&mut self) {
        self.child.stdin = None;
    }

    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        self.close_input();
        // The pipes close when the process ends, which is then a matter of moments.
        let stderr = self.stderr.recv_timeout(DEADLINE).expect("an end in time");
        let stdout = self.stdout.as_ref().map(|stdout| stdout.recv_timeout(DEADLINE));
        let stdout = stdout.map(|stdout| stdout.expect("an end in time")).unwrap_or_default();
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the binary to its end.
pub(crate) fn run(home: &Path, arguments: &[&str]) -> Ended {
    Run::start(home, arguments).end()
}
