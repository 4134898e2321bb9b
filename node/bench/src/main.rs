//! Hedgerow against raw tokio TCP: two or three processes on the loopback interface of a network
//! namespace of their own, in alternation, medians.
//!
//! `cargo run --release --manifest-path node/bench/Cargo.toml -- [quick] [alone] [CASE ...]`
//!
//! `quick`: fewer and shorter runs. `alone`: Hedgerow without raw TCP, for a profiler.

mod case;
mod child;
mod mesh;
mod raw;
mod report;

use std::process::Command;

use anyhow::{Context, bail};
use case::{CASES, Subject};
use report::Report;

/// Set for the process that runs inside the namespace.
const INSIDE: &str = "HEDGEROW_BENCH_INSIDE";
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 3;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, job] = arguments.as_slice()
        && let Some(role) = role.strip_prefix("role-")
    {
        return child::run(role, job);
    }
    if std::env::var_os(INSIDE).is_none() {
        return inside_namespace(&arguments);
    }
    let quick = arguments.iter().any(|argument| argument == "quick");
    let subjects: &[Subject] = if arguments.iter().any(|argument| argument == "alone") {
        &[Subject::Hedgerow]
    } else {
        &[Subject::Raw, Subject::Hedgerow]
    };
    let options = ["quick", "alone"];
    let chosen: Vec<&String> =
        arguments.iter().filter(|argument| !options.contains(&argument.as_str())).collect();
    if let Some(unknown) = chosen.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        bail!("there is no case {unknown:?}; there are {}", names.join(", "));
    }
    let mut report = Report::default();
    for round in 0..if quick { ROUNDS_QUICK } else { ROUNDS } {
        for case in CASES {
            if !chosen.is_empty() && chosen.iter().all(|name| *name != case.name) {
                continue;
            }
            for &subject in subjects {
                let sample = case
                    .measure(subject, quick)
                    .with_context(|| format!("{} of {subject:?}, round {round}", case.name))?;
                report.add(case, subject, sample);
            }
        }
    }
    report.print();
    Ok(())
}

/// Runs this program again where there is nothing but a loopback interface: no other traffic, no
/// firewall, and multicast goes nowhere.
fn inside_namespace(arguments: &[String]) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let status = Command::new("unshare")
        // As root of a user namespace, where the caller is not root.
        .args(["--map-root-user", "--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(program)
        .args(arguments)
        .env(INSIDE, "1")
        .status()
        .context("unshare cannot be run; it is part of util-linux")?;
    if !status.success() {
        bail!("the run in the network namespace failed: {status}");
    }
    Ok(())
}
