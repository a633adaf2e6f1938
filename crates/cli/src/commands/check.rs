//! `pairwatch check`.

use super::print;
use crate::Failure;
use crate::configuration::{self, Found};
use pairwatch_engine::aggregator::Memory;
use pairwatch_engine::config::Role;
use std::fmt::Write;

/// Checks all configurations of all files.
pub(super) fn run(files: &[String]) -> Result<(), Failure> {
    for file in files {
        for found in configuration::find(file)? {
            print(&told(&found))?;
        }
    }
    Ok(())
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
            "  a worker's counters: at most {} in each VM (limits.hold_bytes)",
            size(memory.counters)
        );
    }
    let _ = writeln!(
        text,
        "  the aggregator's baselines: at most {}, which is {} for each of limits.pairs with all of its limits.routes_per_pair",
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
