//! What users are promised over Wi-Fi Direct: each file a promise, this one what they share.

mod crowd;
mod fault;
mod glare;
mod goodput;
mod group;
mod refused;
mod time;
mod upgrade;

use std::time::Duration;

use serde_json::Value;

use super::talk::{connections, doctor_says, graph, meet, millis, ms, say};
use super::{Group, Scenario};
use crate::outcome::Figures;
use crate::stage::{Node, Radio, Stage};

const fn scenario(
    name: &'static str,
    radios: usize,
    minutes: u64,
    play: fn(&mut Stage) -> anyhow::Result<Figures>,
    about: &'static str,
) -> Scenario {
    let limit = Duration::from_secs(minutes * 60);
    Scenario { name, group: Group::WifiDirect, about, adapters: 0, radios, limit, play }
}

/// The same with an adapter of Bluetooth for each radio.
const fn with_adapters(scenario: Scenario) -> Scenario {
    Scenario { adapters: scenario.radios, ..scenario }
}

pub(super) const SCENARIOS: [Scenario; 9] = [
    scenario("wfd-group", 2, 6, group::play, "two nodes form a group, talk, and leave it"),
    scenario("wfd-three", 3, 8, crowd::three, "a third node joins the group of two"),
    scenario("wfd-owner", 3, 15, crowd::owner, "the owner's wpa_supplicant crashes and comes back"),
    scenario(
        "wfd-restart",
        2,
        12,
        fault::play,
        "wpa_supplicant is stopped and started, at each end",
    ),
    scenario("wfd-glare", 2, 12, glare::play, "two that dial each other at once form one group"),
    scenario(
        "wfd-refused",
        3,
        10,
        refused::play,
        "a peer that says no is told, and met when it can",
    ),
    with_adapters(scenario(
        "wfd-upgrade",
        2,
        12,
        upgrade::play,
        "much data moves from Bluetooth to a group, and back when that dies; nothing is lost",
    )),
    scenario("wfd-goodput", 2, 10, goodput::play, "a pipe each way, beside plain TCP"),
    scenario("wfd-time", 2, 20, time::play, "from the decision to the first bytes, cold and again"),
];

/// From a loss of the group to a new one that all are in again: silence, searches, a negotiation.
const AGAIN_SECONDS: u64 = 180;

/// Starts a node at a radio and an adapter, with more lines for its configuration.
fn node_with_adapter(stage: &Stage, index: usize, more: &str) -> anyhow::Result<(Node, Radio)> {
    let (radio, adapter) = (stage.radio(index)?, stage.adapter(index)?);
    let node = stage.node_with_radio(&format!("node{index}"), &radio, Some(&adapter), more)?;
    Ok((node, radio))
}

/// Over what data goes to another node: `P2PWiFi`, `Bluetooth`.
fn link_kind(node: &Node, other: &Node) -> anyhow::Result<Option<String>> {
    let links = node.ask(&["links"])?;
    let is_meant = |link: &&Value| link["peerKeyString"] == other.key() && link["isActive"] == true;
    let kind = links.iter().find(is_meant).and_then(|link| link["transport"].as_str());
    Ok(kind.map(str::to_owned))
}

/// What `doctor` says of Wi-Fi Direct must have these words.
fn says(node: &Node, words: &[&str]) -> anyhow::Result<()> {
    doctor_says(node, "Wi-Fi Direct", words)
}

/// Starts a node at a radio.
fn node(stage: &Stage, index: usize) -> anyhow::Result<(Node, Radio)> {
    let radio = stage.radio(index)?;
    let node = stage.node_with_radio(&format!("node{index}"), &radio, None, "")?;
    Ok((node, radio))
}
