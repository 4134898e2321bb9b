//! Runs scenarios on real adapters, as a file lists them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::outcome::{Outcome, Skip, Verdict};
use crate::rig_file;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::stage::host::Host;

/// Hosts and adapters, and where the logs go.
pub(crate) struct RealRig {
    hosts: Vec<(Host, Vec<String>)>,
    pub(crate) logs: PathBuf,
    seed: u32,
}

impl RealRig {
    pub(crate) fn open(config: &Path, logs: PathBuf, seed: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(config)
            .with_context(|| format!("cannot read {}", config.display()))?;
        let hosts = rig_file::parse(&text).with_context(|| config.display().to_string())?;
        Ok(Self { hosts, logs, seed })
    }

    pub(crate) fn play(&self, scenario: &Scenario) -> Outcome {
        let started = Instant::now();
        let logs = self.logs.join(scenario.name);
        if scenario.radios > 0 {
            let needed = scenario.radios;
            let skip =
                Skip(format!("needs {needed} radios of Wi-Fi: only the virtual rig has them"));
            return Outcome::of(scenario.name, Duration::ZERO, Err(skip.into()));
        }
        let adapters: usize = self.hosts.iter().map(|(_, adapters)| adapters.len()).sum();
        if adapters < scenario.adapters {
            let needed = scenario.adapters;
            let skip = Skip(format!("needs {needed} adapters; the rig's file lists {adapters}"));
            return Outcome::of(scenario.name, Duration::ZERO, Err(skip.into()));
        }
        let played = Stage::real_one(&self.hosts, &logs, self.seed)
            .context("the stage does not come up")
            .and_then(|mut stage| scenario.play_on(&mut stage));
        let outcome = Outcome::of(scenario.name, started.elapsed(), played);
        if outcome.result == Verdict::Fail {
            eprintln!("---- the logs are in {}", logs.display());
        } else {
            // A folder that cannot be removed is no reason to fail.
            let _ = std::fs::remove_dir_all(&logs);
        }
        outcome
    }
}
