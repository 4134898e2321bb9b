//! The multicast DNS responder: a thread of mdns-sd that ends with this value.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hedgerow_driver::Beacon;
use mdns_sd::{
    DaemonEvent, Error, IfKind, MDNS_PORT, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{sleep, timeout};

use crate::txt;

/// The service type of every Hedgerow node.
pub(crate) const SERVICE: &str = "_hedgerow._tcp.local.";

/// New interfaces and addresses are noticed after this many seconds instead of 5.
const IP_CHECK_INTERVAL_S: u32 = 1;
/// How long the goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// A full command queue is tried again.
const QUEUE_TRIES: usize = 25;
const QUEUE_WAIT: Duration = Duration::from_millis(20);

/// A running responder.
pub(crate) struct Responder {
    daemon: ServiceDaemon,
    /// The full name of what is shown.
    shown: Option<String>,
}

impl Responder {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self, Error> {
        check_port().map_err(|error| Error::Msg(format!("UDP port {MDNS_PORT}: {error}")))?;
        let daemon = ServiceDaemon::new()?;
        let responder = Self { daemon, shown: None };
        responder.daemon.set_ip_check_interval(IP_CHECK_INTERVAL_S)?;
        Ok(responder)
    }

    /// Shows a beacon in place of the one before. Without an address, there is nothing to show.
    pub(crate) async fn show(
        &mut self,
        beacon: &Beacon,
        listening: &[SocketAddr],
    ) -> Result<(), Error> {
        let Some(service) = service(beacon, listening)? else { return Ok(()) };
        let name = service.get_fullname().to_owned();
        queued(|| self.daemon.register(service.clone())).await?;
        if let Some(old) = self.shown.replace(name.clone()).filter(|old| *old != name) {
            queued(|| self.daemon.unregister(&old)).await?;
        }
        Ok(())
    }

    /// Looks for others. Whom it knows already, it tells at once.
    pub(crate) async fn browse(&self) -> Result<Receiver<ServiceEvent>, Error> {
        queued(|| self.daemon.browse(SERVICE)).await
    }

    /// What changes on this machine from now on.
    pub(crate) async fn monitor(&self) -> Result<Receiver<DaemonEvent>, Error> {
        queued(|| self.daemon.monitor()).await
    }

    /// Says goodbye and ends the thread.
    pub(crate) async fn say_goodbye(mut self) {
        let shown = self.shown.take();
        let goodbye = async {
            if let Some(shown) = shown
                && let Ok(said) = self.daemon.unregister(&shown)
            {
                let _ = said.recv_async().await;
            }
            if let Ok(ended) = queued(|| self.daemon.shutdown()).await {
                let _ = ended.recv_async().await;
            }
        };
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // The thread does not end by itself. It has ended already after a goodbye.
        let _ = self.daemon.shutdown();
    }
}

/// Asks again while the responder's queue is full.
async fn queued<T>(ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 0..QUEUE_TRIES {
        match ask() {
            Err(Error::Again) => sleep(QUEUE_WAIT).await,
            answer => return answer,
        }
    }
    ask()
}

/// mdns-sd says nothing when it cannot bind the port, and then hears nothing: try it first, with
/// the options that it uses.
fn check_port() -> io::Result<()> {
    let bind = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())
    };
    bind((Ipv4Addr::UNSPECIFIED, MDNS_PORT).into())
        .or_else(|error| bind((Ipv6Addr::UNSPECIFIED, MDNS_PORT).into()).map_err(|_| error))
}

/// What to show of a node that listens there; `None` if it does not listen.
fn service(beacon: &Beacon, listening: &[SocketAddr]) -> Result<Option<ServiceInfo>, Error> {
    let Some(first) = listening.first() else { return Ok(None) };
    let label = beacon.label();
    let host = format!("{label}.local.");
    let record = txt::encode(beacon);
    let new = |ips: &[std::net::IpAddr]| {
        ServiceInfo::new(SERVICE, &label, &host, ips, first.port(), record.as_slice())
    };
    let mut service = if first.ip().is_unspecified() {
        let mut service = new(&[])?.enable_addr_auto();
        let family = |address: &SocketAddr| match address {
            SocketAddr::V4(_) => IfKind::IPv4,
            SocketAddr::V6(_) => IfKind::IPv6,
        };
        service.set_interfaces(listening.iter().map(family).collect());
        service
    } else {
        new(&[first.ip()])?
    };
    // The name comes from the node's key: nobody else has it.
    service.set_requires_probe(false);
    Ok(Some(service))
}

#[cfg(test)]
mod tests {
    use hedgerow_core::id::Address;
    use hedgerow_driver::BeaconIdentity;

    use super::*;

    fn beacon() -> Beacon {
        let address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let identity = BeaconIdentity::Open { tag: [9; 4], address };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn shown(listening: &[&str]) -> Option<ServiceInfo> {
        let listening: Vec<SocketAddr> = listening.iter().map(|a| a.parse().unwrap()).collect();
        service(&beacon(), &listening).unwrap()
    }

    #[test]
    fn the_name_is_the_beacons_label() {
        let service = shown(&["0.0.0.0:4040", "[::]:4040"]).unwrap();
        assert_eq!(service.get_fullname(), "0102030405060708._hedgerow._tcp.local.");
        assert_eq!(service.get_hostname(), "0102030405060708.local.");
        assert_eq!(service.get_port(), 4040);
        assert!(service.is_addr_auto() && !service.requires_probe());
        assert_eq!(txt::decode(|key| service.get_property_val_str(key)), Ok(beacon()));
    }

    #[test]
    fn one_address_is_shown_alone() {
        let service = shown(&["192.168.1.7:4040"]).unwrap();
        assert!(!service.is_addr_auto());
        assert_eq!(service.get_addresses().len(), 1);
    }

    #[test]
    fn nothing_is_shown_without_a_listener() {
        assert!(shown(&[]).is_none());
    }
}
