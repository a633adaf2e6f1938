//! `pairwatch explain`.

use super::logs::Opened;
use super::print;
use crate::Failure;
use crate::args;
use crate::explain::{Explanation, close_to};
use pairwatch_engine::Time;
use std::io;

/// Tells why a pair alarmed or did not.
pub(super) fn run(args: args::Explain) -> Result<(), Failure> {
    let pair = format!("{} → {}", args.from, args.to);
    let at = match &args.at {
        None => None,
        Some(text) => Some(Time::parse(text).ok_or_else(|| {
            Failure::at(
                "--at",
                format!("{text:?} is no time such as 2026-11-21T09:30:00Z"),
            )
        })?),
    };
    let mut logs = Opened::new(&args.logs, &[])?;
    logs.show_hidden();
    let mut explanation = Explanation::new(&args.from, &args.to, at);
    let replayed = logs.replay(&mut io::sink(), vec![&mut explanation], false)?;
    let (first, last) = (replayed.summary.first, replayed.summary.last);
    if explanation.requests() == 0 {
        let close = close_to(&replayed.engine, &args.from, &args.to);
        return Err(Failure::at(
            &pair,
            format!(
                "no such pair in the log; closest are {}",
                if close.is_empty() {
                    "none".to_owned()
                } else {
                    close.join(", ")
                }
            ),
        ));
    }
    if let Some(at) = at
        && (at < first || at > last)
    {
        return Err(Failure::at(
            "--at",
            format!(
                "{} is outside of the log, which is from {} to {}",
                at.rfc3339(),
                first.rfc3339(),
                last.rfc3339()
            ),
        ));
    }
    if explanation.is_empty() {
        let when = at.map_or_else(
            || "in the log".to_owned(),
            |at| format!("at {}", at.rfc3339()),
        );
        return Err(Failure::at(
            &pair,
            format!(
                "no window was judged {when}: the pair was not known yet, or the log has a hole"
            ),
        ));
    }
    if args.json {
        print(&format!("{}\n", explanation.json()))?;
    } else {
        print(&explanation.text())?;
    }
    replayed.summary.is_of_the_log()
}
