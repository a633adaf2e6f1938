//! Requests per window: bursts, and traffic that falls silent.

use super::{Direction, Effect, Gate, Measure, Signal, Tally};
use crate::alerts::{Kind, Severity, rate, times};

pub(super) const SIGNAL: Signal = Signal {
    name: "request_rate",
    enabled: |s| s.request_rate,
    tires: false,
    measure: Measure::Rate {
        count: Tally {
            read: |t| t.requests,
            limit: |t| &mut t.requests,
        },
    },
    up: Some(Direction {
        kind: Kind::RateSpike,
        // More requests and nothing else is most often just traffic: volume alone is demoted.
        share: 0.1,
        // A doubling is what capacity is planned for; twenty requests too many trouble nobody.
        gate: Gate {
            volume: 20.0,
            ratio: 2.0,
            amount: 0.0,
        },
        // Volume alone is no attack: it is demoted, not dropped.
        severity: |_| Severity::Low,
        words: |e: &Effect| {
            let (actual, typical) = rate(e.actual, e.typical);
            format!(
                "{actual}, {} the typical {typical}",
                times(e.actual, e.typical)
            )
        },
        techniques: &["T1499"],
    }),
    down: Some(Direction {
        kind: Kind::RateDrop,
        share: 1.0,
        // A third less is what a quiet hour does.
        gate: Gate {
            volume: 20.0,
            ratio: 0.6,
            amount: 0.0,
        },
        severity: |e| {
            if e.actual <= 0.05 * e.typical {
                Severity::High
            } else {
                Severity::Medium
            }
        },
        words: |e: &Effect| {
            if e.actual <= 0.0 {
                let (typical, _) = rate(e.typical, e.typical);
                format!("no requests at all, typical are {typical}")
            } else {
                let (typical, actual) = rate(e.typical, e.actual);
                format!("only {actual} of the typical {typical}")
            }
        },
        techniques: &[],
    }),
};
