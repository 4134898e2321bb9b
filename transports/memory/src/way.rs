//! One direction of a link: a pipe with a writer and a reader that wait for each other.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hedgerow_netem::{Arrival, Pipe, Shape, Verdict};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::figures;

/// Makes the two ends of one direction; `seed` decides what chance does.
pub(crate) fn way(shape: Shape, seed: u64) -> (Writer, Reader) {
    let way = Arc::new(Way {
        epoch: Instant::now(),
        window_bytes: figures::window_bytes(&shape),
        passage: Mutex::new(Passage { pipe: Pipe::new(shape, seed), ends_at: None }),
        written: Notify::new(),
        read: Notify::new(),
    });
    (Writer(way.clone()), Reader(way))
}

struct Way {
    epoch: Instant,
    window_bytes: usize,
    passage: Mutex<Passage>,
    written: Notify,
    read: Notify,
}

struct Passage {
    pipe: Pipe<Bytes>,
    /// When the reader may know that the writer is gone, once the pipe is empty.
    ends_at: Option<Duration>,
}

/// When to try again.
enum Wait {
    Until(Duration),
    ForTheOther,
}

impl Way {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn passage(&self) -> MutexGuard<'_, Passage> {
        self.passage.lock().expect("nobody panics while changing a pipe")
    }

    /// Waits as `wait` says, or until `other` has done something.
    async fn pause(&self, wait: Wait, other: &Notify) {
        match wait {
            Wait::ForTheOther => other.notified().await,
            Wait::Until(time) => tokio::select! {
                () = other.notified() => {}
                () = sleep_until(self.epoch + time) => {}
            },
        }
    }
}

/// The end that is written to. Dropping it tells the reader, behind the bytes written before.
pub(crate) struct Writer(Arc<Way>);

impl Writer {
    /// Writes what `held` holds, once there is room.
    ///
    /// # Cancel safety
    /// The chunk is either written or still held.
    pub(crate) async fn write(&mut self, held: &mut Option<Bytes>) {
        while let Some(chunk) = held.take() {
            let wait = match self.try_write(chunk) {
                Ok(()) => return,
                Err((chunk, wait)) => {
                    *held = Some(chunk);
                    wait
                }
            };
            self.0.pause(wait, &self.0.read).await;
        }
    }

    fn try_write(&self, chunk: Bytes) -> Result<(), (Bytes, Wait)> {
        let pipe = &mut self.0.passage().pipe;
        let len = chunk.len();
        // One chunk always passes, however small the window.
        if !pipe.is_empty() && pipe.bytes_len() + len > self.0.window_bytes {
            return Err((chunk, Wait::ForTheOther));
        }
        match pipe.send(self.0.now(), len, chunk) {
            Verdict::Queued => {
                self.0.written.notify_one();
                Ok(())
            }
            // The sender does not know.
            Verdict::Lost => Ok(()),
            Verdict::Full(chunk) => Err((chunk, Wait::Until(pipe.writable_at(len)))),
            Verdict::TooBig(_) => {
                unreachable!("the node sent a packet of {len} bytes, larger than it was told")
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut passage = self.0.passage();
        passage.ends_at = Some(self.0.now() + passage.pipe.shape().delay);
        self.0.written.notify_one();
    }
}

/// The end that is read from.
pub(crate) struct Reader(Arc<Way>);

impl Reader {
    /// The next chunk or packet that arrives; `None` once the writer is gone and everything was read.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn read(&mut self) -> Option<BytesMut> {
        loop {
            match self.try_read() {
                Ok(None) => return None,
                Ok(Some(Arrival { item, damage })) => {
                    let mut chunk = BytesMut::from(item);
                    if let Some(damage) = damage {
                        damage.strike(&mut chunk);
                    }
                    return Some(chunk);
                }
                Err(wait) => self.0.pause(wait, &self.0.written).await,
            }
        }
    }

    fn try_read(&self) -> Result<Option<Arrival<Bytes>>, Wait> {
        let passage = &mut *self.0.passage();
        let now = self.0.now(); // after the writer's, which takes it under the lock too
        if let Some(arrival) = passage.pipe.poll_arrival(now) {
            self.0.read.notify_one();
            return Ok(Some(arrival));
        }
        match (passage.pipe.next_timeout(), passage.ends_at) {
            (Some(arrival), _) => Err(Wait::Until(arrival)),
            (None, Some(end)) if end <= now => Ok(None),
            (None, Some(end)) => Err(Wait::Until(end)),
            (None, None) => Err(Wait::ForTheOther),
        }
    }
}
