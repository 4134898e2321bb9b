//! Links are cut while messages go over them: each message arrives once, and in its place.

use std::collections::VecDeque;

use anyhow::{Context, ensure};

use super::flow::Flow;
use super::{chain, millis, say};
use crate::outcome::Figures;
use crate::random::{Random, SEED};
use crate::stage::{Cutter, Stage};

/// Of each message: as long as a sentence is.
const MESSAGE_BYTES: usize = 50;
/// Who finds no connection to cut looks again after so many messages.
const AGAIN_AFTER: u32 = 5;
/// A full inbox makes senders wait, or messages would be refused. It holds so few that a cut is not
/// made when many more have arrived than were heard.
///
/// A session ends after 30 s without a way, and its sender does not know what became of messages under
/// way. Here that would come too soon: a new connection may wait for the end of a turn of scanning or
/// two, and a link that has broken often is told to others only once it has stood for up to 16 s; in a
/// row there is no other way meanwhile.
const CONFIG: &str =
    "[bus]\nwhen_full = \"wait\"\ninbox_messages_max = 16\nsession_gap_ms = 60000\n";

/// Few enough to be played at every merge.
pub(super) fn few(stage: &mut Stage) -> anyhow::Result<Figures> {
    play(stage, 1_000, 4)
}

/// As many as users are promised.
pub(super) fn many(stage: &mut Stage) -> anyhow::Result<Figures> {
    play(stage, 10_000, 20)
}

fn play(stage: &Stage, messages: u32, cuts: u32) -> anyhow::Result<Figures> {
    let [near, _middle, far] = chain::row(stage, CONFIG)?;
    chain::apart(&near, &far)?;
    let seed = stage.seed();
    let mut scissors = Scissors::ready(stage)?;
    let mut flow = Flow::of(stage, &near, &far, messages, MESSAGE_BYTES)?;
    let (plan, mut made) = (plan(seed, messages, cuts), 0);
    let heard = hear_all(stage, &mut flow, messages, &mut scissors, plan, &mut made);
    let ended = heard.and_then(|()| flow.finish(stage, Some(messages)).map(drop));
    // A message that was still to come a second time would come before this one.
    let ended = ended.and_then(|()| say(stage, &near, &far, "the end"));
    ended.with_context(|| {
        let Flow { delivered, .. } = &flow;
        format!("{made} of {cuts} cuts made, {delivered} delivered; {SEED}={seed} repeats the cuts")
    })?;
    chain::apart(&near, &far)?;
    Ok(Figures::from([
        ("messages".to_owned(), messages.into()),
        ("cuts".to_owned(), made.into()),
        ("seed".to_owned(), seed.into()),
        ("flowMs".to_owned(), millis(flow.wall)),
        ("slowestGapMs".to_owned(), millis(flow.take_slowest())),
    ]))
}

/// Where and when a connection is taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// So many messages are heard before.
    after: u32,
    /// The adapter that ends the connection, and the one at its other end.
    adapters: (usize, usize),
}

/// There is one part of the messages for each cut to fall into, and a last one that stays whole: the
/// last cut falls well before the end.
fn plan(seed: u32, messages: u32, cuts: u32) -> VecDeque<Cut> {
    let mut random = Random::new(seed);
    let part = messages / (cuts + 1);
    let cut = |index| {
        let after = index * part + 1 + random.below(part);
        let adapters = [(0, 1), (1, 0), (1, 2), (2, 1)][random.below(4) as usize];
        Cut { after, adapters }
    };
    (0..cuts).map(cut).collect()
}

/// All that can be prepared before messages flow: what cuts connections of each adapter, and the
/// adapter's own address.
struct Scissors(Vec<(Cutter, String)>);

impl Scissors {
    fn ready(stage: &Stage) -> anyhow::Result<Self> {
        let pair = |index| {
            let adapter = stage.adapter(index)?;
            Ok((stage.cutter(&adapter)?, stage.address(&adapter)?))
        };
        Ok(Self((0..3).map(pair).collect::<anyhow::Result<_>>()?))
    }

    /// `false`: there is no connection to cut at the moment.
    fn cut(&mut self, cut: Cut) -> anyhow::Result<bool> {
        let (ending, other) = cut.adapters;
        let address = self.0[other].1.clone();
        self.0[ending].0.cut(&address)
    }
}

/// Hears all of the messages and makes the cuts in between; how many were made.
fn hear_all(
    stage: &Stage,
    flow: &mut Flow,
    messages: u32,
    scissors: &mut Scissors,
    mut cuts: VecDeque<Cut>,
    made: &mut u32,
) -> anyhow::Result<()> {
    loop {
        let number = flow.hear(stage)?;
        if number == messages {
            ensure!(cuts.is_empty(), "all messages were heard before all cuts were made");
            return Ok(());
        }
        let Some(cut) = cuts.front_mut().filter(|cut| cut.after <= number) else { continue };
        if scissors.cut(*cut)? {
            eprintln!("rig: {cut:?}, made after message {number}");
            cuts.pop_front();
            *made += 1;
            flow.take_outcomes()?;
            let is_under_way = flow.delivered < messages;
            ensure!(is_under_way, "a cut came only when all messages were delivered");
        } else {
            cut.after = number + AGAIN_AFTER;
        }
        flow.go_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_from_the_seed_and_fall_between_messages() {
        for seed in 0..1_000 {
            let cuts = plan(seed, 10_000, 20);
            assert_eq!(cuts, plan(seed, 10_000, 20));
            assert_eq!(cuts.len(), 20);
            assert!(cuts.iter().zip(cuts.iter().skip(1)).all(|(one, next)| one.after < next.after));
            assert!((1..=20 * 476).contains(&cuts[0].after));
            assert!(cuts[19].after <= 20 * 476);
        }
        assert_ne!(plan(1, 1_000, 4), plan(2, 1_000, 4));
    }
}
