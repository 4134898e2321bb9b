//! A node on the stage: the real `hedgerow up`, with a home of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::host::Host;
use super::running::{Lines, Reply, Running, run_to_end};

/// From the start of `up` to its `ready`.
const READY_MAX: Duration = Duration::from_secs(30);
/// From an interrupt to the end: `up` itself gives up after 10 s.
const GOODBYE_MAX: Duration = Duration::from_secs(20);
/// A command without a limit of its own.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// A node that runs, or ran and can be started again with the same home.
pub(crate) struct Node {
    pub(crate) name: String,
    host: Host,
    /// On the host: home, configuration and process id.
    folder: String,
    network: String,
    up: Option<Running>,
    key: String,
    ready_at: Instant,
    ready: Value,
    log: PathBuf,
    patience: u32,
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Of memory, in units of 1,024 bytes.
    pub(crate) memory_kb: u64,
    /// Open files and sockets.
    pub(crate) files: u64,
}

/// Where a node gets its place from.
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) folder: String,
    pub(super) network: String,
    pub(super) log: PathBuf,
    pub(super) patience: u32,
}

impl Node {
    /// Writes the configuration, starts the node and waits until it is ready.
    pub(super) fn start(name: &str, place: Place, config: &str) -> anyhow::Result<Self> {
        let Place { host, folder, network, log, patience } = place;
        let write = r#"umask 077 && mkdir -p "$1/home" && printf '%s' "$2" >"$1/config.toml""#;
        host.shell(write, &[&folder, config])?.success("writing a configuration")?;
        let mut node = Self {
            name: name.to_owned(),
            host,
            folder,
            network,
            up: None,
            key: String::new(),
            ready_at: Instant::now(),
            ready: Value::Null,
            log,
            patience,
        };
        node.restart()?;
        Ok(node)
    }

