//! 401 and 403 answers, as a share of requests: credentials that are tried.

use super::{Direction, Gate, Measure, Signal, Tally};
use crate::alerts::{Kind, Severity, number, share};

pub(super) const SIGNAL: Signal = Signal {
    name: "auth_failures",
    enabled: |s| s.auth_failures,
    tires: false,
    measure: Measure::Share {
        count: Tally {
            read: |t| t.auth_failures,
            limit: |t| &mut t.auth_failures,
        },
        prone: |w| {
            let [_, _, prone] = w.prone;
            f64::from(prone)
        },
        // People mistype: one in a hundred before anything is known.
        usual: 0.01,
    },
    up: Some(Direction {
        kind: Kind::AuthFailures,
        share: 1.0,
        gate: Gate {
            volume: 3.0,
            ratio: 3.0,
            amount: 0.02,
        },
        severity: |e| {
            if e.actual >= 0.2 || e.volume >= 50.0 {
                Severity::High
            } else {
                Severity::Medium
            }
        },
        words: |e| {
            format!(
                "{} requests refused for their credentials ({} of all, typical is {})",
                number(e.volume),
                share(e.actual),
                share(e.typical)
            )
        },
        techniques: &["T1110"],
    }),
    down: None,
};
