//! Finding others, and being found, by multicast DNS (RFC 6762, RFC 6763).

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hedgerow_driver::{Beacon, Condition, ConditionState, Endpoint, NodeGone, Reports};
use mdns_sd::{DaemonEvent, ResolvedService, ScopedIp, ServiceEvent};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::condition::{Conditions, Part};
use crate::responder::Responder;
use crate::seen::{Full, Seen};
use crate::{endpoint, txt};

/// The wait before the responder is started again after it failed.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// A new IPv6 address sends nothing until nobody else claims it (RFC 4862 section 5.4): up to
/// 2 s, in which an announcement over it is lost. So the beacon is shown once more after this.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Shows the node's beacon and reports those of others.
pub(crate) struct Discovery {
    /// Where the node listens; nothing to show without.
    addresses: Vec<SocketAddr>,
    reports: Reports,
    conditions: Arc<Conditions>,
    /// The first beacon lets it begin; when the sender is gone, it ends.
    beacon: watch::Receiver<Option<Beacon>>,
    /// The own name now, and the one before: its goodbye may still be under way.
    own: [Option<String>; 2],
    seen: Seen,
}

/// Why it does not go on.
enum Ended {
    Shutdown,
    NodeGone,
    Failed(mdns_sd::Error),
}

impl From<NodeGone> for Ended {
    fn from(_: NodeGone) -> Self {
        Self::NodeGone
    }
}

impl From<mdns_sd::Error> for Ended {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Failed(error)
    }
}

impl Discovery {
    pub(crate) fn new(
        addresses: Vec<SocketAddr>,
        reports: Reports,
        conditions: Arc<Conditions>,
        beacon: watch::Receiver<Option<Beacon>>,
    ) -> Self {
        let (own, seen) = ([None, None], Seen::default());
        Self { addresses, reports, conditions, beacon, own, seen }
    }

    /// Runs until the driver shuts down; a responder that fails is started again.
    pub(crate) async fn run(mut self) -> Result<(), NodeGone> {
        if self.beacon.wait_for(Option::is_some).await.is_err() {
            return Ok(());
        }
        loop {
            let error = match self.with_responder().await {
                Ended::Shutdown => return Ok(()),
                Ended::NodeGone => return Err(NodeGone),
                Ended::Failed(error) => error,
            };
            warn!(%error, "multicast DNS does not work");
            self.conditions.set(Part::Mdns, Some(advice(&error))).await?;
            self.lose_all().await?;
            tokio::select! {
                () = shutdown(self.beacon.clone()) => return Ok(()),
                () = sleep(RETRY_AFTER) => {}
            }
        }
    }

    async fn with_responder(&mut self) -> Ended {
        let mut responder = match Responder::start() {
            Ok(responder) => responder,
            Err(error) => return Ended::Failed(error),
        };
        let Err(ended) = self.follow(&mut responder).await;
        responder.say_goodbye().await;
        ended
    }

    /// Shows the beacon first and looks for others afterwards: so both ends know each other
    /// after one round instead of two.
    async fn follow(
        &mut self,
        responder: &mut Responder,
    ) -> Result<std::convert::Infallible, Ended> {
        self.show(responder).await?;
        let mut events = responder.browse().await?;
        let news = responder.monitor().await?;
        self.conditions.set(Part::Mdns, None).await?;
        let mut settled = pin!(sleep(SETTLED_AFTER));
        let mut is_settled = false;
        loop {
            tokio::select! {
                Ok(DaemonEvent::IpAdd(_)) = news.recv_async() => {
                    settled.as_mut().reset(Instant::now() + SETTLED_AFTER);
                    is_settled = false;
                }
                () = &mut settled, if !is_settled => {
                    is_settled = true;
                    self.show(responder).await?;
                }
                changed = self.beacon.changed() => match changed {
                    Ok(()) => self.show(responder).await?,
                    Err(_) => return Err(Ended::Shutdown),
                },
                event = events.recv_async() => match event {
                    Ok(event) => self.on_event(event).await?,
                    Err(_) => {
                        // It was closed because it was read too slowly, and goodbyes may have
                        // been missed. Whoever is there is seen again at once.
                        debug!("the responder dropped events, starting over");
                        self.lose_all().await?;
                        events = responder.browse().await?;
                    }
                },
            }
        }
    }

