//! What networks this machine is on.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

use if_addrs::{IfAddr, get_if_addrs};

use crate::interface::{InterfaceRules, Skip, Traits};

/// Interfaces that discovery works on at once; each costs a thread.
const INTERFACES_MAX: usize = 16;

/// An interface that discovery uses, with the networks that are directly on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) networks: Vec<Network>,
}

/// An address of this machine and how much of it is the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    pub(crate) ip: IpAddr,
    pub(crate) prefix_bits: u8,
}

impl Interface {
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.ip == ip)
    }

    /// Whether an address is reached over this interface without a router.
    pub(crate) fn reaches(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }
}

impl Network {
    fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let host_bits = 32 - u32::from(self.prefix_bits.min(32));
                let differ = u64::from(own.to_bits() ^ ip.to_bits());
                differ >> host_bits == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let host_bits = 128 - u32::from(self.prefix_bits.min(128));
                (own.to_bits() ^ ip.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The interfaces of this machine.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Those that are up, ordered by index.
    pub(crate) usable: Vec<Interface>,
    /// Those that are up but passed over, loopback aside.
    pub(crate) skipped: Vec<(String, Skip)>,
}

/// Looks at the interfaces of this machine.
pub(crate) fn survey(rules: &InterfaceRules) -> io::Result<Survey> {
    let mut addresses = get_if_addrs()?;
    addresses.sort_by_key(|address| (address.index, address.ip()));
    let mut survey = Survey::default();
    for of_one in addresses.chunk_by(|a, b| a.index == b.index) {
        let Some(first) = of_one.first() else { continue };
        let Some(index) = first.index else { continue };
        let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let traits = Traits {
            name: &first.name,
            is_loopback: of_one.iter().any(if_addrs::Interface::is_loopback),
            is_point_to_point: first.is_p2p(),
            is_port: of_one.iter().all(|address| is_link_local(address.ip()))
                && is_port(&first.name, index),
        };
        match rules.check(&traits) {
            Err(Skip::Loopback) => continue,
            Err(skip) => {
                survey.skipped.push((first.name.clone(), skip));
                continue;
            }
            Ok(()) => {}
        }
        let up = of_one.iter().filter(|address| address.is_oper_up());
        let ready = up.filter(|address| is_ready(address.ip(), index));
        let networks: Vec<Network> = ready.map(|address| network(&address.addr)).collect();
        if !networks.is_empty() && survey.usable.len() < INTERFACES_MAX {
            survey.usable.push(Interface { index, name: first.name.clone(), networks });
        }
    }
    Ok(survey)
}

fn network(address: &IfAddr) -> Network {
    let (ip, prefix_bits) = match address {
        IfAddr::V4(v4) => (v4.ip.into(), v4.netmask.to_bits().leading_ones()),
        IfAddr::V6(v6) => (v6.ip.into(), v6.netmask.to_bits().leading_ones()),
    };
    Network { ip, prefix_bits: u8::try_from(prefix_bits).unwrap_or(u8::MAX) }
}

/// Whether packets can leave from an address. A new IPv6 address is none for up to two seconds,
/// until nobody else claims it (RFC 4862 section 5.4).
pub(crate) fn is_ready(ip: IpAddr, index: u32) -> bool {
    let address = match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, 0, 0, index).into(),
        ip => SocketAddr::new(ip, 0),
    };
    match UdpSocket::bind(address) {
        Ok(_) => true,
        // Any other error, such as too many open files, is not the address's.
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

/// Whether an interface is a port of a bridge or a bond. The folder may show another network
/// namespace, so the index must fit.
#[cfg(target_os = "linux")]
fn is_port(name: &str, index: u32) -> bool {
    let folder = std::path::Path::new("/sys/class/net").join(name);
    let shown = std::fs::read_to_string(folder.join("ifindex"));
    let is_same = shown.is_ok_and(|shown| shown.trim().parse() == Ok(index));
    is_same && (folder.join("brport").exists() || folder.join("bonding_slave").exists())
}

#[cfg(not(target_os = "linux"))]
fn is_port(_: &str, _: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(ip: &str, prefix_bits: u8) -> Network {
        Network { ip: ip.parse().unwrap(), prefix_bits }
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_prefix() {
        let holds = |of: Network, ip: &str| of.contains(ip.parse().unwrap());
        assert!(holds(network("10.77.1.5", 24), "10.77.1.250"));
        assert!(!holds(network("10.77.1.5", 24), "10.77.2.5"));
        assert!(!holds(network("10.77.1.5", 24), "fe80::1"));
        assert!(holds(network("10.77.1.5", 0), "192.0.2.1"));
        assert!(!holds(network("10.77.1.5", 32), "10.77.1.4"));
        assert!(holds(network("2001:db8::1", 64), "2001:db8::ffff"));
        assert!(!holds(network("2001:db8::1", 64), "2001:db8:0:1::1"));
        assert!(holds(network("::1", 0), "2001:db8::1"));
        assert!(!holds(network("2001:db8::1", 128), "2001:db8::2"));
    }

    #[test]
    fn an_address_of_this_machine_is_ready_and_a_foreign_one_is_not() {
        assert!(is_ready("127.0.0.1".parse().unwrap(), 1));
        assert!(!is_ready("192.0.2.1".parse().unwrap(), 1));
    }

    #[test]
    fn loopback_is_never_among_the_interfaces() {
        let all = InterfaceRules { allow: vec!["*".to_owned()], deny: vec![] };
        let survey = survey(&all).unwrap();
        assert!(survey.usable.iter().all(|interface| !interface.has([127, 0, 0, 1].into())));
        assert!(survey.skipped.iter().all(|(_, skip)| *skip != Skip::Loopback));
    }
}
