//! What users are promised over Bluetooth: each file a promise, this one what they share.

mod chain;
mod closed;
mod cuts;
mod discovery;
mod fault;
mod foreign;
mod glare;
mod goodput;
mod graph;
mod join;
mod realtime;
mod repeat;
mod rival;
mod slots;

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::talk::{
    GONE_SECONDS, MEET_SECONDS, connections, doctor_says, graph, links_up, meet, millis, ms, say,
};
use super::{Group, Scenario, flow, pipe, rates};
use crate::outcome::Figures;
use crate::stage::running::until;
use crate::stage::{Adapter, Node, Stage};

const fn scenario(
    name: &'static str,
    adapters: usize,
    minutes: u64,
    play: fn(&mut Stage) -> anyhow::Result<Figures>,
    about: &'static str,
) -> Scenario {
    let limit = Duration::from_secs(minutes * 60);
    Scenario { name, group: Group::Ble, about, adapters, radios: 0, limit, play }
}

pub(super) const SCENARIOS: [Scenario; 18] = [
    scenario("ble-discovery", 2, 3, discovery::play, "two nodes find each other and talk"),
    scenario("ble-graph", 3, 4, graph::play, "three nodes see one graph, and who leaves it"),
    scenario("ble-chain", 3, 4, chain::play, "messages over a node in the middle"),
    scenario(
        "ble-goodput",
        2,
        15,
        goodput::goodput,
        "a pipe each way loses no byte, over GATT and over L2CAP",
    ),
    scenario("ble-realtime", 2, 12, realtime::play, "small messages overtake a full pipe"),
    scenario("ble-restart", 2, 6, repeat::restart, "a crashed node comes back, at once or late"),
    scenario("ble-adapter", 2, 5, fault::adapter, "an adapter is switched off and on"),
    scenario("ble-bluetoothd", 2, 5, fault::bluetoothd, "bluetoothd ends and starts anew"),
    scenario("ble-mtu23", 2, 6, goodput::mtu23, "the smallest packets that GATT knows"),
    scenario("ble-glare", 2, 6, glare::play, "two that dial each other at once keep one link"),
    scenario("ble-slots", 8, 8, slots::play, "more neighbours than slots are one mesh"),
    scenario("ble-join", 6, 12, join::play, "a newcomer beside a mesh of five sees all of it"),
    scenario("ble-closed", 3, 8, closed::play, "a secret keeps out who has another one"),
    scenario("ble-cuts", 3, 6, cuts::few, "through cuts of a chain each message comes once"),
    scenario("ble-foreign", 6, 12, foreign::play, "strangers read, write nonsense and hang up"),
    scenario("ble-1000-foreign", 6, 60, foreign::play_long, "the same, 1,000 times"),
    scenario("ble-200-connects", 2, 60, repeat::many_connects, "200 links, one after the other"),
    scenario("ble-10000-cuts", 3, 60, cuts::many, "10,000 messages through 20 cuts"),
];

/// What keeps a node to values of GATT.
const GATT_ONLY: &str = "l2cap = false";

/// Starts a node on each of the first adapters, one after the other.
fn nodes<const N: usize>(stage: &Stage) -> anyhow::Result<[Node; N]> {
    nodes_with(stage, "")
}

/// The same with more lines for the section of the transport.
fn nodes_with<const N: usize>(stage: &Stage, more: &str) -> anyhow::Result<[Node; N]> {
    let start = |index: usize| stage.node(&name(index), &stage.adapter(index)?, more);
    let nodes = (0..N).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    nodes.try_into().ok().context("as many nodes as were started")
}

fn name(index: usize) -> String {
    format!("node{index}")
}

/// Whether a graph has a Bluetooth connection between two.
fn is_connected(graph: &Value, one: &Node, other: &Node) -> bool {
    connections(graph).iter().any(|connection| {
        let ends = [&connection["peerKeyString1"], &connection["peerKeyString2"]];
        let has = |node: &Node| ends.iter().any(|end| **end == node.key());
        has(one) && has(other) && connection["connectionType"] == "Bluetooth"
    })
}

/// Waits until the adapter of a scenario has no connection left.
fn await_silence(stage: &Stage, adapter: &Adapter) -> anyhow::Result<Duration> {
    until("the adapter's connections end", stage.limit(GONE_SECONDS), || {
        Ok(stage.connected(adapter)?.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_that_both_ends_tell_counts_once() {
        let connection = json!({"id": "a<->b:Bluetooth"});
        let graph = json!({
            "localPeer": {"connections": [connection, {"id": "a<->c:Bluetooth"}]},
            "remotePeers": [{"connections": [connection]}, {}],
        });
        assert_eq!(connections(&graph).len(), 2);
    }
}
