//! A node without a core: it drives one driver and remembers what that reports.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_core::id::Address;
use hedgerow_driver::{
    Beacon, BeaconIdentity, DialId, Driver, DriverError, Endpoint, LinkId, LinkLoss, LinkSender,
    LinkShape, LinkUp, NodePort, NodeSlot, Report, TransportCommand, TransportEvent, TransportId,
};
use hedgerow_memory::{Medium, Memory, Shape};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes; virtual, so it costs nothing.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Node {
    port: Option<NodePort>,
    reports: mpsc::Receiver<(TransportId, Report)>,
    senders: HashMap<LinkId, LinkSender>,
    /// Of the newest link, or the size of its packets.
    chunk_bytes: usize,
    set_aside: VecDeque<TransportEvent>,
    dials: u64,
    driver: JoinHandle<Result<(), DriverError>>,
}

impl Node {
    /// Runs `driver`, without advertising.
    pub(crate) fn start(driver: Memory) -> Self {
        let (slot, reports) = NodeSlot::new();
        let (port, driver_port) = hedgerow_driver::connect(&slot, TransportId(0));
        Self {
            port: Some(port),
            reports,
            senders: HashMap::new(),
            chunk_bytes: 0,
            set_aside: VecDeque::new(),
            dials: 0,
            driver: tokio::spawn(Box::new(driver).run(driver_port)),
        }
    }

    /// Runs the driver `name` of `medium` and advertises.
    pub(crate) async fn advertising(medium: &Medium, name: &str) -> Self {
        let node = Self::start(medium.driver(name));
        node.advertise(1).await;
        node
    }

    pub(crate) async fn command(&self, command: TransportCommand) {
        let port = self.port.as_ref().expect("not shut down");
        port.commands.send(command).await.expect("the driver runs");
    }

    pub(crate) async fn advertise(&self, version: u8) {
        self.command(TransportCommand::Advertise(beacon(version))).await;
    }

    pub(crate) async fn dial(&mut self, to: &str) -> DialId {
        let dial = DialId(self.dials);
        self.dials += 1;
        self.command(TransportCommand::Dial { dial, endpoint: Endpoint::new(to) }).await;
        dial
    }

    pub(crate) async fn close(&self, link: LinkId) {
        self.command(TransportCommand::Close(link)).await;
    }

    /// The next report, whatever it is; `Err` for room on a link.
    async fn next(&mut self) -> Result<TransportEvent, LinkId> {
        let report = timeout(PATIENCE, self.reports.recv()).await.expect("a report in time");
        self.note(report.expect("the driver has not ended").1)
    }

    fn note(&mut self, report: Report) -> Result<TransportEvent, LinkId> {
        match report {
            Report::Event(event) => Ok(event),
            Report::Writable(link) => Err(link),
            Report::LinkUp(up, sender) => {
                self.senders.insert(up.link, sender);
                self.chunk_bytes = match up.shape {
                    LinkShape::Stream { chunk_bytes, .. } => chunk_bytes,
                    LinkShape::Packet { packet_bytes, .. } => packet_bytes,
                    other => panic!("{other:?}"),
                };
                Ok(TransportEvent::LinkUp(up))
            }
        }
    }

    /// The next event that `wanted` wants; others wait for later calls.
    async fn next_event(&mut self, wanted: fn(&TransportEvent) -> bool) -> TransportEvent {
        if let Some(at) = self.set_aside.iter().position(wanted) {
            return self.set_aside.remove(at).unwrap();
        }
        loop {
            match self.next().await {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => self.set_aside.push_back(event),
                Err(_room) => {}
            }
        }
    }

    /// The next event of a link or a dial.
    pub(crate) async fn link_event(&mut self) -> TransportEvent {
        self.next_event(|event| !is_sighting(event)).await
    }

    pub(crate) async fn link_up(&mut self) -> LinkUp {
        match self.link_event().await {
            TransportEvent::LinkUp(up) => up,
            other => panic!("a link, not {other:?}"),
        }
    }

    pub(crate) async fn link_down(&mut self) -> (LinkId, LinkLoss) {
        match self.link_event().await {
            TransportEvent::LinkDown { link, reason } => (link, reason),
            other => panic!("the end of a link, not {other:?}"),
        }
    }

    /// The next name that is sighted (`Ok`) or lost (`Err`).
    pub(crate) async fn sighting(&mut self) -> Result<String, String> {
        match self.next_event(is_sighting).await {
            TransportEvent::Sighted(sighting) => Ok(sighting.endpoint.to_string()),
            TransportEvent::Lost(endpoint) => Err(endpoint.to_string()),
            other => panic!("a sighting, not {other:?}"),
        }
    }

