//! The `pairwatch` command.
#![forbid(unsafe_code)]

use clap::Parser;
use pairwatch_cli::args::Cli;
use pairwatch_cli::commands::{Ending, run};
use std::io::{self, Write};
use std::process::ExitCode;

/// An alert at or above `--fail-on` was raised.
const ALARMED: u8 = 1;
/// What could not be used is the input's or the user's fault.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Alarmed) => ExitCode::from(ALARMED),
        Err(failure) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "pairwatch: {failure}");
            ExitCode::from(UNUSABLE)
        }
    }
}
