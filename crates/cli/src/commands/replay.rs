//! `pairwatch replay`.

use super::Ending;
use super::logs::Opened;
use crate::Failure;
use crate::args::Replay;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};

/// Replays the logs, and writes the alerts.
pub(super) fn run(args: Replay) -> Result<Ending, Failure> {
    let logs = Opened::new(&args.logs)?;
    let replayed = match &args.alerts {
        Some(file) => {
            let out =
                File::create(file).map_err(|e| Failure::at(&file.display().to_string(), e))?;
            logs.replay(&mut BufWriter::new(out), Vec::new(), false)
        }
        None => {
            let out = io::stdout();
            let seen = out.is_terminal();
            logs.replay(&mut BufWriter::new(out.lock()), Vec::new(), seen)
        }
    }?;
    let severe = args.fail_on.map(Into::into);
    let alarmed = severe.is_some() && replayed.summary.raised.worst() >= severe;
    Ok(if alarmed {
        Ending::Alarmed
    } else {
        Ending::Done
    })
}