    /// Starts it again, with the home that it had.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.await_ready()
    }

    /// Starts it without waiting until it is ready.
    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        // The process keeps its id through exec, so that it can be killed on any host.
        let script = r#"echo $$ >"$1/pid" && shift && exec env "$@""#;
        let logging = std::env::var("HEDGEROW_LOG").unwrap_or_else(|_| "debug".to_owned());
        let logging = format!("HEDGEROW_LOG={logging}");
        let (home, config) = (self.home(), self.config());
        let up = ["up", "--name", &self.name, "--network", &self.network, "--config", &config];
        let line = [
            &["sh", "-c", script, "sh", &self.folder, &logging][..],
            &[&self.host.hedgerow, "--json", "--home", &home],
            &up,
        ]
        .concat();
        let mut command = self.host.command(&line);
        command.stdin(Stdio::null());
        let name = format!("the node {}", self.name);
        self.up = Some(Running::start(&name, command, Lines::Stdout, &self.log)?);
        Ok(())
    }

    /// Waits until a node that was launched is ready.
    pub(crate) fn await_ready(&mut self) -> anyhow::Result<()> {
        let up = self.up.as_mut().context("the node was not launched")?;
        self.ready = up.event("ready", READY_MAX * self.patience)?;
        self.ready_at = Instant::now();
        let key = self.ready["peerKeyString"].as_str().context("`ready` has no key")?;
        if !self.key.is_empty() && self.key != key {
            bail!("{} came back with another key", self.name);
        }
        self.key = key.to_owned();
        Ok(())
    }

    /// The name of its key, by which others find it.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// When it was ready.
    pub(crate) fn ready_at(&self) -> Instant {
        self.ready_at
    }

    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// The configuration that it is started with.
    pub(crate) fn config(&self) -> String {
        format!("{}/config.toml", self.folder)
    }

    fn home(&self) -> String {
        format!("{}/home", self.folder)
    }

    fn command(&self, words: &[&str]) -> Command {
        let home = self.home();
        let line = [&[&self.host.hedgerow[..], "--json", "--home", &home], words].concat();
        self.host.command(&line)
    }

    /// Runs a command of hedgerow at this node, to its end.
    pub(crate) fn run(&self, words: &[&str]) -> anyhow::Result<Reply> {
        run_to_end(self.command(words), COMMAND_MAX * self.patience)
            .with_context(|| format!("{}: hedgerow {}", self.name, words.join(" ")))
    }

    /// The same, for a command that must succeed: its lines.
    pub(crate) fn ask(&self, words: &[&str]) -> anyhow::Result<Vec<Value>> {
        self.ask_within(words, Duration::ZERO)
    }

    /// The same, for a command that may take so long and as long as others do.
    fn ask_within(&self, words: &[&str], limit: Duration) -> anyhow::Result<Vec<Value>> {
        let what = format!("{}: hedgerow {}", self.name, words.join(" "));
        let reply = run_to_end(self.command(words), limit + COMMAND_MAX * self.patience);
        let lines = reply.with_context(|| what.clone())?.success(&what)?;
        let parsed = lines.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().with_context(|| format!("{what}: bad JSON: {lines}"))
    }

    /// Starts a command that runs on, with `stdin` for its input.
    pub(crate) fn spawn(
        &self,
        words: &[&str],
        read: Lines,
        stdin: Stdio,
    ) -> anyhow::Result<Running> {
        let mut command = self.command(words);
        command.stdin(stdin);
        let name = format!("{}: hedgerow {}", self.name, words.join(" "));
        Running::start(&name, command, read, &self.log)
    }

    /// Waits until it can reach at least so many peers.
    pub(crate) fn await_peers(&self, count: usize, limit: Duration) -> anyhow::Result<()> {
        let (count, seconds) = (count.to_string(), limit.as_secs().to_string());
        self.ask_within(&["wait", "--peers", &count, "--timeout", &seconds], limit)?;
        Ok(())
    }

    /// Waits until it can reach another one; over so many hops, if given.
    pub(crate) fn await_peer(
        &self,
        other: &Node,
        hops: Option<usize>,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let (hops, seconds) = (hops.map(|hops| hops.to_string()), limit.as_secs().to_string());
        let mut words = vec!["wait", "--peer", other.key(), "--timeout", &seconds];
        words.extend(hops.iter().flat_map(|hops| ["--hops", hops]));
        self.ask_within(&words, limit)?;
        Ok(())
    }

    /// Waits until another one has left its graph.
    pub(crate) fn await_gone(&self, other: &Node, limit: Duration) -> anyhow::Result<()> {
        let seconds = limit.as_secs().to_string();
        self.ask_within(&["wait", "--gone", other.key(), "--timeout", &seconds], limit)?;
        Ok(())
    }

    /// Sends a message and waits until it is in the other's inbox.
    pub(crate) fn send(&self, other: &Node, text: &str, limit: Duration) -> anyhow::Result<Value> {
        let seconds = limit.as_secs().to_string();
        let lines = self.ask_within(&["send", other.key(), text, "--timeout", &seconds], limit)?;
        lines.into_iter().find(|line| line["event"] == "delivered").context("no `delivered`")
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("the log of {}", self.name))
    }

    /// What its process takes now.
    pub(crate) fn size(&self) -> anyhow::Result<Size> {
        let script = r#"
            pid=$(cat "$1/pid") && sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" &&
            ls "/proc/$pid/fd" | wc -l"#;
        let what = format!("looking at the process of {}", self.name);
        let said = self.host.shell(script, &[&self.folder])?.success(&what)?;
        let figures: Vec<u64> = said.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        match figures[..] {
            [memory_kb, files] => Ok(Size { memory_kb, files }),
            _ => bail!("{what}: {said:?}"),
        }
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        self.ended()
    }

    /// Ends it as a user does; it says goodbye.
    pub(crate) fn interrupt(&mut self) -> anyhow::Result<()> {
        self.signal("INT")?;
        self.ended()
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let script = r#"kill -"$1" "$(cat "$2/pid")""#;
        let what = format!("ending {} by {signal}", self.name);
        self.host.shell(script, &[signal, &self.folder])?.success(&what)?;
        Ok(())
    }

    fn ended(&mut self) -> anyhow::Result<()> {
        if let Some(mut up) = self.up.take() {
            up.wait(GOODBYE_MAX * self.patience)?;
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The end of an SSH client does not end what it started.
        if self.up.as_mut().is_some_and(|up| matches!(up.has_ended(), Ok(None))) {
            let _ = self.signal("KILL");
        }
    }
}
