//! The command line.

#[cfg(target_os = "linux")]
use std::net::SocketAddrV6;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Run the hedgerow command over radios and judge what it says.
///
/// `setup` makes the virtual rig, once; `list` says what can be run. Ends with 0 if everything
/// passed, with 1 if anything failed, with 77 if nothing failed and something was skipped.
#[derive(Debug, Parser)]
#[command(
    name = "hedgerow-hw-tests",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "hedgerow-hw-tests --rig <virtual|real> [OPTIONS] <NAME>...\n       \
                      hedgerow-hw-tests setup [--build-kernel]\n       \
                      hedgerow-hw-tests list"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the scenarios and their groups
    List,
    /// Make the virtual rig out of Debian packages, below the user's cache folder
    ///
    /// Nothing is installed. The folder is HEDGEROW_RIG_CACHE if set. The kernel is the one that
    /// HEDGEROW_RIG_KERNEL names if set; else Debian's, in QEMU, unless one is built.
    Setup {
        /// Build a User-mode Linux kernel: minutes of compiling, and then a rig that is several
        /// times as fast as QEMU
        #[arg(long)]
        build_kernel: bool,
    },
    /// Take so many bytes in packets from standard input, which is a socket
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Sink { bytes: usize },
    /// Take what one connection brings, and compare it with what `tcp-source` sends
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    TcpSink { address: SocketAddrV6 },
    /// Send so many bytes over TCP, and measure it
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    TcpSource { address: SocketAddrV6, bytes: usize },
    /// Play one scenario inside the virtual machine
    #[command(hide = true)]
    Guest {
        /// The folder that is shared with the host
        share: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Where to run
    #[arg(long, value_enum, required = true)]
    pub(crate) rig: Option<RigKind>,
    /// The hosts and adapters of the real rig
    #[arg(long, value_name = "FILE", required_if_eq("rig", "real"))]
    pub(crate) config: Option<PathBuf>,
    /// Scenarios or groups; `all` is everything that `list` shows
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Write a JSON line for each scenario; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// The hedgerow command to test [default: the workspace's, built for it]
    #[arg(long, value_name = "FILE")]
    pub(crate) hedgerow: Option<PathBuf>,
    /// Where the logs of failed scenarios are kept [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) logs: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RigKind {
    /// Virtual machines of this one, with an emulator of radios
    Virtual,
    /// The adapters and hosts of --config
    Real,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parsed(line: &str) -> Result<Arguments, ErrorKind> {
        let words = ["hedgerow-hw-tests"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn the_arguments_contradict_themselves_nowhere() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_run_names_its_rig_and_what_to_run() {
        let run = parsed("--rig virtual ble-graph wifi-direct --json -").unwrap().run;
        assert_eq!(run.rig, Some(RigKind::Virtual));
        assert_eq!(run.names, ["ble-graph", "wifi-direct"]);
        assert_eq!(parsed("--rig virtual").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parsed("all").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parsed("--rig paper all").unwrap_err(), ErrorKind::InvalidValue);
    }

    #[test]
    fn a_real_rig_needs_its_file() {
        assert_eq!(parsed("--rig real all").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert!(parsed("--rig real --config rig.toml all").is_ok());
    }

    #[test]
    fn other_commands_need_no_rig() {
        assert!(matches!(parsed("list").unwrap().command, Some(Command::List)));
        let setup = parsed("setup --build-kernel").unwrap().command;
        assert!(matches!(setup, Some(Command::Setup { build_kernel: true })));
        let none = parsed("").unwrap_err();
        assert_eq!(none, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    }
}
