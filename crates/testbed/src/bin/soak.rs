//! `make soak`: see [`pairwatch_testbed::soak`].

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pairwatch_testbed::soak::{Options, soak};
use pairwatch_testbed::{Result, run};

/// Mixed traffic for a long time through a real Envoy with the plugin, and whether all holds at the end
///
/// Callers and users come and go, connections are kept, opened for one request or reset. At the end every request that Envoy
/// received must be in a window or counted as dropped, and memory (Envoy's, and of each VM) and CPU time a request must be in the
/// last third what they were in the middle third. Prints a table. Exit status: 0 all holds, 1 something does not (it is named).
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  make soak                       half an hour\n  make soak MINUTES=5             the shortest in which memory and cost are judged\n  make soak SOAK='--rate 100 --workers 4'"
)]
struct Arguments {
    /// How long; memory and cost are judged from 5 on
    #[arg(long, default_value_t = 30.0, value_parser = positive)]
    minutes: f64,
    /// Envoy's worker threads
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Requests a second
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    rate: f64,
    /// Callers that live at a time; the plugin may learn twice as many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=2000))]
    callers: u64,
    /// Seconds that a caller lives, before another takes its place
    #[arg(long, default_value_t = 120.0, value_parser = positive)]
    lifetime: f64,
    /// Of all dice
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("a number above 0 is needed".into()),
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let options = Options {
        length: Duration::from_secs_f64(arguments.minutes * 60.0),
        workers: arguments.workers,
        rate: arguments.rate,
        callers: arguments.callers,
        lifetime: Duration::from_secs_f64(arguments.lifetime),
        seed: arguments.seed,
    };
    let terminal = std::io::stderr().is_terminal();
    let mut told = 0;
    let report = run(soak(&options, |share, seen| {
        let percent = (share * 100.0) as u32;
        if terminal {
            eprint!("\r{percent:>3} %: {seen} ");
        } else if percent >= told {
            // Into a file, a line for each twentieth of it.
            eprintln!("{percent:>3} %: {seen}");
            told = percent.saturating_add(5);
        }
    }))?;
    if terminal {
        eprintln!();
    }
    print!("{}", report.table());
    let failures = report.failures();
    for failure in &failures {
        eprintln!("soak: {failure}");
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
