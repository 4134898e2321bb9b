//! Hosts as network namespaces of Linux, joined by cables.
//!
//! A test file starts itself again in each namespace; `child` is what runs there. They talk in
//! lines: what the child sees comes out, what it is to do goes in.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hedgerow_core::identity::Identity;
use hedgerow_driver::{ConditionState, Hint, PeerKey, Report, TransportCommand, TransportEvent};
use hedgerow_lan::{InterfaceRules, LanConfig};
use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceInfo};

use crate::node::{Node, PATIENCE, beacon};

/// Set in a child: the number of its beacon.
const NUMBER: &str = "HEDGEROW_LAN_TEST_NUMBER";
/// Set in a child: what differs from the usual configuration, `key=value`, split by spaces.
const SETTINGS: &str = "HEDGEROW_LAN_TEST_SETTINGS";
/// Marks the child's lines among those of the test runner.
const MARK: &str = "lan-test: ";

/// What runs in a namespace; does nothing where nobody asked for it.
pub(crate) async fn child() {
    let Ok(number) = std::env::var(NUMBER) else { return };
    let settings = std::env::var(SETTINGS).unwrap();
    let all = |key: &str| -> Vec<String> {
        let values = settings.split(' ').filter_map(|setting| setting.split_once('='));
        values.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
    };
    if let Some(count) = all("flood").first() {
        return flood(count.parse().unwrap());
    }
    // Somebody else holds the port of multicast DNS. Of both families, as there is one socket
    // for both by default.
    let mut held = (!all("held").is_empty()).then(|| UdpSocket::bind("[::]:5353").unwrap());
    let config = LanConfig {
        mdns_enabled: all("mdns").is_empty(),
        exchange_addresses: !all("exchange").is_empty(),
        interfaces: InterfaceRules { allow: all("allow"), deny: all("deny") },
        listen: true,
        port: all("port").first().map_or(0, |port| port.parse().unwrap()),
        listen_ip: all("ip").first().map(|ip| ip.parse().unwrap()),
        peers: all("peer"),
    };
    let mut node = Node::start(config, number.parse().unwrap()).await;

    let (orders, mut given) = tokio::sync::mpsc::channel(8);
    let (go_on, until_going_on) = mpsc::channel();
    std::thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            let taken = match order.as_str() {
                "go on" => go_on.send(()).is_ok(),
                _ => orders.blocking_send(order).is_ok(),
            };
            if !taken {
                break;
            }
        }
    });
    loop {
        tokio::select! {
            report = node.next_without_limit() => tell(&report.expect("it runs")),
            order = given.recv() => match order.as_deref().and_then(|line| line.split_once(' ')) {
                Some(("hint", hint)) => node.command(told(hint)).await,
                Some(("dial", endpoint)) => { node.dial(endpoint).await; }
                Some(("advertise", number)) => {
                    let beacon = beacon(number.parse().unwrap());
                    node.command(TransportCommand::Advertise(beacon)).await;
                }
                // The only thread of the runtime stands still, and the driver with it.
                Some(("stall", _)) => {
                    say("stalled");
                    until_going_on.recv().unwrap();
                }
                Some(("release", _)) => held = None,
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

/// The neighbour that tells hints in tests.
pub(crate) fn neighbour() -> PeerKey {
    Identity::from_seed(&[1; 32]).unwrap().peer_key()
}

/// What it tells: `bytes` in hexadecimal, or nothing.
fn told(bytes: &str) -> TransportCommand {
    let pairs = bytes.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    TransportCommand::Hint { from: neighbour(), hint: Hint::new(&bytes).unwrap() }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shows so many services that are not nodes, until the process is killed.
fn flood(count: usize) {
    let daemon = ServiceDaemon::new().unwrap();
    let news = daemon.monitor().unwrap();
    let of = |number: usize| {
        let (name, host) = (format!("flood{number}"), format!("flood{number}.local."));
        let properties: &[(&str, &str)] = &[];
        let service =
            ServiceInfo::new("_hedgerow._tcp.local.", &name, &host, (), 1, properties).unwrap();
        let mut service = service.enable_addr_auto();
        service.set_requires_probe(false);
        service
    };
    let mut announced = 0;
    for number in 0..count {
        while daemon.register(of(number)).is_err() {
            std::thread::yield_now();
        }
    }
    // Each is announced twice.
    while announced < 2 * count {
        announced += usize::from(matches!(news.recv(), Ok(DaemonEvent::Announce(..))));
    }
    say("flooded");
    let _ = std::io::stdin().lines().count();
}

fn tell(report: &Report) {
    match report {
        Report::LinkUp(up, _) => say(&format!("up {}", up.endpoint)),
        Report::Event(TransportEvent::Sighted(sighting)) => {
            let label = sighting.beacon.map_or("static".to_owned(), |beacon| beacon.label());
            say(&format!("sighted {} {label}", sighting.endpoint));
        }
        Report::Event(TransportEvent::Hint(hint)) => {
            say(&format!("hint {}", hex(hint.as_bytes())));
        }
        Report::Event(TransportEvent::Lost(endpoint)) => say(&format!("lost {endpoint}")),
        Report::Event(TransportEvent::DialFailed { reason, .. }) => say(&format!("no {reason}")),
        Report::Event(TransportEvent::Condition(condition)) => {
            say(&format!("condition {:?} {}", condition.state, condition.detail));
        }
        _ => {}
    }
}

fn say(line: &str) {
    // Not `println`, which the test runner captures.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).unwrap();
}

pub(crate) fn skip(test: &str, reason: &str) {
    // Not `eprintln`, which the test runner captures.
    let _ = std::io::stderr().write_all(format!("\nSKIP {test}: {reason}\n").as_bytes());
}

/// Runs a program that must succeed; what it says if it does not.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let command = format!("{program} {}", arguments.join(" "));
    match Command::new(program).args(arguments).output() {
        Err(error) => Err(format!("{command}: {error}")),
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            Err(format!("{command}: {}", String::from_utf8_lossy(&stderr).trim()))
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    run("ip", &arguments.split(' ').collect::<Vec<_>>())
}

/// A namespace, removed with everything in it when dropped.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(role: &str) -> Result<Self, String> {
        let name = format!("hedgerow-{role}-{}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Self(name);
        ip(&format!("-n {} link set lo up", namespace.0))?;
        Ok(namespace)
    }

    /// Two of them, for the test of that name; a line says why where there can be none.
    pub(crate) fn two(test: &str) -> Option<[Self; 2]> {
        let role = |end| format!("{}{end}", &test[..test.len().min(8)]);
        let both = Self::new(&role('a')).and_then(|a| Ok([a, Self::new(&role('b'))?]));
        both.map_err(|reason| skip(test, &reason)).ok()
    }

    /// Runs `ip` on this namespace; it must succeed.
    pub(crate) fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.0)).unwrap();
    }

    pub(crate) fn without_ipv6(&self) {
        let script = "for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > $f; done";
        run("ip", &["netns", "exec", &self.0, "sh", "-c", script]).unwrap();
    }

    /// A cable to another namespace, down and without addresses, called the same at both ends.
    pub(crate) fn plug(&self, device: &str, other: &Self) {
        self.ip(&format!("link add {device} type veth peer name {device} netns {}", other.0));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.0));
    }
}

