//! `pairwatch report`.

use super::logs::Opened;
use crate::Failure;
use crate::args;
use crate::output::Output;
use crate::report::Report;
use std::io;

/// Makes a page of the logs.
pub(super) fn run(args: args::Report) -> Result<(), Failure> {
    let out = Output::new("--out", args.out.as_deref());
    let access = args.access.as_deref();
    let access = access.map(|file| Output::new("--access", Some(file)));
    let outputs: Vec<_> = [&out].into_iter().chain(&access).collect();
    let logs = Opened::new(&args.logs, &outputs)?;
    let mut report = Report::new(logs.config());
    let replayed = logs.replay(&mut io::sink(), vec![&mut report], false)?;
    out.save(|out| report.html(&replayed.summary, out))?;
    if let Some(access) = access {
        access.save(|out| report.access_csv(out))?;
    }
    replayed.summary.is_of_the_log()
}
