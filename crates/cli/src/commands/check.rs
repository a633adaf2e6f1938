//! `pairwatch check`.

use super::print;
use crate::Failure;
use crate::baseline;
use crate::configuration::{self, Found, Search};
use crate::input::{STDIN, place};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Memory, WORKER_VM};
use pairwatch_engine::config::{Action, Config, Mode, RequestRuleType, Role};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Checks all configurations of all files, however many are refused.
pub(super) fn run(files: &[String]) -> Result<(), Failure> {
    let mut refused = Vec::new();
    if files.iter().filter(|file| *file == STDIN).count() > 1 {
        return Err(Failure::at(place(STDIN), "can be read only once"));
    }
    for file in files {
        match checked(file) {
            Ok(text) => print(&text)?,
            Err(why) => refused.push(why),
        }
    }
    Failure::any(&refused)
}

/// What is told of a file of which all is good.
fn checked(file: &str) -> Result<String, Failure> {
    let Search { found, mut refused } = configuration::search(file)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = Time::default().plus(now.unwrap_or_default());
    let mut text = String::new();
    for found in found {
        text.push_str(&told(&found));
        for idle in idle(&found.config, now) {
            // Writing to text can't fail.
            let _ = writeln!(text, "  {idle}");
        }
        match known(found) {
            Ok(Some(known)) => {
                // Writing to text can't fail.
                let _ = writeln!(text, "  starts with {known} pairs known");
            }
            Ok(None) => {}
            Err(why) => refused.push(why),
        }
    }
    Failure::any(&refused).map(|()| text)
}

/// Pairs that are known from its own warm start.
fn known(found: Found) -> Result<Option<usize>, Failure> {
    let Some((from, bytes)) = baseline::find(None, &found.config)? else {
        return Ok(None);
    };
    let mut engine = Aggregator::new(found.config, 0, Time::default());
    let known = engine.warm_start(&bytes, Time::default());
    let known = known.map_err(|e| Failure::at(&found.place, format!("{from}: {e}")))?;
    Ok(Some(known))
}

/// What does nothing as it stands, so that it is good, but perhaps not what was meant.
fn idle(config: &Config, now: Time) -> Vec<String> {
    let (action, deny) = (config.verdicts.action, &config.verdicts.deny);
    let shadows = deny.iter().filter(|rule| rule.shadow).count();
    let mut idle = Vec::new();
    if !deny.is_empty() && action != Action::Enforce {
        idle.push("verdicts.deny refuses nothing: verdicts.action is not enforce".to_owned());
    } else if shadows > 0 {
        idle.push(format!(
            "verdicts.deny: {shadows} of {} in shadow, counted and logged but not refused",
            deny.len()
        ));
    }
    if config.has_rule_of(RequestRuleType::Networks) && !config.identity.has_addresses() {
        idle.push("rules of networks hold nobody: identity.addresses is not on".to_owned());
    }
    let rules = Aggregator::new(config.clone(), 0, now).hidden(now);
    let ended = rules.into_iter().filter(|rule| rule.expired);
    idle.extend(ended.map(|rule| format!("ended, and hides nothing any more: {}", rule.rule)));
    idle
}

fn told(found: &Found) -> String {
    let (config, caps) = (&found.config, found.config.limits);
    let memory = Memory::of(config);
    let mut lines = vec![format!("{}: fine", found.place)];
    if config.mode == Mode::Stateless {
        lines.push("  stateless: nothing is kept of pairs, and there is no aggregator".to_owned());
        lines.push(format!("  a worker's VM: some {}", size(WORKER_VM.base)));
        return lines.join("\n") + "\n";
    }
    lines.push(format!(
        "  {} false alerts a week tolerated; {} pairs of {} routes, {} windows",
        config.false_alerts_per_week,
        caps.pairs,
        caps.routes_per_pair,
        config.windows.len()
    ));
    if config.role == Role::Filter {
        lines.push(format!(
            "  a worker's VM: some {} with all pairs and routes; its counters at most {} (limits.hold_bytes)",
            size(memory.worker_vm),
            size(memory.counters)
        ));
    }
    lines.push(format!(
        "  the aggregator's VM: some {} with all pairs and routes; what is learned at most {}, {} a pair with all of its routes",
        size(memory.aggregator_vm),
        size(memory.baselines),
        size(memory.pair)
    ));
    lines.join("\n") + "\n"
}

/// Bytes as people write them.
fn size(bytes: usize) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes >= 1048576.0 => format!("{:.1} MiB", bytes / 1048576.0),
        _ if bytes >= 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{bytes} bytes"),
    }
}
