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

/// The fewest files that must be allowed open: below it, the runtime cannot even start.
const FILES_MIN: u64 = 24;

fn run(arguments: Arguments, output: Output) -> Result<ExitCode, Failure> {
    if let Some(files) = serve::scarcity::files_max().filter(|files| *files < FILES_MIN) {
        let message = format!("only {files} files may be open at once, too few to run");
        let hint = "raise the limit with `ulimit -n 1024`";
        return Err(Failure::new(failure::ErrorCode::Internal, message, hint));
    }
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
