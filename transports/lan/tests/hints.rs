//! Hosts that do not see each other by multicast DNS, and neighbours that tell where they listen.

#![cfg(target_os = "linux")]

mod hosts;
mod node;

use hedgerow_driver::Address;
use hosts::{Host, Namespace, hex, neighbour, segment};
use node::beacon;

/// Not a test of its own: what runs in each namespace.
#[tokio::test]
async fn child() {
    hosts::child().await;
}

/// The beginning of a hint (protocol 2.5): an open network with the tag `tag`, and who is in it.
fn of(tag: u8, address: Address) -> String {
    hex(&[&[1, 1, 1, 0], &[tag; 4][..], address.as_bytes()].concat())
}

/// 10.77.0.`host`:`port`, as a hint has it.
fn at(host: u8, port: u16) -> String {
    let [high, low] = port.to_be_bytes();
    hex(&[4, 10, 77, 0, host, high, low])
}

/// The label of the neighbour's beacon.
fn label() -> String {
    hex(neighbour().address().as_bytes())
}

impl Host {
    fn until_line(&self, wanted: &str) {
        let start = wanted.split(' ').next().unwrap();
        let said = self.until(wanted, |line| line.starts_with(start));
        assert_eq!(said.last().unwrap(), wanted);
    }
}

#[test]
fn a_node_tells_where_it_listens_and_what_has_changed_for_good() {
    let Some([a, b]) = Namespace::two("tells") else { return };
    let host = Host::start(&a, 1, "mdns=off exchange=yes port=4040 deny=eth1");
    for (device, net) in [("eth0", 0), ("eth1", 1)] {
        a.plug(device, &b);
        a.ip(&format!("addr add 10.77.{net}.1/24 dev {device}"));
        for host in [&a, &b] {
            host.ip(&format!("link set {device} up"));
        }
    }
    let own = of(1, Address::from_bytes([1; 8]));
    let one = format!("hint {own}{}", at(1, 4040));
    host.until_line(&one);
    // With IPv6; neither loopback, nor link-local, nor what is denied is among them.
    a.ip("addr add fd77::1/64 dev eth0 nodad");
    let ipv6 = "06fd770000000000000000000000000001";
    host.until_line(&format!("{one}{ipv6}0fc8"));
    a.ip("link set eth0 down");
    host.until_line("hint ");
    host.until_ended();
}

#[test]
fn a_point_to_point_interface_is_told_though_nobody_is_found_there() {
    let Some([a, b]) = Namespace::two("tunnel") else { return };
    let host = Host::start(&a, 1, "mdns=off exchange=yes port=4040");
    // By its name, a VPN.
    a.plug("wg0", &b);
    a.ip("addr add 10.77.0.1/24 dev wg0");
    for host in [&a, &b] {
        host.ip("link set wg0 up");
    }
    let own = of(1, Address::from_bytes([1; 8]));
    host.until_line(&format!("hint {own}{}", at(1, 4040)));
}

#[test]
fn what_a_neighbour_tells_is_sighted_and_what_it_tells_no_more_is_lost() {
    let Some([a, _b]) = segment("told") else { return };
    let mut host = Host::start(&a, 1, "mdns=off exchange=yes");
    let own = of(7, neighbour().address());
    host.order(&format!("hint {own}{}{}", at(2, 4040), at(3, 4040)));
    host.until_line(&format!("sighted 10.77.0.2:4040 {}", label()));
    host.until_line(&format!("sighted 10.77.0.3:4040 {}", label()));
    host.order(&format!("hint {own}{}", at(3, 4040)));
    host.until_line("lost 10.77.0.2:4040");
    host.order("hint ");
    host.until_line("lost 10.77.0.3:4040");
    host.until_ended();
}

#[test]
fn who_does_not_exchange_addresses_neither_tells_nor_listens() {
    let Some([a, _b]) = segment("silent") else { return };
    let mut host = Host::start(&a, 1, "mdns=off peer=10.77.0.9:1");
    host.order(&format!("hint {}{}", of(7, neighbour().address()), at(2, 4040)));
    // What goes on meanwhile takes longer than a hint: an address that nobody has.
    host.order("dial 10.77.0.99:1");
    let mut said = host.until("the failure", |line| line.starts_with("no "));
    said.extend(host.until_ended());
    let is_of_hints = |line: &&String| line.starts_with("hint ") || line.contains("10.77.0.2");
    assert_eq!(said.iter().find(is_of_hints), None, "{said:?}");
}

#[test]
fn an_address_that_is_told_and_seen_is_lost_when_it_is_neither() {
    let Some([a, b]) = segment("both") else { return };
    let mut here = Host::start(&a, 1, "exchange=yes");
    let there = Host::start(&b, 2, "ip=10.77.0.2 port=4040");
    here.until_sighted(&beacon(2).label(), &["10.77.0.2:"]);
    let own = of(7, neighbour().address());
    here.order(&format!("hint {own}{}{}", at(2, 4040), at(3, 4040)));
    // Who is seen there counts, as long as it is.
    let said = here.until("the other one", |line| line.starts_with("sighted 10.77.0.3:"));
    assert!(!said.contains(&format!("sighted 10.77.0.2:4040 {}", label())), "{said:?}");
    there.until_ended();
    let said = here.until("the neighbour there", |line| line.ends_with(&label()));
    assert_eq!(said.last(), Some(&format!("sighted 10.77.0.2:4040 {}", label())), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("lost 10.77.0.2:4040")), "{said:?}");
    let there = Host::start(&b, 2, "ip=10.77.0.2 port=4040");
    here.until_sighted(&beacon(2).label(), &["10.77.0.2:"]);
    here.order("hint ");
    let said = here.until("the loss", |line| line.starts_with("lost "));
    assert_eq!(said.last().unwrap(), "lost 10.77.0.3:4040", "{said:?}");
    there.until_ended();
    here.until_line("lost 10.77.0.2:4040");
}

#[test]
fn an_address_that_is_told_and_never_reached_is_left_alone() {
    let Some([a, _b]) = segment("vain") else { return };
    let mut host = Host::start(&a, 1, "mdns=off exchange=yes");
    let own = of(7, neighbour().address());
    host.order(&format!("hint {own}{}", at(2, 4040)));
    host.until_line(&format!("sighted 10.77.0.2:4040 {}", label()));
    // Nobody is there: refused at once.
    for _ in 0..3 {
        host.order("dial 10.77.0.2:4040");
        let said = host.until("the failure", |line| line.starts_with("no "));
        assert!(!said.iter().any(|line| line.starts_with("lost ")), "{said:?}");
    }
    host.until_line("lost 10.77.0.2:4040");
    host.until_ended();
}
