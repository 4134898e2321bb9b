//! Inside the virtual machine: plays one scenario and leaves its outcome in the share.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::alive;
use crate::outcome::Outcome;
use crate::scenario::{self, Scenario};
use crate::stage::Stage;

/// What the host asks for.
const PLAN: &str = "plan.json";
/// What the guest answers.
const OUTCOME: &str = "outcome.json";

/// What is to be played.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) scenario: String,
    pub(crate) patience: u32,
    pub(crate) seed: u32,
}

impl Plan {
    /// For the host: puts it into the share.
    pub(crate) fn leave(&self, share: &Path) -> anyhow::Result<()> {
        fs::write(share.join(PLAN), serde_json::to_string(self)?).context("cannot write the plan")
    }
}

/// For the host: what the guest answered, if it came to that.
pub(crate) fn outcome(share: &Path) -> anyhow::Result<Outcome> {
    let text = fs::read_to_string(share.join(OUTCOME)).context("the guest left no outcome")?;
    serde_json::from_str(&text).context("the guest left a bad outcome")
}

/// For the guest: plays what the plan says.
pub(crate) fn play(share: &Path) -> anyhow::Result<()> {
    let plan = fs::read_to_string(share.join(PLAN)).context("no plan in the share")?;
    let plan: Plan = serde_json::from_str(&plan).context("a bad plan in the share")?;
    let scenario = scenario::find(&plan.scenario)
        .with_context(|| format!("no scenario `{}`", plan.scenario))?;
    alive::show(share).context("cannot show that the guest lives")?;
    let started = Instant::now();
    let played = play_on_stage(share, scenario, &plan);
    let outcome = Outcome::of(scenario.name, started.elapsed(), played);
    println!("guest: {}: {}", outcome.scenario, outcome.result);
    // Under another name until it is whole: the host may switch the guest off at any time.
    let new = share.join("outcome.new");
    fs::write(&new, serde_json::to_string(&outcome)?).context("cannot write the outcome")?;
    fs::rename(new, share.join(OUTCOME)).context("cannot write the outcome")
}

fn play_on_stage(
    share: &Path,
    scenario: &Scenario,
    plan: &Plan,
) -> anyhow::Result<crate::outcome::Figures> {
    let started = Instant::now();
    let mut stage =
        Stage::virtual_one(share, scenario.adapters, scenario.radios, plan.patience, plan.seed)
            .context("the stage does not come up")?;
    let stage_ms = started.elapsed().as_millis();
    let mut figures = scenario.play_on(&mut stage)?;
    figures.insert("stageMs".to_owned(), u64::try_from(stage_ms)?.into());
    Ok(figures)
}
