//! Bytes of response bodies against what the same routes usually give: data that leaves.
//!
//! The whole of the window's bytes is compared with the whole that is usual for the same requests, not the mean of
//! logarithms: one answer that is twenty times too large is what is looked for, and a mean of logarithms would hide it.

use super::{Deviation, Direction, Effect, Gate, Measure, Signal, Usual};
use crate::alerts::{Kind, Severity, number, times};
use crate::windows::{Totals, Window};

pub(super) const SIGNAL: Signal = Signal {
    name: "response_bytes",
    enabled: |s| s.response_bytes,
    tires: false,
    measure: Measure::Scale {
        read,
        usual: Usual::ResponseBytes,
        unit: "bytes",
        unnoticed: UNNOTICED,
    },
    up: Some(Direction {
        kind: Kind::Exfiltration,
        share: 1.0,
        gate: Gate {
            volume: 8.0,
            ratio: 1.3,
            amount: UNNOTICED,
        },
        severity: |e| {
            if e.ratio >= 3.0 {
                Severity::High
            } else {
                Severity::Medium
            }
        },
        words: |e| format!("answers carry {}", bytes(e)),
        techniques: &["T1041", "T1567"],
    }),
    down: None,
};

fn read(window: &Window) -> Option<Deviation> {
    deviation(&window.response_bytes)
}

/// Bytes a message that nobody would notice.
pub(crate) const UNNOTICED: f64 = 64.0;

/// How many bytes, in words. Of what is usually near empty there are no multiples.
pub(super) fn bytes(effect: &Effect) -> String {
    let [actual, typical] = [effect.actual, effect.typical].map(|bytes| number(bytes.round()));
    if effect.typical < UNNOTICED {
        format!("{actual} bytes on average, typical are {typical}")
    } else {
        let times = times(effect.actual, effect.typical);
        format!("{actual} bytes on average, {times} the typical {typical}")
    }
}

/// The deviation of a window's bytes from the usual.
pub(super) fn deviation(totals: &Totals) -> Option<Deviation> {
    let n = f64::from(totals.n);
    (totals.n > 0).then(|| Deviation {
        n,
        octaves: ((totals.bytes / n + UNNOTICED) / (totals.usual / n + UNNOTICED)).log2(),
        actual: totals.bytes / n,
    })
}
