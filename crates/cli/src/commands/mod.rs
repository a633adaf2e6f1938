//! What each command runs.

pub mod logs;
mod replay;
mod report;

use crate::args::Command;
use crate::input::place;
use crate::{Failure, configuration};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

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
        Command::Check { file } => {
            configuration::read(&file)?;
            print(&format!("{}: fine\n", place(&file)))?;
        }
        Command::Schema => print(&configuration::schema())?,
    }
    Ok(Ending::Done)
}

/// Creates a file to write to.
fn create(file: &Path) -> Result<BufWriter<File>, Failure> {
    let created = File::create(file).map(BufWriter::new);
    created.map_err(|e| Failure::at(&file.display().to_string(), e))
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
