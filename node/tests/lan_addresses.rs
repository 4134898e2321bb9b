//! Two nodes whose first addresses are dead: the cable carries what is sent to them, and nobody
//! answers.

#![cfg(all(target_os = "linux", feature = "lan"))]

mod chain {
    #![allow(dead_code, reason = "another test uses the rest")]
    pub(crate) mod host;
    pub(crate) mod role;
}

use std::time::{Duration, Instant};

use chain::host::{Hosts, skip};
use hedgerow::PresenceGraph;

const TEST: &str = "three_dead_addresses_cost_three_quarters_of_a_second";

/// An Ethernet address that nobody has.
const NOBODY: &str = "02:00:00:00:00:99";

fn has(graph: &PresenceGraph, name: &str) -> bool {
    graph.remote_peers.iter().any(|peer| peer.device_name == name)
}

#[test]
fn three_dead_addresses_cost_three_quarters_of_a_second() {
    let mut chain = match Hosts::new(TEST, &["a", "b"], &[("a", "b")]) {
        Ok(chain) => chain,
        Err(why) => return skip(TEST, &why),
    };
    // Each host knows a wrong Ethernet address for three of the other one's, which are the lower
    // ones and so the first to be dialled.
    for (name, device, own, other) in [("a", "to-b", 1, 2), ("b", "to-a", 2, 1)] {
        chain.ip(name, &format!("addr flush dev {device}"));
        for dead in [0, 10, 20] {
            chain.ip(name, &format!("addr add 10.77.1.{}/24 dev {device}", dead + own));
            let neighbour = format!("10.77.1.{} lladdr {NOBODY}", dead + other);
            chain.ip(name, &format!("neigh replace {neighbour} dev {device} nud permanent"));
        }
        let good = format!("10.77.1.{}", 200 + own);
        chain.ip(name, &format!("addr add {good}/24 dev {device}"));
        chain.ip(name, &format!("route replace 10.77.1.0/24 dev {device} src {good}"));
    }
    let began = Instant::now();
    chain.start("a");
    chain.start("b");
    chain.node("a").graph_until(Duration::from_secs(10), |graph| has(graph, "b"));
    chain.node("b").graph_until(Duration::from_secs(10), |graph| has(graph, "a"));
    let took = began.elapsed();
    println!("met after {took:?}");
    // Three times 250 ms, and at most 190 ms for the one that lets the other dial first.
    assert!(took >= Duration::from_millis(700), "{took:?}: the dead ones were not dialled first");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

/// Not a test of its own: what the parent runs in each namespace.
#[test]
fn role() {
    chain::role::run_if_asked();
}
