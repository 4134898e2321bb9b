//! Two nodes that are linked over another medium and whose local network carries no multicast DNS:
//! each tells the other where it listens, and so they meet there as well.
//!
//! The test starts itself again in a network namespace of its own; `pair` is what runs there.

#![cfg(all(target_os = "linux", feature = "lan"))]

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use hedgerow::config::Config;
use hedgerow::memory::{Medium, Shape};
use hedgerow::prelude::*;
use hedgerow::{ConnectionType, NetworkSecret, PresenceGraph};

/// Set in the namespace.
const INSIDE: &str = "HEDGEROW_TEST_LAN_HINTS";
/// Run in a new namespace: one cable with both ends here, and an address on it.
const SCRIPT: &str = "ip link set lo up && ip link add eth0 type veth peer name loose && \
    ip addr add 10.77.0.1/24 dev eth0 && ip link set eth0 up && ip link set loose up";
const SOON: Duration = Duration::from_secs(30);
/// Several times what the second link takes where there is one.
const QUIET: Duration = Duration::from_secs(3);

async fn node(medium: &Medium, name: &str, closed: bool, exchange: bool) -> Mesh {
    let mut config = Config::default();
    config.transports.ble.enabled = false;
    config.transports.lan.mdns_enabled = false;
    config.transports.lan.exchange_addresses = exchange;
    let mut builder = Mesh::builder().config(config).name(name).network("hints");
    if closed {
        builder = builder.network_secret(NetworkSecret::from_bytes([7; 16]));
    }
    builder.driver(medium.driver(name)).start().await.unwrap()
}

async fn two(closed: bool, exchange: bool) -> (Medium, [Mesh; 2]) {
    let medium = Medium::new();
    medium.connect("a", "b", Shape::bluetooth()).unwrap();
    let [a, b] = ["a", "b"].map(|name| node(&medium, name, closed, exchange));
    let both = [a.await, b.await];
    (medium, both)
}

fn has(graph: &PresenceGraph, medium: &ConnectionType) -> bool {
    graph.local_peer.connections.iter().any(|connection| connection.connection_type == *medium)
}

async fn until(mesh: &Mesh, what: impl FnMut(&PresenceGraph) -> bool) -> PresenceGraph {
    tokio::time::timeout(SOON, mesh.presence().wait_for(what)).await.expect("in time").unwrap()
}

#[tokio::test]
async fn pair() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    meet(false).await;
    meet(true).await;
    do_not_meet().await;
}

async fn meet(closed: bool) {
    let lan = ConnectionType::AccessPoint;
    let (medium, both) = two(closed, true).await;
    for mesh in &both {
        let graph = until(mesh, |graph| has(graph, &lan) && has(graph, medium.kind())).await;
        assert_eq!(graph.local_peer.connections.len(), 2, "{graph:#?}");
    }
    // The one link goes on without the other.
    medium.disconnect("a", "b").unwrap();
    for mesh in &both {
        let graph = until(mesh, |graph| !has(graph, medium.kind())).await;
        assert!(has(&graph, &lan), "{graph:#?}");
    }
    for mesh in both {
        mesh.shutdown().await;
    }
}

/// It is the hint alone that has them meet.
async fn do_not_meet() {
    let (medium, both) = two(false, false).await;
    let presence = both[0].presence();
    until(&both[0], |graph| has(graph, medium.kind())).await;
    let met = presence.wait_for(|graph| has(graph, &ConnectionType::AccessPoint));
    assert!(tokio::time::timeout(QUIET, met).await.is_err(), "nobody told them");
    for mesh in both {
        mesh.shutdown().await;
    }
}

#[test]
fn two_nodes_that_are_linked_otherwise_meet_on_a_network_without_multicast() {
    let test = "two_nodes_that_are_linked_otherwise_meet_on_a_network_without_multicast";
    let skip = |reason: &str| {
        // Not `eprintln`, which the test runner captures.
        let _ = std::io::stderr().write_all(format!("\nSKIP {test}: {reason}\n").as_bytes());
    };
    let unshare = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([unshare, "sh", "-c", script]).arg(std::env::current_exe().unwrap());
        command.env(INSIDE, "1").output()
    };
    match run(SCRIPT) {
        Err(error) => return skip(&format!("unshare cannot be run: {error}")),
        Ok(output) if !output.status.success() => {
            return skip(String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(_) => {}
    }
    let output = run(&format!("{SCRIPT} && exec \"$0\" --exact pair --nocapture")).unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (said, cried) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{cried}");
}
