//! `pairwatch train`: the engine's own snapshot after a replay, which the plugin can start from.

use super::logs::Opened;
use crate::Failure;
use crate::args::Train;
use crate::output::Output;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::base64;
use std::io;

/// Learns from the logs.
pub(super) fn run(args: &Train) -> Result<(), Failure> {
    let out = Output::new("--out", Some(&args.out));
    let logs = Opened::new(&args.logs, &[&out])?;
    let replayed = logs.replay(&mut io::sink(), Vec::new(), false)?;
    if args.base64 {
        let text = base64::encode(&replayed.engine.snapshot(0));
        out.save(|out| writeln!(out, "{text}"))?;
    } else {
        write(&replayed.engine, &out)?;
    }
    let totals = replayed.engine.totals();
    super::tell(&format!(
        "{} pairs learned, {:.0} % mature on average: {}\n",
        totals.pairs,
        totals.maturity * 100.0,
        out.name()
    ));
    replayed.summary.is_of_the_log()
}

/// Writes what an engine learned.
pub(super) fn write(engine: &Aggregator, out: &Output) -> Result<(), Failure> {
    // No journal goes with it.
    out.save(|out| out.write_all(&engine.snapshot(0)))
}
