//! A node without a core: it drives one driver, and holds every report against the rules.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::flow::Flow;
use super::ledger::Ledger;
use super::{Breach, End, Figures, post, require};
use crate::{
    Address, Beacon, BeaconIdentity, DialFailure, DialId, Driver, DriverError, Endpoint, LinkId,
    LinkLoss, LinkSender, LinkUp, NodePort, NodeSlot, Report, TransportCommand, TransportEvent,
    TransportId, connect,
};

/// What a driver reported of its links and dials, found to be allowed.
#[derive(Debug)]
pub(super) enum Seen {
    Up(LinkUp),
    Down(LinkId, LinkLoss),
    Failed(DialId, DialFailure),
    /// Anything that no check waits for in particular; the witness has taken note of it.
    Noted,
}

/// The node at one end, with its driver.
pub(super) struct Witness {
    pub(super) end: End,
    pub(super) figures: Figures,
    pub(super) ledger: Ledger,
    pub(super) flows: BTreeMap<LinkId, Flow>,
    /// The sizes of packets that were told after their links came up.
    pub(super) packet_bytes: BTreeMap<LinkId, usize>,
    senders: BTreeMap<LinkId, LinkSender>,
    dials: u64,
    /// Reports for a later question.
    aside: VecDeque<Seen>,
    port: Option<NodePort>,
    reports: mpsc::Receiver<(TransportId, Report)>,
    driver: JoinHandle<Result<(), DriverError>>,
}

/// The beacon of an end.
pub(super) fn beacon(end: End) -> Beacon {
    let byte = end as u8 + 1;
    let identity = BeaconIdentity::Open { tag: [byte; 4], address: Address::from_bytes([byte; 8]) };
    Beacon { lowest: 1, highest: 1, identity }
}

impl Witness {
    /// Runs a driver, without advertising.
    pub(super) fn start(end: End, driver: Box<dyn Driver>, figures: Figures) -> Self {
        let transport = TransportId(end as u8 + 1);
        // The slot ends here, so the reports end when the driver's last task does.
        let (slot, reports) = NodeSlot::new();
        let (port, driver_port) = connect(&slot, transport);
        Self {
            end,
            figures,
            ledger: Ledger::new(transport),
            flows: BTreeMap::new(),
            packet_bytes: BTreeMap::new(),
            senders: BTreeMap::new(),
            dials: 0,
            aside: VecDeque::new(),
            port: Some(port),
            reports,
            driver: tokio::spawn(driver.run(driver_port)),
        }
    }

    fn breach<T>(&self, what: &str) -> Result<T, Breach> {
        Err(Breach(format!("{}: {what}", self.end.name())))
    }

    // Commands.

    pub(super) async fn command(&mut self, command: TransportCommand) -> Result<(), Breach> {
        let Some(port) = &self.port else { return self.breach("no command after the shutdown") };
        match timeout(self.figures.patience, port.commands.send(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.early_end().await),
            Err(_) => self.breach("the driver takes no commands: its command loop hangs"),
        }
    }

    pub(super) async fn advertise(&mut self) -> Result<(), Breach> {
        self.ledger.has_advertised = true;
        self.command(TransportCommand::Advertise(beacon(self.end))).await
    }

    pub(super) async fn dial(&mut self, endpoint: Endpoint) -> Result<DialId, Breach> {
        let dial = DialId(self.dials);
        self.dials += 1;
        self.ledger.ask(dial);
        self.command(TransportCommand::Dial { dial, endpoint }).await?;
        Ok(dial)
    }

    /// Closes a link as a node does.
    pub(super) async fn close(&mut self, link: LinkId) -> Result<(), Breach> {
        self.senders.remove(&link);
        self.command(TransportCommand::Close(link)).await
    }

    /// Shuts the driver down.
    pub(super) fn end_commands(&mut self) {
        self.port = None;
        self.senders.clear();
    }

    /// Drops the driver where it stands.
    pub(super) async fn drop_driver(&mut self) {
        self.driver.abort();
        let _ = (&mut self.driver).await;
        self.port = None;
    }

    /// How the driver ended, if that is in time.
    pub(super) async fn ended(&mut self, within: Duration) -> Result<(), Breach> {
        match timeout(within, &mut self.driver).await {
            Err(_) => self.breach(&format!("the driver did not end within {within:?}")),
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => self.breach(&format!("the driver ended with \"{error}\"")),
            Ok(Err(error)) => self.breach(&format!("the driver did not end by itself: {error}")),
        }
    }

