//! `pairwatch policy`.

use super::logs::Opened;
use super::{print, save};
use crate::Failure;
use crate::args;
use crate::policy::{Seen, istio};
use std::io;

/// Writes policies that allow what the logs show.
pub(super) fn run(args: args::Policy) -> Result<(), Failure> {
    let logs = Opened::new(&args.logs)?;
    let config = logs.config();
    let mut seen = Seen::new(config.limits.routes_per_pair, &config.names.unknown_source);
    logs.replay(&mut io::sink(), vec![&mut seen], false)?;
    let options = istio::Options {
        trust_domain: args.trust_domain,
        namespace: args.namespace,
        selector: args.selector_label,
        enforce: args.enforce,
    };
    let text = istio::policies(&seen, &options)?;
    match &args.out {
        Some(file) => save(file, text.as_bytes()),
        None => print(&text),
    }
}
