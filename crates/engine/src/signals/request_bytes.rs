//! Bytes of request bodies against what the same routes usually take.

use super::response_bytes::{UNNOTICED, bytes, deviation};
use super::{Deviation, Direction, Gate, Measure, Signal, Usual};
use crate::alerts::{Kind, Severity};
use crate::windows::Window;

pub(super) const SIGNAL: Signal = Signal {
    name: "request_bytes",
    enabled: |s| s.request_bytes,
    tires: false,
    measure: Measure::Scale {
        read,
        usual: Usual::RequestBytes,
        unit: "bytes",
        unnoticed: UNNOTICED,
    },
    up: Some(Direction {
        kind: Kind::RequestSize,
        share: 1.0,
        gate: Gate {
            volume: 8.0,
            ratio: 1.3,
            amount: UNNOTICED,
        },
        severity: |e| {
            if e.ratio >= 5.0 {
                Severity::Medium
            } else {
                Severity::Low
            }
        },
        words: |e| format!("requests carry {}", bytes(e)),
        techniques: &["T1048"],
    }),
    down: None,
};

fn read(window: &Window) -> Option<Deviation> {
    deviation(&window.request_bytes)
}
