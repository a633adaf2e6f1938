//! `pairwatch train`: the engine's own snapshot after a replay, which the plugin can start from.

use super::logs::Opened;
use super::save;
use crate::Failure;
use crate::args::Train;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::base64;
use std::io;
use std::path::Path;

/// Learns from the logs.
pub(super) fn run(args: &Train) -> Result<(), Failure> {
    let logs = Opened::new(&args.logs)?;
    let replayed = logs.replay(&mut io::sink(), Vec::new(), false)?;
    if args.base64 {
        let text = base64::encode(&replayed.engine.snapshot(0));
        save(&args.out, format!("{text}\n").as_bytes())?;
    } else {
        write(&replayed.engine, &args.out)?;
    }
    let totals = replayed.engine.totals();
    super::tell(&format!(
        "{} pairs learned, {:.0} % mature on average: {}\n",
        totals.pairs,
        totals.maturity * 100.0,
        args.out.display()
    ));
    Ok(())
}

/// Writes what an engine learned.
pub(super) fn write(engine: &Aggregator, file: &Path) -> Result<(), Failure> {
    // No journal goes with it.
    save(file, &engine.snapshot(0))
}
