//! Much data: every byte arrives, in order, and nearly as fast as the link goes.

use anyhow::ensure;

use super::super::MTU_23;
use super::pipe::Pipe;
use super::rates::{Rates, carried};
use super::rival::Rival;
use super::{GATT_ONLY, meet, nodes_with, say};
use crate::outcome::Figures;
use crate::stage::Stage;

/// What many phones agree on.
const MTU_247: &str = "[GATT]\nExchangeMTU = 247\n";
const ROUNDS: usize = 3;
const SMALL_BYTES: usize = 20_000;

/// A medium, what keeps a node to it, and how many bytes show what it carries.
const MEDIA: [(&str, &str, usize); 2] = [("gatt", GATT_ONLY, 150_000), ("l2cap", "", 3_000_000)];

/// A pipe each way, and beside it a program of a few lines on the same connection, by turns.
pub(super) fn goodput(stage: &mut Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    if stage.is_virtual() {
        stage.configure_bluetoothd(MTU_247)?;
        figures.insert("mtu".to_owned(), 247.into());
    }
    // Before anybody connects: who has connected knows the services of before.
    let mut rival = Rival::open(stage)?;
    for (medium, more, bytes) in MEDIA {
        let [mut one, mut other] = nodes_with(stage, more)?;
        meet(stage, &one, &other)?;
        if let Some(rival) = &mut rival {
            rival.take(stage, medium)?;
        }
        let mut rates = Rates::default();
        for _ in 0..ROUNDS {
            for (way, from, to) in [(0, &one, &other), (1, &other, &one)] {
                let before = carried(from, to)?;
                let passed = Pipe::open(stage, from, to, bytes)?.finish(stage)?;
                let carried = carried(from, to)? - before;
                ensure!(carried > passed.bytes, "the link was made anew meanwhile");
                rates.ours.push(passed.bytes_per_s());
                rates.beside.push((1.0 - passed.bytes / carried) * 100.0);
                if let Some(rival) = &rival {
                    let bare = rival.bytes_per_s(stage, way, bytes)?;
                    rates.bare.push(bare);
                    rates.shares.push(passed.bytes_per_s() / bare * 100.0);
                }
            }
        }
        rates.tell(medium, &mut figures);
        if let Some(rival) = &mut rival {
            rival.leave();
        }
        one.interrupt()?;
        other.interrupt()?;
    }
    Ok(figures)
}

/// A message and a pipe in packets of 20 bytes.
pub(super) fn mtu23(stage: &mut Stage) -> anyhow::Result<Figures> {
    stage.configure_bluetoothd(MTU_23)?;
    let [one, other] = nodes_with(stage, GATT_ONLY)?;
    meet(stage, &one, &other)?;
    let text: String = ('a'..='z').cycle().take(4_000).collect();
    say(stage, &one, &other, &text)?;
    let rate = Pipe::open(stage, &other, &one, SMALL_BYTES)?.finish(stage)?.bytes_per_s();
    Ok(Figures::from([("bytesPerS".to_owned(), rate.round().into())]))
}