    /// Why a driver ended that should run.
    async fn early_end(&mut self) -> Breach {
        match timeout(self.figures.patience, &mut self.driver).await {
            Err(_) => Breach("the driver dropped its channels but still runs".to_owned()),
            Ok(end) => Breach(format!("{}: the driver ended by itself: {end:?}", self.end.name())),
        }
    }

    // Reports.

    fn note(&mut self, report: Report) -> Result<Seen, Breach> {
        let seen = self.judge(report);
        seen.map_err(|Breach(what)| Breach(format!("{}: {what}", self.end.name())))
    }

    fn judge(&mut self, report: Report) -> Result<Seen, Breach> {
        let event = match report {
            Report::LinkUp(up, sender) => {
                self.ledger.on_up(&up)?;
                self.senders.insert(up.link, sender);
                return Ok(Seen::Up(up));
            }
            Report::Writable(link) => {
                self.ledger.on_word(link, "room")?;
                return Ok(Seen::Noted);
            }
            Report::Event(event) => event,
        };
        match event {
            TransportEvent::LinkUp(_) => Err(Breach("a link without a way to send".to_owned())),
            TransportEvent::LinkDown { link, reason } => {
                self.ledger.on_down(link)?;
                self.senders.remove(&link);
                Ok(Seen::Down(link, reason))
            }
            TransportEvent::DialFailed { dial, reason } => {
                self.ledger.on_answer(dial)?;
                Ok(Seen::Failed(dial, reason))
            }
            TransportEvent::Received { link, data } => {
                self.ledger.on_word(link, "received bytes")?;
                match self.flows.get_mut(&link) {
                    Some(flow) => flow.back.receive(&data)?,
                    None => require(data.is_empty(), || {
                        format!("{} bytes on {link:?}, where nobody sent any", data.len())
                    })?,
                }
                Ok(Seen::Noted)
            }
            TransportEvent::PacketBytes { link, packet_bytes } => {
                self.ledger.on_word(link, "a size of packets")?;
                post::is_possible(packet_bytes)?;
                self.packet_bytes.insert(link, packet_bytes);
                if let Some(flow) = self.flows.get_mut(&link) {
                    flow.out.set_packet_bytes(packet_bytes)?;
                }
                Ok(Seen::Noted)
            }
            TransportEvent::Distance { link, distance } => {
                self.ledger.on_distance(link, distance)?;
                Ok(Seen::Noted)
            }
            TransportEvent::Sighted(sighting) => {
                self.ledger.aside += 1;
                self.ledger.seen.insert(sighting.endpoint, sighting.beacon);
                Ok(Seen::Noted)
            }
            TransportEvent::Lost(endpoint) => {
                self.ledger.aside += 1;
                self.ledger.seen.remove(&endpoint);
                Ok(Seen::Noted)
            }
            TransportEvent::Hint(hint) => {
                self.ledger.aside += 1;
                self.ledger.hint = hint;
                Ok(Seen::Noted)
            }
            TransportEvent::Condition(condition) => {
                self.ledger.aside += 1;
                Ledger::on_condition(&condition)?;
                Ok(Seen::Noted)
            }
        }
    }

    /// The next report; `None` once the driver's last task has ended.
    pub(super) async fn next_or_end(&mut self) -> Result<Option<Seen>, Breach> {
        match self.reports.recv().await {
            Some((_, report)) => self.note(report).map(Some),
            None => Ok(None),
        }
    }

    async fn next(&mut self) -> Result<Seen, Breach> {
        match self.next_or_end().await? {
            Some(seen) => Ok(seen),
            None => Err(self.early_end().await),
        }
    }

    fn put_aside(&mut self, seen: Seen) {
        if !matches!(seen, Seen::Noted) {
            self.aside.push_back(seen);
        }
    }

    /// Takes what has been reported by now, without waiting; says whether there was something.
    pub(super) fn read_waiting(&mut self) -> Result<bool, Breach> {
        let mut some = false;
        for _ in 0..crate::port::QUEUE {
            let Ok((_, report)) = self.reports.try_recv() else { break };
            let seen = self.note(report)?;
            self.put_aside(seen);
            some = true;
        }
        Ok(some)
    }

