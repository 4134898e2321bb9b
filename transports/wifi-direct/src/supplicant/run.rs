//! The command loop: what the node asks, what wpa_supplicant tells and who is in the group meet in
//! [`Groups`], whose orders are carried out here.

use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::time::Duration;

use hedgerow_driver::{
    Beacon, Condition, DialFailure, DriverError, Hint, NodeGone, PeerKey, Port, Reports, Sighting,
    TransportCommand, may_be_of,
};
use hedgerow_lan::{InterfaceRules, LanConfig, LanNews, LanService};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info};

use super::bus::words;
use super::condition::{of_call, of_channels, taken};
use super::events::Event;
use super::radio::Radio;
use crate::address::DeviceAddress;
use crate::groups::{Groups, Order, Way};
use crate::name::Shown;
use crate::told::{Key, Told};
use crate::{PROMISE, WifiDirectConfig};

/// How long a bus or a daemon that refused is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Looking for devices takes the radio; between two looks it answers those of others.
const LOOKS_FOR: Duration = Duration::from_secs(8);
const LOOKS_EVERY: Duration = Duration::from_secs(20);
/// The same while links stand, which a look disturbs.
const LOOKS_EVERY_IN_GROUP: Duration = Duration::from_secs(120);
/// Goodbyes at the end.
const GOODBYE_WITHIN: Duration = Duration::from_millis(400);
/// Calls that may wait for the one under way.
const CALLS_MAX: usize = 64;
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

/// The work on one radio.
struct Work {
    radio: Radio,
    lan: LanService,
    /// What the device was called before.
    name: String,
    /// The path of the group that stands.
    group: Option<String>,
    /// When to look for devices next.
    look_at: Instant,
    /// Since when a group is being formed.
    asked_at: Option<Instant>,
    /// The call under way; it ends in what is wrong, if anything. Then the next one: what is asked of
    /// the radio goes by its order.
    calls: JoinSet<Option<Wrong>>,
    waiting: VecDeque<Call>,
}

/// A call to wpa_supplicant.
type Call = Pin<Box<dyn Future<Output = Option<Wrong>> + Send>>;

/// What a call came to that failed.
enum Wrong {
    /// No group comes about.
    NoGroup(zbus::Error),
    /// The radio cannot be used as it should.
    Radio(zbus::Error),
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

impl Work {
    fn new(name: String, radio: Radio, lan: LanService) -> Self {
        Self {
            radio,
            lan,
            name,
            group: None,
            look_at: Instant::now(),
            asked_at: None,
            calls: JoinSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Calls wpa_supplicant without waiting for it.
    fn call<F>(&mut self, call: impl FnOnce(Radio) -> F)
    where
        F: Future<Output = Option<Wrong>> + Send + 'static,
    {
        if self.waiting.len() >= CALLS_MAX {
            // The radio is in no state to be told anything; who waits is told by time.
            debug!("wpa_supplicant does not keep up");
            return;
        }
        self.waiting.push_back(Box::pin(call(self.radio.clone())));
        if self.calls.is_empty() {
            self.call_next();
        }
    }

    fn call_next(&mut self) {
        if let Some(call) = self.waiting.pop_front() {
            self.calls.spawn(call);
        }
    }

    fn show(&mut self, shown: Shown) {
        self.call(async move |radio: Radio| {
            radio.show(&shown.name()).await.err().map(Wrong::Radio)
        });
    }

    fn listen(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.listen().await {
                debug!(error = words(&error), "not listening");
            }
            None
        });
    }

    fn look(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.find(LOOKS_FOR).await {
                debug!(error = words(&error), "not looking");
            }
            None
        });
    }

    fn forget(&mut self) {
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.forget(LOOKS_FOR).await {
                debug!(error = words(&error), "not looking anew");
            }
            None
        });
    }

    fn connect(&mut self, device: DeviceAddress, intent: u8, way: Way) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| {
            radio.connect(device, intent, way).await.err().map(Wrong::NoGroup)
        });
    }

    fn make(&mut self) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| radio.make().await.err().map(Wrong::NoGroup));
    }

    fn enter(&mut self, key: Key) {
        self.asked_at = Some(Instant::now());
        self.call(async move |radio: Radio| radio.enter(&key).await.err().map(Wrong::NoGroup));
    }

    /// Groups of other programs are none of nodes from now on.
    fn end_names_as_before(&mut self) {
        self.call(async move |radio: Radio| radio.end_names_with("").await.err().map(Wrong::Radio));
    }

    fn invite(&mut self, device: DeviceAddress) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.invite(&group, device).await {
                debug!(error = words(&error), "not invited");
            }
            None
        });
    }

    fn admit(&mut self, device: DeviceAddress) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.admit(&group, device).await {
                debug!(error = words(&error), "not let in");
            }
            None
        });
    }

    fn leave(&mut self) {
        let Some(group) = self.group.clone() else { return };
        self.call(async move |radio: Radio| {
            if let Err(error) = radio.leave(&group).await {
                debug!(error = words(&error), "the group is not left");
            }
            None
        });
    }

    /// Says goodbye, leaves the group and is seen no more.
    async fn end(mut self) {
        self.lan.shut_down().await;
        let (radio, group) = (&self.radio, self.group.take());
        let goodbye = async {
            if let Some(group) = group {
                radio.leave(&group).await?;
            }
            radio.hide(&self.name).await
        };
        // A radio that is gone hides nothing, and is hidden.
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
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
