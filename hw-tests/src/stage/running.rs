//! A program that runs beside the scenario.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Between looks at something that cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Between looks that may cost a process, which is dear in a virtual machine.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Where the machine is slow they leave most of it to what they wait for: pauses are so many times as
/// long as a look..
const ASK_SHARE: u32 = 4;
/// ..but not longer than this.
const ASK_RARELY: Duration = Duration::from_secs(1);

/// Which of a program's outputs is read here, a line at a time; the other one goes to its log.
#[derive(Clone, Copy)]
pub(crate) enum Lines {
    Stdout,
    Stderr,
}

/// A program that was started. Dropped, it is killed.
pub(crate) struct Running {
    pub(crate) name: String,
    child: Child,
    lines: Receiver<String>,
    /// A line that was looked at and not taken.
    next: Option<String>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

impl Running {
    /// Starts it. Lines that are read go to the log, too.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        read: Lines,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let mut copy = open().with_context(|| format!("cannot open {}", log.display()))?;
        match read {
            Lines::Stdout => command.stdout(Stdio::piped()).stderr(open()?),
            // Its output is data that nobody looks at here.
            Lines::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
        };
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().map(|out| Box::new(out) as Box<dyn Read + Send>);
        let stderr = child.stderr.take().map(|out| Box::new(out) as Box<dyn Read + Send>);
        let output = stdout.or(stderr).context("no output to read")?;
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                // A log that cannot be written is no reason to stop a scenario.
                let _ = writeln!(copy, "{line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let log = log.to_owned();
        Ok(Self { name: name.to_owned(), child, lines, next: None, reader: Some(reader), log })
    }

    /// Starts a part of the rig: a service that runs until somebody ends it. Its log is called like it.
    pub(crate) fn part(name: &str, mut command: Command, logs: &Path) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        Self::start(name, command, Lines::Stdout, &logs.join(format!("{name}.log")))
    }

