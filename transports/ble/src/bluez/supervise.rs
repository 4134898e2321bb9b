//! Keeps the driver in touch with BlueZ, whatever becomes of it.
//!
//! Recovery is staged: what fails is asked again on the same bus; an adapter or a daemon that came
//! back is told everything anew; a bus that is gone or does not answer is connected to again.

use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{Beacon, Condition, NodeGone};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, info};
use zbus::Connection;
use zbus::connection::Builder;

use super::accept::{Acceptor, Newcomer, Subscriber};
use super::acl::Acls;
use super::advertise::{Pace, Shown};
use super::bus::{CALL_TIMEOUT, words};
use super::channel::{Channel, Listener};
use super::condition;
use super::objects::Objects;
use super::scan::{scan, sight};
use super::service;
use super::station::{Choice, Station, choose};
use crate::BleConfig;
use crate::beacon::{Advertised, Psm};
use crate::gatt::Info;
use crate::link::BleLinks;

/// How long a bus or a daemon that refused is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Failures in a row on one bus after which it is connected to again.
const FAILURES_MAX: usize = 6;
/// An advertisement that brings nobody is put on the air anew so often.
const ADVERTISEMENT_AGE_MAX: Duration = Duration::from_secs(20);
/// Goodbyes at the end.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

pub(super) struct Supervisor {
    pub(super) config: BleConfig,
    pub(super) links: Arc<BleLinks>,
    pub(super) acls: Arc<Acls>,
    /// Closed when the driver shuts down.
    pub(super) beacon: watch::Receiver<Option<Beacon>>,
    pub(super) stations: watch::Sender<Option<Station>>,
    pub(super) subscribers: mpsc::Sender<Newcomer<Subscriber>>,
    pub(super) channels: mpsc::Sender<Newcomer<Channel>>,
}

/// Why the work on one adapter ended.
enum Ended {
    NodeGone,
    /// BlueZ refused something.
    Refused(zbus::Error),
    /// The adapter or the daemon is another one now.
    Changed,
    ShuttingDown,
}

/// What is on the bus, from connecting to it until it is gone.
struct OnBus {
    connection: Connection,
    objects: Arc<Objects>,
    info: watch::Sender<Option<Info>>,
    shown: watch::Sender<Option<Advertised>>,
    advertisement: Shown,
    acceptor: Acceptor,
}

impl OnBus {
    async fn connect() -> zbus::Result<Self> {
        let builder = service::rooted(Builder::system().method_timeout(CALL_TIMEOUT));
        let connection = builder.build().await?;
        let (info, infos) = watch::channel(None);
        let (shown, showns) = watch::channel(None);
        let acceptor = Acceptor::new(service::export(&connection, infos).await?);
        let advertisement = Shown::export(&connection, showns).await?;
        Ok(Self { connection, objects: Objects::new(), info, shown, advertisement, acceptor })
    }
}

impl Supervisor {
    pub(super) async fn run(mut self) -> Result<(), NodeGone> {
        let mut condition = Condition::ok();
        loop {
            match OnBus::connect().await {
                Ok(mut bus) => {
                    if self.work(&mut bus, &mut condition).await? == Next::End {
                        return Ok(());
                    }
                }
                Err(error) => {
                    debug!(error = words(&error), "no message bus");
                    self.tell(&mut condition, condition::of_bus(&error)).await?;
                }
            }
            tokio::select! {
                () = sleep(AGAIN_AFTER) => {}
                () = shutting_down(self.beacon.clone()) => return Ok(()),
            }
        }
    }

    async fn tell(&self, last: &mut Condition, condition: Condition) -> Result<(), NodeGone> {
        if *last == condition {
            return Ok(());
        }
        last.clone_from(&condition);
        self.links.reports().condition(condition).await
    }

    /// Works on one bus until it is gone or does not answer any more.
    async fn work(&mut self, bus: &mut OnBus, last: &mut Condition) -> Result<Next, NodeGone> {
        let (objects, connection) = (Arc::clone(&bus.objects), bus.connection.clone());
        let next = tokio::select! {
            followed = objects.follow(&connection) => {
                debug!(?followed, "the message bus is gone");
                Next::Reconnect
            }
            next = self.use_adapters(bus, last) => next?,
        };
        self.leave_station();
        Ok(next)
    }

    /// Nobody dials or scans any more.
    fn leave_station(&self) {
        self.stations.send_replace(None);
        self.links.tell_distances(|_| None);
    }

