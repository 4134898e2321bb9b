//! What others tell over whatever links stand, and what it may bring about.

use hedgerow_core::limits::HINT_BYTES_MAX;

use super::pair::Pair;
use super::witness::Witness;
use super::{Bench, Breach, Tried, require};
use crate::{Hint, PeerKey, TransportCommand};

/// Hints that come in one go.
const STREAM: usize = 512;
/// Sightings, losses, hints and conditions that may follow from them, beside those that the medium
/// brings about.
const FOLLOWING_MAX: usize = STREAM / 8;
/// Neighbours they come from.
const NEIGHBOURS: usize = 4;

pub(super) async fn heeded_with_care(bench: impl Bench) -> Result<Tried, Breach> {
    let (mut pair, linked) = Pair::linked(bench).await?;
    pair.exchange(&linked, 1).await?;
    // What the driver is to say of itself is said by then.
    pair.quiet().await?;
    let told = [pair.there.ledger.hint.clone(), pair.here.ledger.hint.clone()];
    let before = [&pair.here, &pair.there].map(|end| end.ledger.aside);
    for (end, told) in [&mut pair.here, &mut pair.there].into_iter().zip(&told) {
        pour(end, told).await?;
    }
    pair.quiet().await?;
    for (end, before) in [&pair.here, &pair.there].into_iter().zip(before) {
        let following = end.ledger.aside - before;
        require(following <= FOLLOWING_MAX, || {
            format!(
                "{}: {STREAM} hints brought about {following} sightings, losses, hints and \
                 conditions: bound what a stream of them does",
                end.end.name()
            )
        })?;
    }
    // Whatever they say, a link that stands is none of theirs.
    pair.exchange(&linked, 1).await?;
    pair.here.close(linked.here.link).await?;
    pair.both_down(&linked).await?;
    let again = pair.link().await?;
    pair.exchange(&again, 1).await?;
    Ok(Tried::Kept)
}

/// Gives a driver hints true and false, late and early, from many; in the end all are taken back.
async fn pour(end: &mut Witness, told: &Hint) -> Result<(), Breach> {
    let neighbours: Vec<_> = neighbours().collect();
    for turn in 0..STREAM {
        let from = neighbours[turn % NEIGHBOURS];
        let is_last = turn >= STREAM - NEIGHBOURS;
        let hint = if is_last { Hint::default() } else { nth(turn / NEIGHBOURS, told) };
        end.command(TransportCommand::Hint { from, hint }).await?;
        end.read_waiting()?;
    }
    Ok(())
}

/// Keys of some neighbours.
fn neighbours() -> impl Iterator<Item = PeerKey> {
    (0..=u8::MAX).filter_map(|byte| PeerKey::from_bytes([byte; 32]).ok()).take(NEIGHBOURS)
}

/// The hint of turn `n`: by turns what the other end `told`, that cut off somewhere, with a byte that
/// is not as it was, with more behind it, and bytes of any length that mean nothing.
fn nth(n: usize, told: &Hint) -> Hint {
    let (kind, round) = (n % 5, n / 5);
    let mut bytes = told.as_bytes().to_vec();
    let noise = (n * 73).to_le_bytes()[0];
    match kind {
        0 => {}
        1 => bytes.truncate(round % (bytes.len() + 1)),
        2 => {
            let length = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(round % length) {
                *byte ^= noise | 1;
            }
        }
        3 => bytes.resize(HINT_BYTES_MAX, noise),
        _ => bytes = vec![noise; (round * 37) % (HINT_BYTES_MAX + 1)],
    }
    // As long as it can be: more is no hint.
    Hint::new(&bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hints_are_true_cut_altered_longer_and_noise() {
        let told = Hint::new(b"the third tree").unwrap();
        let hints: Vec<_> = (0..STREAM / NEIGHBOURS).map(|n| nth(n, &told)).collect();
        assert_eq!(hints[0], told);
        let lengths: HashSet<_> = hints.iter().map(|hint| hint.as_bytes().len()).collect();
        assert!((0..=told.as_bytes().len()).all(|length| lengths.contains(&length)), "{lengths:?}");
        assert!(lengths.contains(&HINT_BYTES_MAX));
        let altered = |hint: &&Hint| hint.as_bytes().len() == 14 && **hint != told;
        assert!(hints.iter().filter(altered).count() > 14);
        assert_eq!(neighbours().collect::<HashSet<_>>().len(), NEIGHBOURS);
    }
}
