//! The medium: an exchange that lays a pipe between any two places that ask for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use hedgerow::driver::{Beacon, DialFailure};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

/// What a pipe holds in each direction: the medium's own back-pressure.
pub(crate) const PIPE_BYTES: usize = 16 * 1024;
/// Pipes that came in and wait for their place to look; more are refused.
const BACKLOG: usize = 8;

/// One end of a pipe.
pub(crate) struct Pipe {
    /// The place at the other end.
    pub(crate) other: String,
    pub(crate) bytes: DuplexStream,
    /// Its sender is dropped when the pipe is unplugged.
    pub(crate) plugged_in: watch::Receiver<()>,
}

/// An exchange; clones are the same one.
#[derive(Clone)]
pub(crate) struct Exchange {
    inside: Arc<Mutex<Inside>>,
    /// What each place shows to the others.
    pub(crate) shown: watch::Sender<BTreeMap<String, Beacon>>,
}

struct Inside {
    places: HashMap<String, mpsc::Sender<Pipe>>,
    plug: Option<watch::Sender<()>>,
}

impl Exchange {
    pub(crate) fn new() -> Self {
        let inside = Inside { places: HashMap::new(), plug: Some(watch::Sender::new(())) };
        Self { inside: Arc::new(Mutex::new(inside)), shown: watch::Sender::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nobody panics in an exchange")
    }

    /// Takes pipes at a place, until the receiver is dropped.
    pub(crate) fn open(&self, place: &str) -> mpsc::Receiver<Pipe> {
        let (sender, pipes) = mpsc::channel(BACKLOG);
        self.inside().places.insert(place.to_owned(), sender);
        pipes
    }

    /// Lays a pipe, and gives the other place its end.
    pub(crate) fn connect(&self, from: &str, to: &str) -> Result<Pipe, DialFailure> {
        let inside = self.inside();
        let plugged_in = inside.plug.as_ref().ok_or(DialFailure::Unreachable)?.subscribe();
        let place = inside.places.get(to).ok_or(DialFailure::Unreachable)?;
        let (ours, theirs) = duplex(PIPE_BYTES);
        let plug = plugged_in.clone();
        let pipe = Pipe { other: from.to_owned(), bytes: theirs, plugged_in: plug };
        place.try_send(pipe).map_err(|_| DialFailure::Refused)?;
        Ok(Pipe { other: to.to_owned(), bytes: ours, plugged_in })
    }

    /// Breaks all pipes, and lays no new ones.
    pub(crate) fn unplug(&self) {
        self.inside().plug = None;
    }

    /// Ends [`Exchange::unplug`].
    pub(crate) fn plug_in(&self) {
        self.inside().plug = Some(watch::Sender::new(()));
    }
}
