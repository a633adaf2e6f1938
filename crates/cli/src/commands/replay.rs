//! `pairwatch replay`.

use super::logs::Opened;
use super::{Ending, train};
use crate::Failure;
use crate::args::Replay;
use crate::output::Output;
use crate::replay::Watcher;
use crate::report::Report;
use std::io::{self, IsTerminal};

/// Replays the logs, and writes the alerts.
pub(super) fn run(args: Replay) -> Result<Ending, Failure> {
    let alerts = Output::new("--alerts", args.alerts.as_deref());
    let page = args.report.as_deref();
    let page = page.map(|file| Output::new("--report", Some(file)));
    let learned = args.baseline_out.as_deref();
    let learned = learned.map(|file| Output::new("--baseline-out", Some(file)));
    let outputs: Vec<_> = [&alerts].into_iter().chain(&page).chain(&learned).collect();
    let logs = Opened::new(&args.logs, &outputs)?;
    let mut report = page.as_ref().map(|_| Report::new(logs.config()));
    let watchers = report.iter_mut().map(|r| r as &mut dyn Watcher).collect();
    let seen = alerts.is_standard() && io::stdout().is_terminal();
    let replayed = logs.replay(&mut *alerts.stream()?, watchers, seen)?;
    if let Some((report, page)) = report.zip(page) {
        page.save(|out| report.html(&replayed.summary, out))?;
    }
    if let Some(learned) = learned {
        train::write(&replayed.engine, &learned)?;
    }
    let severe = args.fail_on.map(Into::into);
    let alarmed = severe.is_some() && replayed.summary.raised.worst() >= severe;
    let read = replayed.summary.is_of_the_log();
    if !alarmed {
        return read.map(|()| Ending::Done);
    }
    // An alert is one, however little of the log it is of.
    if let Err(unread) = read {
        super::tell(&format!("pairwatch: {unread}\n"));
    }
    Ok(Ending::Alarmed)
}
