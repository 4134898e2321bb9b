//! What goes to standard output and standard error.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::event::Event;
use crate::failure::{ErrorCode, Failure};

/// Where results go: JSON for programs or text for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: with `--json` the object, else the text, each as one line (or more, for
    /// a text that has more).
    ///
    /// # Errors
    /// When nobody reads any more; see [`Output::fail`].
    pub(crate) fn print(
        self,
        object: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.print_json(object) } else { self.print_text(&text()) }
    }

    pub(crate) fn print_json(self, object: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(object);
        self.print_text(&json.map_err(|error| Failure::internal("cannot write JSON", error))?)
    }

    pub(crate) fn print_text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        write_line(&mut out, text).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => {
                let message = "cannot write to standard output: nobody reads it any more";
                let hint = "the program that it is piped to, such as `head`, has ended";
                Failure::new(ErrorCode::Internal, message, hint)
            }
            _ => Failure::internal("cannot write to standard output", error),
        })
    }

    /// Tells what failed: with `--json` on standard output, else on standard error.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        // Where even this cannot be printed, the exit code still tells.
        let _ = if self.json {
            write_line(&mut io::stdout().lock(), &error_line(failure))
        } else {
            write_line(&mut io::stderr().lock(), &error_text(failure))
        };
        ExitCode::from(failure.code.exit_code())
    }

    /// Prints an event on standard error, for commands whose standard output is data.
    pub(crate) fn print_beside_data(self, event: &Event) -> io::Result<()> {
        write_line(&mut io::stderr().lock(), &serde_json::to_string(event)?)
    }

    /// As [`Output::fail`], for commands whose standard output is data.
    pub(crate) fn fail_beside_data(self, failure: &Failure) -> ExitCode {
        let text = if self.json { error_line(failure) } else { error_text(failure) };
        let _ = write_line(&mut io::stderr().lock(), &text);
        ExitCode::from(failure.code.exit_code())
    }
}

/// One write for each line, so that lines of several processes do not mix.
fn write_line(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(format!("{text}\n").as_bytes())?;
    out.flush()
}

fn error_line(failure: &Failure) -> String {
    serde_json::to_string(&Event::Error(failure.clone())).unwrap_or_default()
}

fn error_text(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", printable_lines(&failure.message));
    for candidate in &failure.candidates {
        let name = printable(&candidate.device_name);
        text.push_str(&format!("  {}  {name}\n", candidate.peer_key_string));
    }
    text.push_str(&format!("hint: {}", printable(&failure.hint)));
    text
}

/// `text` from another peer without anything that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n  ")
}

/// A time for people: `0.4 ms`, `31 ms`, `2.1 s`.
pub(crate) fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 0.010 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// `1 hop`, `2 hops`.
pub(crate) fn counted(count: impl Into<u64>, one: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// A time in milliseconds, to the microsecond.
pub(crate) fn millis(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Candidate;

    fn ambiguous() -> Failure {
        let mut failure =
            Failure::new(ErrorCode::PeerAmbiguous, "two peers are \"a\"", "use a key");
        let candidate =
            Candidate { peer_key_string: "pkA".into(), device_name: "a\u{1b}[2J".into() };
        failure.candidates.push(candidate);
        failure
    }

    #[test]
    fn an_error_is_a_sentence_and_a_hint_for_people() {
        let expected = "error: two peers are \"a\"\n  pkA  a\u{fffd}[2J\nhint: use a key";
        assert_eq!(error_text(&ambiguous()), expected);
    }

    #[test]
    fn one_is_not_many() {
        let hops = [0_u8, 1, 2].map(|hops| counted(hops, "hop"));
        assert_eq!(hops, ["0 hops", "1 hop", "2 hops"]);
    }

    #[test]
    fn times_are_short() {
        for (micros, text) in [(400, "0.4 ms"), (31_400, "31 ms"), (2_100_000, "2.1 s")] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
        assert_eq!(duration(Duration::from_secs(600)), "10 min");
        assert_eq!(duration(Duration::from_secs(7_200)), "2 h");
        assert_eq!(millis(Duration::from_nanos(1_234_567)), 1.235);
    }
}
