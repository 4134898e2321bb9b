//! The multicast DNS responder of one interface: a thread of mdns-sd that ends with this value.
//!
//! One for each interface, because mdns-sd would tell the link-local addresses of all interfaces
//! on each of them: their networks have the same number.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use hedgerow_driver::Beacon;
use mdns_sd::{
    Error, IfKind, IfPredicate, MDNS_PORT, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::{sleep, timeout};

use crate::survey::{Interface, is_ready};
use crate::txt;

/// The service type of every Hedgerow node.
pub(crate) const SERVICE: &str = "_hedgerow._tcp.local.";

/// New addresses are noticed after this many seconds instead of 5.
const IP_CHECK_INTERVAL_S: u32 = 1;
/// Whoever does not answer two questions, one second apart, within this is gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long the goodbye may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// A full command queue is tried again.
const QUEUE_TRIES: usize = 25;
const QUEUE_WAIT: Duration = Duration::from_millis(20);

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// A running responder.
pub(crate) struct Responder {
    daemon: ServiceDaemon,
    /// The full name of what is shown.
    shown: Option<String>,
}

/// Asks a responder whether somebody is still there.
pub(crate) struct Verifier(ServiceDaemon);

impl Verifier {
    /// An instance that does not answer soon will be reported as removed. A responder that is too
    /// busy does not ask.
    pub(crate) fn verify(&self, name: String) {
        let _ = self.0.verify(name, ANSWER_WITHIN);
    }
}

impl Responder {
    /// Starts the thread.
    pub(crate) fn start(interface: &Interface) -> Result<Self, Error> {
        let failed = |what: &str, error: io::Error| Error::Msg(format!("{what}: {error}"));
        check_port().map_err(|error| failed(&format!("UDP port {MDNS_PORT}"), error))?;
        check_multicast(interface).map_err(|error| failed("sending multicast", error))?;
        let daemon = ServiceDaemon::new()?;
        let (name, index) = (interface.name.clone(), interface.index);
        let responder = Self { daemon, shown: None };
        // An address that is not ready would be told, and asked from, in vain and only once.
        let is_usable = move |address: &if_addrs::Interface| {
            address.name == name
                && address.index == Some(index)
                && !address.is_loopback()
                && is_ready(address.ip(), index)
        };
        responder.daemon.disable_interface(IfKind::All)?;
        let usable = IfKind::Predicate(IfPredicate::new(is_usable));
        responder.daemon.enable_interface(usable)?;
        responder.daemon.set_ip_check_interval(IP_CHECK_INTERVAL_S)?;
        Ok(responder)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier(self.daemon.clone())
    }

    /// Shows a beacon in place of the one before. Without an address, there is nothing to show.
    pub(crate) async fn show(
        &mut self,
        beacon: &Beacon,
        listening: &[SocketAddr],
        interface: &Interface,
    ) -> Result<(), Error> {
        let service = service(beacon, listening, interface)?;
        let name = service.as_ref().map(|service| service.get_fullname().to_owned());
        if let Some(service) = service {
            queued(|| self.daemon.register(service.clone())).await?;
        }
        let old = std::mem::replace(&mut self.shown, name);
        if let Some(old) = old.filter(|old| Some(old) != self.shown.as_ref()) {
            queued(|| self.daemon.unregister(&old)).await?;
        }
        Ok(())
    }

    /// Looks for others. Whom it knows already, it tells at once.
    pub(crate) async fn browse(&self) -> Result<Receiver<ServiceEvent>, Error> {
        queued(|| self.daemon.browse(SERVICE)).await
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

/// mdns-sd says nothing when a firewall or the system's permissions stop what it sends, either.
/// An empty query tells; one address family is enough.
fn check_multicast(interface: &Interface) -> io::Result<()> {
    let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
    for network in &interface.networks {
        outcome = send_nothing(network.ip, interface.index);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn send_nothing(from: IpAddr, index: u32) -> io::Result<()> {
    let empty_query = [0; 12];
    let (from, to): (SocketAddr, SocketAddr) = match from {
        IpAddr::V4(ip) => ((ip, 0).into(), (GROUP_V4, MDNS_PORT).into()),
        IpAddr::V6(ip) => (
            SocketAddrV6::new(ip, 0, 0, index).into(),
            SocketAddrV6::new(GROUP_V6, MDNS_PORT, 0, index).into(),
        ),
    };
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&from.into())?;
    match from.ip() {
        IpAddr::V4(ip) => socket.set_multicast_if_v4(&ip)?,
        IpAddr::V6(_) => socket.set_multicast_if_v6(index)?,
    }
    socket.send_to(&empty_query, &to.into()).map(|_| ())
}

/// What to show on an interface of a node that listens there; `None` if it does not listen there.
fn service(
    beacon: &Beacon,
    listening: &[SocketAddr],
    interface: &Interface,
) -> Result<Option<ServiceInfo>, Error> {
    let Some(first) = listening.first() else { return Ok(None) };
    let label = beacon.label();
    let host = format!("{label}.local.");
    let record = txt::encode(beacon);
    let new = |ips: &[IpAddr]| {
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
    } else if interface.has(first.ip()) {
        new(&[first.ip()])?
    } else {
        return Ok(None);
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
    use crate::survey::Network;

    fn beacon() -> Beacon {
        let address = Address::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
        let identity = BeaconIdentity::Open { tag: [9; 4], address };
        Beacon { lowest: 1, highest: 1, identity }
    }

    fn shown(listening: &[&str]) -> Option<ServiceInfo> {
        let listening: Vec<SocketAddr> = listening.iter().map(|a| a.parse().unwrap()).collect();
        let networks = vec![Network { ip: [192, 168, 1, 7].into(), prefix_bits: 24 }];
        let interface = Interface { index: 2, name: "eth0".to_owned(), networks };
        service(&beacon(), &listening, &interface).unwrap()
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
    fn one_address_is_shown_alone_and_only_where_it_is() {
        let service = shown(&["192.168.1.7:4040"]).unwrap();
        assert!(!service.is_addr_auto());
        assert_eq!(service.get_addresses().len(), 1);
        assert!(shown(&["192.168.2.7:4040"]).is_none(), "of another interface");
        assert!(shown(&["127.0.0.1:4040"]).is_none(), "nobody else reaches loopback");
    }

    #[test]
    fn nothing_is_shown_without_a_listener() {
        assert!(shown(&[]).is_none());
    }
}
