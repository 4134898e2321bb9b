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
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
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

    /// Whether an address is the one of IPv4 that means all machines of this network.
    pub(crate) fn has_broadcast(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let hosts = u32::MAX.checked_shr(u32::from(self.prefix_bits)).unwrap_or(0);
                hosts > 1 && own.to_bits() | hosts == ip.to_bits()
            }
            _ => false,
        }
    }
}

/// The interfaces of this machine, as far as discovery is concerned.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Those that are used, ordered by index.
    pub(crate) usable: Vec<Interface>,
    /// Those that the rules pass over.
    pub(crate) skipped: Vec<(String, Skip)>,
}

/// An interface of this machine, and whether discovery uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its number; unknown of one without an address.
    pub index: Option<u32>,
    /// Its addresses; of an interface that is used, those that packets can leave from.
    pub addresses: Vec<IpAddr>,
    /// Why discovery does not use it; `None` if it does.
    pub skipped: Option<Skip>,
}

/// Looks at the interfaces of this machine as discovery does: those with an address by index,
/// then, where the system lists them (Linux), those without one.
///
/// ```
/// use hedgerow_lan::{InterfaceRules, interfaces};
///
/// for interface in interfaces(&InterfaceRules::default())? {
///     match interface.skipped {
///         None => println!("{}: {:?}", interface.name, interface.addresses),
///         Some(why) => println!("{} is skipped: {why}", interface.name),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When the system does not list its interfaces.
pub fn interfaces(rules: &InterfaceRules) -> io::Result<Vec<InterfaceStatus>> {
    let mut all: Vec<InterfaceStatus> = look(rules)?
        .into_iter()
        .map(|(interface, skipped)| InterfaceStatus {
            name: interface.name,
            index: Some(interface.index),
            addresses: interface.networks.iter().map(|network| network.ip).collect(),
            skipped,
        })
        .collect();
    for name in names() {
        if all.iter().all(|known| known.name != name) {
            // Without an address there are no flags. Linux has one loopback interface, called so.
            let skipped = Some(if name == "lo" { Skip::Loopback } else { Skip::NoAddress });
            all.push(InterfaceStatus { name, index: None, addresses: Vec::new(), skipped });
        }
    }
    Ok(all)
}

/// Looks at the interfaces of this machine.
pub(crate) fn survey(rules: &InterfaceRules) -> io::Result<Survey> {
    let mut survey = Survey::default();
    for (interface, skipped) in look(rules)? {
        match skipped {
            None => survey.usable.push(interface),
            Some(skip) if skip.is_by_rules() => survey.skipped.push((interface.name, skip)),
            Some(_) => {}
        }
    }
    Ok(survey)
}

/// The interfaces whose addresses neighbours are told, and those addresses.
pub(crate) fn told(rules: &InterfaceRules) -> io::Result<Vec<Interface>> {
    let mut told = look(rules)?;
    told.retain(|(interface, skipped)| rules.tells(&interface.name, *skipped));
    for (interface, _) in told.iter_mut().filter(|(_, skipped)| skipped.is_some()) {
        let index = interface.index;
        interface.networks.retain(|network| is_ready(network.ip, index));
    }
    Ok(told.into_iter().map(|(interface, _)| interface).collect())
}

/// Every interface with an address, ordered by index, and why it is not used. Of one that is used
/// only the networks that packets can leave to.
fn look(rules: &InterfaceRules) -> io::Result<Vec<(Interface, Option<Skip>)>> {
    let mut addresses = get_if_addrs()?;
    addresses.sort_by_key(|address| (address.index, address.ip()));
    let (mut all, mut used) = (Vec::new(), 0);
    for of_one in addresses.chunk_by(|a, b| a.index == b.index) {
        let Some((name, index)) = of_one.first().and_then(|a| Some((&a.name, a.index?))) else {
            continue;
        };
        let networks = |of: &[&if_addrs::Interface]| of.iter().map(|a| network(&a.addr)).collect();
        let of_one: Vec<&if_addrs::Interface> = of_one.iter().collect();
        let (taken, skip) = match take(rules, name, index, &of_one) {
            Ok(_) if used >= INTERFACES_MAX => (networks(&of_one), Some(Skip::TooMany)),
            Ok(ready) => (networks(&ready), None),
            Err(skip) => (networks(&of_one), Some(skip)),
        };
        used += usize::from(skip.is_none());
        all.push((Interface { index, name: name.clone(), networks: taken }, skip));
    }
    Ok(all)
}

