//! What each command runs.

mod check;
mod explain;
pub mod logs;
mod policy;
mod replay;
mod report;
mod train;

use crate::args::{Cli, Command};
use crate::{Failure, configuration};
use clap::CommandFactory;
use std::io::{self, Write};

/// How a command that was done ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well.
    Done,
    /// With an alert at or above `--fail-on`.
    Alarmed,
}

/// Runs a command.
///
/// # Errors
/// Its input or arguments can't be used.
pub fn run(command: Command) -> Result<Ending, Failure> {
    match command {
        Command::Replay(args) => return replay::run(args),
        Command::Report(args) => report::run(args)?,
        Command::Explain(args) => explain::run(args)?,
        Command::Train(args) => train::run(&args)?,
        Command::Policy(args) => policy::run(args)?,
        Command::Check { files } => check::run(&files)?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pairwatch", &mut text);
            print(&String::from_utf8_lossy(&text))?;
        }
        Command::Man { command } => print(&manual(command.as_deref())?)?,
        Command::Schema => print(&configuration::schema())?,
    }
    Ok(Ending::Done)
}

/// The man page of a command, or the overview.
fn manual(name: Option<&str>) -> Result<String, Failure> {
    let mut whole = Cli::command();
    // Gives each command the name and usage it has on the command line.
    whole.build();
    let page = match name {
        None => &whole,
        Some(name) => whole
            .find_subcommand(name)
            .ok_or_else(|| Failure::at(name, "no such command"))?,
    };
    let mut text = Vec::new();
    let written = clap_mangen::Man::new(page.clone()).render(&mut text);
    written.map_err(|e| Failure::at("man page", e))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let written = io::stdout().write_all(text.as_bytes());
    match written {
        // Whoever read it has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Failure::at("standard output", e)),
    }
}

/// Writes to standard error. With that closed there is nobody left to tell.
fn tell(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