    async fn show(&mut self, responder: &mut Responder) -> Result<(), mdns_sd::Error> {
        let Some(beacon) = *self.beacon.borrow_and_update() else { return Ok(()) };
        let label = beacon.label();
        if self.own[0].as_ref() != Some(&label) {
            self.own = [Some(label), self.own[0].take()];
        }
        responder.show(&beacon, &self.addresses).await
    }

    async fn on_event(&mut self, event: ServiceEvent) -> Result<(), NodeGone> {
        match event {
            ServiceEvent::ServiceResolved(service) => self.on_resolved(&service).await,
            ServiceEvent::ServiceRemoved(_, name) => {
                debug!(name, "gone");
                let lost = self.seen.remove(&name);
                self.lose(lost).await
            }
            _ => Ok(()),
        }
    }

    async fn on_resolved(&mut self, service: &ResolvedService) -> Result<(), NodeGone> {
        let name = service.get_fullname();
        if self.is_own(name) {
            return Ok(());
        }
        let beacon = match txt::decode(|key| service.get_property_val_str(key)) {
            Ok(beacon) => beacon,
            Err(error) => {
                debug!(name, %error, "not a beacon");
                let lost = self.seen.remove(name);
                return self.lose(lost).await;
            }
        };
        let (changes, room) = self.seen.update(name, beacon, endpoints(service));
        debug!(name, endpoints = changes.sighted.len(), lost = changes.lost.len(), "resolved");
        if room == Err(Full) {
            warn!(name, "too many peers or addresses on this network, some are left out");
        }
        for sighting in changes.sighted {
            self.reports.sighted(sighting).await?;
        }
        self.lose(changes.lost).await
    }

    fn is_own(&self, name: &str) -> bool {
        let label = name.split('.').next();
        self.own.iter().any(|own| own.is_some() && own.as_deref() == label)
    }

    async fn lose(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Result<(), NodeGone> {
        for endpoint in endpoints {
            self.reports.lost(endpoint).await?;
        }
        Ok(())
    }

    async fn lose_all(&mut self) -> Result<(), NodeGone> {
        let all = self.seen.clear();
        self.lose(all).await
    }
}

async fn shutdown(mut beacon: watch::Receiver<Option<Beacon>>) {
    while beacon.changed().await.is_ok() {}
}

fn advice(error: &mdns_sd::Error) -> Condition {
    Condition::new(
        ConditionState::MdnsFailure,
        format!(
            "peers on this network are not found by themselves, multicast DNS failed ({error}): \
             let this program use UDP port 5353 beside others and send multicast, or configure \
             the addresses of peers; trying again every {} s",
            RETRY_AFTER.as_secs()
        ),
    )
}

/// Where a service can be reached: IPv4 first, then routable IPv6, then link-local with the
/// interface on which it was seen.
fn endpoints(service: &ResolvedService) -> Vec<Endpoint> {
    let mut addresses: Vec<(IpAddr, u32)> = service
        .get_addresses()
        .iter()
        .map(|address| match address {
            ScopedIp::V6(v6) => (IpAddr::V6(*v6.addr()), v6.scope_id().index),
            other => (other.to_ip_addr(), 0),
        })
        .collect();
    addresses.sort_by_key(|(ip, scope_id)| {
        let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        (is_link_local, *ip, *scope_id)
    });
    addresses
        .into_iter()
        .filter_map(|(ip, scope_id)| endpoint::of(ip, scope_id, service.get_port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;

    use super::*;
    use crate::responder::SERVICE;

    #[test]
    fn ipv4_comes_first_and_link_local_without_an_interface_never() {
        let addresses = "fe80::1,2001:db8::1,192.168.1.7";
        let service = ServiceInfo::new(SERVICE, "a", "a.local.", addresses, 4040, None).unwrap();
        let endpoints = endpoints(&service.as_resolved_service());
        let texts: Vec<&str> = endpoints.iter().map(Endpoint::as_str).collect();
        assert_eq!(texts, ["192.168.1.7:4040", "[2001:db8::1]:4040"]);
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let condition = advice(&mdns_sd::Error::DaemonShutdown);
        assert_eq!(condition.state, ConditionState::MdnsFailure);
        assert!(condition.detail.contains("5353") && condition.detail.contains("configure"));
    }
}
