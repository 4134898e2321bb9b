//! Takes connections down in a moment. bluetoothd lets them be for two seconds more, and the start
//! of a program takes half of one: messages that were to be cut off would be through by then.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::running::{Lines, Running};

/// btmgmt of one adapter, waiting for what to do.
pub(crate) struct Cutter {
    btmgmt: Running,
    adapter: String,
    /// Addresses whose connections have ended and are not back.
    ended: BTreeSet<String>,
    limit: Duration,
}

impl Cutter {
    /// `command` makes a command that root runs.
    pub(super) fn start(
        command: impl FnOnce(&[&str]) -> Command,
        adapter: &str,
        log: &Path,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let mut command = command(&["btmgmt", "--index", adapter]);
        command.stdin(Stdio::piped());
        let name = format!("btmgmt of {adapter}");
        let btmgmt = Running::start(&name, command, Lines::Stdout, log)?;
        Ok(Self { btmgmt, adapter: adapter.to_owned(), ended: BTreeSet::new(), limit })
    }

    /// Fault: takes down the connection to an address, behind the nodes' backs. `false` if there is
    /// none at the moment.
    pub(crate) fn cut(&mut self, address: &str) -> anyhow::Result<bool> {
        while self.btmgmt.peek(Duration::ZERO).is_some() {
            self.said()?;
        }
        // The kernel would take down the attempt to connect, and neither btmgmt nor bluetoothd would
        // ever hear what became of theirs.
        if self.ended.contains(address) {
            return Ok(false);
        }
        let input = self.btmgmt.input().context("btmgmt has no input")?;
        // 1 is a public address of LE.
        writeln!(input, "disconnect -t 1 {address}").context("cannot tell btmgmt what to do")?;
        loop {
            match self.said()? {
                Said::Cut => {
                    self.ended.insert(address.to_owned());
                    return Ok(true);
                }
                Said::NothingToCut => return Ok(false),
                Said::Failed(line) => bail!("cutting {address} off: {line}"),
                Said::Connected(_) | Said::Ended(_) | Said::Else => {}
            }
        }
    }

    /// The next line; events are noted.
    fn said(&mut self) -> anyhow::Result<Said> {
        let line = self.btmgmt.line(self.limit)?.context("btmgmt has ended")?;
        let said = Said::parse(&self.adapter, &line);
        match &said {
            Said::Connected(address) => _ = self.ended.remove(address),
            Said::Ended(address) => _ = self.ended.insert(address.clone()),
            _ => {}
        }
        Ok(said)
    }
}

/// What a line of btmgmt says. It tells events of all adapters, in between, after its prompt.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Cut,
    NothingToCut,
    Failed(String),
    Connected(String),
    Ended(String),
    Else,
}

impl Said {
    fn parse(adapter: &str, line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let event = words.iter().position(|word| *word == adapter).map(|at| &words[at + 1..]);
        match event {
            Some([address, "type", "LE", "Public", "connected", ..]) => {
                return Self::Connected((*address).to_owned());
            }
            Some([address, "type", "LE", "Public", "disconnected", ..]) => {
                return Self::Ended((*address).to_owned());
            }
            _ => {}
        }
        match words.last() {
            Some(&"disconnected") => Self::Cut,
            _ if line.contains("(Not Connected)") || line.contains("(Disconnected)") => {
                Self::NothingToCut
            }
            _ if line.contains("failed with status") => Self::Failed(line.to_owned()),
            _ => Self::Else,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_events_and_these_from_those_of_other_adapters() {
        let address = "00:AA:01:02:00:02";
        let said = |line: &str| Said::parse("hci1", &line.replace("ADDRESS", address));
        let prompt = "\u{1b}[0;94m[hci1]> \u{1b}[0m\r      \r";
        let event = |words: &str| said(&format!("{prompt}{words}"));
        let ours = address.to_owned();
        assert_eq!(
            event("hci1 ADDRESS type LE Public connected eir_len 21"),
            Said::Connected(ours.clone())
        );
        assert_eq!(
            event("hci1 ADDRESS type LE Public disconnected with reason 2"),
            Said::Ended(ours)
        );
        assert_eq!(event("hci2 ADDRESS type LE Public disconnected with reason 2"), Said::Else);
        assert_eq!(said("[hci1]> disconnect -t 1 ADDRESS"), Said::Else);
        assert_eq!(said("ADDRESS disconnected"), Said::Cut);
        let refused = "Disconnecting ADDRESS failed with status 0x02 (Not Connected)";
        assert_eq!(said(refused), Said::NothingToCut);
        assert!(matches!(said("Disconnect failed with status 0x0a (Busy)"), Said::Failed(_)));
    }
}
