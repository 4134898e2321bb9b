//! Two drivers on two hosts: network namespaces of Linux, joined by a cable.
//!
//! The test starts itself again in each namespace; `child` is what runs there. They talk in
//! lines: what the child sees comes out, what it is to do goes in.

#![cfg(target_os = "linux")]

mod node;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hedgerow_driver::{ConditionState, Report, TransportCommand, TransportEvent};
use hedgerow_lan::LanConfig;
use node::{Node, PATIENCE, beacon};

/// Set in a child: the number of its beacon.
const NUMBER: &str = "HEDGEROW_LAN_TEST_NUMBER";
/// Set in a child in whose namespace somebody else holds the port of multicast DNS.
const PORT_HELD: &str = "HEDGEROW_LAN_TEST_PORT_HELD";
/// Marks the child's lines among those of the test runner.
const MARK: &str = "lan-test: ";

// ---- what runs in a namespace ----

#[tokio::test]
async fn child() {
    let Ok(number) = std::env::var(NUMBER) else { return };
    // Of both families, as there is one socket for both by default.
    let held = std::env::var_os(PORT_HELD).map(|_| UdpSocket::bind("[::]:5353").unwrap());
    let config = LanConfig {
        mdns_enabled: true,
        listen: true,
        peers: vec!["192.0.2.1:4040".to_owned()],
        ..LanConfig::default()
    };
    let mut node = Node::start(config, number.parse().unwrap()).await;

    let (orders, mut given) = tokio::sync::mpsc::channel(8);
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            if orders.blocking_send(order).is_err() {
                break;
            }
        }
    });
    loop {
        tokio::select! {
            report = node.next_without_limit() => tell(&report.expect("the driver runs")),
            order = given.recv() => match order.as_deref().and_then(|line| line.split_once(' ')) {
                Some(("dial", endpoint)) => { node.dial(endpoint).await; }
                Some(("advertise", number)) => {
                    let beacon = beacon(number.parse().unwrap());
                    node.command(TransportCommand::Advertise(beacon)).await;
                }
                _ => break,
            },
        }
    }
    let began = Instant::now();
    node.shut_down().await;
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    say("ended");
    drop(held);
}

fn tell(report: &Report) {
    match report {
        Report::LinkUp(up, _) => say(&format!("up {}", up.endpoint)),
        Report::Event(TransportEvent::Sighted(sighting)) => {
            let label = sighting.beacon.map_or("static".to_owned(), |beacon| beacon.label());
            say(&format!("sighted {} {label}", sighting.endpoint));
        }
        Report::Event(TransportEvent::Lost(endpoint)) => say(&format!("lost {endpoint}")),
        Report::Event(TransportEvent::DialFailed { reason, .. }) => say(&format!("no {reason}")),
        Report::Event(TransportEvent::Condition(condition)) => {
            say(&format!("condition {:?}", condition.state));
        }
        _ => {}
    }
}

fn say(line: &str) {
    // Not `println`, which the test runner captures.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).unwrap();
}

// ---- the namespaces ----

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    match output {
        Err(error) => Err(format!("ip {arguments}: {error}")),
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&stderr).trim()))
        }
    }
}

/// A namespace, removed with everything in it when dropped.
struct Namespace(String);

impl Namespace {
    fn new(role: &str) -> Result<Self, String> {
        let name = format!("hedgerow-{role}-{}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Self(name);
        ip(&format!("-n {} link set lo up", namespace.0))?;
        Ok(namespace)
    }

    /// A cable to another namespace, with an IPv4 address at each end.
    fn join(&self, other: &Self) -> Result<(), String> {
        let id = std::process::id();
        let (here, there) = (format!("h{id}a"), format!("h{id}b"));
        ip(&format!(
            "link add {here} netns {} type veth peer name {there} netns {}",
            self.0, other.0
        ))?;
        for (space, device, address) in [(self, here, 1), (other, there, 2)] {
            ip(&format!("-n {} addr add 10.77.0.{address}/24 dev {device}", space.0))?;
            ip(&format!("-n {} link set {device} up", space.0))?;
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.0));
    }
}

