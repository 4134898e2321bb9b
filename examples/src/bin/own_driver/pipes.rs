//! The driver.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use hedgerow::driver::{
    Beacon, ConnectionType, DialFailure, DialId, Dialling, Driver, DriverError, DriverFuture,
    Endpoint, LinkEstimate, LinkId, LinkLoss, LinkOrigin, LinkShape, LinkUp, NodeGone, Outgoing,
    Port, Reports, Sighting, TransportCommand, TransportProfile,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::exchange::{Exchange, Pipe};

/// What a chunk may hold: some milliseconds of the medium, and at least one frame.
const CHUNK_BYTES: usize = 8 * 1024;
const FRAME_BYTES_MAX: usize = 4 * 1024;
/// How long a closing link waits for an end that does not read.
const LINGER: Duration = Duration::from_millis(400);
/// How long the tasks may take to end well.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(800);

/// The driver of a node at one place of an exchange.
pub(crate) struct Pipes {
    exchange: Exchange,
    place: String,
}

impl Pipes {
    pub(crate) fn new(exchange: &Exchange, place: &str) -> Self {
        Self { exchange: exchange.clone(), place: place.to_owned() }
    }
}

impl Driver for Pipes {
    fn profile(&self) -> TransportProfile {
        TransportProfile {
            kind: ConnectionType::other("Pipe"),
            links_max: 16,
            dials_max: 4,
            dial_timeout: Duration::from_secs(5),
            dialled: Dialling::InSight,
        }
    }

    fn run(self: Box<Self>, port: Port) -> DriverFuture {
        let running = Running {
            sightings: self.exchange.shown.subscribe(),
            driver: *self,
            reports: port.reports,
            pipes: None,
            dials: HashMap::new(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
        };
        Box::pin(running.run(port.commands))
    }
}

/// A driver that runs. It owns every task and waits for none of them.
struct Running {
    driver: Pipes,
    reports: Reports,
    sightings: watch::Receiver<BTreeMap<String, Beacon>>,
    /// Pipes that come in; `None` before the first `Advertise`.
    pipes: Option<mpsc::Receiver<Pipe>>,
    /// Dropping a sender cancels the dial, or closes the link.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    links: HashMap<LinkId, oneshot::Sender<()>>,
    tasks: JoinSet<Result<(), NodeGone>>,
}

impl Running {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<TransportCommand>,
    ) -> Result<(), DriverError> {
        let sightings =
            tell_sightings(self.driver.place.clone(), self.sightings.clone(), self.reports.clone());
        // Sightings have no end of their own, so they end with this function.
        let mut sightings = JoinSet::from_iter([sightings]);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break,
                },
                Some(pipe) = next_of(&mut self.pipes) => self.accept(pipe),
                Some(_) = sightings.join_next() => break,
                Some(_) = self.tasks.join_next() => {
                    self.dials.retain(|_, cancel| !cancel.is_closed());
                    self.links.retain(|_, close| !close.is_closed());
                }
            }
        }
        // Goodbye to the others first; then every task is told by its dropped sender.
        let Self { driver, pipes, dials, links, mut tasks, .. } = self;
        driver.exchange.shown.send_modify(|shown| {
            shown.remove(&driver.place);
        });
        drop((pipes, dials, links));
        let all = async { while tasks.join_next().await.is_some() {} };
        // The rest waits for a node that does not read: dropping the tasks drops it.
        let _ = timeout(SHUTDOWN_WITHIN, all).await;
        Ok(())
    }

    fn obey(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => {
                let Pipes { exchange, place } = &self.driver;
                self.pipes.get_or_insert_with(|| exchange.open(place));
                exchange.shown.send_modify(|shown| {
                    shown.insert(place.clone(), beacon);
                });
            }
            TransportCommand::Dial { dial, endpoint } => self.dial(dial, &endpoint),
            TransportCommand::CancelDial(dial) => drop(self.dials.remove(&dial)),
            TransportCommand::Close(link) => drop(self.links.remove(&link)),
            // Who is on this machine is seen without being told of.
            TransportCommand::Hint { .. } => {}
        }
    }

    fn dial(&mut self, dial: DialId, endpoint: &Endpoint) {
        let (cancel, cancelled) = oneshot::channel::<()>();
        let (close, closed) = oneshot::channel();
        let link = self.reports.next_link();
        self.dials.insert(dial, cancel);
        self.links.insert(link, close);
        let Pipes { exchange, place } = &self.driver;
        let (exchange, place, to) = (exchange.clone(), place.clone(), endpoint.to_string());
        let reports = self.reports.clone();
        self.tasks.spawn(async move {
            let connected = tokio::select! {
                biased;
                _ = cancelled => Err(DialFailure::Cancelled),
                // A medium that takes time to connect is awaited here.
                connected = async { exchange.connect(&place, &to) } => connected,
            };
            match connected {
                Ok(pipe) => carry(pipe, link, LinkOrigin::Dialled(dial), reports, closed).await,
                Err(reason) => reports.dial_failed(dial, reason).await,
            }
        });
    }

    fn accept(&mut self, pipe: Pipe) {
        let (close, closed) = oneshot::channel();
        let link = self.reports.next_link();
        self.links.insert(link, close);
        self.tasks.spawn(carry(pipe, link, LinkOrigin::Accepted, self.reports.clone(), closed));
    }
}

