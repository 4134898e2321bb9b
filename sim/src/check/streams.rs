//! What comes out of a stream is a prefix of what went in.

use std::collections::BTreeMap;

use hedgerow_core::bus::{StreamEnd, StreamId};

use super::{Breach, Checker, View, breach};
use crate::app::{Affair, Letter, Post, StreamName, Who};

#[derive(Debug, Default)]
struct Stream {
    /// What the opener sent, by length.
    sent: Vec<usize>,
    taken: usize,
    finished: bool,
    /// How it ended: at the opener, at the other end.
    ends: [Option<StreamEnd>; 2],
}

/// All streams ever opened.
#[derive(Debug, Default)]
pub struct Streams {
    streams: BTreeMap<StreamName, Stream>,
    ids: BTreeMap<(Who, StreamId), StreamName>,
    whole: u64,
    taken: u64,
}

impl Streams {
    fn stream(&mut self, by: Who, id: StreamId) -> Result<(StreamName, &mut Stream), Breach> {
        let Some(name) = self.ids.get(&(by, id)) else {
            return breach!("{by} was told of stream {}, which it does not know", id.0);
        };
        Ok((*name, self.streams.get_mut(name).expect("a name is given to a stream")))
    }

    fn on_taken(&mut self, by: Who, id: StreamId, letter: &Letter) -> Result<(), Breach> {
        let (name, stream) = self.stream(by, id)?;
        let Post::Stream(number) = letter.post else {
            return breach!("{by} got {letter:?} from stream {name:?}");
        };
        let is_next = u64::from(letter.number) == stream.taken as u64 + 1;
        if (letter.from, number) != (name.opener, name.number) || !is_next {
            let taken = stream.taken;
            return breach!("{by} got {letter:?} from stream {name:?} behind message {taken}");
        }
        if stream.sent.get(stream.taken) != Some(&letter.bytes_len) {
            return breach!("{by} got {letter:?} from stream {name:?}, which was not sent on it");
        }
        stream.taken += 1;
        self.taken += 1;
        Ok(())
    }

    fn on_acked(&mut self, by: Who, id: StreamId, upto: u64) -> Result<(), Breach> {
        let (name, stream) = self.stream(by, id)?;
        if by == name.opener && upto > stream.taken as u64 {
            let taken = stream.taken;
            return breach!("{by} heard that {upto} messages of {name:?} were taken, not {taken}");
        }
        Ok(())
    }

    fn on_closed(&mut self, by: Who, id: StreamId, end: StreamEnd) -> Result<(), Breach> {
        let (name, stream) = self.stream(by, id)?;
        let side = usize::from(by != name.opener);
        if let Some(before) = stream.ends[side].replace(end) {
            return breach!("{by} heard that {name:?} closed with {end:?}, and {before:?} before");
        }
        let is_whole = stream.finished && stream.taken == stream.sent.len();
        if end == StreamEnd::Finished && !is_whole {
            let (taken, sent) = (stream.taken, stream.sent.len());
            return breach!("{by} heard that {name:?} is finished with {taken} of {sent} taken");
        }
        self.whole += u64::from(end == StreamEnd::Finished && side == 0);
        Ok(())
    }
}

impl Checker for Streams {
    fn name(&self) -> &'static str {
        "streams"
    }

    fn on_affair(&mut self, affair: &Affair) -> Result<(), Breach> {
        match *affair {
            Affair::StreamBegan { by, id, name } => {
                self.ids.insert((by, id), name);
                self.streams.entry(name).or_default();
                Ok(())
            }
            Affair::StreamSent { by, id, letter } => {
                let (_, stream) = self.stream(by, id)?;
                stream.sent.push(letter.bytes_len);
                Ok(())
            }
            Affair::StreamDone { by, id } => {
                self.stream(by, id)?.1.finished = true;
                Ok(())
            }
            Affair::StreamTaken { by, id, letter } => self.on_taken(by, id, &letter),
            Affair::StreamAcked { by, id, upto } => self.on_acked(by, id, upto),
            Affair::StreamEndRead { by, id } => {
                let (name, stream) = self.stream(by, id)?;
                let (taken, sent) = (stream.taken, stream.sent.len());
                if by != name.opener && !(stream.finished && taken == sent) {
                    return breach!("{by} read {name:?} to its end with {taken} of {sent} taken");
                }
                Ok(())
            }
            Affair::StreamClosed { by, id, end } => self.on_closed(by, id, end),
            _ => Ok(()),
        }
    }

    /// Every stream of a node that still runs has ended: its opener finished it or gave up, or the
    /// session found that the other end had. Who only receives waits for one who is out of reach.
    fn on_end(&mut self, view: &View<'_>) -> Result<(), Breach> {
        let truth = view.world.truth();
        for ((by, id), name) in &self.ids {
            let stream = &self.streams[name];
            let side = usize::from(*by != name.opener);
            let waits = *by != name.opener && !truth.island_of(by.node).contains(&name.opener.node);
            if view.runs(*by) && stream.ends[side].is_none() && !waits {
                let (taken, sent) = (stream.taken, stream.sent.len());
                let id = id.0;
                return breach!(
                    "{name:?} never ended at {by} (stream {id}): {taken} of {sent} taken"
                );
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let opened = self.streams.len() as u64;
        vec![("streams", opened), ("whole", self.whole), ("stream messages", self.taken)]
    }
}
