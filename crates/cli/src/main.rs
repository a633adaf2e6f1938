//! The `pairwatch` command.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand, ValueEnum};
use pairwatch_cli::input::place;
use pairwatch_cli::line::LineReader;
use pairwatch_cli::merge::Merged;
use pairwatch_cli::replay::replay;
use pairwatch_cli::{Failure, configuration};
use pairwatch_engine::config::Config;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Behaviour-anomaly detection for every service pair of a mesh.
#[derive(Parser)]
#[command(name = "pairwatch", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs access logs through the engine and writes the alerts it would have raised
    Replay {
        /// Configuration of the plugin; all defaults without
        #[arg(long, value_name = "FILE")]
        config: Option<String>,
        /// How the lines are written
        #[arg(long, value_enum, default_value_t = Format::Auto)]
        format: Format,
        /// Where the alerts go, one JSON object a line; standard output without
        #[arg(long, value_name = "OUT.jsonl")]
        alerts: Option<PathBuf>,
        /// Access logs, plain or gzip, each in time order; - is standard input
        #[arg(required = true, value_name = "LOG")]
        logs: Vec<String>,
    },
    /// Says whether a configuration is one
    Check {
        /// The configuration; - is standard input
        #[arg(default_value = "-")]
        file: String,
    },
    /// Prints the JSON Schema of the configuration, with its defaults
    Schema,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Told by the lines themselves
    Auto,
    /// JSON objects, as Envoy's and Istio's JSON access logs
    EnvoyJson,
}

/// What could not be used is the input's or the user's fault.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With standard error closed there is nobody left to tell.
            let _ = writeln!(io::stderr(), "pairwatch: {failure}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        // There is one way to write lines so far, and so nothing to tell apart.
        Command::Replay {
            config,
            format: Format::Auto | Format::EnvoyJson,
            alerts,
            logs,
        } => {
            let config =
                config.map_or_else(|| Ok(Config::default()), |file| configuration::read(&file))?;
            let began = Instant::now();
            let logs = Merged::open(&logs, LineReader::new(&config.names))?;
            let summary = match alerts {
                Some(file) => {
                    let out = File::create(&file)
                        .map_err(|e| Failure::at(&file.display().to_string(), e))?;
                    replay(config, logs, &mut BufWriter::new(out))
                }
                None => replay(config, logs, &mut BufWriter::new(io::stdout().lock())),
            }?;
            let seconds = began.elapsed().as_secs_f64();
            let _ = write!(io::stderr(), "{summary}");
            let speed = summary.lines as f64 / seconds.max(1e-9);
            let _ = writeln!(io::stderr(), "{seconds:.2} s, {speed:.0} lines a second");
            Ok(())
        }
        Command::Check { file } => {
            configuration::read(&file)?;
            print(&format!("{}: fine\n", place(&file)))
        }
        Command::Schema => print(&configuration::schema()),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|e| Failure::at("standard output", e))
}
