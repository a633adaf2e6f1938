//! What a run of windows has shown: sums, from which the effect is told in the signal's own unit.

use super::{Measure, Signal};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Sums over a run of windows. Rates and shares: events seen, events expected, exposure. Scales, weighted by
/// exchanges: deviations, logarithms of the actual, exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub(super) observed: f32,
    pub(super) expected: f32,
    pub(super) exposure: f32,
}

impl Seen {
    /// What was seen against what was expected, where the run holds counts. One event more on either side, so that
    /// nothing is not infinitely less than little.
    pub fn ratio(&self) -> f64 {
        (f64::from(self.observed) + 1.0) / (f64::from(self.expected) + 1.0)
    }

    /// Whether its count is likelier at `factor` times what was expected than at that: of a Poisson variable.
    pub(super) fn is_likelier_at(&self, factor: f64) -> bool {
        f64::from(self.observed) * factor.ln() > f64::from(self.expected) * (factor - 1.0)
    }

    /// Events seen and expected, and exposure, of a run of counts.
    pub(crate) fn counts(&self) -> (f64, f64, f64) {
        (
            f64::from(self.observed),
            f64::from(self.expected),
            f64::from(self.exposure),
        )
    }

    /// Forgets: keeps this much, 0 to 1.
    pub fn fade(&mut self, keep: f64) {
        self.observed *= keep as f32;
        self.expected *= keep as f32;
        self.exposure *= keep as f32;
    }

    /// Adds a window's.
    pub fn add(&mut self, other: &Self) {
        self.observed += other.observed;
        self.expected += other.expected;
        self.exposure += other.exposure;
    }
}

/// How large a deviation is, in the signal's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// What was seen.
    pub actual: f64,
    /// What is usual.
    pub typical: f64,
    /// One against the other; of sizes and durations with what nobody would notice added to both.
    pub ratio: f64,
    /// Events, exchanges, or requests too many or too few.
    pub volume: f64,
    /// Of how much: seconds of a rate, requests of a share, exchanges of a size or duration.
    pub exposure: f64,
    /// How long it has lasted.
    pub lasted: Duration,
}

impl Signal {
    /// How large the deviation of a run over windows of length `window` is.
    pub fn effect(&self, seen: &Seen, window: Duration, lasted: Duration) -> Effect {
        let (observed, expected, exposure) = (
            f64::from(seen.observed),
            f64::from(seen.expected),
            f64::from(seen.exposure).max(1e-9),
        );
        let plain = |actual: f64, typical: f64| (actual, typical, actual / typical.max(1e-9));
        let ((actual, typical, ratio), volume, exposure) = match self.measure {
            Measure::Rate { .. } => {
                let seconds = exposure * window.as_secs_f64().max(1e-3);
                (
                    plain(observed / seconds, expected / seconds),
                    (observed - expected).abs(),
                    seconds,
                )
            }
            Measure::Share { .. } => (
                plain(observed / exposure, expected / exposure),
                observed,
                exposure,
            ),
            Measure::Scale { unnoticed, .. } => {
                let (actual, ratio) = ((expected / exposure).exp2(), (observed / exposure).exp2());
                let [actual, typical] =
                    [actual, actual / ratio].map(|floored| (floored - unnoticed).max(0.0));
                ((actual, typical, ratio), exposure, exposure)
            }
        };
        Effect {
            actual,
            typical,
            ratio,
            volume,
            exposure,
            lasted,
        }
    }

    /// What a run of windows is remembered by, from one to the next: a run of a rate as long as the rate, because what
    /// drifts was hardly off at first, and a run of many hours would never come to the effect that matters. (To do so with
    /// shares and sizes makes false alerts, and they have gates that drifts pass.)
    pub(crate) fn keeps(&self, window: Duration, memory: Duration) -> f64 {
        match self.measure {
            Measure::Rate { .. } => (-window.as_secs_f64() / memory.as_secs_f64().max(1.0)).exp(),
            _ => 1.0,
        }
    }
}
