//! `pairwatch explain`.

use super::logs::Opened;
use super::print;
use crate::Failure;
use crate::args;
use crate::explain::{Explain, Unanswered};
use std::io;

/// Says why a pair did or did not alert.
pub(super) fn run(args: &args::Explain) -> Result<(), Failure> {
    let mut logs = Opened::new(&args.logs)?;
    let [source, destination] = args.pair.as_slice() else {
        return Err(Failure::at("--pair", "takes a source and a destination"));
    };
    // What a rule hides is part of the answer.
    logs.config_mut().alerts.show_suppressed = true;
    let mut explain = Explain::new(source, destination, args.at, logs.config());
    let replayed = logs.replay(&mut io::sink(), vec![&mut explain], false)?;
    let (first, last) = (replayed.summary.first, replayed.summary.last);
    explain
        .answer(&replayed.engine, first, last)
        .map_err(|why| match why {
            Unanswered::Pair(why) => {
                Failure::at(&format!("--pair {source:?} {destination:?}"), why)
            }
            Unanswered::Time(why) => Failure::at("--at", why),
        })?;
    if args.json {
        print(&explain.to_json())
    } else {
        print(&explain.to_string())
    }
}
