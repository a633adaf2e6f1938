//! 4xx answers other than 401 and 403, as a share of requests: a broken caller, or one that tries doors.

use super::{Direction, Gate, Measure, Signal, Tally};
use crate::alerts::{Kind, Severity, share};

pub(super) const SIGNAL: Signal = Signal {
    name: "client_errors",
    enabled: |s| s.client_errors,
    tires: true,
    measure: Measure::Share {
        count: Tally {
            read: |t| t.client_errors.saturating_add(t.not_found),
            limit: |t| &mut t.client_errors,
        },
        prone: |w| {
            let [_, prone, _] = w.prone;
            f64::from(prone)
        },
        // Callers err more than servers: one in fifty is common.
        usual: 0.02,
    },
    up: Some(Direction {
        kind: Kind::ClientErrors,
        share: 1.0,
        gate: Gate {
            volume: 10.0,
            ratio: 3.0,
            amount: 0.05,
        },
        severity: |e| {
            if e.actual >= 0.5 {
                Severity::Medium
            } else {
                Severity::Low
            }
        },
        words: |e| {
            format!(
                "{} of requests fail with client errors (4xx), typical is {}",
                share(e.actual),
                share(e.typical)
            )
        },
        techniques: &["T1595"],
    }),
    down: None,
};
