//! `pairwatch report`.

use super::create;
use super::logs::Opened;
use crate::Failure;
use crate::args;
use crate::report::Report;
use crate::summary::Summary;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Makes a page of the logs.
pub(super) fn run(args: args::Report) -> Result<(), Failure> {
    let logs = Opened::new(&args.logs)?;
    let mut report = Report::new(logs.config());
    let replayed = logs.replay(&mut io::sink(), vec![&mut report], false)?;
    match &args.out {
        Some(file) => write(&report, &replayed.summary, file)?,
        None => {
            let page = &mut BufWriter::new(io::stdout().lock());
            match report.html(&replayed.summary, page) {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(Failure::at("standard output", e));
                }
                _ => {}
            }
        }
    }
    match &args.access {
        Some(file) => report.access_csv(create(file)?),
        None => Ok(()),
    }
}

/// Writes a page to a file.
pub(super) fn write(report: &Report, summary: &Summary, file: &Path) -> Result<(), Failure> {
    let mut out = create(file)?;
    let written = report.html(summary, &mut out).and_then(|()| out.flush());
    written.map_err(|e| Failure::at(&file.display().to_string(), e))
}