    /// Nothing is reported for `time`, and nothing is left of before.
    pub(crate) async fn hears_nothing_for(&mut self, time: Duration) {
        assert!(self.set_aside.is_empty(), "left over: {:?}", self.set_aside);
        if let Ok(heard) = timeout(time, self.next_event(|_| true)).await {
            panic!("heard {heard:?}");
        }
    }

    /// Sends `data`, and receives until `expected` bytes have come; gives those.
    pub(crate) async fn exchange(&mut self, link: LinkId, data: &[u8], expected: usize) -> Vec<u8> {
        let mut chunks = data.chunks(self.chunk_bytes).peekable();
        let mut received = Vec::new();
        loop {
            // Read before sending: a driver whose reports are full does not write.
            let noted = if let Ok((_, report)) = self.reports.try_recv() {
                self.note(report)
            } else if chunks.next_if(|chunk| self.try_send(link, chunk)).is_some() {
                continue;
            } else if chunks.peek().is_none() && received.len() >= expected {
                return received;
            } else {
                self.next().await
            };
            match noted {
                Ok(TransportEvent::Received { link: from, data }) if from == link => {
                    received.extend_from_slice(&data);
                }
                Ok(event) => self.set_aside.push_back(event),
                Err(_room) => {}
            }
        }
    }

    /// Sends packets one by one.
    pub(crate) async fn send_packets(&mut self, link: LinkId, packets: &[Vec<u8>]) {
        for packet in packets {
            while !self.try_send(link, packet) {
                if let Ok(event) = self.next().await {
                    self.set_aside.push_back(event);
                }
            }
        }
    }

    /// The packets that come until none has come for `quiet`.
    pub(crate) async fn packets(&mut self, link: LinkId, quiet: Duration) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        while let Ok(event) = timeout(quiet, self.next_event(|event| !is_sighting(event))).await {
            match event {
                TransportEvent::Received { link: from, data } if from == link => {
                    packets.push(data.to_vec());
                }
                other => panic!("a packet, not {other:?}"),
            }
        }
        packets
    }

    /// Sends one chunk if there is room.
    pub(crate) fn try_send(&self, link: LinkId, chunk: &[u8]) -> bool {
        let room = self.senders[&link].try_reserve();
        room.map(|room| room.send(Bytes::copy_from_slice(chunk))).is_some()
    }

    /// Sends of `data` what is taken until there is no room for `patience`; gives how much.
    pub(crate) async fn fill(&mut self, link: LinkId, patience: Duration, data: &[u8]) -> usize {
        let mut taken = 0;
        for chunk in data.chunks(self.chunk_bytes) {
            while !self.try_send(link, chunk) {
                match timeout(patience, self.next()).await {
                    Ok(Ok(event)) => self.set_aside.push_back(event),
                    Ok(Err(_room)) => {}
                    Err(_nothing) => return taken,
                }
            }
            taken += chunk.len();
        }
        panic!("all {taken} bytes were taken");
    }

    /// Gives up the sender of a link, as a core does that is done with it.
    pub(crate) fn drop_sender(&mut self, link: LinkId) {
        self.senders.remove(&link).expect("a link that is up");
    }

    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Tells the driver to end.
    pub(crate) fn begin_shutdown(&mut self) {
        self.port = None;
    }

    /// How the driver ended.
    pub(crate) async fn ended(&mut self) -> Result<(), DriverError> {
        timeout(PATIENCE, &mut self.driver).await.expect("an end in time").expect("no panic")
    }

    /// Drops the driver where it stands, as a runtime does that ends.
    pub(crate) async fn kill(self) {
        self.driver.abort();
        assert!(self.driver.await.unwrap_err().is_cancelled());
    }
}

fn is_sighting(event: &TransportEvent) -> bool {
    matches!(event, TransportEvent::Sighted(_) | TransportEvent::Lost(_))
}

pub(crate) fn beacon(version: u8) -> Beacon {
    let identity = BeaconIdentity::Open { tag: [0; 4], address: Address::from_bytes([7; 8]) };
    Beacon { lowest: version, highest: version, identity }
}

/// Two nodes, "a" and "b", and a link that "a" dialled.
pub(crate) struct Linked {
    pub(crate) medium: Medium,
    pub(crate) a: Node,
    pub(crate) b: Node,
    pub(crate) of_a: LinkId,
    pub(crate) of_b: LinkId,
}

impl Linked {
    pub(crate) async fn over(shape: Shape) -> Self {
        let medium = Medium::new();
        medium.connect("a", "b", shape).unwrap();
        let mut a = Node::advertising(&medium, "a").await;
        let mut b = Node::advertising(&medium, "b").await;
        assert_eq!(a.sighting().await, Ok("b".into()));
        assert_eq!(b.sighting().await, Ok("a".into()));
        a.dial("b").await;
        let (of_a, of_b) = (a.link_up().await.link, b.link_up().await.link);
        Self { medium, a, b, of_a, of_b }
    }
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * at % 251).unwrap()).collect()
}
