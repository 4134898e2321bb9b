//! `hedgerow-hw-tests`: the hedgerow command over radios, judged by its JSON.

#![forbid(unsafe_code)]

mod alive;
mod arguments;
#[cfg(target_os = "linux")]
mod bare;
mod guest;
mod machine;
mod outcome;
mod random;
mod real_rig;
mod report;
mod rig_file;
mod scenario;
mod setup;
mod stage;
mod virtual_rig;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, RigKind, RunArguments};
use machine::Wish;
use outcome::Outcome;
use real_rig::RealRig;
use report::Report;
use scenario::Scenario;
use virtual_rig::VirtualRig;

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let code = match arguments.command {
        Some(Command::List) => {
            list();
            Ok(0)
        }
        Some(Command::Setup { build_kernel }) => setup(build_kernel),
        #[cfg(target_os = "linux")]
        Some(Command::Sink { bytes }) => bare::sink(bytes).map(|()| 0),
        #[cfg(target_os = "linux")]
        Some(Command::TcpSink { address }) => bare::tcp::sink(address).map(|()| 0),
        #[cfg(target_os = "linux")]
        Some(Command::TcpSource { address, bytes }) => {
            bare::tcp::source(address, bytes).map(|()| 0)
        }
        Some(Command::Guest { share }) => guest::play(&share).map(|()| 0),
        None => run(arguments.run),
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        eprintln!("hedgerow-hw-tests: {error:#}");
        1
    }))
}

fn list() {
    for Scenario { name, group, about, adapters, radios, .. } in scenario::listed() {
        println!("{name:18} {:12} {adapters} adapters  {radios} radios  {about}", group.name());
    }
}

fn setup(build_kernel: bool) -> anyhow::Result<u8> {
    let cache = setup::cache_folder()?;
    let wish = match Wish::of_environment() {
        Ok(wish) => wish,
        Err(wrong) => {
            eprintln!("hedgerow-hw-tests: {wrong:#}");
            return Ok(USAGE);
        }
    };
    setup::run(&cache, wish.kernel_to_make(build_kernel, &cache))?;
    // What was made must be enough, or this command has failed.
    wish.machine(&cache)?;
    Ok(0)
}

fn run(arguments: RunArguments) -> anyhow::Result<u8> {
    let scenarios = match scenario::select(&arguments.names) {
        Ok(scenarios) => scenarios,
        Err(unknown) => {
            eprintln!(
                "hedgerow-hw-tests: nothing goes by `{unknown}`: `hedgerow-hw-tests list` shows \
                 the scenarios; the groups are ble, wifi-direct and all"
            );
            return Ok(USAGE);
        }
    };
    let opened = Rig::open(&arguments).and_then(|rig| {
        Ok((rig, Report::open(arguments.json.as_deref(), arguments.junit.clone())?))
    });
    let (mut rig, mut report) = match opened {
        Ok(opened) => opened,
        Err(wrong) => {
            eprintln!("hedgerow-hw-tests: {wrong:#}");
            return Ok(USAGE);
        }
    };
    if let Rig::Virtual(rig) = &mut rig {
        rig.prepare()?;
    }
    for scenario in scenarios {
        eprintln!("rig: {}", scenario.name);
        let outcome = rig.play(scenario);
        match &outcome.reason {
            Some(reason) => eprintln!("rig: {}: {}: {reason}", outcome.scenario, outcome.result),
            None => eprintln!("rig: {}: {}", outcome.scenario, outcome.result),
        }
        report.add(outcome)?;
    }
    rig.close();
    Ok(report.close()?.exit_code())
}

/// What scenarios run on.
enum Rig {
    Virtual(VirtualRig),
    Real(RealRig),
    /// There is none, and this is why.
    Missing(String),
}

impl Rig {
    /// # Errors
    /// If the arguments, the environment or a file ask for what cannot be.
    fn open(arguments: &RunArguments) -> anyhow::Result<Self> {
        let given = arguments.logs.as_deref().map(std::path::absolute).transpose()?;
        let name = format!("hedgerow-rig-{}", std::process::id());
        let logs = given.unwrap_or_else(|| std::env::temp_dir().join(name));
        let seed = random::seed()?;
        if let (Some(RigKind::Real), Some(config)) = (arguments.rig, &arguments.config) {
            return Ok(Self::Real(RealRig::open(config, logs, seed)?));
        }
        let wish = Wish::of_environment()?;
        Ok(match wish.machine(&setup::cache_folder()?) {
            Ok(machine) => {
                Self::Virtual(VirtualRig::open(machine, arguments.hedgerow.clone(), logs, seed)?)
            }
            Err(reason) => Self::Missing(reason.to_string()),
        })
    }

    fn play(&self, scenario: &Scenario) -> Outcome {
        match self {
            Self::Virtual(rig) => rig.play(scenario),
            Self::Real(rig) => rig.play(scenario),
            Self::Missing(reason) => virtual_rig::skipped(scenario, reason),
        }
    }

    fn close(self) {
        if let Self::Virtual(VirtualRig { logs, .. }) | Self::Real(RealRig { logs, .. }) = self {
            // Only if nothing was kept in it.
            let _ = std::fs::remove_dir(logs);
        }
    }
}
