//! Bytes of request bodies against what the same routes usually take.

use super::{Deviation, Direction, Gate, Measure, Signal, Usual, response_bytes::deviation};
use crate::alerts::{Kind, Severity, number, times};
use crate::windows::Window;

pub(super) const SIGNAL: Signal = Signal {
    name: "request_bytes",
    enabled: |s| s.request_bytes,
    measure: Measure::Scale {
        read,
        usual: Usual::RequestBytes,
        unit: "bytes",
    },
    up: Some(Direction {
        kind: Kind::RequestSize,
        share: 1.0,
        gate: Gate {
            volume: 8.0,
            ratio: 1.3,
            share: 0.0,
        },
        severity: |e| {
            if e.actual >= 5.0 * e.typical {
                Severity::Medium
            } else {
                Severity::Low
            }
        },
        words: |e| {
            format!(
                "requests carry {} bytes on average, {} the typical {}",
                number(e.actual),
                times(e.actual, e.typical),
                number(e.typical)
            )
        },
        techniques: &["T1048"],
    }),
    down: None,
};

fn read(window: &Window) -> Option<Deviation> {
    deviation(&window.request_bytes)
}
