//! What is found on the first sight of a pair or route.

use crate::Time;
use crate::alerts::{Evidence, Kind, Severity};
use crate::baselines::novelty;
use crate::counters::PairCounts;
use crate::exchange::route;
use crate::incidents::{Finding, Who};

/// What is found on the first sight of a pair (`new` empty) or route.
pub(super) fn first_seen(
    kind: Kind,
    new: &str,
    p: f64,
    since: Time,
    counts: &PairCounts,
) -> Finding {
    let requests: u64 = counts
        .routes
        .iter()
        .filter(|r| new.is_empty() || r.route == new)
        .fold(0u64, |n, r| {
            n.saturating_add(u64::from(r.cell.tallies.requests))
        });
    let plural = if requests == 1 { "request" } else { "requests" };
    // A route that was served names the call best.
    let first = counts
        .routes
        .iter()
        .find(|r| r.route != route::UNROUTED)
        .map_or("nothing served", |r| r.route.as_str());
    let (signal, words, techniques): (_, _, &'static [&'static str]) = match kind {
        Kind::NewPair => (
            "new_pair",
            format!("first call ever: {first} ({requests} {plural})"),
            &["T1021"],
        ),
        _ => (
            "new_route",
            format!("first {new} ever on this pair ({requests} {plural})"),
            &["T1190"],
        ),
    };
    Finding {
        kind,
        severity: Severity::Medium,
        // 50 where the novelty is just remarkable, ten more for each factor of ten.
        score: (50.0 + 10.0 * (novelty::REMARKABLE / p.max(1e-9)).log10()).clamp(50.0, 90.0) as u8,
        since,
        until: since,
        evidence: vec![Evidence {
            signal: signal.to_owned(),
            unit: if new.is_empty() { first } else { new }.to_owned(),
            actual: Some(requests as f64),
            typical: Some(0.0),
            band: Some([0.0, 0.0]),
            contribution: 1.0,
        }],
        maturity: 1.0,
        techniques,
        words,
        who: Who::default(),
    }
}
