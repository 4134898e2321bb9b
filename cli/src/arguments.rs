//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::control::LaneName;
use crate::failure::{ErrorCode, Failure};
use crate::output::Output;

/// The longest `--timeout`: a day.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Run a mesh node, see the mesh, send and receive.
///
/// `up` runs the node of a home folder; the other commands talk to it. `demo` needs no node.
#[derive(Debug, Parser)]
#[command(name = "hedgerow", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Print JSON, one object a line, instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The node's home folder [env: HEDGEROW_HOME] [default: the platform's data folder]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until it is interrupted
    Up(UpArguments),
    /// List the peers that can be reached
    Peers,
    /// Show the whole mesh: peers and the connections between them
    Graph {
        /// Print it for Graphviz: `hedgerow graph --dot | neato -Tsvg`
        #[arg(long)]
        dot: bool,
    },
    /// List this node's own links
    Links,
    /// Send a message; ends when it is in the peer's inbox
    Send(SendArguments),
    /// Take messages out of the node's inbox and print them
    Listen(ListenArguments),
    /// Pass standard input to a peer, and what the peer sends to standard output
    Pipe(PipeArguments),
    /// Read or change what this node says about itself
    Metadata {
        #[command(subcommand)]
        action: MetadataAction,
    },
    /// Wait until peers are there, or gone
    Wait(WaitArguments),
    /// Measure the round trip to a peer until interrupted, or so many times
    Ping(PingArguments),
    /// Ask the hops on the way to a peer who they are
    Trace(TraceArguments),
    /// Print who comes, changes and goes until interrupted
    Watch(WatchArguments),
    /// Make the secret of a closed network, in a new file to copy to its other nodes
    Secret {
        /// The file to make, for its owner only; one that is there is never overwritten
        file: PathBuf,
    },
    /// Look at everything a node needs, and say what to do where something is wrong
    ///
    /// Give it the flags of `up`, if any. Ends with 0 if at least one transport works, with 7 if
    /// the home, the key or the configuration keeps a node from starting, else with 1.
    Doctor(UpArguments),
    /// See a mesh of five nodes work, in this process, with nothing installed
    Demo,
}

#[derive(Debug, Default, Args)]
pub(crate) struct UpArguments {
    /// What others see this node as [env: HEDGEROW_NAME] [default: the host's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The network to join; open to everybody unless there is a secret [env: HEDGEROW_NETWORK]
    #[arg(long)]
    pub(crate) network: Option<String>,
    /// The file with the secret of a closed network
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The configuration [default: config.toml in the home folder, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SendArguments {
    /// A peer key, a device name, or the beginning of a peer key
    pub(crate) peer: String,
    /// The message
    #[arg(required_unless_present = "lines")]
    pub(crate) text: Option<String>,
    /// Send each line of standard input as a message, one after the other
    #[arg(long, conflicts_with = "text")]
    pub(crate) lines: bool,
    /// Do not wait for the word that it was delivered, and do not repeat it
    #[arg(long)]
    pub(crate) unreliable: bool,
    /// Which messages go before which others
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lane: LaneName,
    /// Give up a message after so many seconds
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    /// End after so many messages [default: when interrupted]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,
    /// Give up after so many seconds [default: never]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct PipeArguments {
    /// A peer key, a device name, or the beginning of a peer key
    #[arg(required_unless_present = "accept", requires = "topic", conflicts_with = "accept")]
    pub(crate) peer: Option<String>,
    /// What the other side accepts
    pub(crate) topic: Option<String>,
    /// Wait for a peer that opens this topic
    #[arg(long, value_name = "TOPIC")]
    pub(crate) accept: Option<String>,
    /// Accept only from this peer
    #[arg(long, value_name = "PEER", requires = "accept", conflicts_with = "peer")]
    pub(crate) from: Option<String>,
    /// Which data goes before which other, both ways
    #[arg(long, value_enum, default_value_t, conflicts_with = "accept")]
    pub(crate) lane: LaneName,
    /// Give up if the pipe is not open after so many seconds [default: 30; with --accept: never]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MetadataAction {
    /// Print it
    Get,
    /// Replace it
    Set {
        /// A JSON object of at most 131,072 bytes; `-` reads it from standard input
        #[arg(value_name = "JSON")]
        text: String,
    },
    /// Make it `{}`
    Clear,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    #[command(flatten)]
    pub(crate) condition: WaitCondition,
    /// With --peer: until it is exactly so many hops away; a neighbour is 1
    #[arg(long, value_name = "N", requires = "peer", conflicts_with_all = ["peers", "gone"])]
    #[arg(value_parser = hops, allow_negative_numbers = true)]
    pub(crate) hops: Option<u16>,
    /// Give up after so many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WaitCondition {
    /// Until at least so many other peers can be reached
    #[arg(long, value_name = "N", value_parser = number, allow_negative_numbers = true)]
    pub(crate) peers: Option<u64>,
    /// Until this peer can be reached
    #[arg(long, value_name = "PEER")]
    pub(crate) peer: Option<String>,
    /// Until this peer has left
    #[arg(long, value_name = "PEER")]
    pub(crate) gone: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PingArguments {
    /// A peer key, a device name, or the beginning of a peer key
    pub(crate) peer: String,
    /// End after so many pings [default: when interrupted]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,
    /// So many seconds from one ping to the next, at least
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
    /// Give up a ping after so many seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct TraceArguments {
    /// A peer key, a device name, or the beginning of a peer key
    pub(crate) peer: String,
    /// Give up after so many seconds; a hop that keeps silent takes 2
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// End after so many changes [default: when interrupted]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,
    /// Give up after so many seconds [default: never]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    match seconds {
        Some(time) if time > Duration::ZERO && time <= TIMEOUT_MAX => Ok(time),
        _ => Err("give seconds over 0 and up to 86400, such as 5 or 0.5".into()),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number, such as 3".into())
}

fn count(text: &str) -> Result<u64, String> {
    match number(text) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("give a whole number from 1 on".into()),
    }
}

fn hops(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(hops) if hops > 0 => Ok(hops),
        _ => Err("give a whole number from 1 to 65535".into()),
    }
}

/// Says what is wrong with the command line, or prints the help that was asked for.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if help || !std::env::args_os().any(|argument| argument == "--json") {
        // Where even this cannot be printed, the exit code still tells.
        let _ = error.print();
        return ExitCode::from(if help { 0 } else { ErrorCode::Usage.exit_code() });
    }
    Output::new(true).fail(&usage_failure(error))
}

fn usage_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    // The first paragraph says what is wrong; usage and hints follow.
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let message = paragraph.strip_prefix("error: ").unwrap_or(paragraph);
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    Failure::new(ErrorCode::Usage, message, "see `hedgerow --help`, or `--help` after a command")
}

#[cfg(test)]
mod tests;