/// A child in a namespace, killed when dropped.
struct Host {
    process: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Host {
    fn start(namespace: &Namespace, number: u8, port_held: bool) -> Self {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &namespace.0])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(NUMBER, number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if port_held {
            command.env(PORT_HELD, "1");
        }
        let mut process = command.spawn().unwrap();
        let (orders, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    let _ = sender.send(line.to_owned());
                }
            }
        });
        Self { process, orders, lines }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// Reads what the child says until `is_done`, and returns all of it.
    fn until(&self, what: &str, mut is_done: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("waited for {what}, heard {said:#?}")
            };
            let done = is_done(&line);
            said.push(line);
            if done {
                return said;
            }
        }
    }

    /// Waits until the other host was seen at an IPv4 and at a link-local address.
    fn until_sighted(&self, label: &str) -> BTreeSet<String> {
        let mut endpoints = BTreeSet::new();
        self.until(&format!("{label} at both addresses"), |line| {
            if let Some(endpoint) = sighted(line, label) {
                endpoints.insert(endpoint);
            } else if let Some(endpoint) = line.strip_prefix("lost ") {
                endpoints.remove(endpoint);
            }
            let has = |start: &str| endpoints.iter().any(|endpoint| endpoint.starts_with(start));
            has("10.77.0.") && has("[fe80:")
        });
        endpoints
    }

    fn until_ended(mut self) -> Vec<String> {
        self.order("end");
        let said = self.until("the end", |line| line == "ended");
        assert!(self.process.wait().unwrap().success());
        said
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn sighted(line: &str, label: &str) -> Option<String> {
    let endpoint = line.strip_prefix("sighted ")?.strip_suffix(label)?;
    Some(endpoint.trim().to_owned())
}

fn skip(reason: &str) {
    // Not `eprintln`, which the test runner captures.
    let _ = std::io::stderr().write_all(format!("SKIP mdns: {reason}\n").as_bytes());
}

// ---- the tests ----

#[test]
fn two_hosts_see_each_other_come_rename_and_go() {
    let namespaces = Namespace::new("a").and_then(|a| Namespace::new("b").map(|b| (a, b)));
    let namespaces = namespaces.and_then(|(a, b)| a.join(&b).map(|()| (a, b)));
    let (a, b) = match namespaces {
        Ok(namespaces) => namespaces,
        Err(reason) => return skip(&reason),
    };
    let (label, renamed) = (beacon(2).label(), beacon(3).label());
    let mut here = Host::start(&a, 1, false);
    let mut there = Host::start(&b, 2, false);
    let endpoints = here.until_sighted(&label);
    there.until_sighted(&beacon(1).label());

    for endpoint in &endpoints {
        here.order(&format!("dial {endpoint}"));
        let up = format!("up {endpoint}");
        here.until(&up, |line| {
            assert!(!line.starts_with("no "), "{endpoint}: {line}");
            line == up
        });
    }

    // A closed network's beacon changes its name now and then: the place stays.
    there.order("advertise 3");
    let mut under_new_name = BTreeSet::new();
    here.until("the new name at every endpoint", |line| {
        assert!(!line.starts_with("lost "), "{line}");
        under_new_name.extend(sighted(line, &renamed));
        under_new_name.is_superset(&endpoints)
    });

    there.until_ended();
    let mut left = under_new_name;
    here.until("the goodbye", |line| {
        if let Some(endpoint) = line.strip_prefix("lost ") {
            left.remove(endpoint);
        }
        left.is_empty()
    });
    let rest = here.until_ended();
    assert!(!rest.iter().any(|line| line.starts_with("lost ")), "lost once: {rest:?}");
}

#[test]
fn without_the_port_it_says_so_and_configured_peers_go_on() {
    let namespace = match Namespace::new("held") {
        Ok(namespace) => namespace,
        Err(reason) => return skip(&reason),
    };
    let host = Host::start(&namespace, 1, true);
    let failure = format!("condition {:?}", ConditionState::MdnsFailure);
    let (mut has_failed, mut has_peer) = (false, false);
    host.until("the condition and the peer", |line| {
        has_failed |= line == failure;
        has_peer |= line == "sighted 192.0.2.1:4040 static";
        has_failed && has_peer
    });
    host.until_ended();
}
