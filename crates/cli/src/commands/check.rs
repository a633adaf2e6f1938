//! `pairwatch check`.

use super::print;
use crate::Failure;
use crate::baseline;
use crate::configuration::{self, Found, Search};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Memory};
use pairwatch_engine::config::Role;
use std::fmt::Write;

/// Checks all configurations of all files, however many are refused.
pub(super) fn run(files: &[String]) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for file in files {
        match checked(file) {
            Ok(text) => print(&text)?,
            Err(why) => refused.push(why),
        }
    }
    Failure::any(&refused)
}

/// What is told of a file of which all is good.
fn checked(file: &str) -> Result<String, Failure> {
    let Search { found, mut refused } = configuration::search(file)?;
    let mut text = String::new();
    for found in found {
        text.push_str(&told(&found));
        match known(found) {
            Ok(Some(known)) => {
                // Writing to text can't fail.
                let _ = writeln!(text, "  starts with {known} pairs known");
            }
            Ok(None) => {}
            Err(why) => refused.push(why),
        }
    }
    Failure::any(&refused).map(|()| text)
}

/// Pairs that are known from its own warm start.
fn known(found: Found) -> Result<Option<usize>, Failure> {
    let Some((place, bytes)) = baseline::find(None, &found.config)? else {
        return Ok(None);
    };
    let mut engine = Aggregator::new(found.config, 0, Time::default());
    let known = engine.warm_start(&bytes, Time::default());
    let known = known.map_err(|e| Failure::at(&found.place, format!("{place}: {e}")))?;
    Ok(Some(known))
}

fn told(found: &Found) -> String {
    let (config, caps) = (&found.config, found.config.limits);
    let memory = Memory::of(config);
    let mut text = format!("{}: fine\n", found.place);
    // Writing to text can't fail.
    let _ = writeln!(
        text,
        "  {} false alerts a week tolerated; {} pairs of {} routes, {} windows",
        config.false_alerts_per_week,
        caps.pairs,
        caps.routes_per_pair,
        config.windows.len()
    );
    if config.role == Role::Filter {
        let _ = writeln!(
            text,
            "  a worker's VM: some {} with all of limits.pairs; its counters at most {} (limits.hold_bytes)",
            size(memory.worker_vm),
            size(memory.counters)
        );
    }
    let _ = writeln!(
        text,
        "  the aggregator's VM: some {} with all of limits.pairs; what is learned at most {}, {} a pair with all of its routes",
        size(memory.aggregator_vm),
        size(memory.baselines),
        size(memory.pair)
    );
    text
}

/// Bytes as people write them.
fn size(bytes: usize) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1048576.0 => format!("{:.1} MiB", bytes / 1048576.0),
        _ if bytes >= 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{bytes} bytes"),
    }
}
