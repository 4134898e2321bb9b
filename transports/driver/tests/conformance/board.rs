//! A patch board: lines between named places, each a channel of packets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hedgerow_driver::conformance::{Bench, End, Figures};
use hedgerow_driver::{Beacon, DialFailure, Driver, Endpoint};
use tokio::sync::{mpsc, watch};

use crate::fault::Fault;
use crate::wire::Wire;

/// Packets that a line holds.
const PACKETS: usize = 4;
/// A packet of the line, at most, on stream-shaped links.
pub(crate) const CHUNK_BYTES: usize = 1_500;
/// The size of packets, at first.
pub(crate) const FIRST_PACKET_BYTES: usize = 100;
/// The size of packets once the ends have agreed on it.
pub(crate) const PACKET_BYTES: usize = 182;

/// What the links of a board are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Ordered,
    /// Packets in foul weather.
    Open,
}

/// One end of a line.
pub(crate) struct Line {
    pub(crate) other: String,
    pub(crate) to: mpsc::Sender<Bytes>,
    pub(crate) from: mpsc::Receiver<Bytes>,
    /// Ends when the board is cut.
    pub(crate) whole: watch::Receiver<()>,
}

#[derive(Default)]
struct Lines {
    places: HashMap<String, mpsc::Sender<Line>>,
    /// Gone while the board is cut.
    whole: Option<watch::Sender<()>>,
    was_cut: bool,
}

/// What is shared by all on a board.
#[derive(Clone)]
pub(crate) struct Board {
    lines: Arc<Mutex<Lines>>,
    pub(crate) shown: watch::Sender<BTreeMap<String, Beacon>>,
}

impl Board {
    fn new() -> Self {
        let lines = Lines { whole: Some(watch::Sender::new(())), ..Lines::default() };
        Self { lines: Arc::new(Mutex::new(lines)), shown: watch::Sender::default() }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap()
    }

    /// Accepts lines at a place, until the receiver is dropped.
    pub(crate) fn open(&self, name: &str) -> mpsc::Receiver<Line> {
        let (sender, lines) = mpsc::channel(8);
        self.lines().places.insert(name.to_owned(), sender);
        lines
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.lines().was_cut
    }

    /// A line from one place to another.
    pub(crate) async fn dial(&self, from: &str, to: &Endpoint) -> Result<Line, DialFailure> {
        match to.as_str() {
            "" => return Err(DialFailure::InvalidEndpoint),
            "silent" => std::future::pending().await,
            _ => {}
        }
        let lines = self.lines();
        let whole = lines.whole.as_ref().ok_or(DialFailure::Unreachable)?.subscribe();
        let place = lines.places.get(to.as_str()).ok_or(DialFailure::Unreachable)?;
        let (to_them, from_us) = mpsc::channel(PACKETS);
        let (to_us, from_them) = mpsc::channel(PACKETS);
        let theirs =
            Line { other: from.to_owned(), to: to_us, from: from_us, whole: whole.clone() };
        place.try_send(theirs).map_err(|_| DialFailure::Refused)?;
        Ok(Line { other: to.to_string(), to: to_them, from: from_them, whole })
    }
}

/// A bench of drivers on a board, all with the same fault.
pub(crate) struct Patch {
    board: Board,
    kind: Kind,
    fault: Option<Fault>,
    is_sighted: bool,
}

impl Patch {
    pub(crate) fn new(kind: Kind, fault: Option<Fault>, is_sighted: bool) -> Self {
        Self { board: Board::new(), kind, fault, is_sighted }
    }

    fn wire(&self, name: &str) -> Box<dyn Driver> {
        let (board, kind, fault) = (self.board.clone(), self.kind, self.fault);
        Box::new(Wire { board, kind, name: name.to_owned(), fault })
    }
}

impl Bench for Patch {
    fn driver(&mut self, end: End) -> Box<dyn Driver> {
        self.wire(end.name())
    }

    fn endpoint(&self, end: End) -> Option<Endpoint> {
        (!self.is_sighted).then(|| Endpoint::new(end.name()))
    }

    fn nowhere(&self) -> Endpoint {
        Endpoint::new("nowhere")
    }

    fn silent(&mut self) -> Option<Endpoint> {
        Some(Endpoint::new("silent"))
    }

    fn invalid(&self) -> Endpoint {
        Endpoint::new("")
    }

    fn cut(&mut self) {
        let mut lines = self.board.lines();
        lines.whole = None;
        lines.was_cut = true;
    }

    fn mend(&mut self) {
        self.board.lines().whole = Some(watch::Sender::new(()));
    }

    fn hopeless(&mut self) -> Option<Box<dyn Driver>> {
        Some(self.wire("hopeless"))
    }

    fn figures(&self) -> Figures {
        let bytes = if self.kind == Kind::Stream { CHUNK_BYTES } else { PACKET_BYTES };
        Figures {
            // One more is taken from the line by its reader.
            buffered_bytes_max: PACKETS * bytes,
            keeps_boundaries: true,
            // The weather is fair for faults, so that none hides behind it.
            lost_ppm_max: if self.fault.is_none() { 25_000 } else { 0 },
            changed_ppm_max: 0,
            load_bytes: 200_000,
            patience: Duration::from_secs(20),
            quiet: Duration::from_secs(1),
        }
    }
}
