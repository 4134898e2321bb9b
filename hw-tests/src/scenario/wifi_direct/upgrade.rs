//! Two nodes over Bluetooth that have much to say: they agree on a group there, as their radios look for
//! nobody, their messages go over it, and go back when it dies. Each message arrives once, and in its
//! place.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::time::moments;
use super::{link_kind, millis, ms, node_with_adapter};
use crate::outcome::Figures;
use crate::scenario::flow::Flow;
use crate::scenario::talk::{meet, say};
use crate::stage::{Node, Radio, Stage};

/// Of each message: a link of Bluetooth takes some 30 of them a second.
const MESSAGE_BYTES: usize = 2_000;
/// How often it is looked which link carries the messages.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// From the first message to the group, and from its end to Bluetooth.
const CHANGED_SECONDS: u64 = 150;
/// Over the group, before it dies.
const OVER_GROUP: Duration = Duration::from_secs(5);

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (near, near_radio) = node_with_adapter(stage, 0, CONFIG)?;
    let (far, far_radio) = node_with_adapter(stage, 1, CONFIG)?;
    let radios = [near_radio, far_radio];
    meet(stage, &near, &far)?;
    ensure!(link_kind(&near, &far)?.as_deref() == Some("Bluetooth"), "they met over {radios:?}");
    for radio in &radios {
        ensure!(stage.supplicant(radio).group()?.is_none(), "a group for nothing");
    }

    let mut flow = Flow::endless(&near, &far, MESSAGE_BYTES)?;
    let since = Instant::now();
    hear_until(stage, &mut flow, &near, &far, "P2PWiFi").context("to the group")?;
    let (upgraded, up_gap) = (ms(since), millis(flow.take_slowest()));
    let logs = [near.log()?, far.log()?];
    // Of the first that decided.
    let decided = logs.iter().filter_map(|log| moments(log)).min_by_key(|told| told.decided);
    let decided = decided.context("no log tells of a group")?;
    hear_for(stage, &mut flow, OVER_GROUP).context("over the group")?;
    let over_gap = millis(flow.take_slowest());

    let owner = owner(stage, &radios)?;
    stage.kill_wpa_supplicant(owner)?;
    flow.go_on();
    let since = Instant::now();
    hear_until(stage, &mut flow, &near, &far, "Bluetooth").context("back to Bluetooth")?;
    let back = ms(since);
    hear_for(stage, &mut flow, OVER_GROUP).context("over Bluetooth again")?;
    let back_gap = millis(flow.take_slowest());
    let messages = flow.finish(stage, None)?;
    // A message that was still to come a second time would come before this one.
    say(stage, &near, &far, "the end")?;
    Ok(Figures::from([
        ("messages".to_owned(), messages.into()),
        ("upgradedMs".to_owned(), upgraded),
        ("upgradeGapMs".to_owned(), up_gap),
        ("groupMs".to_owned(), millis(decided.grouped - decided.decided)),
        ("firstByteMs".to_owned(), millis(decided.linked - decided.decided)),
        ("overGroupGapMs".to_owned(), over_gap),
        ("backMs".to_owned(), back),
        ("backGapMs".to_owned(), back_gap),
    ]))
}

/// A full inbox makes senders wait, or messages would be refused.
const CONFIG: &str = "bus.when_full = \"wait\"\ntransports.wifi_direct.discovery = false\n";

/// Hears messages until the link that carries them is of a kind.
fn hear_until(
    stage: &Stage,
    flow: &mut Flow,
    near: &Node,
    far: &Node,
    kind: &str,
) -> anyhow::Result<()> {
    let (began, mut looked) = (Instant::now(), Instant::now());
    loop {
        flow.hear(stage)?;
        if looked.elapsed() < LOOKS_EVERY {
            continue;
        }
        if link_kind(near, far)?.as_deref() == Some(kind) {
            flow.go_on();
            return Ok(());
        }
        let waited = began.elapsed();
        ensure!(waited < stage.limit(CHANGED_SECONDS), "not over {kind} within {waited:?}");
        flow.take_outcomes()?;
        flow.go_on();
        looked = Instant::now();
    }
}

fn hear_for(stage: &Stage, flow: &mut Flow, time: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        flow.hear(stage)?;
    }
    flow.take_outcomes()
}

/// The radio that owns the group.
fn owner<'a>(stage: &Stage, radios: &'a [Radio; 2]) -> anyhow::Result<&'a Radio> {
    for radio in radios {
        let supplicant = stage.supplicant(radio);
        if let Some(group) = supplicant.group()?
            && supplicant.is_owner(&group)?
        {
            return Ok(radio);
        }
    }
    anyhow::bail!("nobody owns a group")
}
