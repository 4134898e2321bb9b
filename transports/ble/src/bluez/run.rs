//! The command loop: it owns every task and never waits for one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{
    Beacon, DialFailure, DialId, DriverError, Endpoint, LinkOrigin, NodeGone, Port,
    TransportCommand,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tracing::warn;

use super::accept::{Newcomer, Subscriber};
use super::acl::Acls;
use super::channel::Channel;
use super::dial::{ChannelFailures, dial, parse};
use super::station::Station;
use super::supervise::Supervisor;
use crate::BleConfig;
use crate::link::{BleLinks, Carrier, Medium};

/// How long the tasks may take to say goodbye.
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(600);
/// How long bluetoothd may take to hear that connections are to end.
const GOODBYE_WITHIN: Duration = Duration::from_millis(300);
/// Newcomers that may wait for the command loop.
const NEWCOMERS_MAX: usize = 8;

/// Runs the driver until the node shuts down.
pub(crate) async fn run(config: BleConfig, mut port: Port) -> Result<(), DriverError> {
    let links = Arc::new(BleLinks::new(port.reports.clone(), config.links_max));
    let acls = Arc::new(Acls::default());
    let beacon = watch::Sender::new(None);
    let (stations, station) = watch::channel(None);
    let (subscribers, mut subscribed) = mpsc::channel(NEWCOMERS_MAX);
    let (channels, mut opened) = mpsc::channel(NEWCOMERS_MAX);
    let mut running = Running {
        links: Arc::clone(&links),
        acls: Arc::clone(&acls),
        station,
        failures: Arc::default(),
        may_use_channels: config.l2cap,
        dials: HashMap::new(),
        beacon,
        tasks: JoinSet::new(),
    };
    let supervisor = Supervisor {
        config,
        links,
        acls,
        beacon: running.beacon.subscribe(),
        stations,
        subscribers,
        channels,
    };
    running.tasks.spawn(supervisor.run());
    loop {
        tokio::select! {
            command = port.commands.recv() => match command {
                Some(command) => running.handle_command(command),
                None => break,
            },
            Some(newcomer) = subscribed.recv() => {
                running.welcome(newcomer, |subscriber: &Subscriber| subscriber.medium());
            }
            Some(newcomer) = opened.recv() => {
                running.welcome(newcomer, |channel: &Channel| {
                    Medium::Channel(channel.packet_bytes_max())
                });
            }
            Some(ended) = running.tasks.join_next() => outcome(ended)?,
        }
    }
    running.shut_down().await;
    Ok(())
}

/// What a task came to. Its panic goes on.
fn outcome(ended: Result<Result<(), NodeGone>, JoinError>) -> Result<(), NodeGone> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}

struct Running {
    links: Arc<BleLinks>,
    acls: Arc<Acls>,
    station: watch::Receiver<Option<Station>>,
    failures: Arc<ChannelFailures>,
    may_use_channels: bool,
    /// Dropping a sender cancels its dial. A closed one belongs to a dial that is answered.
    dials: HashMap<DialId, oneshot::Sender<()>>,
    /// Dropping it takes the beacon off the air and ends the supervisor.
    beacon: watch::Sender<Option<Beacon>>,
    tasks: JoinSet<Result<(), NodeGone>>,
}

impl Running {
    fn handle_command(&mut self, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => {
                self.beacon.send_if_modified(|shown| shown.replace(beacon) != Some(beacon));
            }
            TransportCommand::Dial { dial, endpoint } => self.start_dial(dial, endpoint),
            TransportCommand::CancelDial(dial) => drop(self.dials.remove(&dial)),
            TransportCommand::Close(link) => self.links.close(link),
            // What is found here is found by its beacon alone.
            TransportCommand::Hint { .. } => {}
        }
    }

    fn start_dial(&mut self, number: DialId, endpoint: Endpoint) {
        self.dials.retain(|_, cancel| !cancel.is_closed());
        let (cancel, cancelled) = oneshot::channel();
        self.dials.insert(number, cancel);
        let station = self.station.borrow().clone();
        let (links, acls) = (Arc::clone(&self.links), Arc::clone(&self.acls));
        let (failures, may_use_channels) = (Arc::clone(&self.failures), self.may_use_channels);
        self.tasks.spawn(async move {
            let reports = links.reports();
            let (device, station, _seat) = match (parse(&endpoint), station, links.seat()) {
                (Err(reason), ..) => return reports.dial_failed(number, reason).await,
                (_, None, _) => {
                    let reason = "Bluetooth does not work now: its condition says why";
                    let reason = DialFailure::Unavailable(reason.into());
                    return reports.dial_failed(number, reason).await;
                }
                (.., None) => {
                    let reason = "all connections that the radio holds are taken";
                    let reason = DialFailure::Unavailable(reason.into());
                    return reports.dial_failed(number, reason).await;
                }
                (Ok(device), Some(station), Some(seat)) => (device, station, seat),
            };
            let path = station.device_path(device.address);
            let begun = async {
                acls.begin_anew(&station.connection, &station.objects, &path).await;
                let lease = acls.lease(&path);
                let _connecting = links.connect();
                (dial(&station, device, &failures, may_use_channels).await, lease)
            };
            let (way, lease) = tokio::select! {
                biased;
                _ = cancelled => (Err(DialFailure::Cancelled), acls.lease(&path)),
                (way, lease) = begun => (way, lease),
            };
            match way {
                Ok(way) => {
                    let origin = LinkOrigin::Dialled(number);
                    links.carry(&way, way.medium(), origin, endpoint).await
                }
                Err(reason) => {
                    reports.dial_failed(number, reason).await?;
                    lease.give_up(&station.connection, &station.objects).await;
                    Ok(())
                }
            }
        });
    }

    /// Makes a link of somebody who came in.
    fn welcome<C: Carrier + 'static>(
        &mut self,
        newcomer: Newcomer<C>,
        medium: impl FnOnce(&C) -> Medium,
    ) {
        let links = Arc::clone(&self.links);
        let medium = medium(&newcomer.carrier);
        self.tasks.spawn(async move {
            let Newcomer { carrier, device, lease: _lease, seat: _seat } = newcomer;
            links.carry(&carrier, medium, LinkOrigin::Accepted, device.endpoint()).await
        });
    }

    /// Ends everything well; what takes too long is dropped with the tasks.
    async fn shut_down(mut self) {
        let station = self.station.borrow().clone();
        drop(self.beacon);
        drop(self.dials);
        self.links.shut_down();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_WITHIN, all).await.is_err() {
            warn!("shutting down took too long, some links are cut");
        }
        self.tasks.shutdown().await;
        if let Some(station) = station {
            let _ = timeout(
                GOODBYE_WITHIN,
                self.acls.hang_up_all(&station.connection, &station.objects),
            )
            .await;
        }
    }
}
