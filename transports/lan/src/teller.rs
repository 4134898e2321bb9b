//! Tells neighbours, over whatever link stands, where this node listens: where multicast DNS is
//! filtered, they find it all the same.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hedgerow_driver::{Beacon, Hint, NodeGone, Reports};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;

use crate::hint::{self, ADDRESSES_MAX, is_tellable};
use crate::interface::InterfaceRules;
use crate::survey::{Interface, told};
use crate::told::Own;

/// How often the addresses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Holds back what is there at one look only, such as the moment between two addresses.
#[derive(Debug, Default)]
struct Settling {
    said: Hint,
    before: Option<Hint>,
}

impl Settling {
    /// What to say after another look. The first one needs no other.
    fn say(&mut self, hint: Hint) -> Option<Hint> {
        let before = self.before.replace(hint.clone());
        let is_settled = before.is_none_or(|before| before == hint);
        if !is_settled || hint == self.said {
            return None;
        }
        self.said.clone_from(&hint);
        Some(hint)
    }
}

/// Says where this node can be dialled, whenever that changes.
pub(crate) struct Teller {
    pub(crate) rules: InterfaceRules,
    pub(crate) listening: watch::Receiver<Vec<SocketAddr>>,
    /// The first beacon lets it begin; when the sender is gone, it ends.
    pub(crate) beacon: watch::Receiver<Option<Beacon>>,
    /// What it sees of this machine.
    pub(crate) own: watch::Sender<Own>,
    pub(crate) reports: Reports,
}

impl Teller {
    /// Runs until the driver shuts down.
    pub(crate) async fn run(mut self) -> Result<(), NodeGone> {
        if self.beacon.wait_for(Option::is_some).await.is_err() {
            return Ok(());
        }
        let mut settling = Settling::default();
        loop {
            if let Some(hint) = self.look().and_then(|hint| settling.say(hint)) {
                self.reports.hint(hint).await?;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                Ok(()) = self.listening.changed() => {}
                changed = self.beacon.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// What is to be told as things are; `None` where that cannot be seen.
    fn look(&mut self) -> Option<Hint> {
        let interfaces = match told(&self.rules) {
            Ok(interfaces) => interfaces,
            Err(error) => {
                debug!(%error, "cannot list the network interfaces");
                return None;
            }
        };
        let listening = self.listening.borrow_and_update().clone();
        let beacon = (*self.beacon.borrow_and_update())?;
        let hint = hint::encode(&beacon, &addresses(&interfaces, &listening));
        let networks = interfaces.into_iter().flat_map(|interface| interface.networks).collect();
        let own = Own { networks, listening };
        self.own.send_if_modified(|known| {
            let is_new = *known != own;
            *known = own;
            is_new
        });
        Some(hint)
    }
}

/// The addresses that are told: the first of IPv4 of every interface, then the first of IPv6, then
/// the second ones, as far as there is room.
fn addresses(interfaces: &[Interface], listening: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for interface in interfaces {
        for is_of_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            let ips = interface.networks.iter().map(|network| network.ip);
            let ips = ips.filter(|ip| is_of_family(ip) && is_tellable(*ip));
            let listens = ips.filter_map(|ip| Some(SocketAddr::new(ip, port(ip, listening)?)));
            all.extend(listens.enumerate());
        }
    }
    all.sort_by_key(|(place, address)| (*place, address.is_ipv6()));
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for (_, address) in all {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// The port on which an address of this machine is listened on.
fn port(ip: IpAddr, listening: &[SocketAddr]) -> Option<u16> {
    let is_on = |address: &&SocketAddr| {
        let is_any = address.ip().is_unspecified() && address.is_ipv4() == ip.is_ipv4();
        is_any || address.ip() == ip
    };
    listening.iter().find(is_on).map(SocketAddr::port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Network;

    fn interface(index: u32, ips: &[&str]) -> Interface {
        let network = |ip: &&str| Network { ip: ip.parse().unwrap(), prefix_bits: 24 };
        let networks = ips.iter().map(network).collect();
        Interface { index, name: format!("eth{index}"), networks }
    }

    fn told(interfaces: &[Interface], listening: &[&str]) -> Vec<String> {
        let listening: Vec<_> = listening.iter().map(|text| text.parse().unwrap()).collect();
        addresses(interfaces, &listening).iter().map(ToString::to_string).collect()
    }

    const ANY: [&str; 2] = ["[::]:4040", "0.0.0.0:4040"];

    #[test]
    fn every_interface_comes_before_the_second_addresses_of_any() {
        let one = interface(1, &["10.0.0.1", "10.0.0.2", "2001:db8::1", "fd77::1"]);
        let two = interface(2, &["192.168.1.1", "fd77:2::1"]);
        let expected = [
            "10.0.0.1:4040",
            "192.168.1.1:4040",
            "[2001:db8::1]:4040",
            "[fd77:2::1]:4040",
            "10.0.0.2:4040",
            "[fd77::1]:4040",
        ];
        assert_eq!(told(&[one, two], &ANY), expected);
    }

    #[test]
    fn loopback_and_link_local_addresses_are_not_told() {
        let all = interface(1, &["127.0.0.1", "169.254.1.1", "fe80::1", "::1", "10.0.0.1"]);
        assert_eq!(told(&[all], &ANY), ["10.0.0.1:4040"]);
    }

    #[test]
    fn only_where_it_listens_is_told() {
        let both = [interface(1, &["10.0.0.1", "fd77::1"]), interface(2, &["192.168.1.1"])];
        assert_eq!(told(&both, &[]), [""; 0]);
        assert_eq!(told(&both, &["0.0.0.0:7"]), ["10.0.0.1:7", "192.168.1.1:7"]);
        assert_eq!(told(&both, &["192.168.1.1:7"]), ["192.168.1.1:7"]);
        assert_eq!(told(&both, &["127.0.0.1:7"]), [""; 0]);
        assert_eq!(told(&both, &["10.9.9.9:7"]), [""; 0], "an address that is denied or elsewhere");
    }

    #[test]
    fn the_first_is_told_at_once_and_later_ones_once_they_stay() {
        let [one, two] = [b"1", b"2"].map(|bytes| Hint::new(bytes).unwrap());
        let mut settling = Settling::default();
        assert_eq!(settling.say(one.clone()), Some(one.clone()));
        assert_eq!(settling.say(two.clone()), None);
        assert_eq!(settling.say(one.clone()), None);
        assert_eq!(settling.say(one), None, "it is told");
        assert_eq!(settling.say(two.clone()), None);
        assert_eq!(settling.say(two.clone()), Some(two));
        assert_eq!(Settling::default().say(Hint::default()), None, "nothing is told already");
    }

    #[test]
    fn an_address_on_two_interfaces_is_told_once_and_no_more_than_fit_are() {
        let ips: Vec<String> = (1..=40).map(|n| format!("10.0.0.{n}")).collect();
        let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
        let same = [interface(1, &ips), interface(2, &ips)];
        let told = told(&same, &ANY);
        assert_eq!(told.len(), ADDRESSES_MAX);
        assert_eq!(told[1], "10.0.0.2:4040");
    }
}