    async fn use_adapters(
        &mut self,
        bus: &mut OnBus,
        last: &mut Condition,
    ) -> Result<Next, NodeGone> {
        let wanted = self.config.adapter.clone();
        let mut failures = 0;
        // Before the first look there is nothing to see.
        let first = bus.objects.until(|state| state.is_filled.then_some(()));
        tokio::select! {
            () = first => {}
            () = shutting_down(self.beacon.clone()) => return Ok(Next::End),
        }
        loop {
            let now = choose(&bus.objects.state(), wanted.as_deref());
            if let Some(unusable) = condition::of_choice(&now, wanted.as_deref()) {
                self.tell(last, unusable).await?;
                let other = bus.objects.until(|state| {
                    Some(choose(state, wanted.as_deref())).filter(|choice| *choice != now)
                });
                tokio::select! {
                    other = other => debug!(choice = ?other, "adapters have changed"),
                    () = shutting_down(self.beacon.clone()) => return Ok(Next::End),
                }
                continue;
            }
            let ended = self.use_adapter(bus, &now, last).await;
            self.leave_station();
            match ended {
                Ended::NodeGone => return Err(NodeGone),
                Ended::ShuttingDown => return Ok(Next::End),
                Ended::Changed => failures = 0,
                Ended::Refused(error) => {
                    info!(error = words(&error), "bluetoothd refuses");
                    self.tell(last, condition::of_call(&error)).await?;
                    failures += 1;
                    if failures == FAILURES_MAX {
                        return Ok(Next::Reconnect);
                    }
                    tokio::select! {
                        () = sleep(AGAIN_AFTER) => {}
                        () = shutting_down(self.beacon.clone()) => return Ok(Next::End),
                    }
                }
            }
        }
    }

    /// Serves, advertises and scans on one adapter until something changes.
    async fn use_adapter(
        &mut self,
        bus: &mut OnBus,
        choice: &Choice,
        last: &mut Condition,
    ) -> Ended {
        let Choice::Ready { adapter, address, is_random, .. } = choice else {
            return Ended::Changed;
        };
        let Ok(address) = address.parse() else { return Ended::Changed };
        let address_type =
            if *is_random { bluer::AddressType::LeRandom } else { bluer::AddressType::LePublic };
        let listener = self.listen(address, address_type);
        let station = Station {
            connection: bus.connection.clone(),
            objects: Arc::clone(&bus.objects),
            adapter: adapter.clone(),
            address,
            address_type,
            psm: listener.as_ref().map(|listener| listener.psm),
        };
        let wanted = self.config.adapter.clone();
        let objects = Arc::clone(&bus.objects);
        let changed =
            objects.until(|state| (choose(state, wanted.as_deref()) != *choice).then_some(()));
        let beacon = self.beacon.clone();
        let ended = tokio::select! {
            () = changed => Ended::Changed,
            () = shutting_down(beacon) => Ended::ShuttingDown,
            ended = self.serve(bus, &station, listener, last) => ended,
        };
        // What the daemon does not do any more needs no goodbye.
        let _ = timeout(GOODBYE_WITHIN, bus.advertisement.unregister(adapter)).await;
        ended
    }

    fn listen(&self, address: bluer::Address, kind: bluer::AddressType) -> Option<Listener> {
        if !self.config.l2cap {
            return None;
        }
        match Listener::bind(address, kind) {
            Ok(listener) => Some(listener),
            Err(error) => {
                debug!(%error, "no L2CAP channels: values carry all links");
                None
            }
        }
    }

