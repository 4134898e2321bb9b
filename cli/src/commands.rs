//! One file for each command.

mod doctor;
mod graph;
mod links;
mod listen;
mod metadata;
mod peers;
mod ping;
mod pipe;
mod secret;
mod send;
mod trace;
mod up;
mod wait;
mod watch;

use std::process::ExitCode;

use crate::arguments::{Arguments, Command};
use crate::control::{Answer, Client, Request, unexpected_answer};
use crate::demo;
use crate::failure::Failure;
use crate::output::Output;

/// Obeys the command line.
pub(crate) async fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let home = arguments.home;
    match arguments.command {
        Command::Up(flags) => up::run(home, flags, output).await,
        Command::Demo => return Ok(demo::run(output).await),
        Command::Doctor(flags) => return doctor::run(home, flags, output).await,
        Command::Secret { file } => secret::run(&file, output),
        Command::Pipe(pipe) => return Ok(pipe::run(home, pipe, output).await),
        Command::Peers => peers::run(Client::connect(home).await?, output).await,
        Command::Graph { dot } => graph::run(Client::connect(home).await?, dot, output).await,
        Command::Links => links::run(Client::connect(home).await?, output).await,
        Command::Send(send) => send::run(Client::connect(home).await?, send, output).await,
        Command::Listen(listen) => listen::run(Client::connect(home).await?, &listen, output).await,
        Command::Metadata { action } => metadata::run(home, action, output).await,
        Command::Ping(ping) => ping::run(home, ping, output).await,
        Command::Trace(trace) => trace::run(Client::connect(home).await?, trace, output).await,
        Command::Watch(watch) => watch::run(Client::connect(home).await?, &watch, output).await,
        Command::Wait(wait) => wait::run(Client::connect(home).await?, wait, output).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The graph that the node knows now.
async fn ask_graph(client: Client) -> Result<hedgerow::PresenceGraph, Failure> {
    match client.ask(&Request::Graph, std::time::Duration::ZERO).await? {
        Answer::Graph { graph } => Ok(graph),
        other => Err(unexpected_answer(&other)),
    }
}

/// As much of a peer key as is needed to name it among not too many.
fn short_key(key: &str) -> String {
    key.chars().take(10).collect()
}
