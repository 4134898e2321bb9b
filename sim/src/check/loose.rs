//! An unreliable message arrives at most once, and as it was sent.

use std::collections::BTreeSet;

use hedgerow_core::io::Lane;

use super::{Breach, Checker, breach};
use crate::app::{Affair, Letter, Post, Who};

type Name = (Who, usize, Lane, u32);

/// Unreliable messages on their way.
#[derive(Debug, Default)]
pub struct Loose {
    under_way: BTreeSet<Name>,
    sent: u64,
    arrived: u64,
}

fn name(letter: &Letter) -> Name {
    (letter.from, letter.to.0, letter.lane, letter.number)
}

impl Checker for Loose {
    fn name(&self) -> &'static str {
        "unreliable"
    }

    fn on_affair(&mut self, affair: &Affair) -> Result<(), Breach> {
        match affair {
            Affair::LooseSent { letter } => {
                self.sent += 1;
                self.under_way.insert(name(letter));
            }
            Affair::Taken { by, letter } if letter.post == Post::Loose => {
                self.arrived += 1;
                if !self.under_way.remove(&name(letter)) {
                    return breach!("{by} got {letter:?}, which came before or nobody sent");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![("unreliable sent", self.sent), ("arrived", self.arrived)]
    }
}
