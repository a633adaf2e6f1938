//! `pairwatch policy`.

use super::logs::Opened;
use crate::Failure;
use crate::args;
use crate::output::Output;
use crate::policy::{Seen, istio};
use std::io;

/// Writes policies that allow what the logs show.
pub(super) fn run(args: args::Policy) -> Result<(), Failure> {
    let out = Output::new("--out", args.out.as_deref());
    let logs = Opened::new(&args.logs, &[&out])?;
    let config = logs.config();
    let mut seen = Seen::new(config.limits.routes_per_pair, &config.names.unknown_source);
    let replayed = logs.replay(&mut io::sink(), vec![&mut seen], false)?;
    seen.end(&replayed.summary);
    let options = istio::Options {
        trust_domain: args.logs.trust_domain,
        namespace: args.namespace,
        selector: args.selector_label,
        enforce: args.enforce,
    };
    let text = istio::policies(&seen, &options)?;
    out.save(|out| out.write_all(text.as_bytes()))?;
    replayed.summary.is_of_the_log()
}
