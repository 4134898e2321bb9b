//! Much data over a group, and beside it plain TCP in the same group, by turns.

use anyhow::ensure;

use super::{meet, node};
use crate::outcome::Figures;
use crate::scenario::pipe::Pipe;
use crate::scenario::rates::{Rates, carried};
use crate::scenario::tcp;
use crate::stage::Stage;

const ROUNDS: usize = 5;
const BYTES: usize = 10_000_000;

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<Figures> {
    let (one, first) = node(stage, 0)?;
    let (other, second) = node(stage, 1)?;
    meet(stage, &one, &other)?;
    let mut rates = Rates::default();
    let ways = [(&one, &other, &first, &second), (&other, &one, &second, &first)];
    for _ in 0..ROUNDS {
        for (from, to, near, far) in ways {
            let before = carried(from, to)?;
            let passed = Pipe::open(stage, from, to, BYTES)?.finish(stage)?;
            let carried = carried(from, to)? - before;
            ensure!(carried > passed.bytes, "the link was made anew meanwhile");
            let bare = tcp::bytes_per_s(stage, near, far, BYTES)? as f64;
            rates.ours.push(passed.bytes_per_s());
            rates.beside.push((1.0 - passed.bytes / carried) * 100.0);
            rates.bare.push(bare);
            rates.shares.push(passed.bytes_per_s() / bare * 100.0);
        }
    }
    let mut figures = Figures::new();
    rates.tell("tcp", &mut figures);
    Ok(figures)
}
