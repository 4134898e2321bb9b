//! Links are cut while messages go over them: each message arrives once, and in its place.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{chain, millis, say};
use crate::outcome::Figures;
use crate::random::{Random, SEED};
use crate::stage::running::{Lines, Running};
use crate::stage::{Cutter, Node, Stage};

/// A message is sent for as long as that: a cut or several must not end it.
const TIMEOUT_SECONDS: &str = "600";
/// Without a message for so long, a link has not come back.
const SILENCE_SECONDS: u64 = 90;
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
    let mut flow = Flow::start(stage, &near, &far, messages)?;
    let heard = flow.hear_all(stage, &mut scissors, plan(seed, messages, cuts));
    let ended = heard.and_then(|()| flow.finish(stage));
    // A message that was still to come a second time would come before this one.
    let ended = ended.and_then(|()| say(stage, &near, &far, "the end"));
    ended.with_context(|| {
        let Flow { made, delivered, .. } = &flow;
        format!("{made} of {cuts} cuts made, {delivered} delivered; {SEED}={seed} repeats the cuts")
    })?;
    chain::apart(&near, &far)?;
    Ok(Figures::from([
        ("messages".to_owned(), messages.into()),
        ("cuts".to_owned(), flow.made.into()),
        ("seed".to_owned(), seed.into()),
        ("flowMs".to_owned(), millis(flow.wall)),
        ("slowestGapMs".to_owned(), millis(flow.slowest)),
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

/// Messages on their way, and what became of them so far.
struct Flow {
    sending: Running,
    listening: Running,
    messages: u32,
    delivered: u32,
    made: u32,
    /// From the first message that was heard to the last one.
    wall: Duration,
    /// The longest time between two of them; a cut's begins when the connection is down.
    slowest: Duration,
}

impl Flow {
    fn start(stage: &Stage, near: &Node, far: &Node, messages: u32) -> anyhow::Result<Self> {
        let lines: String = (1..=messages).map(|number| text(number) + "\n").collect();
        let file = stage.logs().join("messages");
        fs::write(&file, lines).context("cannot write the messages")?;
        let input = File::open(&file).context("cannot read the messages")?;
        let listen = ["listen", "--count", &messages.to_string()];
        let listening = far.spawn(&listen, Lines::Stdout, Stdio::null())?;
        let send = ["send", far.key(), "--lines", "--timeout", TIMEOUT_SECONDS];
        let sending = near.spawn(&send, Lines::Stdout, input.into())?;
        let (wall, slowest) = (Duration::ZERO, Duration::ZERO);
        Ok(Self { sending, listening, messages, delivered: 0, made: 0, wall, slowest })
    }

    /// Hears all of the messages and makes the cuts in between.
    fn hear_all(
        &mut self,
        stage: &Stage,
        scissors: &mut Scissors,
        mut cuts: VecDeque<Cut>,
    ) -> anyhow::Result<()> {
        self.hear(stage, 1)?;
        let first = Instant::now();
        let mut last = first;
        for number in 2..=self.messages {
            self.hear(stage, number)?;
            self.slowest = self.slowest.max(last.elapsed());
            if let Some(cut) = cuts.front_mut()
                && cut.after <= number
            {
                if scissors.cut(*cut)? {
                    eprintln!("rig: {cut:?}, made after message {number}");
                    cuts.pop_front();
                    self.made += 1;
                    self.take_outcomes()?;
                    let is_under_way = self.delivered < self.messages;
                    ensure!(is_under_way, "a cut came only when all messages were delivered");
                } else {
                    cut.after = number + AGAIN_AFTER;
                }
            }
            last = Instant::now();
        }
        self.wall = first.elapsed();
        ensure!(cuts.is_empty(), "all messages were heard before all cuts were made");
        Ok(())
    }

    /// The next message must be this one.
    fn hear(&mut self, stage: &Stage, number: u32) -> anyhow::Result<()> {
        let line = self.listening.line(stage.limit(SILENCE_SECONDS));
        if !matches!(line, Ok(Some(_))) {
            // What the sender has to say is why.
            self.take_outcomes()?;
        }
        let told = || format!("message {number} did not come");
        let line = line.with_context(told)?.with_context(told)?;
        let heard: Value = serde_json::from_str(&line).context("bad JSON")?;
        ensure!(heard["text"] == text(number), "{line} came in place of message {number}");
        Ok(())
    }

    /// Takes what the sender has said so far.
    fn take_outcomes(&mut self) -> anyhow::Result<()> {
        while self.sending.peek(Duration::ZERO).is_some() {
            let line = self.sending.line(Duration::ZERO)?.unwrap_or_default();
            let outcome: Value = serde_json::from_str(&line).context("bad JSON")?;
            match outcome["event"].as_str() {
                Some("delivered") => self.delivered += 1,
                _ => bail!("{} said {line}", self.sending.name),
            }
        }
        Ok(())
    }

    /// Both commands must have ended well, and the sender must know it.
    fn finish(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let limit = stage.limit(SILENCE_SECONDS);
        let summary = self.sending.event("summary", limit)?;
        let is_whole = summary["delivered"] == self.messages && summary["failed"] == 0;
        ensure!(is_whole, "sent {} messages: {summary}", self.messages);
        for command in [&mut self.sending, &mut self.listening] {
            let status = command.wait(limit)?;
            ensure!(status.success(), "{}: {status}", command.name);
        }
        Ok(())
    }
}

fn text(number: u32) -> String {
    format!("message {number:05}, which is as long as a sentence is")
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
