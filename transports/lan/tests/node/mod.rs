//! A node as the tests play it: it reads reports and gives commands.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::id::Address;
use hedgerow_driver::{
    Beacon, BeaconIdentity, Condition, DialFailure, DialId, Driver, DriverError, Endpoint, LinkId,
    LinkLoss, LinkSender, LinkUp, NodePort, NodeSlot, Report, TransportCommand, TransportEvent,
    TransportId, connect,
};
use hedgerow_lan::{Lan, LanConfig};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far beyond what anything here takes: a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    port: Option<NodePort>,
    reports: mpsc::Receiver<(TransportId, Report)>,
    driver: JoinHandle<Result<(), DriverError>>,
    pub(crate) addresses: Vec<SocketAddr>,
    dials: u64,
    /// Every link ever, and whether it is up: the rules are checked with every report.
    up: HashSet<LinkId>,
    down: HashSet<LinkId>,
    answered: HashSet<DialId>,
}

pub(crate) fn beacon(byte: u8) -> Beacon {
    let identity = BeaconIdentity::Open { tag: [byte; 4], address: Address::from_bytes([byte; 8]) };
    Beacon { lowest: 1, highest: 1, identity }
}

/// A node that listens on this machine only.
pub(crate) fn on_localhost() -> LanConfig {
    let listen_ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    LanConfig { listen: true, listen_ip, ..LanConfig::default() }
}

impl Node {
    pub(crate) async fn start(config: LanConfig, number: u8) -> Self {
        let lan = Lan::bind(config);
        let addresses = lan.listen_addresses();
        let (slot, reports) = NodeSlot::new();
        let (port, driver_port) = connect(&slot, TransportId(number));
        let driver = tokio::spawn(Box::new(lan).run(driver_port));
        let node = Self {
            port: Some(port),
            reports,
            driver,
            addresses,
            dials: 0,
            up: HashSet::new(),
            down: HashSet::new(),
            answered: HashSet::new(),
        };
        node.command(TransportCommand::Advertise(beacon(number))).await;
        node
    }

    pub(crate) async fn command(&self, command: TransportCommand) {
        self.port.as_ref().unwrap().commands.send(command).await.unwrap();
    }

    pub(crate) async fn dial(&mut self, endpoint: &str) -> DialId {
        self.dials += 1;
        let dial = DialId(self.dials);
        self.command(TransportCommand::Dial { dial, endpoint: Endpoint::new(endpoint) }).await;
        dial
    }

    /// The next report; `None` once the driver is gone.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        timeout(PATIENCE, self.next_without_limit()).await.expect("a report in time")
    }

    /// The next report, however long it takes.
    pub(crate) async fn next_without_limit(&mut self) -> Option<Report> {
        let report = self.reports.recv().await.map(|(_, report)| report);
        self.check(report.as_ref());
        report
    }

    /// Rules 1 and 3 of the driver contract.
    fn check(&mut self, report: Option<&Report>) {
        match report {
            Some(Report::LinkUp(up, _)) => {
                assert!(self.up.insert(up.link), "{:?} was announced twice", up.link);
                if let hedgerow_driver::LinkOrigin::Dialled(dial) = up.origin {
                    assert!(self.answered.insert(dial), "{dial:?} was answered twice");
                }
            }
            Some(Report::Event(TransportEvent::DialFailed { dial, .. })) => {
                assert!(self.answered.insert(*dial), "{dial:?} was answered twice");
            }
            Some(Report::Event(TransportEvent::Received { link, .. }) | Report::Writable(link)) => {
                assert!(self.up.contains(link), "{link:?} is not announced");
                assert!(!self.down.contains(link), "{link:?} is down already");
            }
            Some(Report::Event(TransportEvent::LinkDown { link, .. })) => {
                assert!(self.up.contains(link), "{link:?} is not announced");
                assert!(self.down.insert(*link), "{link:?} is down already");
            }
            _ => {}
        }
    }

    /// Reads reports until one is what the test waits for.
    pub(crate) async fn until<T>(&mut self, mut pick: impl FnMut(Report) -> Option<T>) -> T {
        loop {
            let report = self.next().await.expect("the driver runs");
            if let Some(found) = pick(report) {
                return found;
            }
        }
    }

    pub(crate) async fn link_up(&mut self) -> (LinkUp, LinkSender) {
        self.until(|report| match report {
            Report::LinkUp(up, sender) => Some((up, sender)),
            Report::Event(TransportEvent::DialFailed { reason, .. }) => {
                panic!("the dial failed: {reason}")
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn link_down(&mut self) -> (LinkId, LinkLoss) {
        self.until(|report| match report {
            Report::Event(TransportEvent::LinkDown { link, reason }) => Some((link, reason)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn dial_failed(&mut self) -> (DialId, DialFailure) {
        self.until(|report| match report {
            Report::Event(TransportEvent::DialFailed { dial, reason }) => Some((dial, reason)),
            Report::LinkUp(up, _) => panic!("the dial came up: {up:?}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn condition(&mut self) -> Condition {
        self.until(|report| match report {
            Report::Event(TransportEvent::Condition(condition)) => Some(condition),
            _ => None,
        })
        .await
    }

    /// Sends `data` on `link` and reads until `expected` bytes came in or the link is down.
    pub(crate) async fn exchange(
        &mut self,
        link: LinkId,
        sender: &LinkSender,
        data: &Bytes,
        expected: usize,
    ) -> Vec<u8> {
        let mut left = data.clone();
        let mut received = Vec::with_capacity(expected);
        loop {
            fill(sender, &mut left);
            if left.is_empty() && received.len() >= expected {
                return received;
            }
            match self.next().await.expect("the driver runs") {
                Report::Event(TransportEvent::Received { link: from, data }) if from == link => {
                    received.extend_from_slice(&data);
                }
                Report::Event(TransportEvent::LinkDown { .. }) => return received,
                _ => {}
            }
        }
    }

    /// Drops the driver where it stands.
    pub(crate) async fn abort(self) {
        self.driver.abort();
        assert!(self.driver.await.unwrap_err().is_cancelled());
    }

    /// Shuts the driver down and returns what it reports until it has ended.
    pub(crate) async fn shut_down(mut self) -> Vec<Report> {
        drop(self.port.take());
        let mut last = Vec::new();
        while let Some(report) = self.next().await {
            last.push(report);
        }
        self.driver.await.unwrap().unwrap();
        last
    }
}

const CHUNK_BYTES: usize = 256 * 1024;

/// Gives the link what it takes; returns how many bytes.
pub(crate) fn fill(sender: &LinkSender, left: &mut Bytes) -> usize {
    let before = left.len();
    while !left.is_empty() {
        let Some(permit) = sender.try_reserve() else { break };
        permit.send(left.split_to(left.len().min(CHUNK_BYTES)));
    }
    before - left.len()
}

/// Bytes in which every shift and swap shows.
pub(crate) fn pattern(seed: u64, length: usize) -> Bytes {
    let mut state = seed;
    let mut data = Vec::with_capacity(length + 8);
    while data.len() < length {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&state.to_be_bytes());
    }
    data.truncate(length);
    data.into()
}

/// Two nodes with one link between them: `(node, its link, its way to send)` of both.
pub(crate) async fn pair() -> [(Node, LinkUp, LinkSender); 2] {
    let mut here = Node::start(on_localhost(), 1).await;
    let mut there = Node::start(on_localhost(), 2).await;
    here.dial(&there.addresses[0].to_string()).await;
    let (here_up, here_sender) = here.link_up().await;
    let (there_up, there_sender) = there.link_up().await;
    [(here, here_up, here_sender), (there, there_up, there_sender)]
}
