//! What users are promised over Wi-Fi Direct: each file a promise, this one what they share.

mod crowd;
mod group;

use std::time::Duration;

use super::talk::{connections, graph, meet, ms, say};
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

pub(super) const SCENARIOS: [Scenario; 3] = [
    scenario("wfd-group", 2, 6, group::play, "two nodes form a group, talk, and leave it"),
    scenario("wfd-three", 3, 8, crowd::three, "a third node joins the group of two"),
    scenario("wfd-owner", 3, 15, crowd::owner, "the owner's wpa_supplicant crashes and comes back"),
];

/// From a loss of the group to a new one that all are in again: silence, searches, a negotiation.
const AGAIN_SECONDS: u64 = 180;

/// Starts a node at a radio.
fn node(stage: &Stage, index: usize) -> anyhow::Result<(Node, Radio)> {
    let radio = stage.radio(index)?;
    let node = stage.node_with_radio(&format!("node{index}"), &radio, None, "")?;
    Ok((node, radio))
}
