//! The command loop: what the node asks, what wpa_supplicant tells and who is in the group meet in
//! [`Groups`], whose orders are carried out here.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use hedgerow_driver::{
    Beacon, Condition, DialFailure, DriverError, Hint, NodeGone, PeerKey, Port, Reports, Sighting,
    TransportCommand, may_be_of,
};
use hedgerow_lan::{InterfaceRules, LanConfig, LanNews, LanService};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info};

use super::bus::words;
use super::condition::{of_call, of_channels, taken};
use super::events::Event;
use super::radio::Radio;
use super::work::{Work, Wrong};
use crate::address::DeviceAddress;
use crate::groups::{Groups, Order};
use crate::name::Shown;
use crate::told::Told;
use crate::{PROMISE, WifiDirectConfig};

/// How long a bus or a daemon that refused is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// So often at most devices are looked for: between two looks the radio answers those of others.
const LOOKS_EVERY: Duration = Duration::from_secs(20);
/// The same while links stand, which a look disturbs.
const LOOKS_EVERY_IN_GROUP: Duration = Duration::from_secs(120);
/// What the machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// Events that may wait for the command loop.
const EVENTS: usize = 64;

/// Runs the driver until the node shuts down.
pub(crate) async fn run(config: WifiDirectConfig, mut port: Port) -> Result<(), DriverError> {
    let mut driver = Driver {
        shown: None,
        groups: Groups::new(),
        reports: port.reports.clone(),
        condition: None,
        hint: Hint::default(),
        whom: BTreeMap::new(),
        config,
    };
    loop {
        let config = driver.config.clone();
        let found = driver.beside(&mut port, Radio::find_one(&config)).await?;
        let Some(found) = found else { return Ok(()) };
        match found {
            Ok(radio) => {
                if driver.use_radio(&mut port, radio).await? == Next::End {
                    return Ok(());
                }
            }
            Err(no_radio) => driver.tell(no_radio.condition()).await?,
        }
        if driver.beside(&mut port, sleep(AGAIN_AFTER)).await?.is_none() {
            return Ok(());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Again,
    End,
}

struct Driver {
    config: WifiDirectConfig,
    /// What this device shows, once the node has said it.
    shown: Option<Shown>,
    groups: Groups,
    reports: Reports,
    condition: Option<Condition>,
    /// What neighbours were told.
    hint: Hint,
    /// Whom the node knows to be in sight.
    whom: BTreeMap<DeviceAddress, Beacon>,
}

impl Driver {
    async fn tell(&mut self, condition: Condition) -> Result<(), NodeGone> {
        if self.condition.as_ref() == Some(&condition) {
            return Ok(());
        }
        self.condition = Some(condition.clone());
        self.reports.condition(condition).await
    }

    fn advertise(&mut self, beacon: Beacon) {
        let shown = Shown { beacon, power: self.config.power };
        self.shown = Some(shown);
        self.groups.show(shown);
    }

    /// Answers the node while something else is done that it has no radio for. `None` when the node
    /// shuts down.
    async fn beside<T>(
        &mut self,
        port: &mut Port,
        other: impl Future<Output = T>,
    ) -> Result<Option<T>, NodeGone> {
        let mut other = pin!(other);
        loop {
            let command = tokio::select! {
                done = &mut other => return Ok(Some(done)),
                command = port.commands.recv() => command,
            };
            match command {
                Some(TransportCommand::Advertise(beacon)) => self.advertise(beacon),
                Some(TransportCommand::Dial { dial, .. }) => {
                    let why = "there is no radio for Wi-Fi Direct now".to_owned();
                    self.reports.dial_failed(dial, DialFailure::Unavailable(why)).await?;
                }
                Some(TransportCommand::Hint { from, hint }) => {
                    // Whoever is told of now is met once there is a radio.
                    self.on_hint(from, &hint);
                }
                Some(TransportCommand::CancelDial(_) | TransportCommand::Close(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Works with a radio until that is gone or the node shuts down.
    async fn use_radio(&mut self, port: &mut Port, radio: Radio) -> Result<Next, DriverError> {
        let (news, mut heard) = mpsc::channel(EVENTS);
        let interfaces =
            InterfaceRules { allow: vec![format!("p2p-{}-*", radio.interface)], deny: vec![] };
        let config =
            LanConfig { mdns_enabled: true, listen: true, interfaces, ..LanConfig::default() };
        let lan = LanService::start(config, PROMISE, self.reports.clone(), news)?;
        let mut links = lan.standing();
        let (events, mut told) = mpsc::channel(EVENTS);
        let follower = radio.clone();
        let mut follow = tokio::spawn(async move { follower.follow(&events).await });
        info!(interface = radio.interface, "Wi-Fi Direct is in use");
        self.groups.set_radio(true);
        let mut work = Work::new(name_of(&radio).await, radio, lan);
        self.show(&mut work);
        self.listen(&mut work);
        self.tell(Condition::ok()).await?;
        let next = loop {
            while let Some(order) = self.groups.poll() {
                self.carry_out(&mut work, order).await?;
            }
            self.report_whom().await?;
            self.tell_neighbours(self.groups.tells()).await?;
            let due = self.groups.next_timeout();
            tokio::select! {
                command = port.commands.recv() => match command {
                    Some(command) => self.on_command(&mut work, command),
                    None => break Next::End,
                },
                Some(event) = told.recv() => self.on_event(&mut work, event).await?,
                Some(news) = heard.recv() => self.on_news(news).await?,
                ended = &mut follow => {
                    debug!(?ended, "wpa_supplicant is gone");
                    break Next::Again;
                }
                changed = links.changed() => if changed.is_ok() {
                    self.on_links(&mut links);
                },
                Some(ended) = work.calls.join_next() => {
                    work.call_next();
                    if let Ok(Some(wrong)) = ended {
                        self.on_wrong(&work.radio.interface, wrong).await?;
                    }
                }
                () = sleep_until(work.look_at), if self.may_look() => {
                    work.look();
                    work.look_at = Instant::now() + self.looks_every();
                }
                () = until(due) => self.groups.on_timeout(Instant::now()),
                gone = work.lan.run() => gone?,
            }
        };
        follow.abort();
        for endpoint in self.groups.members() {
            self.reports.lost(endpoint).await?;
        }
        self.groups.on_radio_gone("the radio is gone");
        self.groups.set_radio(false);
        self.report_whom().await?;
        self.tell_neighbours(None).await?;
        while let Some(order) = self.groups.poll() {
            if let Order::Failed(dial, reason) = order {
                self.reports.dial_failed(dial, reason).await?;
            }
        }
        work.end().await;
        Ok(next)
    }

    /// Shows the beacon to whoever looks, and within groups.
    fn show(&self, work: &mut Work) {
        let Some(shown) = self.shown else { return };
        work.lan.advertise(shown.beacon);
        work.show(shown);
    }

    fn listen(&self, work: &mut Work) {
        if self.config.discovery {
            work.listen();
        }
    }

    /// Tells neighbours what they need to know in order to meet this device, if that has changed.
    async fn tell_neighbours(&mut self, told: Option<Told>) -> Result<(), NodeGone> {
        let hint = told.map_or_else(Vec::new, |told| told.to_bytes());
        let hint = Hint::new(&hint).expect("what is told is far shorter than a hint may be");
        if self.hint == hint {
            return Ok(());
        }
        self.hint = hint.clone();
        self.reports.hint(hint).await
    }

    /// A neighbour's driver tells what it needs to be met.
    fn on_hint(&mut self, from: PeerKey, hint: &Hint) {
        let told = Told::from_bytes(hint.as_bytes());
        debug!(%from, ?told, "a neighbour tells");
        let told = told.filter(|told| may_be_of(&told.shown.beacon, &from));
        self.groups.on_told(Instant::now(), from, told);
    }

    /// Tells the node who has come into sight or out of it.
    async fn report_whom(&mut self) -> Result<(), NodeGone> {
        let whom = self.groups.whom();
        let before = std::mem::replace(&mut self.whom, whom.clone());
        for device in before.keys().filter(|device| !whom.contains_key(device)) {
            self.reports.lost(device.endpoint()).await?;
        }
        for (device, beacon) in whom {
            if before.get(&device) != Some(&beacon) {
                let sighting = Sighting { endpoint: device.endpoint(), beacon: Some(beacon) };
                self.reports.sighted(sighting).await?;
            }
        }
        Ok(())
    }

    fn may_look(&self) -> bool {
        self.config.discovery
            && self.shown.is_some()
            && (self.groups.is_free() || !self.groups.is_wanted())
    }

    fn looks_every(&self) -> Duration {
        if self.groups.is_free() { LOOKS_EVERY } else { LOOKS_EVERY_IN_GROUP }
    }

    fn on_links(&mut self, links: &mut watch::Receiver<usize>) {
        let links = *links.borrow_and_update();
        self.groups.on_links(Instant::now(), links);
    }

    fn on_command(&mut self, work: &mut Work, command: TransportCommand) {
        match command {
            TransportCommand::Advertise(beacon) => {
                self.advertise(beacon);
                self.show(work);
            }
            TransportCommand::Dial { dial, endpoint } => match DeviceAddress::parse(&endpoint) {
                Some(device) => {
                    debug!(%device, "a device is dialled");
                    self.groups.on_dial(Instant::now(), dial, device);
                }
                None => work.lan.dial(dial, endpoint.clone(), endpoint),
            },
            TransportCommand::CancelDial(dial) => {
                if !self.groups.on_cancel(dial) {
                    work.lan.cancel(dial);
                }
            }
            TransportCommand::Close(link) => work.lan.close(link),
            TransportCommand::Hint { from, hint } => self.on_hint(from, &hint),
        }
    }

    async fn on_event(&mut self, work: &mut Work, event: Event) -> Result<(), NodeGone> {
        let now = Instant::now();
        debug!(?event, "wpa_supplicant");
        match event {
            Event::Device { device, shown, owns_group } => {
                self.groups.on_device(now, device, shown, owns_group);
            }
            Event::DeviceLost(device) => self.groups.on_device_lost(device),
            Event::Request(device) => self.groups.on_request(now, device),
            Event::Knock(device) => self.groups.on_knock(device),
            Event::Invitation(owner) => self.groups.on_invitation(now, owner),
            Event::Started { path, owns, secret, .. } => {
                let after_ms = work.asked_at.take().map(|at| at.elapsed().as_millis());
                info!(owns, after_ms, "in a Wi-Fi Direct group");
                work.group = Some(path);
                work.look_at = now + LOOKS_EVERY_IN_GROUP;
                self.groups.on_started(now, owns, secret);
                work.end_names_as_before();
                self.tell(Condition::ok()).await?;
            }
            Event::Taken => {
                self.groups.on_taken();
                self.tell(taken(&work.radio.interface)).await?;
            }
            Event::NotInvited(why) => {
                debug!(why, "not again");
                self.groups.on_no_more();
            }
            Event::NotNegotiated(why) => self.groups.on_not_negotiated(&why),
            Event::Failed(why) => self.groups.on_failed(&why),
            Event::Finished => {
                work.group = None;
                self.groups.on_finished(now);
                self.tell(Condition::ok()).await?;
            }
            Event::FindStopped => self.listen(work),
            Event::Look(_) => {}
        }
        Ok(())
    }

    async fn on_news(&mut self, news: LanNews) -> Result<(), NodeGone> {
        match news {
            LanNews::Sighted(sighting) => {
                if let Some(beacon) = sighting.beacon {
                    self.groups.on_neighbour(sighting.endpoint.clone(), beacon);
                }
                self.reports.sighted(sighting).await
            }
            LanNews::Lost(endpoint) => {
                self.groups.on_neighbour_lost(&endpoint);
                self.reports.lost(endpoint).await
            }
            // Without a group there is no network to look around in.
            LanNews::Condition(condition) => {
                debug!(?condition, "in the group");
                Ok(())
            }
        }
    }

    async fn on_wrong(&mut self, interface: &str, wrong: Wrong) -> Result<(), NodeGone> {
        match wrong {
            Wrong::NoGroup(error) => {
                debug!(error = words(&error), "no group");
                self.groups.on_failed(&words(&error));
                match of_channels(interface, &error) {
                    Some(condition) => self.tell(condition).await,
                    None => Ok(()),
                }
            }
            Wrong::Radio(error) => self.tell(of_call(&error)).await,
        }
    }

    async fn carry_out(&mut self, work: &mut Work, order: Order) -> Result<(), NodeGone> {
        debug!(?order, "group");
        match order {
            Order::Connect { device, intent, way } => work.connect(device, intent, way),
            Order::Make => work.make(),
            Order::Enter(key) => work.enter(key),
            Order::Abandon => work.call(async move |radio: Radio| {
                // What has ended already cannot be given up.
                let _ = radio.abandon().await;
                radio.end_names_with("").await.err().map(Wrong::Radio)
            }),
            Order::Invite(device) => work.invite(device),
            Order::Admit(device) => work.admit(device),
            Order::Reject(device) => work.call(async move |radio| {
                let _ = radio.reject(device).await;
                None
            }),
            Order::Leave => work.leave(),
            Order::Forget if !self.config.discovery => {}
            Order::Forget => {
                work.forget();
                work.look_at = Instant::now() + LOOKS_EVERY;
            }
            Order::Dial { dial, at, known_as } => work.lan.dial(dial, at, known_as),
            Order::Failed(dial, reason) => self.reports.dial_failed(dial, reason).await?,
        }
        Ok(())
    }
}

/// What a device is called when no node runs; that of a node that crashed is nobody's name.
async fn name_of(radio: &Radio) -> String {
    let name = radio.name().await.ok().flatten();
    let name = name.filter(|name| Shown::from_name(name).is_none());
    name.unwrap_or_else(|| std::fs::read_to_string(HOST_NAME).unwrap_or_default().trim().to_owned())
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