    async fn serve(
        &self,
        bus: &mut OnBus,
        station: &Station,
        listener: Option<Listener>,
        last: &mut Condition,
    ) -> Ended {
        // Nobody comes in before there is a beacon.
        let mut beacons = self.beacon.clone();
        if beacons.wait_for(Option::is_some).await.is_err() {
            return Ended::ShuttingDown;
        }
        self.fill(&bus.shown, &bus.info, station.psm);
        if let Err(error) = service::register(&station.connection, &station.adapter).await {
            return Ended::Refused(error);
        }
        // A daemon that keeps the one of before must show the new one.
        let _ = bus.advertisement.unregister(&station.adapter).await;
        if let Err(error) = bus.advertisement.register(&station.adapter).await {
            return Ended::Refused(error);
        }
        self.stations.send_replace(Some(station.clone()));
        info!(adapter = station.adapter, address = %station.address, "Bluetooth is in use");
        if self.tell(last, Condition::ok()).await.is_err() {
            return Ended::NodeGone;
        }
        let objects = Arc::clone(&station.objects);
        let is_random = |path: &str| objects.device(path).is_some_and(|device| device.is_random);
        let OnBus { acceptor, advertisement, shown, info, .. } = bus;
        tokio::select! {
            refused = scan(station, &self.links) => Ended::refused(refused),
            refused = self.advertise(advertisement, shown, info, station) => Ended::refused(refused),
            _gone = sight(station, self.links.reports()) => Ended::NodeGone,
            () = acceptor.accept(&self.acls, &self.links, is_random, &self.subscribers) => {
                Ended::NodeGone
            }
            () = self.accept_channels(station, listener) => Ended::NodeGone,
            () = self.acls.tidy(&station.connection, &station.objects, &station.adapter) => {
                Ended::Changed
            }
        }
    }

    /// Makes beacon and `info` what they are now.
    fn fill(
        &self,
        shown: &watch::Sender<Option<Advertised>>,
        info: &watch::Sender<Option<Info>>,
        psm: Option<Psm>,
    ) {
        let beacon = *self.beacon.borrow();
        let free = self.links.free(*self.links.standing().borrow());
        shown.send_replace(beacon.map(|beacon| Advertised { beacon, free, psm }));
        info.send_replace(service::info(beacon.as_ref(), psm));
    }

    /// Keeps the advertisement what it is to say, and on the air.
    async fn advertise(
        &self,
        advertisement: &mut Shown,
        shown: &watch::Sender<Option<Advertised>>,
        info: &watch::Sender<Option<Info>>,
        station: &Station,
    ) -> zbus::Result<()> {
        let (mut beacons, mut standing) = (self.beacon.clone(), self.links.standing());
        let mut watch = interval(ADVERTISEMENT_AGE_MAX);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        watch.reset();
        let mut pace = Pace::new();
        loop {
            tokio::select! {
                // Controllers and kernels stop now and then without a word, as after a connection
                // that came in. Who has links is found by way of those, too.
                _ = watch.tick(), if *standing.borrow() == 0 => {
                    debug!("nobody comes: the advertisement is put on the air anew");
                    let _ = advertisement.unregister(&station.adapter).await;
                    advertisement.register(&station.adapter).await?;
                    pace.note_told();
                }
                () = pace.due() => {
                    advertisement.tell_change().await?;
                    pace.note_told();
                }
                beacon = beacons.changed() => if beacon.is_err() {
                    return std::future::pending().await;
                },
                _ = standing.changed() => watch.reset(),
                () = advertisement.released() => {
                    debug!("bluetoothd took the advertisement off the air");
                    sleep(Duration::from_millis(200)).await;
                    advertisement.register(&station.adapter).await?;
                    pace.note_told();
                }
            }
            let before = *shown.borrow();
            self.fill(shown, info, station.psm);
            if before != *shown.borrow() {
                pace.note_change();
            }
        }
    }

    async fn accept_channels(&self, station: &Station, listener: Option<Listener>) {
        let Some(listener) = listener else { return std::future::pending().await };
        let mut probed = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, device)) => {
                        let Some(seat) = self.links.seat() else { continue };
                        let lease = self.acls.lease(&station.device_path(device.address));
                        probed.spawn(async move {
                            let carrier = Channel::answer(socket).await?;
                            Ok::<_, std::io::Error>(Newcomer { carrier, device, lease, seat })
                        });
                    }
                    Err(error) => {
                        debug!(%error, "no channel comes in");
                        sleep(Duration::from_millis(200)).await;
                    }
                },
                Some(answered) = probed.join_next() => match answered {
                    Ok(Ok(newcomer)) => if self.channels.send(newcomer).await.is_err() { return },
                    Ok(Err(error)) => debug!(%error, "a channel was not proven"),
                    Err(error) => debug!(%error, "a probe was dropped"),
                },
            }
        }
    }
}

impl Ended {
    fn refused(result: zbus::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Changed,
            Err(error) => Self::Refused(error),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Reconnect,
    End,
}

/// Waits until the driver shuts down.
async fn shutting_down(mut beacon: watch::Receiver<Option<Beacon>>) {
    while beacon.changed().await.is_ok() {}
}