/// The addresses of one interface that packets can leave from, or why it is not used.
fn take<'a>(
    rules: &InterfaceRules,
    name: &str,
    index: u32,
    addresses: &[&'a if_addrs::Interface],
) -> Result<Vec<&'a if_addrs::Interface>, Skip> {
    let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    rules.check(&Traits {
        name,
        is_loopback: addresses.iter().any(|address| address.is_loopback()),
        is_point_to_point: addresses.iter().any(|address| address.is_p2p()),
        is_port: addresses.iter().all(|address| is_link_local(address.ip()))
            && is_port(name, index),
    })?;
    let mut taken = addresses.to_vec();
    taken.retain(|address| address.is_oper_up());
    if taken.is_empty() {
        return Err(Skip::NoCarrier);
    }
    taken.retain(|address| is_ready(address.ip(), index));
    if taken.is_empty() { Err(Skip::NotReady) } else { Ok(taken) }
}

/// The interface that has an address of this machine.
pub(crate) fn interface_of(address: SocketAddr) -> io::Result<Option<String>> {
    let scope_id = match address {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let is_it = |interface: &if_addrs::Interface| {
        interface.ip() == address.ip() && (scope_id == 0 || interface.index == Some(scope_id))
    };
    Ok(get_if_addrs()?.into_iter().find(is_it).map(|interface| interface.name))
}

/// The names of all interfaces, also of those without an address, where the system says.
fn names() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.split_once(':'));
    rows.map(|(name, _)| name.trim().to_owned()).collect()
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
    fn a_network_has_one_broadcast_address_and_a_pair_of_hosts_has_none() {
        let has = |of: Network, ip: &str| of.has_broadcast(ip.parse().unwrap());
        assert!(has(network("10.77.1.5", 24), "10.77.1.255"));
        assert!(has(network("10.77.1.5", 23), "10.77.1.255"));
        assert!(!has(network("10.77.1.5", 24), "10.77.1.254"));
        assert!(!has(network("10.77.1.5", 24), "10.77.2.255"));
        assert!(!has(network("10.77.1.4", 31), "10.77.1.5"));
        assert!(!has(network("10.77.1.5", 32), "10.77.1.5"));
        assert!(!has(network("fd77::1", 64), "fd77::ffff:ffff:ffff:ffff"));
    }

    #[test]
    fn an_address_of_this_machine_is_ready_and_a_foreign_one_is_not() {
        assert!(is_ready("127.0.0.1".parse().unwrap(), 1));
        assert!(!is_ready("192.0.2.1".parse().unwrap(), 1));
    }

    #[test]
    fn an_address_of_this_machine_has_an_interface_and_a_foreign_one_has_none() {
        let of = |address: &str| interface_of(address.parse().unwrap()).unwrap();
        assert!(of("127.0.0.1:7").is_some());
        assert_eq!(of("192.0.2.1:7"), None);
    }

    #[test]
    fn loopback_is_never_among_the_interfaces() {
        let all = InterfaceRules { allow: vec!["*".to_owned()], deny: vec![] };
        let survey = survey(&all).unwrap();
        assert!(survey.usable.iter().all(|interface| !interface.has([127, 0, 0, 1].into())));
        assert!(survey.skipped.iter().all(|(_, skip)| *skip != Skip::Loopback));
        let told = interfaces(&all).unwrap();
        assert!(
            told.iter()
                .all(|i| i.skipped.is_some() != survey.usable.iter().any(|u| u.name == i.name))
        );
        let loopback = told.iter().find(|i| i.addresses.contains(&[127, 0, 0, 1].into()));
        assert!(loopback.is_none_or(|i| i.skipped == Some(Skip::Loopback)), "{told:?}");
    }
}
