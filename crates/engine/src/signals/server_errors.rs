//! 5xx answers and their gRPC equivalents, as a share of requests.

use super::{Direction, Gate, Measure, Signal, Tally};
use crate::alerts::{Kind, Severity, share};

pub(super) const SIGNAL: Signal = Signal {
    name: "server_errors",
    enabled: |s| s.server_errors,
    tires: false,
    measure: Measure::Share {
        count: Tally {
            read: |t| t.server_errors,
            limit: |t| &mut t.server_errors,
        },
        prone: |w| {
            let [prone, _, _] = w.prone;
            f64::from(prone)
        },
        // A service that is well fails one request in two hundred at most.
        usual: 0.005,
    },
    up: Some(Direction {
        kind: Kind::ServerErrors,
        share: 1.0,
        gate: Gate {
            volume: 3.0,
            ratio: 3.0,
            amount: 0.02,
        },
        severity: |e| {
            // Five of ten may be chance where one request in five fails, ten of twenty are not.
            if e.actual >= 0.5 && e.volume >= 10.0 {
                Severity::High
            } else {
                Severity::Medium
            }
        },
        words: |e| {
            format!(
                "{} of requests fail with server errors (5xx), typical is {}",
                share(e.actual),
                share(e.typical)
            )
        },
        techniques: &[],
    }),
    down: None,
};
