//! `pairwatch replay`.

use super::logs::Opened;
use super::{Ending, create, report, train};
use crate::Failure;
use crate::args::Replay;
use crate::replay::Watcher;
use crate::report::Report;
use std::io::{self, BufWriter, IsTerminal};

/// Replays the logs, and writes the alerts.
pub(super) fn run(args: Replay) -> Result<Ending, Failure> {
    let logs = Opened::new(&args.logs)?;
    let mut report = args.report.as_ref().map(|_| Report::new(logs.config()));
    let watchers = report.iter_mut().map(|r| r as &mut dyn Watcher).collect();
    let replayed = match &args.alerts {
        Some(file) => logs.replay(&mut create(file)?, watchers, false),
        None => {
            let out = io::stdout();
            let seen = out.is_terminal();
            logs.replay(&mut BufWriter::new(out.lock()), watchers, seen)
        }
    }?;
    if let Some((report, file)) = report.iter().zip(&args.report).next() {
        report::write(report, &replayed.summary, file)?;
    }
    if let Some(file) = &args.baseline_out {
        train::write(&replayed.engine, file)?;
    }
    let severe = args.fail_on.map(Into::into);
    let alarmed = severe.is_some() && replayed.summary.raised.worst() >= severe;
    Ok(if alarmed {
        Ending::Alarmed
    } else {
        Ending::Done
    })
}
