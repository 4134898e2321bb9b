//! A machine of the stage: this one, or one behind SSH.

use std::process::Command;
use std::time::Duration;

use super::running::{Reply, run_to_end};

/// How long a command that should take no time may take, SSH included.
const SHORT: Duration = Duration::from_secs(30);

/// How commands get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Local,
    /// The same, with a network of its own.
    Namespace(String),
    /// What ssh takes as the destination.
    Ssh(String),
}

/// A machine that nodes run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) reach: Reach,
    /// The hedgerow command on that machine.
    pub(crate) hedgerow: String,
    /// What goes before a command that only root may run.
    pub(crate) sudo: Vec<String>,
}

impl Host {
    /// A command to run there.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        match &self.reach {
            Reach::Local => local_command(words),
            Reach::Namespace(name) => {
                // The process becomes that of the command.
                local_command(&[&["ip", "netns", "exec", name], words].concat())
            }
            Reach::Ssh(destination) => {
                let mut command = Command::new("ssh");
                let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                // Nobody is there to type a password.
                command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", destination, "--"]);
                command.arg(line.join(" "));
                command
            }
        }
    }

    /// Runs a shell script there, to its end.
    pub(crate) fn shell(&self, script: &str, words: &[&str]) -> anyhow::Result<Reply> {
        let line = [&["sh", "-c", script, "sh"], words].concat();
        run_to_end(self.command(&line), SHORT)
    }

    /// A command to run there as root.
    pub(crate) fn root_command(&self, words: &[&str]) -> Command {
        let sudo = self.sudo.iter().map(String::as_str);
        self.command(&sudo.chain(words.iter().copied()).collect::<Vec<_>>())
    }

    /// Runs a command there as root, to its end, and gives its output.
    pub(crate) fn as_root(&self, words: &[&str]) -> anyhow::Result<String> {
        run_to_end(self.root_command(words), SHORT)?.success(&format!(
            "`{}` on {}",
            words.join(" "),
            self.name
        ))
    }
}

/// A command of this machine.
pub(super) fn local_command(words: &[&str]) -> Command {
    let mut command = Command::new(words.first().copied().unwrap_or("true"));
    command.args(words.iter().skip(1));
    command
}

/// A word as the shell of an SSH host takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_on_their_way_through_a_shell() {
        let words = ["a b", "", "it's", "$HOME", "*", "x;y", "plain-1.2", "\"\n\\", "ü"];
        let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let script = format!("for word in {}; do printf '%s\\0' \"$word\"; done", line.join(" "));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let expected: Vec<u8> = words.iter().flat_map(|w| [w.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(output.stdout, expected);
    }

    #[test]
    fn a_namespace_gets_the_words_as_they_are() {
        let reach = Reach::Namespace("radio0".to_owned());
        let host =
            Host { name: "radio0".to_owned(), reach, hedgerow: String::new(), sudo: Vec::new() };
        let command = host.command(&["echo", "a b"]);
        let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(command.get_program(), "ip");
        assert_eq!(words, ["netns", "exec", "radio0", "echo", "a b"]);
    }

    #[test]
    fn an_ssh_host_gets_one_quoted_line() {
        let host = Host {
            name: "pi".to_owned(),
            reach: Reach::Ssh("me@pi".to_owned()),
            hedgerow: "hedgerow".to_owned(),
            sudo: Vec::new(),
        };
        let command = host.command(&["echo", "a b"]);
        let last = command.get_args().last().unwrap();
        assert_eq!((command.get_program().to_str(), last.to_str()), {
            (Some("ssh"), Some("echo 'a b'"))
        });
    }
}