    /// # Errors
    /// If it has ended, though it is part of the rig and nobody ended it.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.has_ended()? {
            let words = last_words(&self.log);
            bail!("{} of the rig ended by itself ({status}): {words}", self.name);
        }
        Ok(())
    }

    /// What it is told, if it was started with a pipe for that.
    pub(crate) fn input(&mut self) -> Option<&mut ChildStdin> {
        self.child.stdin.as_mut()
    }

    /// The same, to be kept; dropped, the program's input ends.
    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The next line if it comes in time, without taking it.
    pub(crate) fn peek(&mut self, limit: Duration) -> Option<&str> {
        if self.next.is_none() {
            self.next = self.lines.recv_timeout(limit).ok();
        }
        self.next.as_deref()
    }

    /// The next line, or `None` after the last one.
    pub(crate) fn line(&mut self, limit: Duration) -> anyhow::Result<Option<String>> {
        if let Some(line) = self.next.take() {
            return Ok(Some(line));
        }
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} said nothing for {} s", self.name, limit.as_secs())
            }
        }
    }

    /// The next JSON object whose `event` is this; other lines are passed over.
    pub(crate) fn event(&mut self, event: &str, limit: Duration) -> anyhow::Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.line(left) else {
                bail!("{}: no event `{event}` within {} s", self.name, limit.as_secs());
            };
            let Some(line) = line else {
                let status = self.wait(LOOK_EVERY * 50)?;
                let log = last_words(&self.log);
                bail!("{} ended ({status}) without the event `{event}`: {log}", self.name);
            };
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["event"] == event => return Ok(value),
                Ok(value) if value["event"] == "error" => bail!("{} failed: {line}", self.name),
                _ => {}
            }
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > end {
                bail!("{} did not end within {} s", self.name, limit.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(&mut self, limit: Duration) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process has an id")?, Signal::TERM)
            .with_context(|| format!("cannot end {}", self.name))?;
        self.wait(limit)?;
        Ok(())
    }

    /// Ends it, without asking.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Whoever inherited the output keeps the reader from its end.
        if let Some(reader) = self.reader.take()
            && reader.is_finished()
        {
            let _ = reader.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last line of a log that is not empty.
pub(crate) fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    line.map_or_else(|| "it said nothing".to_owned(), str::to_owned)
}

/// What a program that ran to its end said.
pub(crate) struct Reply {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Reply {
    /// Its output, if it ended well.
    pub(crate) fn success(self, what: &str) -> anyhow::Result<String> {
        if self.code != Some(0) {
            let words = format!("{} {}", self.stdout.trim(), self.stderr.trim());
            bail!("{what} failed: {}", words.trim());
        }
        Ok(self.stdout)
    }
}

/// Runs a program to its end.
pub(crate) fn run_to_end(command: Command, limit: Duration) -> anyhow::Result<Reply> {
    run_fed(command, Stdio::null(), limit)
}

/// Runs a program to its end; its input, if a pipe, stays open and empty.
pub(crate) fn run_fed(
    mut command: Command,
    stdin: Stdio,
    limit: Duration,
) -> anyhow::Result<Reply> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let (stdout, stderr) = (drained(child.stdout.take()), drained(child.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name} did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let text = |reader: JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Reply { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

fn drained(output: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read of it counts.
        let _ = output.map(|mut output| output.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Looks again and again until `look` says yes.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        let looked = Instant::now();
        if look()? {
            return Ok(start.elapsed());
        }
        if start.elapsed() > limit {
            bail!("not within {} s: {what}", limit.as_secs());
        }
        let pause = (looked.elapsed() * ASK_SHARE).clamp(ASK_EVERY, ASK_RARELY);
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_event_is_found_between_other_lines_and_an_end_without_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = "echo hello; echo '{\"event\":\"ready\",\"n\":1}'; echo why >&2; exit 3";
        let mut running = Running::start("it", shell(script), Lines::Stdout, &log).unwrap();
        assert_eq!(running.peek(LIMIT), Some("hello"));
        assert_eq!(running.event("ready", LIMIT).unwrap()["n"], 1);
        let error = running.event("ready", LIMIT).unwrap_err().to_string();
        assert!(error.starts_with("it ended (exit status: 3) without"), "{error}");
        assert!(std::fs::read_to_string(&log).unwrap().contains("why"));
    }

    #[test]
    fn a_part_that_ends_by_itself_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Running::part("it", shell("echo why >&2; exit 3"), folder.path()).unwrap();
        part.wait(LIMIT).unwrap();
        let error = part.check().unwrap_err().to_string();
        assert_eq!(error, "it of the rig ended by itself (exit status: 3): why");
    }

    #[test]
    fn a_program_that_is_asked_to_end_may_clean_up_and_one_that_does_not_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let begun = |name: &str, script: &str| {
            let mut part = Running::part(name, shell(script), folder.path()).unwrap();
            assert_eq!(part.line(LIMIT).unwrap().as_deref(), Some("up"));
            part
        };
        let waiting = "while :; do sleep 0.01; done";
        let mut polite =
            begun("polite", &format!("trap 'echo bye; exit' TERM; echo up; {waiting}"));
        polite.check().unwrap();
        polite.terminate(LIMIT).unwrap();
        assert_eq!(polite.line(LIMIT).unwrap().as_deref(), Some("bye"));
        let mut deaf = begun("deaf", &format!("trap '' TERM; echo up; {waiting}"));
        let error = deaf.terminate(Duration::from_millis(50)).unwrap_err().to_string();
        assert_eq!(error, "deaf did not end within 0 s");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_told() {
        let error = run_to_end(shell("exec sleep 60"), Duration::from_millis(50));
        assert_eq!(error.err().unwrap().to_string(), "sh did not end within 0 s");
        let reply = run_to_end(shell("echo out; echo err >&2; exit 5"), LIMIT).unwrap();
        assert_eq!((reply.code, reply.stdout.as_str(), reply.stderr.as_str()), {
            (Some(5), "out\n", "err\n")
        });
    }
}
