//! What is found where requests broke a configured rule.

use crate::Time;
use crate::alerts::Evidence;
use crate::config::RequestRule;
use crate::counters::Broken;
use crate::incidents::{Finding, RULE, Who};

/// What is found of a broken rule. A worker names a rule by its place: where this aggregator's configuration has another there,
/// the place is all that can be told.
pub(super) fn broken_rule(broken: &Broken, rules: &[RequestRule], at: Time) -> Finding {
    let place = usize::from(broken.rule);
    let rule = rules
        .get(place)
        .filter(|r| r.kind() == broken.kind && r.severity == broken.severity);
    let name = rule.map_or_else(|| format!("rules[{place}]"), |r| r.name.clone());
    let requests = broken.requests;
    Finding {
        kind: broken.kind,
        severity: broken.severity,
        score: broken.score,
        since: at,
        until: at,
        // Of one batch: how many they are in all, an incident does not know.
        words: format!("requests break the rule «{name}», {requests} in the latest count"),
        evidence: vec![Evidence {
            signal: RULE.to_owned(),
            unit: name,
            actual: Some(f64::from(requests)),
            typical: None,
            band: None,
            contribution: 1.0,
        }],
        maturity: 1.0,
        techniques: &[],
        who: Who::default(),
    }
}
