//! Which mesh is measured when: two at a time, as far as the memory of the machine goes.

use std::cmp::Reverse;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Shape;

/// What a node has to know for each node of its mesh, in bytes, with some room: see the tables.
const fn bytes_per_pair(shape: Shape) -> u64 {
    match shape {
        Shape::Line => 3_700,
        Shape::Grid => 4_200,
        Shape::Random => 5_300,
    }
}

/// A mesh to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) shape: Shape,
    pub(super) nodes: usize,
    /// Over links like Bluetooth's.
    pub(super) is_radio: bool,
}

impl Job {
    /// About how much memory it takes; nothing to speak of over radio, where meshes are small.
    pub(super) fn bytes(&self) -> u64 {
        if self.is_radio {
            return 0;
        }
        let nodes = self.nodes as u64;
        nodes * nodes * bytes_per_pair(self.shape)
    }
}

/// What is still to be measured, the biggest first, so that the last ones to end are short.
#[derive(Debug)]
pub(super) struct Jobs {
    queue: Mutex<Queue>,
    given_back: Condvar,
}

#[derive(Debug)]
struct Queue {
    waiting: Vec<Job>,
    free_bytes: u64,
}

impl Jobs {
    /// All that fit into `memory_bytes`, and those that do not.
    pub(super) fn new(mut jobs: Vec<Job>, memory_bytes: u64) -> (Self, Vec<Job>) {
        jobs.sort_by_key(|job| Reverse(job.nodes));
        let (waiting, too_big) = jobs.into_iter().partition(|job| job.bytes() <= memory_bytes);
        let queue = Queue { waiting, free_bytes: memory_bytes };
        (Self { queue: Mutex::new(queue), given_back: Condvar::new() }, too_big)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next one that there is memory for, which it has until [`Jobs::done`]; waits for it.
    pub(super) fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.waiting.is_empty() {
                return None;
            }
            let free = queue.free_bytes;
            if let Some(at) = queue.waiting.iter().position(|job| job.bytes() <= free) {
                let job = queue.waiting.remove(at);
                queue.free_bytes -= job.bytes();
                return Some(job);
            }
            queue = self.given_back.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A measurement is over.
    pub(super) fn done(&self, job: &Job) {
        self.lock().free_bytes += job.bytes();
        self.given_back.notify_all();
    }
}

/// The memory that new programs may take, in bytes, with a tenth left to others; where the system
/// does not tell, all there could be.
pub(super) fn memory_bytes() -> u64 {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|info| {
        let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    available.map_or(u64::MAX, |kilobytes| kilobytes * 1_024 / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(nodes: usize) -> Job {
        Job { shape: Shape::Grid, nodes, is_radio: false }
    }

    #[test]
    fn what_does_not_fit_is_told_and_what_does_waits_for_its_memory() {
        let all = [10, 2_000, 1_000, 4_000].map(job).to_vec();
        let (jobs, too_big) = Jobs::new(all, job(2_000).bytes());
        assert_eq!(too_big, [job(4_000)]);
        assert_eq!(jobs.next(), Some(job(2_000)));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| jobs.next());
            jobs.done(&job(2_000));
            assert_eq!(other.join().expect("it waits"), Some(job(1_000)));
        });
        assert_eq!(jobs.next(), Some(job(10)), "both at once");
        assert_eq!(jobs.next(), None);
    }
}
