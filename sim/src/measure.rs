//! `hedgerow-sim scale`.

use std::path::PathBuf;
use std::process::ExitCode;

use hedgerow_sim::scale::{self, Options};

#[derive(Debug, clap::Args)]
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
    /// The file to write; `-` for standard output.
    #[arg(long, default_value = "docs/scale.md", value_name = "FILE")]
    out: PathBuf,
}

impl Scale {
    /// Measures and writes the page.
    pub(crate) fn run(&self) -> ExitCode {
        let sizes: &[usize] = if self.quick { &scale::SIZES_QUICK } else { &scale::SIZES };
        let is_wanted = |nodes: &usize| self.nodes_max.is_none_or(|most| *nodes <= most);
        let mut command = String::from("cargo run --release -p hedgerow-sim -- scale");
        if self.quick {
            command.push_str(" --quick");
        }
        if let Some(most) = self.nodes_max {
            command.push_str(&format!(" --nodes-max {most}"));
        }
        if self.seed != 1 {
            command.push_str(&format!(" --seed {}", self.seed));
        }
        let sizes = sizes.iter().copied().filter(is_wanted).collect();
        let options = Options { seed: self.seed, sizes, radio_nodes: 49, command };
        let figures = scale::measure(&options, &|line| eprintln!("{line}"));
        let page = scale::page(&figures);
        if self.out.as_os_str() == "-" {
            print!("{page}");
            return ExitCode::SUCCESS;
        }
        match std::fs::write(&self.out, page) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{} was not written: {error}", self.out.display());
                ExitCode::FAILURE
            }
        }
    }
}
