//! Finding others, and being found, by multicast DNS (RFC 6762, RFC 6763), and by what neighbours
//! tell.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{Beacon, Condition, ConditionState, Endpoint, NodeGone, Sighting};
use mdns_sd::{ResolvedService, ScopedIp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::audience::{Audience, LanNews};
use crate::condition::{Conditions, Part};
use crate::interface::InterfaceRules;
use crate::responder::{Responder, Verifier};
use crate::seen::{Full, Outbox, Seen, SegmentId};
use crate::segment::{News, Segment, due};
use crate::survey::{Interface, Survey, survey};
use crate::told::{Heard, Own, Told};
use crate::{endpoint, txt};

/// How often the interfaces are looked at, and while there is none to use.
const SURVEY_EVERY: Duration = Duration::from_secs(1);
const SURVEY_EVERY_WITHOUT: Duration = Duration::from_millis(250);
/// The wait before multicast DNS is tried again on an interface where it failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// After an interruption, whoever is there is told again within this.
const TOLD_AGAIN_WITHIN: Duration = Duration::from_secs(3);
/// How often the log is told that not everybody on the network is seen.
const SELDOM: Duration = Duration::from_secs(600);
/// News that wait.
const NEWS: usize = 64;

/// Shows the node's beacon and reports those of others, on every interface that may be used, and
/// what neighbours tell.
pub(crate) struct Discovery {
    /// Where multicast DNS may be used; `None` for nowhere.
    pub(crate) rules: Option<InterfaceRules>,
    /// Where the node listens; nothing to show without.
    pub(crate) listening: watch::Receiver<Vec<SocketAddr>>,
    /// Endpoints that did not answer a dial.
    pub(crate) doubts: mpsc::Receiver<Endpoint>,
    /// What neighbours tell.
    pub(crate) heard: watch::Receiver<Heard>,
    pub(crate) told: Told,
    pub(crate) own: watch::Receiver<Own>,
    pub(crate) audience: Audience,
    pub(crate) conditions: Arc<Conditions>,
    /// The first beacon lets it begin; when the sender is gone, it ends.
    pub(crate) beacon: watch::Receiver<Option<Beacon>>,
}

/// What a segment is to discovery.
struct Member {
    interface: watch::Sender<Interface>,
    verifier: Verifier,
    /// Goodbyes were missed: when whoever was not told again is gone.
    sweep_at: Option<Instant>,
}

/// Where multicast DNS does not work.
struct Failure {
    retry_at: Instant,
    error: String,
}

/// Lets the log be told of something once in a while.
#[derive(Default)]
struct Seldom {
    told_at: Option<Instant>,
}

impl Seldom {
    fn may_tell(&mut self, now: Instant) -> bool {
        let due = self.told_at.is_none_or(|at| now.duration_since(at) >= SELDOM);
        if due {
            self.told_at = Some(now);
        }
        due
    }
}

struct Running {
    rules: Option<InterfaceRules>,
    listening: watch::Receiver<Vec<SocketAddr>>,
    conditions: Arc<Conditions>,
    beacon: watch::Receiver<Option<Beacon>>,
    /// The own name now, and the one before: its goodbye may still be under way.
    own_names: [Option<String>; 2],
    seen: Seen,
    heard: watch::Receiver<Heard>,
    told: Told,
    /// When to look at what neighbours tell without news.
    told_due: Option<Instant>,
    own: watch::Receiver<Own>,
    outbox: Outbox,
    next_segment: u64,
    segments: BTreeMap<SegmentId, Member>,
    /// By the name of the interface.
    failures: BTreeMap<String, Failure>,
    /// Others can bring it about with every announcement.
    full: Seldom,
    news: mpsc::Sender<(SegmentId, News)>,
    tasks: JoinSet<()>,
}

impl Discovery {
    /// Runs until the driver shuts down.
    pub(crate) async fn run(mut self) -> Result<(), NodeGone> {
        if self.beacon.wait_for(Option::is_some).await.is_err() {
            return Ok(());
        }
        let (news, mut events) = mpsc::channel(NEWS);
        let mut beacon = self.beacon.clone();
        let (mut heard, mut own) = (self.heard.clone(), self.own.clone());
        let mut running = Running {
            rules: self.rules,
            listening: self.listening,
            conditions: self.conditions,
            beacon: self.beacon,
            own_names: [None, None],
            seen: Seen::default(),
            heard: self.heard,
            told: self.told,
            told_due: None,
            own: self.own,
            outbox: Outbox::default(),
            next_segment: 0,
            segments: BTreeMap::new(),
            failures: BTreeMap::new(),
            full: Seldom::default(),
            news,
            tasks: JoinSet::new(),
        };
        running.note_own_name();
        let mut survey = pin!(sleep(Duration::ZERO));
        loop {
            let first = running.outbox.first();
            tokio::select! {
                () = &mut survey, if running.rules.is_some() => {
                    let now = Instant::now();
                    survey.as_mut().reset(now + running.look_around(now));
                }
                Some((segment, news)) = events.recv() => running.on_news(segment, news),
                Some(endpoint) = self.doubts.recv() => running.on_doubt(&endpoint),
                Ok(()) = heard.changed() => running.look_at_hints(),
                Ok(()) = own.changed() => {
                    running.told.on_networks();
                    running.look_at_hints();
                }
                () = due(running.told_due) => running.look_at_hints(),
                Some(_) = running.tasks.join_next() => {}
                told = tell(&self.audience, first.clone()), if first.is_some() => {
                    told?;
                    running.outbox.pop();
                }
                changed = beacon.changed() => match changed {
                    Ok(()) => running.note_own_name(),
                    Err(_) => break,
                },
            }
        }
        // The segments hear of it as well; their last news must not hold them up.
        drop(events);
        while running.tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// Tells one thing. Nothing is told when it is dropped before.
async fn tell(
    audience: &Audience,
    what: Option<(Endpoint, Option<Beacon>)>,
) -> Result<(), NodeGone> {
    match what {
        Some((endpoint, Some(beacon))) => {
            audience.tell(LanNews::Sighted(Sighting { endpoint, beacon: Some(beacon) })).await
        }
        Some((endpoint, None)) => audience.tell(LanNews::Lost(endpoint)).await,
        None => Ok(()),
    }
}

impl Running {
    fn note_own_name(&mut self) {
        let label = self.beacon.borrow_and_update().map(|beacon| beacon.label());
        if label.is_some() && self.own_names[0] != label {
            self.own_names = [label, self.own_names[0].take()];
        }
    }

    /// Interfaces come and go, and so do the segments on them. Returns when to look again.
    fn look_around(&mut self, now: Instant) -> Duration {
        let Some(rules) = &self.rules else { return SURVEY_EVERY };
        let survey = match survey(rules) {
            Ok(survey) => survey,
            Err(error) => {
                // What runs goes on.
                debug!(%error, "cannot list the network interfaces");
                return SURVEY_EVERY;
            }
        };
        let gone: Vec<SegmentId> = self
            .segments
            .iter()
            .filter_map(|(id, member)| {
                let interface = member.interface.borrow();
                let is_there = survey.usable.iter().any(|i| is_same(i, &interface));
                (!is_there).then_some(*id)
            })
            .collect();
        for id in gone {
            self.end_segment(id);
        }
        self.failures.retain(|name, _| survey.usable.iter().any(|i| i.name == *name));
        for interface in &survey.usable {
            let member = self
                .segments
                .values()
                .find(|member| is_same(interface, &member.interface.borrow()));
            match member {
                Some(member) => {
                    member.interface.send_if_modified(|known| {
                        let is_new = known != interface;
                        known.clone_from(interface);
                        is_new
                    });
                }
                None => self.begin_segment(now, interface.clone()),
            }
        }
        self.sweep(now);
        self.conditions.set(Part::Interfaces, no_interface(&survey));
        self.conditions.set(Part::Mdns, advice(&self.failures));
        if survey.usable.is_empty() { SURVEY_EVERY_WITHOUT } else { SURVEY_EVERY }
    }

    fn begin_segment(&mut self, now: Instant, interface: Interface) {
        if self.failures.get(&interface.name).is_some_and(|failure| now < failure.retry_at) {
            return;
        }
        let name = interface.name.clone();
        let responder = match Responder::start(&interface) {
            Ok(responder) => responder,
            Err(error) => return self.on_failure(now, name, &error),
        };
        info!(interface = name, "looking for peers");
        self.failures.remove(&name);
        let id = SegmentId(self.next_segment);
        self.next_segment += 1;
        let verifier = responder.verifier();
        let (sender, interface) = watch::channel(interface);
        self.segments.insert(id, Member { interface: sender, verifier, sweep_at: None });
        let segment = Segment {
            id,
            responder,
            interface,
            beacon: self.beacon.clone(),
            listening: self.listening.clone(),
            news: self.news.clone(),
        };
        self.tasks.spawn(segment.run());
    }

    fn end_segment(&mut self, id: SegmentId) {
        if let Some(member) = self.segments.remove(&id) {
            info!(interface = member.interface.borrow().name, "no more looking for peers");
        }
        let lost = self.seen.remove_segment(id);
        self.lose(lost);
    }

    fn sweep(&mut self, now: Instant) {
        let mut lost = Vec::new();
        for (id, member) in &mut self.segments {
            if member.sweep_at.is_some_and(|at| now >= at) {
                member.sweep_at = None;
                lost.extend(self.seen.sweep(*id));
            }
        }
        self.lose(lost);
    }

    /// Nobody is seen there any more; a neighbour may tell it all the same.
    fn lose(&mut self, endpoints: Vec<Endpoint>) {
        for endpoint in endpoints {
            let beacon = self.told.beacon_of(&endpoint);
            self.outbox.put(endpoint, beacon);
        }
    }

    /// Takes what neighbours tell. Of an endpoint where somebody is seen, what is seen counts.
    fn look_at_hints(&mut self) {
        let now = Instant::now();
        let changes = self.told.update(now, &self.heard.borrow_and_update(), &self.own.borrow());
        for (endpoint, beacon) in changes {
            debug!(%endpoint, is_told = beacon.is_some(), "told by a neighbour");
            if !self.seen.shows(&endpoint) {
                self.outbox.put(endpoint, beacon);
            }
        }
        self.told_due = self.told.next_due(now);
    }

    fn on_news(&mut self, id: SegmentId, news: News) {
        let Some(member) = self.segments.get_mut(&id) else { return };
        match news {
            News::Resolved(service) => self.on_resolved(id, &service),
            News::Removed(name) => {
                debug!(name, "gone");
                self.remove(id, &name);
            }
            News::Interrupted => {
                member.sweep_at = Some(Instant::now() + TOLD_AGAIN_WITHIN);
                self.seen.doubt(id);
            }
            News::Failed(error) => {
                let name = member.interface.borrow().name.clone();
                self.end_segment(id);
                self.on_failure(Instant::now(), name, &error);
                self.conditions.set(Part::Mdns, advice(&self.failures));
            }
        }
    }

    fn on_resolved(&mut self, id: SegmentId, service: &ResolvedService) {
        let Some(member) = self.segments.get(&id) else { return };
        let name = service.get_fullname();
        if self.is_own(name) {
            return;
        }
        let beacon = match txt::decode(|key| service.get_property_val_str(key)) {
            Ok(beacon) => beacon,
            Err(error) => {
                debug!(name, %error, "not a beacon");
                self.remove(id, name);
                return;
            }
        };
        let endpoints = endpoints(service, &member.interface.borrow());
        let (changes, room) = self.seen.update(id, name, beacon, endpoints);
        debug!(name, sighted = ?changes.sighted, lost = ?changes.lost, "resolved");
        if room == Err(Full) && self.full.may_tell(Instant::now()) {
            warn!(name, "too many peers or addresses on this network, some are left out");
        }
        for Sighting { endpoint, beacon } in changes.sighted {
            self.outbox.put(endpoint, beacon);
        }
        self.lose(changes.lost);
    }

    fn remove(&mut self, id: SegmentId, name: &str) {
        let (lost, leftovers) = self.seen.remove(Instant::now().into_std(), id, name);
        self.lose(lost);
        let Some(member) = self.segments.get(&id) else { return };
        for name in leftovers {
            debug!(name, "asking whether an older name is still there");
            member.verifier.verify(name);
        }
    }

    /// A dial found nobody. Is whoever was seen there still there?
    fn on_doubt(&mut self, endpoint: &Endpoint) {
        if self.told.on_failure(Instant::now(), endpoint) {
            debug!(%endpoint, "told by a neighbour and not reached, it rests");
            self.look_at_hints();
        }
        for (id, name) in self.seen.ask(Instant::now().into_std(), endpoint) {
            if let Some(member) = self.segments.get(&id) {
                debug!(name, %endpoint, "asking whether it is still there");
                member.verifier.verify(name);
            }
        }
    }

    fn on_failure(&mut self, now: Instant, interface: String, error: &mdns_sd::Error) {
        let error = error.to_string();
        if self.failures.get(&interface).is_none_or(|known| known.error != error) {
            debug!(interface, error, "multicast DNS does not work");
        }
        self.failures.insert(interface, Failure { retry_at: now + RETRY_AFTER, error });
    }

    fn is_own(&self, name: &str) -> bool {
        let label = name.split('.').next();
        self.own_names.iter().any(|own| own.is_some() && own.as_deref() == label)
    }
}

fn is_same(one: &Interface, other: &Interface) -> bool {
    (one.index, &one.name) == (other.index, &other.name)
}

fn no_interface(survey: &Survey) -> Option<Condition> {
    if !survey.usable.is_empty() {
        return None;
    }
    let skipped: Vec<String> =
        survey.skipped.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let skipped = match skipped.is_empty() {
        true => String::new(),
        false => format!(", or allow one of those that are passed over ({})", skipped.join(", ")),
    };
    Some(Condition::new(
        ConditionState::TemporarilyUnavailable,
        format!(
            "no network interface to find peers on: connect this machine to a network{skipped}; \
             goes on by itself once there is one"
        ),
    ))
}

fn advice(failures: &BTreeMap<String, Failure>) -> Option<Condition> {
    let (_, first) = failures.first_key_value()?;
    let interfaces: Vec<&str> = failures.keys().map(String::as_str).collect();
    Some(Condition::new(
        ConditionState::MdnsFailure,
        format!(
            "peers on {} are not found by themselves, multicast DNS failed ({}): let this program \
             use UDP port {} beside others and send multicast, or configure the addresses of \
             peers; trying again every {} s",
            interfaces.join(", "),
            first.error,
            mdns_sd::MDNS_PORT,
            RETRY_AFTER.as_secs()
        ),
    ))
}

/// Where a service can be reached, the most promising first: IPv4, then routable IPv6, of the
/// interface's own networks, then link-local, then what lies behind a router.
fn endpoints(service: &ResolvedService, interface: &Interface) -> Vec<Endpoint> {
    let mut addresses: Vec<(u8, IpAddr, u32)> = service
        .get_addresses()
        .iter()
        .map(|address| match address {
            ScopedIp::V6(v6) => (IpAddr::V6(*v6.addr()), v6.scope_id().index),
            other => (other.to_ip_addr(), 0),
        })
        .map(|(ip, scope_id)| (rank(ip, interface), ip, scope_id))
        .collect();
    addresses.sort_unstable();
    addresses
        .into_iter()
        .filter_map(|(_, ip, scope_id)| endpoint::of(ip, scope_id, service.get_port()))
        .collect()
}

fn rank(ip: IpAddr, interface: &Interface) -> u8 {
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    match (is_link_local, interface.reaches(ip), ip) {
        (true, ..) => 2,
        (false, true, IpAddr::V4(_)) => 0,
        (false, true, IpAddr::V6(_)) => 1,
        (false, false, IpAddr::V4(_)) => 3,
        (false, false, IpAddr::V6(_)) => 4,
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;

    use super::*;
    use crate::interface::Skip;
    use crate::responder::SERVICE;
    use crate::survey::Network;

    fn interface() -> Interface {
        let network = |ip: &str, prefix_bits| Network { ip: ip.parse().unwrap(), prefix_bits };
        let networks = vec![network("192.168.1.1", 24), network("2001:db8::1", 64)];
        Interface { index: 3, name: "eth0".to_owned(), networks }
    }

    #[test]
    fn neighbours_come_before_strangers_ipv4_first_and_link_local_without_a_scope_never() {
        let addresses = "fe80::1,2001:db8:1::7,2001:db8::7,10.0.0.7,192.168.1.7";
        let service = ServiceInfo::new(SERVICE, "a", "a.local.", addresses, 4040, None).unwrap();
        let endpoints = endpoints(&service.as_resolved_service(), &interface());
        let texts: Vec<&str> = endpoints.iter().map(Endpoint::as_str).collect();
        let expected =
            ["192.168.1.7:4040", "[2001:db8::7]:4040", "10.0.0.7:4040", "[2001:db8:1::7]:4040"];
        assert_eq!(texts, expected);
        let link_local = rank("fe80::1".parse().unwrap(), &interface());
        assert!(link_local > rank("2001:db8::7".parse().unwrap(), &interface()));
        assert!(link_local < rank("10.0.0.7".parse().unwrap(), &interface()));
    }

    #[test]
    fn announcements_cannot_fill_the_log() {
        let (mut full, begin) = (Seldom::default(), Instant::now());
        let told = (0..1_200).filter(|s| full.may_tell(begin + Duration::from_secs(*s))).count();
        assert_eq!(told, 2);
    }

    #[test]
    fn a_failure_says_where_and_what_to_do() {
        let failure = Failure { retry_at: Instant::now(), error: "in use".to_owned() };
        let condition = advice(&BTreeMap::from([("eth0".to_owned(), failure)])).unwrap();
        assert_eq!(condition.state, ConditionState::MdnsFailure);
        for word in ["eth0", "in use", "5353", "configure"] {
            assert!(condition.detail.contains(word), "{}", condition.detail);
        }
        assert_eq!(advice(&BTreeMap::new()), None);
    }

    #[test]
    fn no_interface_is_a_condition_that_names_those_that_were_passed_over() {
        let skipped = vec![("docker0".to_owned(), Skip::MadeForGuests)];
        let condition = no_interface(&Survey { usable: vec![], skipped }).unwrap();
        assert_eq!(condition.state, ConditionState::TemporarilyUnavailable);
        assert!(condition.detail.contains("allow one of"), "{}", condition.detail);
        assert!(condition.detail.contains("docker0: made for containers"), "{}", condition.detail);
        let usable = vec![interface()];
        assert_eq!(no_interface(&Survey { usable, skipped: vec![] }), None);
        let none = no_interface(&Survey::default()).unwrap();
        assert!(!none.detail.contains("passed over"), "{}", none.detail);
    }
}
