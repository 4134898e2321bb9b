//! Three processes in three network namespaces: A and C on different segments, joined only by
//! B, which forwards no IP. Real mDNS, real TCP.
//!
//! The parent makes the namespaces and runs this test binary again in each of them, as a node
//! that takes commands on its standard input and tells what it sees on its standard output.

#![cfg(all(target_os = "linux", feature = "lan"))]

mod chain {
    pub(crate) mod host;
    pub(crate) mod role;
}

use std::time::{Duration, Instant};

use chain::host::{Hosts, skip};
use hedgerow::PresenceGraph;

/// Bytes of the file that goes from A to C.
const FILE_BYTES: usize = 50_000_000;

/// The hops at which a graph shows `name`.
fn hops(graph: &PresenceGraph, name: &str) -> Option<u16> {
    graph.remote_peers.iter().find(|peer| peer.device_name == name)?.hops
}

fn has(graph: &PresenceGraph, name: &str) -> bool {
    graph.remote_peers.iter().any(|peer| peer.device_name == name)
}

#[test]
fn three_nodes_on_two_segments_are_one_mesh() {
    let test = "three_nodes_on_two_segments_are_one_mesh";
    let mut chain = match Hosts::new(test, &["a", "b", "c"], &[("a", "b"), ("b", "c")]) {
        Ok(chain) => chain,
        Err(why) => return skip(test, &why),
    };
    for name in ["a", "b", "c"] {
        chain.start(name);
    }
    let healed = |graph: &PresenceGraph| hops(graph, "b") == Some(1) && hops(graph, "c") == Some(2);
    let found = chain.node("a").graph_until(Duration::from_secs(30), healed);
    println!("A sees B at 1 hop and C at 2 after {found:?}");
    chain.node("c").graph_until(Duration::from_secs(30), |graph| hops(graph, "a") == Some(2));

    chain.node("a").command("send c over-the-hedge");
    let delivered = chain.node("a").line_with("delivered", Duration::from_secs(10));
    assert!(delivered.contains("hops=2"), "{delivered}");
    chain.node("c").line_with("message over-the-hedge", Duration::from_secs(10));
    chain.node("a").command("unreliable c now-or-never");
    chain.node("c").line_with("message now-or-never", Duration::from_secs(10));

    chain.node("a").command(&format!("push c {FILE_BYTES}"));
    let sent = chain.node("a").line_with("pushed", Duration::from_secs(120));
    let received = chain.node("c").line_with("received", Duration::from_secs(10));
    let (sent, received) = (sent.trim_start_matches("pushed "), &received["received ".len()..]);
    assert!(sent.starts_with(received), "sent {sent}, received {received}");
    println!("50 MB from A to C, bit for bit: {sent}");

    let killed = Instant::now();
    chain.kill("b");
    chain.node("a").graph_until(Duration::from_secs(10), |graph| !has(graph, "c"));
    println!("B killed: C left A's graph after {:?}", killed.elapsed());

    let back = Instant::now();
    chain.start("b");
    chain.node("a").graph_until(Duration::from_secs(30), healed);
    println!("B back: healed after {:?}, nobody touched A or C", back.elapsed());

    let down = Instant::now();
    chain.set_interface("b", "to-a", false);
    chain.node("a").graph_until(Duration::from_secs(30), |graph| !has(graph, "c"));
    println!("B's interface down: C left A's graph after {:?}", down.elapsed());

    let up = Instant::now();
    chain.set_interface("b", "to-a", true);
    chain.node("a").graph_until(Duration::from_secs(60), healed);
    println!("B's interface up: healed after {:?}", up.elapsed());
    chain.node("a").command("send c again");
    chain.node("a").line_with("delivered", Duration::from_secs(10));
}

/// Not a test of its own: what the parent runs in each namespace.
#[test]
fn role() {
    chain::role::run_if_asked();
}
