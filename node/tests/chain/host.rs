//! Namespaces, segments and the processes in them. Everything goes with its owner.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use hedgerow::PresenceGraph;

/// What starts every line that a node writes for its parent.
pub(crate) const MARK: &str = "@";

/// Says loudly that a test was skipped; written so that it shows even when the test passes.
pub(crate) fn skip(test: &str, why: &str) {
    let line = format!("\nSKIP {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Runs a command that must succeed; its output if it does not.
fn run(command: &str) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{command}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Hosts, the segments between them, and the node on each.
pub(crate) struct Hosts {
    prefix: String,
    names: Vec<String>,
    homes: tempfile::TempDir,
    nodes: Vec<(String, Node)>,
}

impl Hosts {
    /// Makes a namespace for each name and a segment for each pair of names. The interface of `a`
    /// on its segment with `b` is `to-b`; on a second one between the same two, `to-b2`.
    ///
    /// # Errors
    /// Why this machine cannot: no iproute2, no permission.
    pub(crate) fn new(
        test: &str,
        names: &[&str],
        segments: &[(&str, &str)],
    ) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return inside_user_namespace(test);
        }
        // One process may run several tests at once.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let prefix =
            format!("hedge{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let homes = tempfile::tempdir().map_err(|error| error.to_string())?;
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let hosts = Self { prefix, names, homes, nodes: Vec::new() };
        for name in &hosts.names {
            run(&format!("ip netns add {}", hosts.namespace(name)))
                .map_err(|error| format!("{test} needs network namespaces: {error}"))?;
            run(&format!("ip -n {} link set lo up", hosts.namespace(name)))?;
        }
        for (index, (left, right)) in segments.iter().enumerate() {
            let again = segments[..index].contains(&(left, right));
            let suffix = if again { "2" } else { "" };
            let (to_left, to_right) = (format!("to-{left}{suffix}"), format!("to-{right}{suffix}"));
            hosts.segment(index + 1, (left, &to_right), (right, &to_left))?;
        }
        Ok(hosts)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn segment(&self, net: usize, left: (&str, &str), right: (&str, &str)) -> Result<(), String> {
        let (a, b) = (self.namespace(left.0), self.namespace(right.0));
        run(&format!(
            "ip link add {} netns {a} type veth peer name {} netns {b}",
            left.1, right.1
        ))?;
        for (host, (namespace, interface)) in [(1, (&a, left.1)), (2, (&b, right.1))] {
            run(&format!("ip -n {namespace} addr add 10.77.{net}.{host}/24 dev {interface}"))?;
            run(&format!("ip -n {namespace} link set {interface} up"))?;
        }
        Ok(())
    }

    /// Starts the node of a host; started again, it has the key it had.
    pub(crate) fn start(&mut self, name: &str) {
        let home = self.homes.path().join(name);
        let node = Node::start(&self.namespace(name), name, &home);
        self.nodes.retain(|(other, _)| other != name);
        self.nodes.push((name.to_owned(), node));
    }

    pub(crate) fn node(&mut self, name: &str) -> &mut Node {
        let node = self.nodes.iter_mut().find(|(other, _)| other == name);
        &mut node.expect("started").1
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(&mut self, name: &str) {
        self.nodes.retain(|(other, _)| other != name);
    }

    pub(crate) fn set_interface(&self, name: &str, interface: &str, up: bool) {
        let state = if up { "up" } else { "down" };
        self.ip(name, &format!("link set {interface} {state}"));
    }

    /// Runs `ip` on a host.
    pub(crate) fn ip(&self, name: &str, arguments: &str) {
        run(&format!("ip -n {} {arguments}", self.namespace(name))).unwrap();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.nodes.clear();
        for name in &self.names {
            // A namespace that was never made cannot be deleted.
            let _ = run(&format!("ip netns del {}", self.namespace(name)));
        }
    }
}

/// Without root: the test once more, as root of a user namespace of its own.
fn inside_user_namespace(test: &str) -> Result<Hosts, String> {
    if std::env::var_os("HEDGEROW_TEST_UNSHARED").is_some() {
        return Err("neither root nor user namespaces".to_owned());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let script = "mount -t tmpfs tmpfs /run && exec \"$0\" --nocapture --exact \"$1\"";
    let status = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", script])
        .arg(program)
        .arg(test)
        .env("HEDGEROW_TEST_UNSHARED", "1")
        .status()
        .map_err(|error| format!("not root, and unshare cannot be run: {error}"))?;
    if status.success() {
        return Err("ran in a user namespace instead, see above".to_owned());
    }
    match Command::new("unshare").args(["-Urnm", "true"]).status() {
        Ok(status) if status.success() => panic!("failed in a user namespace, see above"),
        _ => Err("not root, and user namespaces are not permitted".to_owned()),
    }
}

/// A node's process.
pub(crate) struct Node {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    name: String,
}

impl Node {
    fn start(namespace: &str, name: &str, home: &Path) -> Self {
        let mut process = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env("HEDGEROW_TEST_NODE", name)
            .env("HEDGEROW_TEST_HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        // Ends with the process: its output closes.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // libtest writes to the same output, in the same line at times.
                let Some((_, line)) = line.split_once(MARK) else { continue };
                if sender.send(line.to_owned()).is_err() {
                    return;
                }
            }
        });
        let input = process.stdin.take().unwrap();
        Self { process, input, lines, name: name.to_owned() }
    }

    pub(crate) fn command(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    fn next(&mut self, deadline: Instant, awaited: &str) -> String {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{}: no {awaited} in time", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended", self.name),
        }
    }

    /// The next line that starts with `start`; other ones are passed over.
    pub(crate) fn line_with(&mut self, start: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let line = self.next(deadline, start);
            if line.starts_with(start) {
                return line;
            }
            assert!(!line.starts_with("error"), "{}: {line}", self.name);
        }
    }

    /// Waits until the node's graph satisfies `condition`; says how long that took.
    pub(crate) fn graph_until(
        &mut self,
        within: Duration,
        condition: impl Fn(&PresenceGraph) -> bool,
    ) -> Duration {
        let begin = Instant::now();
        self.command("graph");
        let mut last = None;
        loop {
            let left = (begin + within).saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: not so within {within:?}; the last graph: {last:#?}", self.name)
                }
                Err(RecvTimeoutError::Disconnected) => panic!("{} ended", self.name),
            };
            let Some(json) = line.strip_prefix("graph ") else { continue };
            let graph = PresenceGraph::from_json(json).unwrap();
            if condition(&graph) {
                return begin.elapsed();
            }
            last = Some(graph);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // `ip netns exec` replaces itself by the node, so this is the node's process.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
