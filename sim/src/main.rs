//! `hedgerow-sim`: plays worlds from seeds.

mod commit;
mod measure;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hedgerow_core::time::Duration;
use hedgerow_sim::scenario::{Given, Scenario, Topology};
use hedgerow_sim::story::{Failure, Report, Story};

/// Plays worlds of many nodes, with everything that goes wrong, from one seed.
#[derive(Parser)]
#[command(name = "hedgerow-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play one world; exit 1 if a promise is broken in it. The same seed gives the same world.
    Run(Run),
    /// Play world after world on two threads until the time is over or a promise is broken.
    Soak(Soak),
    /// Measure how meshes behave as they grow, and write the page of it.
    Scale(measure::Scale),
}

#[derive(clap::Args)]
struct Run {
    /// What all chance comes from.
    #[arg(long)]
    seed: u64,
    /// How many nodes, instead of 3 to 20 by chance.
    #[arg(long)]
    nodes: Option<usize>,
    /// line, ring, grid, tree, random or full, instead of one by chance.
    #[arg(long)]
    topology: Option<Topology>,
    /// How long things go wrong, instead of 20 to 45 s by chance; in virtual minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Tell what is planned and what happens, on stderr.
    #[arg(long)]
    verbose: bool,
}

#[derive(clap::Args)]
struct Soak {
    /// For how long, in minutes; a world that has begun is played to its end.
    #[arg(long)]
    minutes: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long)]
    count: Option<u64>,
    /// Play on after a failure, and name all seeds that failed at the end.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(run) => play(&run),
        Command::Soak(soak) => soak::soak(&soak),
        Command::Scale(arguments) => measure::scale(&arguments),
    }
}

fn play(run: &Run) -> ExitCode {
    let storm = run.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let given = Given { nodes: run.nodes, topology: run.topology, storm };
    let scenario = Scenario::draw(run.seed, given);
    if run.verbose {
        eprint!("{scenario}");
    }
    let mut story = Story::new(scenario);
    if run.verbose {
        story.set_verbose();
    }
    let report = story.play();
    if tell(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The line that says which seed broke whose promise.
fn name(report: &Report, failure: &Failure) -> String {
    format!("seed={} commit={} checker={}", report.seed, commit::name(), failure.checker)
}

/// Tells how a story ended; whether it ended well.
fn tell(report: &Report) -> bool {
    let Some(failure) = &report.failure else {
        let figures: Vec<String> =
            report.figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
        println!("{}", figures.join(", "));
        println!(
            "seed {}: well after {:?}, {} steps, hash {:016x}",
            report.seed, report.time, report.steps, report.hash
        );
        return true;
    };
    print!("{failure}");
    println!("{}", name(report, failure));
    false
}
