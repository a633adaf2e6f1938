//! How far evidence rises by itself: the correction by a stream's own observed tail.
//!
//! The promise of [`super::Stream`] holds for honest tail probabilities of independent windows. Real windows are neither:
//! a busy quarter of an hour is busy in all its windows, and no model has quite the right tail. Both show in the same
//! place: runs of evidence that go up, and come down again with nothing behind them, peak too high. So the peaks are
//! watched (peaks over threshold; J. Pickands, "Statistical inference using extreme order statistics", Annals of Statistics
//! 3, 1975). Were all honest, the chance that a run that has left the idle level goes on to R would fall as 1/R, which makes
//! the logarithm of its peak over the idle level exponential with mean 1. Where the observed mean is s > 1 the chance falls
//! as R^(−1/s), and the evidence is counted for that much less:
//!
//! ```text
//! ln R′ = ln idle + (ln R − ln idle) / s
//! ```
//!
//! A stream that fits badly alarms less, never more: s is at least 1.
//!
//! A young stream borrows the mean of all pairs' streams of its signal and length.

use super::IDLE;
use serde::{Deserialize, Serialize};

/// Runs remembered. An exponential's mean is known to a tenth from a hundred.
const MEMORY: f32 = 100.0;
/// Weight of what is borrowed, in runs.
const BORROWED: f64 = 10.0;

/// The mean height of the peaks. 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    runs: f32,
    /// Sum of ln(peak / idle).
    heights: f32,
}

impl Peaks {
    /// Takes in a run that peaked at evidence `peak`, with weight 0 to 1. No run teaches more than one that reached `most`.
    pub(crate) fn add(&mut self, peak: f64, most: f64, weight: f64) {
        let height = (peak.min(most) / IDLE).ln().max(0.0);
        self.runs += weight as f32;
        self.heights += (weight * height) as f32;
        if self.runs > MEMORY {
            self.heights *= MEMORY / self.runs;
            self.runs = MEMORY;
        }
    }

    /// The same for a pool of many streams: its memory is theirs together.
    pub(super) fn mean(&self) -> f64 {
        (f64::from(self.heights) + BORROWED) / (f64::from(self.runs) + BORROWED)
    }

    /// s, at least 1. `pool` lends what this stream has not seen yet.
    pub fn slope(&self, pool: &Self) -> f64 {
        let (runs, heights) = (f64::from(self.runs), f64::from(self.heights));
        ((heights + BORROWED * pool.mean()) / (runs + BORROWED)).max(1.0)
    }
}
