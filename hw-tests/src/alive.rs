//! The sign of life of a virtual machine, which tells a kernel that stands still from a scenario that
//! hangs: the emulated kernel stops now and then and computes for ever, whatever runs in it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What the guest writes into the share: another number each time.
const FILE: &str = "alive";
const EVERY: Duration = Duration::from_secs(1);
/// Of `/proc/PID/stat`, behind the name: the clock ticks in user mode and those in the kernel.
const TICKS_AT: std::ops::RangeInclusive<usize> = 11..=12;
/// In which Linux tells processor time, on what the rig runs on.
const TICK: Duration = Duration::from_millis(10);

/// For the guest: shows that it lives, until the process ends.
pub(crate) fn show(share: &Path) -> io::Result<()> {
    let file = share.join(FILE);
    thread::Builder::new().name("alive".to_owned()).spawn(move || {
        for number in 0_u64.. {
            // One that cannot be written is missed by the host, and the next one may be written.
            let _ = fs::write(&file, number.to_string());
            thread::sleep(EVERY);
        }
    })?;
    Ok(())
}

/// The error of a machine whose kernel stood still.
#[derive(Debug)]
pub(crate) struct StoodStill(Duration);

impl fmt::Display for StoodStill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "the kernel of the virtual machine stood still: it computed for {seconds} s ")?;
        f.write_str("without a sign of life")
    }
}

impl std::error::Error for StoodStill {}

/// For the host: looks after one machine.
pub(crate) struct Watch {
    file: PathBuf,
    stat: PathBuf,
    silence_max: Duration,
    last_sign: Vec<u8>,
    /// The machine's processor time at that sign.
    spent_then: Duration,
}

impl Watch {
    /// Of the machine that runs as a process, which may compute for so long between two signs.
    pub(crate) fn new(share: &Path, process: u32, silence_max: Duration) -> Self {
        Self {
            file: share.join(FILE),
            stat: PathBuf::from(format!("/proc/{process}/stat")),
            silence_max,
            last_sign: Vec::new(),
            spent_then: Duration::ZERO,
        }
    }

    /// # Errors
    /// If the machine has computed for too long without a sign. Time in which the host gave it no
    /// processor does not count.
    pub(crate) fn look(&mut self) -> Result<(), StoodStill> {
        let Some(spent) = fs::read_to_string(&self.stat).ok().as_deref().and_then(spent) else {
            return Ok(());
        };
        // One that is just being written is empty, and a sign, too.
        let sign = fs::read(&self.file).unwrap_or_default();
        if sign != self.last_sign {
            self.last_sign = sign;
            self.spent_then = spent;
        }
        let silent = spent.saturating_sub(self.spent_then);
        if silent > self.silence_max { Err(StoodStill(silent)) } else { Ok(()) }
    }
}

/// The processor time that a process has used by its `stat`.
fn spent(stat: &str) -> Option<Duration> {
    // The name, in brackets, may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    let ticks = fields.get(TICKS_AT)?.iter().map(|ticks| ticks.parse::<u32>().ok());
    Some(TICK * ticks.sum::<Option<u32>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn processor_time_is_read_behind_whatever_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 90 0 0 0 250 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(spent(stat), Some(Duration::from_secs(3)));
        assert_eq!(spent("7 (a) R 1 7"), None);
        assert_eq!(spent(""), None);
    }

    #[test]
    fn a_guest_shows_another_sign_each_time() {
        let share = tempfile::tempdir().unwrap();
        show(share.path()).unwrap();
        let mut signs = BTreeSet::new();
        while signs.len() < 2 {
            signs
                .extend(fs::read_to_string(share.path().join(FILE)).ok().filter(|s| !s.is_empty()));
            thread::sleep(Duration::from_millis(10));
        }
    }
}
