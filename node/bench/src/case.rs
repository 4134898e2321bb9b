//! What is measured.

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::child::{Child, Figures, Ready};

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

/// Raw TCP or Hedgerow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Raw,
    Hedgerow,
}

/// How bytes are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Reliable messages, many on their way; the time ends when the other application has all.
    Messages,
    /// The same on one reliable stream.
    Stream,
    /// 64 bytes there and back, one after the other.
    PingPong,
    /// From the start of the dial to the first application byte at the other end.
    SetUp,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Of one message.
    pub(crate) bytes: usize,
    /// A third node stands between the two.
    pub(crate) relayed: bool,
    /// In all.
    total: usize,
}

const fn case(name: &'static str, kind: Kind, bytes: usize, total: usize) -> Case {
    Case { name, kind, bytes, relayed: false, total }
}

const fn relayed(case: Case, name: &'static str) -> Case {
    Case { name, relayed: true, ..case }
}

const MESSAGES_1K: Case = case("messages-1k", Kind::Messages, KIB, 128 * MIB);
const MESSAGES_64K: Case = case("messages-64k", Kind::Messages, 64 * KIB, 512 * MIB);
const STREAM_1K: Case = case("stream-1k", Kind::Stream, KIB, 128 * MIB);
const STREAM_64K: Case = case("stream-64k", Kind::Stream, 64 * KIB, 512 * MIB);
const STREAM_1M: Case = case("stream-1m", Kind::Stream, MIB, 512 * MIB);
const PING: Case = case("ping-pong", Kind::PingPong, 64, 64 * 5_000);

/// Every case, in the order of the table.
pub(crate) const CASES: &[Case] = &[
    MESSAGES_1K,
    MESSAGES_64K,
    case("messages-1m", Kind::Messages, MIB, 512 * MIB),
    STREAM_1K,
    STREAM_64K,
    STREAM_1M,
    relayed(STREAM_1K, "relayed-1k"),
    relayed(STREAM_64K, "relayed-64k"),
    relayed(STREAM_1M, "relayed-1m"),
    PING,
    relayed(PING, "relayed-ping-pong"),
    case("set-up", Kind::SetUp, 1, 1),
];

/// What a process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) bytes: usize,
    pub(crate) total: usize,
    /// Where to connect to.
    pub(crate) connect: Vec<String>,
    /// The peer key of the other end.
    pub(crate) to: Option<String>,
}

/// What one run showed: microseconds or bytes a second, and what each process took.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) figures: Figures,
    pub(crate) sender_rss_kib: u64,
    pub(crate) receiver_rss_kib: u64,
    /// Processor time of all processes.
    pub(crate) cpu_us: u64,
}

impl Case {
    pub(crate) fn measure(&self, subject: Subject, quick: bool) -> anyhow::Result<Sample> {
        let total = if quick { self.total / 4 } else { self.total };
        let total = (total / self.bytes).max(1) * self.bytes;
        let job = |connect, to| Job { kind: self.kind, bytes: self.bytes, total, connect, to };
        let name = match subject {
            Subject::Raw => "raw",
            Subject::Hedgerow => "mesh",
        };
        let mut sink = Child::start(&format!("{name}-sink"), &job(Vec::new(), None))?;
        let ready: Ready = sink.line("ready")?;
        let mut relay = None;
        let mut source = if self.relayed && subject == Subject::Hedgerow {
            // The source listens and the relay dials both: the two ends know nothing of each
            // other but the key.
            let mut source = Child::start("mesh-source", &job(Vec::new(), Some(ready.key)))?;
            let near: Ready = source.line("ready")?;
            let job = job(vec![ready.address, near.address], None);
            relay = Some(Child::start("mesh-relay", &job)?);
            source
        } else {
            let job = job(vec![ready.address], Some(ready.key));
            let mut source = Child::start(&format!("{name}-source"), &job)?;
            let _: Ready = source.line("ready")?;
            source
        };
        let mut figures: Figures = source.line("figures").context("the source")?;
        if self.kind == Kind::SetUp {
            let first: f64 = sink.line("first-byte").context("the sink")?;
            figures.micros = first - figures.micros;
        }
        let sent = source.finish()?;
        let received = sink.finish()?;
        let relayed = relay.map(Child::finish).transpose()?;
        Ok(Sample {
            figures,
            sender_rss_kib: sent.rss_kib,
            receiver_rss_kib: received.rss_kib,
            cpu_us: sent.cpu_us + received.cpu_us + relayed.map_or(0, |used| used.cpu_us),
        })
    }
}
