//! Instructions, counted by valgrind's callgrind in a run of this program for each operation.
//!
//! No library for it: what they have more (baselines kept, comparisons made) is not used here, and each needs a second program of
//! its own version installed.

use std::env;
use std::process::{Command, Stdio};

/// Names the operation to run under valgrind.
const VARIABLE: &str = "PAIRWATCH_COSTS_OPERATION";

/// What callgrind counts in, whatever crate and hash stand around its name.
const FUNCTION: &str = "*counted_by_callgrind*";

/// The operation that this process is to run, where it runs under valgrind.
pub(crate) fn wanted() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// Whether there is a valgrind.
pub(crate) fn is_there() -> bool {
    let mut command = Command::new("valgrind");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Instructions of one unit of an operation; `None`, with the reason told, where valgrind gives no number.
pub(crate) fn count(operation: &str) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--collect-atstart=no")
        .arg(format!("--toggle-collect={FUNCTION}"))
        .arg(env::current_exe().unwrap())
        .env(VARIABLE, operation)
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let collected = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
    let units = out.trim().parse::<f64>().ok();
    let counted = collected
        .zip(units)
        .filter(|(collected, _)| *collected > 0.0);
    if counted.is_none() {
        eprintln!("{operation}: valgrind counted nothing:\n{log}");
    }
    counted.map(|(collected, units)| collected / units)
}
