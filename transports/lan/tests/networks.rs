//! Networks as they are: one address family only, interfaces that come and go or are to be left
//! alone, addresses and ports that are not there yet.

#![cfg(target_os = "linux")]

mod hosts;
mod node;

use std::net::TcpListener;

use hedgerow_driver::ConditionState;
use hosts::{Host, Namespace, run, segment};
use node::beacon;

/// Not a test of its own: what runs in each namespace.
#[tokio::test]
async fn child() {
    hosts::child().await;
}

#[test]
fn a_segment_with_ipv4_alone_is_enough() {
    let Some([a, b]) = Namespace::two("ipv4") else { return };
    a.plug("eth0", &b);
    for (host, address) in [(&a, 1), (&b, 2)] {
        host.without_ipv6();
        host.ip(&format!("addr add 10.77.0.{address}/24 dev eth0"));
        host.ip("link set eth0 up");
    }
    let mut here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "");
    let endpoints = here.until_sighted(&beacon(2).label(), &["10.77.0.2:"]);
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    there.until_sighted(&beacon(1).label(), &["10.77.0.1:"]);
    here.link(&endpoints[0]);
}

#[test]
fn a_segment_with_link_local_ipv6_alone_is_enough_and_its_addresses_are_not_used_too_soon() {
    let Some([a, b]) = Namespace::two("ipv6") else { return };
    a.plug("eth0", &b);
    for host in [&a, &b] {
        host.ip("link set eth0 up");
    }
    // The addresses are still being checked for duplicates when the nodes start.
    let mut here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "");
    assert!(here.until_condition(ConditionState::TemporarilyUnavailable).contains("interface"));
    assert_eq!(here.until_condition(ConditionState::Ok), "");
    let endpoints = here.until_sighted(&beacon(2).label(), &["[fe80:"]);
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    there.until_sighted(&beacon(1).label(), &["[fe80:"]);
    here.link(&endpoints[0]);
}

#[test]
fn every_address_that_is_seen_on_one_of_two_segments_leads_there() {
    let Some([a, b]) = Namespace::two("two") else { return };
    for (device, net) in [("eth0", 1), ("eth1", 2)] {
        a.plug(device, &b);
        for (host, address) in [(&a, 1), (&b, 2)] {
            host.ip(&format!("addr add 10.77.{net}.{address}/24 dev {device}"));
            host.ip(&format!("addr add fd77:{net}::{address}/64 dev {device} nodad"));
            host.ip(&format!("link set {device} up"));
        }
    }
    let mut here = Host::start(&a, 1, "");
    let _there = Host::start(&b, 2, "");
    let starts = ["10.77.1.2:", "10.77.2.2:", "[fd77:1:", "[fd77:2:", "[fe80:"];
    let mut endpoints = here.until_sighted(&beacon(2).label(), &starts);
    let is_link_local = |endpoint: &&String| endpoint.starts_with("[fe80:");
    while endpoints.iter().filter(is_link_local).count() < 2 {
        endpoints.extend(here.until_sighted(&beacon(2).label(), &["[fe80:"]));
        endpoints.sort();
        endpoints.dedup();
    }
    assert_eq!(endpoints.len(), 6, "each once, on its own segment: {endpoints:?}");
    for endpoint in &endpoints {
        here.link(endpoint);
    }
}

#[test]
fn a_node_without_a_network_says_so_and_takes_up_the_one_that_comes() {
    let Some([a, b]) = Namespace::two("later") else { return };
    let here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "");
    let advice = here.until_condition(ConditionState::TemporarilyUnavailable);
    assert!(advice.contains("connect this machine to a network"), "{advice}");

    a.plug("eth0", &b);
    for (host, address) in [(&a, 1), (&b, 2)] {
        host.ip(&format!("addr add 10.77.0.{address}/24 dev eth0"));
        host.ip("link set eth0 up");
    }
    assert_eq!(here.until_condition(ConditionState::Ok), "");
    let endpoints = here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);
    there.until_sighted(&beacon(1).label(), &["10.77.0.1:"]);

    a.ip("link del eth0");
    let mut left = endpoints;
    let mut is_told = false;
    here.until("the loss and the condition", |line| {
        left.retain(|endpoint| line.strip_prefix("lost ") != Some(endpoint));
        is_told |= line.starts_with("condition TemporarilyUnavailable ");
        left.is_empty() && is_told
    });
}

#[test]
fn a_network_without_multicast_is_told_and_taken_up_once_it_has_it() {
    let Some([a, b]) = Namespace::two("nomulti") else { return };
    a.plug("eth0", &b);
    for host in [&a, &b] {
        host.ip("link set eth0 up");
    }
    let multicast = "multicast ff00::/8 dev eth0 table local";
    a.ip(&format!("-6 route del {multicast}"));
    let here = Host::start(&a, 1, "");
    let _there = Host::start(&b, 2, "");
    let advice = here.until_condition(ConditionState::MdnsFailure);
    assert!(advice.contains("eth0") && advice.contains("sending multicast"), "{advice}");
    a.ip(&format!("-6 route add {multicast}"));
    assert_eq!(here.until_condition(ConditionState::Ok), "");
    here.until_sighted(&beacon(2).label(), &["[fe80:"]);
}

