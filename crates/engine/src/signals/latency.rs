//! Duration of requests against what the same routes usually take.
//!
//! The mean of logarithms: one slow call moves it little, all calls a little slower move it surely.

use super::{Deviation, Direction, Gate, Measure, Signal, Usual};
use crate::alerts::{Kind, Severity, number, times};
use crate::counters::millis_at;
use crate::windows::Window;

pub(super) const SIGNAL: Signal = Signal {
    name: "latency",
    enabled: |s| s.latency,
    tires: false,
    measure: Measure::Scale {
        read,
        usual: Usual::Duration,
        unit: "ms",
        unnoticed: UNNOTICED,
    },
    up: Some(Direction {
        kind: Kind::Latency,
        share: 1.0,
        gate: Gate {
            volume: 8.0,
            ratio: 1.3,
            amount: 0.0,
        },
        severity: |e| {
            // Below 50 ms slower is not slow, whatever the factor.
            if e.ratio >= 3.0 && e.actual >= 50.0 {
                Severity::Medium
            } else {
                Severity::Low
            }
        },
        words: |e| {
            format!(
                "requests take {} ms, {} the typical {} ms",
                number(e.actual),
                times(e.actual, e.typical),
                number(e.typical)
            )
        },
        techniques: &[],
    }),
    down: None,
};

/// Milliseconds that nobody would notice: the scheduling jitter of a shared host.
const UNNOTICED: f64 = 2.0;

fn read(window: &Window) -> Option<Deviation> {
    let l = &window.latency;
    let n = f64::from(l.n);
    (l.n > 0).then(|| {
        let (actual, usual) = (millis_at(l.octaves / n), millis_at(l.usual / n));
        Deviation {
            n,
            octaves: ((actual + UNNOTICED) / (usual + UNNOTICED)).log2(),
            actual,
        }
    })
}
