//! The `hedgerow` command: runs a node, and talks to the one that runs.

#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod control;
mod demo;
mod doctor;
mod event;
mod failure;
mod logging;
mod naming;
mod output;
mod serve;
mod settings;
mod table;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return arguments::refuse(&error),
    };
    let output = Output::new(arguments.json);
    logging::start(&arguments.command);
    match run(arguments, output) {
        Ok(code) => code,
        Err(failure) => output.fail(&failure),
    }
}

fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    let mut builder = match arguments.command {
        Command::Up(_) | Command::Demo => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("cannot start the runtime", error))?;
    let result = runtime.block_on(commands::run(arguments, output));
    // A read of standard input that nobody needs any more must not hold up the end.
    runtime.shutdown_background();
    result
}
