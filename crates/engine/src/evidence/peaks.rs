//! How high evidence rises by itself: the correction by a stream's own observed tail.
//!
//! The promise of [`super::Stream`] holds for honest tail probabilities of independent windows. Real windows are neither:
//! a busy quarter of an hour is busy in all its windows, and no model has quite the right tail. Both show in the same
//! place: runs of evidence that go up, and come down again with nothing behind them, are too many or peak too high. So
//! they are watched (peaks over threshold; J. Pickands, "Statistical inference using extreme order statistics", Annals of
//! Statistics 3, 1975). With ζ runs a window and peaks whose logarithm over the idle level is exponential with mean s, the
//! chance of a window to begin a run that reaches R is ζ (R / idle)^(−1/s), and its inverse is the number of windows
//! between two of them, which is what evidence promises to be:
//!
//! ```text
//! R′ = (R / idle)^(1/s) / ζ
//! ```
//!
//! This cuts both ways. A stream that fits badly alarms less. One that is too careful alarms sooner: where the window's
//! events are few, p comes in steps and the bet pays less than it could, and the observed runs are fewer and lower than
//! promised. Either way the user gets the number that was set. (Only ever correcting downwards was tried: 12 of 270 fewer
//! found on `make eval`, at no fewer false alerts.)
//!
//! The far tail may be another than the near one: nine in ten runs are noise, and the tenth is a busy quarter of an hour.
//! So runs that reach a second, high level are watched by themselves, and the more careful of the two fits holds.
//!
//! A young stream borrows from all pairs' streams of its signal and length, and these from what is [`Expected`] of honest ones.

use super::IDLE;
use serde::{Deserialize, Serialize};

/// Evidence from which on a run is in the far tail: honest streams come here once in a thousand windows or so.
pub(super) const FAR: f64 = 1_000.0;
/// Runs remembered. An exponential's mean is known to a tenth from a hundred.
const MEMORY: f32 = 100.0;
/// Windows remembered where runs are rarer than that: as many as a week has of the shortest usual length.
const MEMORY_WINDOWS: f32 = 60_480.0;
/// Weight of what is borrowed, in runs.
const BORROWED: f64 = 10.0;
/// However low the peaks seen, the tail is not taken to fall faster than this: it was not seen.
const HEIGHT_MIN: f64 = 0.6;

/// No run teaches more than one that came to evidence of 10¹²: so rare an event says nothing about how rare.
const HEIGHT_MOST: f64 = 26.0;

/// How often runs of evidence reach a level, and the mean logarithm of how far they go beyond it. 12 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tail {
    windows: f32,
    runs: f32,
    /// Sum of ln(peak / level).
    heights: f32,
}

impl Tail {
    fn scale(&mut self, by: f32) {
        self.windows *= by;
        self.runs *= by;
        self.heights *= by;
    }

    fn window(&mut self, weight: f64) {
        self.windows += weight as f32;
        if self.windows > MEMORY_WINDOWS {
            self.scale(0.5);
        }
    }

    fn run(&mut self, height: f64, weight: f64) {
        self.runs += weight as f32;
        self.heights += (weight * height) as f32;
        if self.runs > MEMORY {
            self.scale(MEMORY / self.runs);
        }
    }

    /// ζ and s, drawn towards the given ones.
    fn estimate(&self, (rate, height): (f64, f64)) -> (f64, f64) {
        let (windows, runs) = (f64::from(self.windows), f64::from(self.runs));
        (
            (runs + BORROWED) / (windows + BORROWED / rate),
            (f64::from(self.heights) + BORROWED * height) / (runs + BORROWED),
        )
    }

    /// How evidence beyond the level is corrected.
    fn line(&self, pool: &Self, expected: (f64, f64)) -> Line {
        let (rate, height) = self.estimate(pool.estimate(expected));
        Line {
            slope: 1.0 / height.max(HEIGHT_MIN),
            offset: -rate.ln(),
        }
    }
}

/// The near and the far tail of a stream. 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peaks {
    near: Tail,
    far: Tail,
}

/// ζ and s of the near tail and of the far one where nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) near: (f64, f64),
    pub(super) far: (f64, f64),
}

impl Peaks {
    /// Takes in a window, with weight 0 to 1.
    pub(super) fn window(&mut self, weight: f64) {
        self.near.window(weight);
        self.far.window(weight);
    }

    /// Takes in a run whose logarithm went `height` over the idle level, with weight 0 to 1.
    pub(super) fn run(&mut self, height: f64, weight: f64) {
        let height = height.clamp(0.0, HEIGHT_MOST);
        self.near.run(height, weight);
        let far = height - (FAR / IDLE).ln();
        if far >= 0.0 {
            self.far.run(far, weight);
        }
    }

    /// What evidence comes to. `pool` lends what this stream has not seen yet.
    pub(super) fn correction(&self, pool: &Self, expected: &Expected) -> Correction {
        Correction {
            near: self.near.line(&pool.near, expected.near),
            far: self.far.line(&pool.far, expected.far),
        }
    }
}

/// ln R′ by how far, as a logarithm, evidence is beyond a tail's level.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    offset: f64,
}

impl Line {
    fn at(self, beyond: f64) -> f64 {
        beyond * self.slope + self.offset
    }
}

/// What evidence comes to, by both tails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correction {
    near: Line,
    far: Line,
}

impl Correction {
    /// The evidence R′ of evidence `r`.
    pub(super) fn of(&self, r: f64) -> f64 {
        if r <= IDLE {
            return r;
        }
        let log = r.ln();
        let near = self.near.at(log - IDLE.ln());
        // What is not in the far tail yet is no rarer than what is.
        let far = self.far.at((log - FAR.ln()).max(0.0));
        near.min(far).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const EXPECTED: Expected = crate::evidence::DRIFT.runs;

    fn seen(windows: u32, peaks: &[f64]) -> Peaks {
        let mut all = Peaks::default();
        for _ in 0..windows {
            all.window(1.0);
        }
        for p in peaks {
            all.run((p / IDLE).ln(), 1.0);
        }
        all
    }

    #[test]
    fn a_stream_that_rises_high_by_itself_needs_more_evidence() {
        let calm = seen(10_000, &[8.0; 100]);
        let wild = seen(10_000, &[8_000.0; 100]);
        let pool = Peaks::default();
        assert!(
            calm.correction(&pool, &EXPECTED).of(1e6)
                > 100.0 * wild.correction(&pool, &EXPECTED).of(1e6)
        );
    }

    #[test]
    fn a_young_stream_is_judged_as_its_like_are() {
        let (young, wild) = (Peaks::default(), seen(10_000, &[8_000.0; 100]));
        let alone = young.correction(&Peaks::default(), &EXPECTED).of(1e6);
        assert!(young.correction(&wild, &EXPECTED).of(1e6) < alone / 10.0);
    }

    proptest! {
        #[test]
        fn more_evidence_is_never_less_after_the_correction(
            peaks in prop::collection::vec(4.0f64..1e12, 0..200), a in 4.0f64..1e20, b in 4.0f64..1e20,
        ) {
            let (own, pool) = (seen(5_000, &peaks), Peaks::default());
            let correction = own.correction(&pool, &EXPECTED);
            prop_assert!(correction.of(a.min(b)) <= correction.of(a.max(b)));
        }
    }
}
