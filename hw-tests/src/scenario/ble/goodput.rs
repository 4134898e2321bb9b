//! Much data: every byte arrives, in order, and nearly as fast as the link goes.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::super::MTU_23;
use super::pipe::Pipe;
use super::rival::Rival;
use super::{GATT_ONLY, meet, nodes_with, say};
use crate::outcome::Figures;
use crate::stage::{Node, Stage};

/// What many phones agree on.
const MTU_247: &str = "[GATT]\nExchangeMTU = 247\n";
const ROUNDS: usize = 3;
const SMALL_BYTES: usize = 20_000;

/// A medium, what keeps a node to it, and how many bytes show what it carries.
const MEDIA: [(&str, &str, usize); 2] = [("gatt", GATT_ONLY, 150_000), ("l2cap", "", 3_000_000)];

/// What the rounds of a medium gave.
#[derive(Default)]
struct Rates {
    ours: Vec<f64>,
    bare: Vec<f64>,
    /// Of each round: our rate by that of the bare program.
    shares: Vec<f64>,
    /// Of all bytes of the link both ways, those that are none of the pipe's, in percent.
    beside: Vec<f64>,
}

/// A pipe each way, and beside it a program of a few lines on the same connection, by turns. Rates
/// are told, not judged: an emulator's say nothing.
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

impl Rates {
    fn tell(self, medium: &str, figures: &mut Figures) {
        let all = [
            ("BytesPerS", self.ours, 1.0),
            ("BareBytesPerS", self.bare, 1.0),
            ("OfBarePercent", self.shares, 10.0),
            ("BesidePercent", self.beside, 10.0),
        ];
        for (name, mut values, parts) in all {
            values.sort_by(f64::total_cmp);
            if let Some(median) = values.get(values.len() / 2) {
                let rounded = (median * parts).round() / parts;
                figures.insert(format!("{medium}{name}"), rounded.into());
            }
        }
    }
}

/// The bytes that the link between two has carried so far, both ways.
fn carried(node: &Node, other: &Node) -> anyhow::Result<f64> {
    let links = node.ask(&["links"])?;
    let is_meant = |link: &&Value| link["peerKeyString"] == other.key() && link["isActive"] == true;
    let link = links.iter().find(is_meant).context("no link carries data")?;
    let bytes = |key: &str| link[key].as_f64().with_context(|| format!("no `{key}`: {link}"));
    Ok(bytes("bytesSent")? + bytes("bytesReceived")?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_told_and_what_was_not_measured_is_not() {
        let rates = Rates { ours: vec![3.0, 1.0, 2.4], beside: vec![4.26], ..Rates::default() };
        let mut figures = Figures::new();
        rates.tell("gatt", &mut figures);
        let expected = [("gattBesidePercent", 4.3), ("gattBytesPerS", 2.0)];
        assert_eq!(figures, expected.map(|(name, value)| (name.to_owned(), value.into())).into());
    }
}