async fn next_of(pipes: &mut Option<mpsc::Receiver<Pipe>>) -> Option<Pipe> {
    match pipes {
        Some(pipes) => pipes.recv().await,
        None => std::future::pending().await,
    }
}

/// Reports who comes and goes: what is there against what was told.
async fn tell_sightings(
    place: String,
    mut shown: watch::Receiver<BTreeMap<String, Beacon>>,
    reports: Reports,
) -> Result<(), NodeGone> {
    let mut told: BTreeMap<String, Beacon> = BTreeMap::new();
    loop {
        let mut seen = shown.borrow_and_update().clone();
        seen.remove(&place);
        for gone in told.keys().filter(|&other| !seen.contains_key(other)) {
            reports.lost(Endpoint::new(gone)).await?;
        }
        for (other, &beacon) in
            seen.iter().filter(|&(other, beacon)| told.get(other) != Some(beacon))
        {
            let sighting = Sighting { endpoint: Endpoint::new(other), beacon: Some(beacon) };
            reports.sighted(sighting).await?;
        }
        told = seen;
        if shown.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// One link, from its announcement to its end. Any `AsyncRead + AsyncWrite` is carried like this.
async fn carry(
    pipe: Pipe,
    link: LinkId,
    origin: LinkOrigin,
    reports: Reports,
    closed: oneshot::Receiver<()>,
) -> Result<(), NodeGone> {
    let Pipe { other, bytes, mut plugged_in } = pipe;
    let up = LinkUp {
        link,
        origin,
        shape: LinkShape::Stream { chunk_bytes: CHUNK_BYTES, frame_bytes_max: FRAME_BYTES_MAX },
        endpoint: Endpoint::new(&other),
        estimate: LinkEstimate { rate_bytes_per_s: 100_000_000, delay: Duration::ZERO },
    };
    let outgoing = reports.link_up(up).await?;
    let (mut reader, mut writer) = split(bytes);
    let reading = async {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        loop {
            match reader.read_buf(&mut buffer).await {
                Ok(1..) => reports.received(link, buffer.split()).await?,
                Ok(0) | Err(_) => return Ok(LinkLoss::ClosedByRemote),
            }
            buffer.reserve(CHUNK_BYTES);
        }
    };
    let loss = tokio::select! {
        loss = reading => loss?,
        loss = write(&mut writer, outgoing, closed) => loss,
        _ = plugged_in.changed() => LinkLoss::TimedOut,
    };
    // Both directions end here, before the end is told.
    let _ = writer.shutdown().await;
    drop((reader, writer));
    reports.link_down(link, loss).await
}

/// Writes what the node gives, chunk by chunk, until the link is closed.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    mut outgoing: Outgoing,
    closed: oneshot::Receiver<()>,
) -> LinkLoss {
    let mut all = pin!(async {
        while let Some(chunk) = outgoing.next().await {
            // Waits for the medium before the next chunk is taken: this is the back-pressure.
            writer.write_all(&chunk).await?;
        }
        io::Result::Ok(())
    });
    let written = tokio::select! {
        written = &mut all => written,
        // The node has dropped its sender: what was taken is written, and that was all.
        _ = closed => timeout(LINGER, all).await.unwrap_or(Ok(())),
    };
    written.map_or(LinkLoss::ClosedByRemote, |()| LinkLoss::Closed)
}

#[cfg(test)]
mod tests {
    use hedgerow::driver::conformance::{self, Bench, End, Figures};

    use super::*;
    use crate::exchange::PIPE_BYTES;

    struct Desk(Exchange);

    impl Bench for Desk {
        fn driver(&mut self, end: End) -> Box<dyn Driver> {
            Box::new(Pipes::new(&self.0, end.name()))
        }

        fn endpoint(&self, _end: End) -> Option<Endpoint> {
            None // The driver sights it.
        }

        fn nowhere(&self) -> Endpoint {
            Endpoint::new("nobody's place")
        }

        fn cut(&mut self) {
            self.0.unplug();
        }

        fn mend(&mut self) {
            self.0.plug_in();
        }

        fn figures(&self) -> Figures {
            Figures { buffered_bytes_max: PIPE_BYTES, ..Figures::default() }
        }
    }

    /// In virtual time, as nothing here waits for the operating system.
    #[tokio::test(start_paused = true)]
    async fn the_driver_keeps_every_rule() {
        let findings = conformance::assert_all(|_check| Desk(Exchange::new())).await;
        println!("{findings}");
    }
}
