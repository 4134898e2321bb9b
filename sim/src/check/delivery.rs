//! Every reliable message is delivered exactly once and in order, or fails with a reason.

use std::collections::BTreeMap;

use hedgerow_core::bus::{FailReason, MessageId, Outcome, RejectReason};
use hedgerow_core::io::Lane;

use super::{Breach, Checker, Phase, View, breach};
use crate::app::{Affair, Letter, Post, Who};

/// Messages of one lane from one run of a node to another node: they keep their order.
type Channel = (Who, usize, Lane);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody has seen it.
    Away,
    /// The receiver's application accepted it.
    Accepted,
    /// The receiver's application refused it with this code.
    Refused(u32),
}

#[derive(Clone, Debug)]
struct Message {
    id: MessageId,
    fate: Fate,
    outcome: Option<Outcome>,
    /// Sent when all was well, so that nothing excuses a failure.
    must_arrive: bool,
}

/// What was promised of each message, against what became of it.
#[derive(Debug, Default)]
pub struct Delivery {
    channels: BTreeMap<Channel, Vec<Message>>,
    letters: BTreeMap<(Who, MessageId), (Channel, usize)>,
    /// The highest number that was taken out, by channel.
    latest: BTreeMap<Channel, u32>,
    is_calm: bool,
    accepted: u64,
    failed: u64,
}

fn channel(letter: &Letter) -> Channel {
    (letter.from, letter.to.0, letter.lane)
}

impl Delivery {
    fn message(&mut self, letter: &Letter) -> Option<&mut Message> {
        let index = usize::try_from(letter.number).ok()?.checked_sub(1)?;
        self.channels.get_mut(&channel(letter))?.get_mut(index)
    }

    fn on_sent(&mut self, by: Who, id: MessageId, letter: &Letter) -> Result<(), Breach> {
        let must_arrive = self.is_calm;
        let messages = self.channels.entry(channel(letter)).or_default();
        messages.push(Message { id, fate: Fate::Away, outcome: None, must_arrive });
        assert_eq!(messages.len() as u64, u64::from(letter.number), "numbers have no gaps");
        match self.letters.insert((by, id), (channel(letter), messages.len() - 1)) {
            None => Ok(()),
            Some(_) => breach!("{by} was given message number {} twice", id.0),
        }
    }

    fn on_taken(&mut self, by: Who, letter: &Letter, fate: Fate) -> Result<(), Breach> {
        let latest = self.latest.insert(channel(letter), letter.number).unwrap_or(0);
        let Some(message) = self.message(letter) else {
            return breach!("{by} got {letter:?}, which nobody sent");
        };
        if message.fate != Fate::Away {
            return breach!("{by} got {letter:?} twice: it was {:?} before", message.fate);
        }
        message.fate = fate;
        match message.outcome {
            Some(outcome @ (Outcome::NotDelivered(_) | Outcome::Delivered { .. })) => {
                return breach!("{by} got {letter:?} after its sender heard {outcome:?}");
            }
            Some(Outcome::Unknown(_)) | None => {}
        }
        if letter.number <= latest {
            return breach!("{by} got {letter:?} after number {latest}");
        }
        self.accepted += u64::from(fate == Fate::Accepted);
        Ok(())
    }

    fn on_done(&mut self, by: Who, id: MessageId, outcome: Outcome) -> Result<(), Breach> {
        let Some((channel, index)) = self.letters.get(&(by, id)) else {
            return breach!("{by} heard {outcome:?} of message {}, which it never sent", id.0);
        };
        let message = &mut self.channels.get_mut(channel).expect("was sent")[*index];
        if let Some(before) = message.outcome.replace(outcome) {
            return breach!("{by} heard {outcome:?} of message {}, and {before:?} before", id.0);
        }
        self.failed += u64::from(!matches!(outcome, Outcome::Delivered { .. }));
        let is_true = match outcome {
            Outcome::Delivered { .. } => message.fate == Fate::Accepted,
            Outcome::NotDelivered(FailReason::Rejected(RejectReason::Application(code))) => {
                message.fate == Fate::Refused(code)
            }
            Outcome::NotDelivered(_) => message.fate != Fate::Accepted,
            Outcome::Unknown(_) => true,
        };
        let is_excused = !message.must_arrive || matches!(outcome, Outcome::Delivered { .. });
        if is_true && is_excused {
            return Ok(());
        }
        let number = index + 1;
        let fate = message.fate;
        breach!("{by} heard {outcome:?} of number {number} in {channel:?}, but it is {fate:?}")
    }
}

impl Checker for Delivery {
    fn name(&self) -> &'static str {
        "delivery"
    }

    fn on_affair(&mut self, affair: &Affair) -> Result<(), Breach> {
        match affair {
            Affair::Sent { by, id, letter } => self.on_sent(*by, *id, letter),
            Affair::Taken { by, letter } if letter.post == Post::Reliable => {
                self.on_taken(*by, letter, Fate::Accepted)
            }
            Affair::Refused { by, letter, code } => {
                self.on_taken(*by, letter, Fate::Refused(*code))
            }
            Affair::Wrong { by, what } => breach!("{by} got {what}"),
            Affair::Done { by, id, outcome } => self.on_done(*by, *id, *outcome),
            _ => Ok(()),
        }
    }

    fn on_moment(&mut self, view: &View<'_>) -> Result<(), Breach> {
        self.is_calm = view.phase >= Phase::LastWords;
        Ok(())
    }

    /// Whoever still runs has heard of everything it sent.
    fn on_end(&mut self, view: &View<'_>) -> Result<(), Breach> {
        for ((from, to, lane), messages) in &self.channels {
            let open = messages.iter().position(|message| message.outcome.is_none());
            if let (true, Some(index)) = (view.runs(*from), open) {
                let Message { id, fate, .. } = messages[index];
                let number = index + 1;
                return breach!(
                    "{from} never heard of message {} (number {number} on {lane:?} to node {to}), \
                     which is {fate:?}",
                    id.0
                );
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let sent = self.letters.len() as u64;
        vec![("messages sent", sent), ("delivered", self.accepted), ("failed", self.failed)]
    }
}
