//! How fast nodes carry bytes, beside a program of a few lines on the same medium.

use anyhow::Context;
use serde_json::Value;

use crate::outcome::Figures;
use crate::stage::Node;

/// What the rounds of a medium gave.
#[derive(Default)]
pub(super) struct Rates {
    pub(super) ours: Vec<f64>,
    pub(super) bare: Vec<f64>,
    /// Of each round: our rate by that of the bare program.
    pub(super) shares: Vec<f64>,
    /// Of all bytes of the link both ways, those that are none of the pipe's, in percent.
    pub(super) beside: Vec<f64>,
}

impl Rates {
    /// Rates are told, not judged: an emulator's say nothing.
    pub(super) fn tell(self, medium: &str, figures: &mut Figures) {
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
pub(super) fn carried(node: &Node, other: &Node) -> anyhow::Result<f64> {
    let links = node.ask(&["links"])?;
    let is_meant = |link: &&Value| link["peerKeyString"] == other.key() && link["isActive"] == true;
    let link = links.iter().find(is_meant).context("no link carries data")?;
    let bytes = |key: &str| link[key].as_f64().with_context(|| format!("no `{key}`: {link}"));
    Ok(bytes("bytesSent")? + bytes("bytesReceived")?)
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
