//! What the system does to a group: wpa_supplicant is restarted, at either end.

use std::time::Instant;

use anyhow::Context;

use super::{AGAIN_SECONDS, meet, ms, node, say};
use crate::outcome::Figures;
use crate::stage::Stage;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (one, first) = node(stage, 0)?;
    let (other, second) = node(stage, 1)?;
    meet(stage, &one, &other)?;
    let mut figures = Figures::new();
    for (name, radio) in [("firstMs", &first), ("secondMs", &second)] {
        stage.stop_wpa_supplicant(radio)?;
        one.await_gone(&other, stage.limit(AGAIN_SECONDS)).context(name)?;
        let since = Instant::now();
        stage.restart_wpa_supplicant(radio)?;
        for (from, to) in [(&one, &other), (&other, &one)] {
            from.await_peer(to, Some(1), stage.limit(AGAIN_SECONDS)).context(name)?;
        }
        figures.insert(name.to_owned(), ms(since));
        say(stage, &one, &other, name)?;
        say(stage, &other, &one, name)?;
    }
    Ok(figures)
}
