//! The command `scale`: measures, and writes docs/scale.md.

use std::path::PathBuf;
use std::process::ExitCode;

use hedgerow_sim::scale::{self, Kept, Options};

/// What to measure, and where to write it.
#[derive(clap::Args)]
pub(crate) struct Scale {
    /// Only meshes of up to 100 nodes.
    #[arg(long)]
    quick: bool,
    /// Only meshes of up to so many nodes.
    #[arg(long, value_name = "N")]
    nodes_max: Option<usize>,
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file for rows as they are measured; those that it has are not measured again. It is for
    /// one state of the program: a change makes its rows those of another one.
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// The file to write; `-` for standard output.
    #[arg(long, default_value = "docs/scale.md", value_name = "FILE")]
    out: PathBuf,
}

/// Measures with a line on stderr for each step.
pub(crate) fn scale(arguments: &Scale) -> ExitCode {
    let sizes: &[usize] = if arguments.quick { &scale::SIZES_QUICK } else { &scale::SIZES };
    let is_wanted = |nodes: &usize| arguments.nodes_max.is_none_or(|most| *nodes <= most);
    let mut command = String::from("cargo run --release -p hedgerow-sim -- scale");
    if arguments.quick {
        command.push_str(" --quick");
    }
    if let Some(most) = arguments.nodes_max {
        command.push_str(&format!(" --nodes-max {most}"));
    }
    if arguments.seed != 1 {
        command.push_str(&format!(" --seed {}", arguments.seed));
    }
    let sizes = sizes.iter().copied().filter(is_wanted).collect();
    let options =
        Options { seed: arguments.seed, sizes, radio_nodes: 49, restart_nodes: 100, command };
    let kept = match &arguments.keep {
        None => Kept::default(),
        Some(file) => match Kept::open(file) {
            Ok(kept) => kept,
            Err(error) => {
                eprintln!("{}: {error}: name another file, or remove it", file.display());
                return ExitCode::FAILURE;
            }
        },
    };
    let figures = scale::measure(&options, &kept, &|line| eprintln!("{line}"));
    let page = scale::page(&figures);
    if arguments.out.as_os_str() == "-" {
        print!("{page}");
        return ExitCode::SUCCESS;
    }
    match std::fs::write(&arguments.out, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} was not written: {error}", arguments.out.display());
            ExitCode::FAILURE
        }
    }
}
