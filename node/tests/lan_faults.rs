//! Cables that are pulled and processes that die, between hosts in network namespaces: what is
//! sent meanwhile arrives, once and in order, and nobody touches a node.

#![cfg(all(target_os = "linux", feature = "lan"))]

mod chain {
    pub(crate) mod host;
    pub(crate) mod role;
}

use std::time::{Duration, Instant};

use chain::host::{Hosts, skip};
use hedgerow::PresenceGraph;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const SEGMENTS: [(&str, &str); 6] =
    [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "a")];
const SOON: Duration = Duration::from_secs(30);
const INTERVAL_MS: u64 = 20;

fn hops(graph: &PresenceGraph, name: &str) -> Option<u16> {
    graph.remote_peers.iter().find(|peer| peer.device_name == name)?.hops
}

/// `from` sends numbered messages to `to` for a while.
struct Stream<'a> {
    from: &'a str,
    to: &'a str,
    messages: u64,
}

impl<'a> Stream<'a> {
    fn start(hosts: &mut Hosts, from: &'a str, to: &'a str, seconds: u64) -> Self {
        let messages = seconds * 1_000 / INTERVAL_MS;
        hosts.node(from).command(&format!("count {to} {messages} {INTERVAL_MS}"));
        hosts.node(to).line_with("counting", SOON);
        Self { from, to, messages }
    }

    /// Waits until every message arrived, once and in order; the longest wait between two.
    fn finish(self, hosts: &mut Hosts) -> Duration {
        hosts.node(self.from).line_with("counted", Duration::from_secs(90));
        hosts.node(self.to).command("tally");
        let tally = hosts.node(self.to).line_with("tally", SOON);
        let figures: Vec<u64> =
            tally.split(' ').skip(1).map(|figure| figure.parse().unwrap()).collect();
        assert_eq!(figures[0], self.messages, "{tally}");
        Duration::from_millis(figures[1])
    }
}

#[test]
fn a_ring_heals_around_each_cut_and_loses_nothing() {
    let test = "a_ring_heals_around_each_cut_and_loses_nothing";
    let mut ring = match Hosts::new(test, &NAMES, &SEGMENTS) {
        Ok(ring) => ring,
        Err(why) => return skip(test, &why),
    };
    for name in NAMES {
        ring.start(name);
    }
    let found = ring.node("a").graph_until(SOON, |graph| {
        ["b", "f"].iter().all(|name| hops(graph, name) == Some(1))
            && hops(graph, "d") == Some(3)
            && graph.remote_peers.len() == 5
    });
    println!("a ring of six is one mesh after {found:.1?}");
    ring.node("b").graph_until(SOON, |graph| hops(graph, "a") == Some(1));

    // Silent: the cable between a and b is pulled, nobody is told.
    let stream = Stream::start(&mut ring, "a", "b", 12);
    ring.set_interface("b", "to-a", false);
    let around = ring.node("a").graph_until(SOON, |graph| hops(graph, "b") == Some(5));
    let gap = stream.finish(&mut ring);
    println!("cable a-b pulled: the way around stands after {around:.1?}; longest wait {gap:.1?}");
    assert!(gap < Duration::from_secs(6), "{gap:?}");

    // Loud: with the ring cut already, d dies, and a and c, e and f are two parts.
    let stream = Stream::start(&mut ring, "a", "c", 15);
    let killed = Instant::now();
    ring.kill("d");
    ring.node("a").graph_until(SOON, |graph| hops(graph, "c").is_none());
    println!("d killed: the other part left a's graph after {:.1?}", killed.elapsed());
    ring.start("d");
    let back = ring.node("a").graph_until(SOON, |graph| hops(graph, "c") == Some(4));
    let gap = stream.finish(&mut ring);
    println!("d back: healed after {back:.1?}; longest wait {gap:.1?}");

    // The cable is back.
    ring.set_interface("b", "to-a", true);
    let healed = ring.node("a").graph_until(SOON, |graph| hops(graph, "b") == Some(1));
    println!("cable a-b back: healed after {healed:.1?}");

    // Loud, with a way around: b dies under a stream from a to c.
    let stream = Stream::start(&mut ring, "a", "c", 6);
    ring.node("a").graph_until(SOON, |graph| hops(graph, "c") == Some(2));
    ring.kill("b");
    let around = ring.node("a").graph_until(SOON, |graph| hops(graph, "c") == Some(4));
    let gap = stream.finish(&mut ring);
    println!("b killed: the way around stands after {around:.1?}; longest wait {gap:.1?}");
    assert!(gap < Duration::from_secs(2), "{gap:?}");
}

#[test]
fn a_pair_on_two_segments_changes_over_when_one_is_cut() {
    let test = "a_pair_on_two_segments_changes_over_when_one_is_cut";
    let mut pair = match Hosts::new(test, &["a", "b"], &[("a", "b"), ("a", "b")]) {
        Ok(pair) => pair,
        Err(why) => return skip(test, &why),
    };
    for name in ["a", "b"] {
        pair.start(name);
    }
    pair.node("a").graph_until(SOON, |graph| hops(graph, "b") == Some(1));
    // By then it is settled which of two first links stays.
    Stream::start(&mut pair, "a", "b", 4).finish(&mut pair);
    for round in 1..=3 {
        let stream = Stream::start(&mut pair, "a", "b", 10);
        pair.node("a").command("links");
        let links = pair.node("a").line_with("links", SOON);
        let cut = interface_of(&links);
        pair.set_interface("b", cut, false);
        let gap = stream.finish(&mut pair);
        println!("round {round}, {links}: {cut} cut under traffic, longest wait {gap:.1?}");
        assert!(gap < Duration::from_secs(6), "{gap:?}");
        pair.node("a").command("links");
        let after = pair.node("a").line_with("links", SOON);
        assert_ne!(interface_of(&after), cut, "{after}");
        pair.set_interface("b", cut, true);
    }
    let gone = pair.node("a").graph_until(SOON, |graph| hops(graph, "b") == Some(1));
    assert!(gone < SOON);
}

/// The interface of b on the segment that carries the one link that `links` tells of.
fn interface_of(links: &str) -> &'static str {
    let endpoints: Vec<&str> = links.split(' ').skip(1).collect();
    let [endpoint] = endpoints[..] else { panic!("one link for a pair and a transport: {links}") };
    if endpoint.contains("10.77.1.") {
        "to-a"
    } else if endpoint.contains("10.77.2.") {
        "to-a2"
    } else {
        // A link-local address: its scope is the interface's number, 2 for the first after lo.
        if endpoint.contains("%2]") { "to-a" } else { "to-a2" }
    }
}

/// Not a test of its own: what the parent runs in each namespace.
#[test]
fn role() {
    chain::role::run_if_asked();
}