/// Two hosts on one segment `eth0`, 10.77.0.1 and 10.77.0.2, IPv6 on.
pub(crate) fn segment(test: &str) -> Option<[Namespace; 2]> {
    let hosts = Namespace::two(test)?;
    hosts[0].plug("eth0", &hosts[1]);
    for (host, address) in hosts.iter().zip(1..) {
        host.ip(&format!("addr add 10.77.0.{address}/24 dev eth0"));
        host.ip("link set eth0 up");
    }
    Some(hosts)
}

/// A child in a namespace, killed when dropped.
pub(crate) struct Host {
    process: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Host {
    pub(crate) fn start(namespace: &Namespace, number: u8, settings: &str) -> Self {
        let mut process = Command::new("ip")
            .args(["netns", "exec", &namespace.0])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(NUMBER, number.to_string())
            .env(SETTINGS, settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
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

    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    /// Reads what the child says until `is_done`, and returns all of it.
    pub(crate) fn until(&self, what: &str, mut is_done: impl FnMut(&str) -> bool) -> Vec<String> {
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

    /// Waits until another host was seen at one address of each of these beginnings at least;
    /// everywhere it was seen, in the order of the sightings.
    pub(crate) fn until_sighted(&self, label: &str, starts: &[&str]) -> Vec<String> {
        let mut endpoints = Vec::new();
        self.until(&format!("{label} at {starts:?}"), |line| {
            if let Some(endpoint) = sighted(line, label) {
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            } else if let Some(lost) = line.strip_prefix("lost ") {
                endpoints.retain(|endpoint| endpoint != lost);
            }
            let has = |start: &&str| endpoints.iter().any(|endpoint| endpoint.starts_with(*start));
            starts.iter().all(has)
        });
        endpoints
    }

    /// Waits until all of these are lost.
    pub(crate) fn until_lost(&self, endpoints: &[String]) {
        let mut left: BTreeSet<&str> = endpoints.iter().map(String::as_str).collect();
        self.until("the loss of all", |line| {
            if let Some(endpoint) = line.strip_prefix("lost ") {
                left.remove(endpoint);
            }
            left.is_empty()
        });
    }

    /// Waits for a condition; what it says to the user.
    pub(crate) fn until_condition(&self, state: ConditionState) -> String {
        let start = format!("condition {state:?} ");
        let said = self.until(&start, |line| line.starts_with(&start));
        said.last().unwrap()[start.len()..].to_owned()
    }

    /// Dials an endpoint and waits for the link.
    pub(crate) fn link(&mut self, endpoint: &str) {
        self.order(&format!("dial {endpoint}"));
        let up = format!("up {endpoint}");
        self.until(&up, |line| {
            assert!(!line.starts_with("no "), "{endpoint}: {line}");
            line == up
        });
    }

    pub(crate) fn until_ended(mut self) -> Vec<String> {
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

/// Where a line says that somebody was seen.
pub(crate) fn sighted(line: &str, label: &str) -> Option<String> {
    let endpoint = line.strip_prefix("sighted ")?.strip_suffix(label)?;
    Some(endpoint.trim().to_owned())
}
