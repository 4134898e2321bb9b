//! A closed network: members meet over both media, and whoever has another secret stays outside.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{GATT_ONLY, MEET_SECONDS, meet, ms};
use crate::outcome::{Figures, Skip};
use crate::stage::running::until;
use crate::stage::{Node, Stage};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let adapters = [stage.adapter(0)?, stage.adapter(1)?, stage.adapter(2)?];
    if !adapters.iter().all(|adapter| stage.is_local(adapter)) {
        bail!(Skip("needs adapters of one machine".to_owned()));
    }
    let (ours, theirs) = (stage.secret("ours")?, stage.secret("theirs")?);
    let mut figures = Figures::new();
    for (medium, more) in [("gatt", GATT_ONLY), ("l2cap", "")] {
        let start = |name: &str, at: usize, secret: &str| {
            let more = format!("{more}\n[network]\nsecret_file = \"{secret}\"");
            stage.node(&format!("{medium}-{name}"), &adapters[at], &more)
        };
        let outside = start("outside", 2, &theirs)?;
        let (one, other) = (start("one", 0, &ours)?, start("other", 1, &ours)?);
        for node in [&outside, &one, &other] {
            ensure!(node.ready()["open"] == false, "{} is open: {}", node.name, node.ready());
        }
        meet(stage, &one, &other)?;
        figures.insert(format!("{medium}MetMs"), ms(other.ready_at()));
        // It sees them, and says so, and that is all.
        until("who is outside sees the others", stage.limit(MEET_SECONDS), || {
            sees_strangers(&outside)
        })?;
        for (node, peers) in [(&outside, 0), (&one, 1), (&other, 1)] {
            let seen = node.ask(&["peers"])?.len();
            ensure!(seen == peers, "{} sees {seen} peers, not {peers}", node.name);
        }
        for mut node in [outside, one, other] {
            node.interrupt()?;
        }
    }
    Ok(figures)
}

/// Whether `doctor` tells of somebody who cannot join, and what to look at.
fn sees_strangers(node: &Node) -> anyhow::Result<bool> {
    let reply = node.run(&["doctor", "--config", &node.config()])?;
    let checks = reply.stdout.lines().map(serde_json::from_str::<Value>);
    let checks = checks.collect::<Result<Vec<_>, _>>().context("bad JSON of doctor")?;
    let told = |check: &&Value| check["hint"].as_str().is_some_and(|hint| hint.contains("secret"));
    Ok(checks.iter().filter(|check| check["check"] == "stranger").any(|check| told(&check)))
}
