//! The network interfaces: which a node can use, and why it skips the others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use if_addrs::Interface;

use super::Check;

/// Interfaces that are told one by one; a host of containers has hundreds.
const TOLD_MAX: usize = 16;

/// An interface that a node can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usable {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) addresses: Vec<IpAddr>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) usable: Vec<Usable>,
    pub(crate) checks: Vec<Check>,
}

/// Looks at all interfaces. `only` is the address that the configuration listens on, if it is
/// one and not all.
pub(crate) fn check(only: Option<IpAddr>) -> Found {
    match if_addrs::get_if_addrs() {
        Ok(all) => of(&all, &names(), only),
        Err(error) => {
            let message = format!("the system does not list its network interfaces: {error}");
            let hint = "run it outside of the sandbox, or with the right to see the network";
            let checks = vec![Check::fail("interfaces", message, hint)];
            Found { usable: Vec::new(), checks }
        }
    }
}

/// The names of all interfaces, also of those without an address, where the system says.
fn names() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.split_once(':'));
    rows.map(|(name, _)| name.trim().to_owned()).collect()
}

fn of(all: &[Interface], names: &[String], only: Option<IpAddr>) -> Found {
    let mut by_name: BTreeMap<&str, Vec<&Interface>> =
        names.iter().map(|name| (name.as_str(), Vec::new())).collect();
    for interface in all {
        by_name.entry(&interface.name).or_default().push(interface);
    }
    let wants_loopback = only.is_some_and(|ip| ip.is_loopback());
    let (mut usable, mut checks) = (Vec::new(), Vec::new());
    for (name, addresses) in by_name {
        let list: Vec<String> = addresses.iter().map(|i| i.ip().to_string()).collect();
        let list = list.join(", ");
        match skipped(&addresses, wants_loopback) {
            None => {
                checks.push(Check::ok("interfaces", format!("{name}: {list}")));
                usable.push(Usable {
                    name: name.to_owned(),
                    index: addresses.iter().find_map(|i| i.index).unwrap_or(0),
                    addresses: addresses.iter().map(|i| i.ip()).collect(),
                });
            }
            Some(why) => {
                checks.push(Check::ok("interfaces", format!("{name} is skipped: {why}")));
            }
        }
    }
    if checks.len() > TOLD_MAX {
        let more = format!("and {} more", checks.len() - TOLD_MAX);
        checks.sort_by_key(|check| check.message.contains(" is skipped: "));
        checks.truncate(TOLD_MAX);
        checks.push(Check::ok("interfaces", more));
    }
    if usable.is_empty() {
        let message = "no network interface can be used: peers in other devices are out of reach";
        let hint = "plug in a cable, join a Wi-Fi network, or bring one up and give it an address \
                    (`ip link`, `ip address`); a node that runs finds it by itself";
        checks.push(Check::fail("interfaces", message, hint));
    }
    Found { usable, checks }
}

/// Why an interface is not used; `None` if it is.
fn skipped(addresses: &[&Interface], wants_loopback: bool) -> Option<&'static str> {
    let Some(first) = addresses.first() else { return Some("it is down or has no address") };
    if addresses.iter().all(|interface| interface.is_loopback()) {
        return (!wants_loopback).then_some("it leads to this machine only");
    }
    if first.is_p2p() {
        return Some("it is point-to-point, a VPN most likely, where nobody is near");
    }
    (!first.is_oper_up()).then_some("it has no carrier: no cable, no Wi-Fi network")
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfAddr, IfOperStatus, Ifv4Addr};

    use super::*;
    use crate::doctor::Level;

    fn interface(name: &str, ip: [u8; 4]) -> Interface {
        let ip = ip.into();
        let addr = Ifv4Addr { ip, netmask: ip, prefixlen: 24, broadcast: None };
        Interface {
            name: name.to_owned(),
            addr: IfAddr::V4(addr),
            index: Some(2),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
            #[cfg(windows)]
            adapter_name: String::new(),
        }
    }

    #[test]
    fn each_interface_is_told_and_why_it_is_skipped() {
        let lo = interface("lo", [127, 0, 0, 1]);
        let eth = interface("eth0", [192, 168, 1, 7]);
        let vpn = Interface { is_p2p: true, ..interface("tun0", [10, 8, 0, 1]) };
        let unplugged =
            Interface { oper_status: IfOperStatus::Unknown, ..interface("eth1", [192, 168, 2, 7]) };
        let found = of(&[lo, eth, vpn, unplugged], &["wlan0".to_owned()], None);
        let message = |name: &str| {
            let check = found.checks.iter().find(|check| check.message.starts_with(name));
            check.map(|check| (check.status, check.message.clone())).unwrap()
        };
        assert_eq!(message("eth0"), (Level::Ok, "eth0: 192.168.1.7".to_owned()));
        assert!(message("lo").1.contains("this machine only"));
        assert!(message("tun0").1.contains("VPN"));
        assert!(message("eth1").1.contains("no carrier"));
        assert!(message("wlan0").1.contains("is down or has no address"));
        assert_eq!(found.usable.len(), 1);
    }

    #[test]
    fn without_any_the_last_line_fails_and_says_what_to_do() {
        let found = of(&[interface("lo", [127, 0, 0, 1])], &[], None);
        let last = found.checks.last().unwrap();
        assert_eq!((last.status, last.hint.is_empty()), (Level::Fail, false));
        // A node that listens on loopback on purpose has what it needs.
        let found = of(&[interface("lo", [127, 0, 0, 1])], &[], Some([127, 0, 0, 1].into()));
        assert_eq!(found.usable.len(), 1);
    }

    #[test]
    fn a_host_of_containers_does_not_fill_the_screen() {
        let many: Vec<_> =
            (0..200).map(|n| interface(&format!("veth{n}"), [10, 0, n, 1])).collect();
        let found = of(&many, &[], None);
        assert_eq!((found.usable.len(), found.checks.len()), (200, TOLD_MAX + 1));
        assert_eq!(found.checks.last().unwrap().message, "and 184 more");
    }
}