    /// Reads until `pick` finds what it looks for among what is new or was put aside.
    pub(super) async fn until<T>(
        &mut self,
        awaited: &str,
        pick: impl Fn(&Seen) -> Option<T>,
    ) -> Result<T, Breach> {
        let old = self.aside.iter().enumerate().find_map(|(at, seen)| Some((at, pick(seen)?)));
        if let Some((at, found)) = old {
            self.aside.remove(at);
            return Ok(found);
        }
        let patience = self.figures.patience;
        let reading = async {
            loop {
                let seen = self.next().await?;
                match pick(&seen) {
                    Some(found) => return Ok(found),
                    None => self.put_aside(seen),
                }
            }
        };
        match timeout(patience, reading).await {
            Ok(found) => found,
            Err(_) => {
                let aside = &self.aside;
                self.breach(&format!("no {awaited} in time; other reports: {aside:?}"))
            }
        }
    }

    pub(super) async fn link_up(&mut self) -> Result<LinkUp, Breach> {
        self.until("link", |seen| match seen {
            Seen::Up(up) => Some(up.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn link_down(&mut self, link: LinkId) -> Result<LinkLoss, Breach> {
        self.until("`LinkDown`", |seen| match seen {
            Seen::Down(of, reason) if *of == link => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn dial_failed(&mut self, dial: DialId) -> Result<DialFailure, Breach> {
        self.until("failure of a dial", |seen| match seen {
            Seen::Failed(of, reason) if *of == dial => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the ledger is as wished.
    pub(super) async fn until_noted<T>(
        &mut self,
        awaited: &str,
        pick: impl Fn(&Ledger) -> Option<T>,
    ) -> Result<T, Breach> {
        let patience = self.figures.patience;
        let reading = async {
            loop {
                if let Some(found) = pick(&self.ledger) {
                    return Ok(found);
                }
                let seen = self.next().await?;
                self.put_aside(seen);
            }
        };
        match timeout(patience, reading).await {
            Ok(found) => found,
            Err(_) => self.breach(&format!("no {awaited} in time")),
        }
    }

    /// Nothing of links and dials is left over, and nothing more comes.
    pub(super) async fn quiet(&mut self) -> Result<(), Breach> {
        let quiet = self.figures.quiet;
        let listening = async {
            while self.aside.is_empty() {
                let seen = self.next().await?;
                self.put_aside(seen);
            }
            Ok(())
        };
        timeout(quiet, listening).await.unwrap_or(Ok(()))?;
        match self.aside.front() {
            None => Ok(()),
            Some(seen) => self.breach(&format!("nothing more was to be reported, but: {seen:?}")),
        }
    }

    // Bytes.

    /// Sends what the links take now; says whether that was something.
    pub(super) fn push(&mut self) -> bool {
        let mut some = false;
        for (link, flow) in &mut self.flows {
            let Some(sender) = self.senders.get(link) else { continue };
            while !flow.out.is_sent()
                && let Some(permit) = sender.try_reserve()
            {
                permit.send(flow.out.next_chunk());
                some = true;
            }
        }
        some
    }

    /// Sends and receives until every flow is at its goals.
    pub(super) async fn carry(&mut self) -> Result<(), Breach> {
        let mut still_for = Duration::ZERO;
        loop {
            if self.read_waiting()? || self.push() {
                still_for = Duration::ZERO;
                // Both ends may be in one task: the other's turn.
                tokio::task::yield_now().await;
                continue;
            }
            let unfinished = |(link, flow): (&LinkId, &Flow)| {
                (!flow.out.is_sent() || !flow.back.is_received()).then_some(*link)
            };
            let Some(link) = self.flows.iter().find_map(unfinished) else { return Ok(()) };
            if !self.ledger.is_up(link) {
                return self.breach(&format!("{link:?} went down before all was received"));
            }
            // Not in one go: what the other end has sent may be lost, and nothing more is to come.
            if let Ok(seen) = timeout(self.figures.quiet, self.next()).await {
                let seen = seen?;
                self.put_aside(seen);
                still_for = Duration::ZERO;
                continue;
            }
            still_for += self.figures.quiet;
            if still_for >= self.figures.patience {
                return self.breach(&format!(
                    "{link:?} stands still: {}; bytes were lost, or room was not reported",
                    self.flows.get(&link).map(ToString::to_string).unwrap_or_default()
                ));
            }
        }
    }

    /// Sends until no room comes up for as long as `quiet`, or more than `limit` bytes were taken.
    pub(super) async fn fill(&mut self, link: LinkId, limit: usize) -> Result<usize, Breach> {
        loop {
            self.push();
            let taken = self.flows.get(&link).map_or(0, |flow| flow.out.done);
            if taken > limit {
                return Ok(taken);
            }
            let Ok(seen) = timeout(self.figures.quiet, self.next()).await else {
                return Ok(taken);
            };
            let seen = seen?;
            self.put_aside(seen);
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