#[test]
fn interfaces_that_are_denied_or_made_for_guests_are_left_alone_unless_allowed() {
    let Some([a, b]) = Namespace::two("rules") else { return };
    for (device, net) in [("docker0", 1), ("eth0", 2), ("eth1", 3)] {
        a.plug(device, &b);
        for (host, address) in [(&a, 1), (&b, 2)] {
            host.ip(&format!("addr add 10.77.{net}.{address}/24 dev {device}"));
            host.ip(&format!("link set {device} up"));
        }
    }
    // The peer uses all of them, so that what is not seen is not looked at.
    let _there = Host::start(&b, 2, "allow=*");
    let label = beacon(2).label();
    let denying = Host::start(&a, 1, "deny=eth1");
    let seen = denying.until_sighted(&label, &["10.77.2.2:", "[fe80:"]);
    assert!(seen.iter().all(|endpoint| !endpoint.starts_with("10.77.1.")), "{seen:?}");
    assert!(seen.iter().all(|endpoint| !endpoint.starts_with("10.77.3.")), "{seen:?}");
    let rest = denying.until_ended();
    assert!(!rest.iter().any(|line| line.contains(" 10.77.3.")), "{rest:?}");

    let allowing = Host::start(&a, 1, "allow=docker*");
    let seen = allowing.until_sighted(&label, &["10.77.1.2:", "[fe80:"]);
    assert!(seen.iter().all(|endpoint| !endpoint.starts_with("10.77.2.")), "{seen:?}");

    let none = Host::start(&a, 1, "deny=eth*");
    let advice = none.until_condition(ConditionState::TemporarilyUnavailable);
    assert!(advice.contains("docker0: made for containers"), "{advice}");
    assert!(advice.contains("eth0: denied"), "{advice}");
}

#[test]
fn a_port_of_a_bridge_is_left_to_the_bridge() {
    let Some([a, b]) = Namespace::two("bridge") else { return };
    a.plug("eth0", &b);
    a.ip("link add br0 type bridge");
    a.ip("link set eth0 master br0");
    a.ip("addr add 10.77.0.1/24 dev br0");
    b.ip("addr add 10.77.0.2/24 dev eth0");
    for (host, device) in [(&a, "br0"), (&a, "eth0"), (&b, "eth0")] {
        host.ip(&format!("link set {device} up"));
    }
    let mut here = Host::start(&a, 1, "");
    let there = Host::start(&b, 2, "");
    let endpoints = here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);
    assert_eq!(endpoints.len(), 2, "not once more over the port: {endpoints:?}");
    here.link(&endpoints[0]);
    there.until_sighted(&beacon(1).label(), &["10.77.0.1:", "[fe80:"]);

    let without = Host::start(&a, 3, "deny=br0");
    let advice = without.until_condition(ConditionState::TemporarilyUnavailable);
    for word in ["br0: denied", "eth0: port of a bridge"] {
        assert!(advice.contains(word), "{advice}");
    }
}

#[test]
fn a_node_on_loopback_is_not_shown_and_sees_others_all_the_same() {
    let Some([a, b]) = segment("lo") else { return };
    let here = Host::start(&a, 1, "ip=127.0.0.1");
    let there = Host::start(&b, 2, "");
    let third = Host::start(&b, 3, "");
    here.until_sighted(&beacon(2).label(), &["10.77.0.2:", "[fe80:"]);
    there.until_sighted(&beacon(3).label(), &["10.77.0.2:", "[fe80:"]);
    here.until_ended();
    let seen = [there.until_ended(), third.until_ended()].concat();
    assert!(!seen.iter().any(|line| line.ends_with(&beacon(1).label())), "{seen:?}");
}

#[test]
fn an_address_to_listen_on_may_come_with_its_network() {
    let Some([a, b]) = segment("address") else { return };
    let here = Host::start(&a, 1, "ip=10.77.0.7 port=4040");
    let advice = here.until_condition(ConditionState::ListenFailure);
    assert!(advice.contains("10.77.0.7:4040") && advice.contains("does not have"), "{advice}");
    let mut there = Host::start(&b, 2, "");
    a.ip("addr add 10.77.0.7/24 dev eth0");
    assert_eq!(here.until_condition(ConditionState::Ok), "");
    let seen = there.until_sighted(&beacon(1).label(), &["10.77.0.7:4040"]);
    assert_eq!(seen.len(), 1, "it listens nowhere else: {seen:?}");
    there.link(&seen[0]);
}

#[test]
fn a_port_that_is_taken_is_used_once_it_is_free() {
    // On this host: the port is the parent's.
    if let Err(reason) = run("ip", &["-V"]) {
        return hosts::skip("a_port_that_is_taken_is_used_once_it_is_free", &reason);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = hedgerow_lan::LanConfig { port, ..node::on_localhost() };
        let mut here = node::Node::start(config, 1).await;
        assert_eq!(here.condition().await.state, ConditionState::ListenFailure);
        drop(taken);
        assert_eq!(here.condition().await.state, ConditionState::Ok);
        let mut there = node::Node::start(node::on_localhost(), 2).await;
        there.dial(&format!("127.0.0.1:{port}")).await;
        there.link_up().await;
    });
}
