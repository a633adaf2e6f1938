//! Sizes and durations, in octaves against what the same routes usually take.
//!
//! What comes in is a window's mean deviation y over n exchanges: 0 is as usual, +1 twice, −1 half. Deviations are taken
//! route by route, so that a window with more of the slow route is no slower. How much y varies by itself has two parts,
//!
//! ```text
//! variance of y = within / n + between
//! ```
//!
//! one that shrinks with the number of exchanges and one that does not (load, caches, the time of day). Each is learned
//! from y² by giving it its share of the surprise (an online form of expectation–maximisation for variance components).
//! The tail is Student's t with few degrees of freedom, because real durations throw in a slow call now and then.

use super::Tail;
use super::count::sound;
use serde::{Deserialize, Serialize};
use statrs::function::beta::checked_beta_reg;

/// The learned spread of a scale. 12 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ScaleModel {
    within: f32,
    between: f32,
    windows: f32,
}

/// Before anything is learned one exchange may well be off by one octave, and a whole window by a quarter of one.
const WITHIN_PRIOR: f32 = 1.0;
const BETWEEN_PRIOR: f32 = 0.0625;
/// No route is steadier than a tenth of an octave a request and a twentieth a window: below that nobody would care.
const WITHIN_MIN: f64 = 0.01;
const BETWEEN_MIN: f64 = 0.0025;
/// Degrees of freedom of the tail: about what service times show beyond the log-normal.
const FREEDOM: f64 = 6.0;
/// Weight of the prior, in windows.
const PRIOR_WINDOWS: f32 = 5.0;
/// Windows remembered.
const MEMORY: f32 = 300.0;
/// The most one window may teach, in variances: three standard deviations.
const CLIP: f64 = 9.0;
/// Windows after which the spread is known well enough.
const MATURE: f32 = 20.0;

impl Default for ScaleModel {
    fn default() -> Self {
        Self {
            within: WITHIN_PRIOR,
            between: BETWEEN_PRIOR,
            windows: 0.0,
        }
    }
}

impl ScaleModel {
    fn variance(&self, n: f64) -> (f64, f64) {
        let within = f64::from(self.within) / n.max(1.0);
        (within, within + f64::from(self.between))
    }

    /// One standard deviation of the mean of `n` exchanges, in octaves.
    pub fn spread(&self, n: f64) -> f64 {
        self.variance(n).1.sqrt()
    }

    /// 0 to 1.
    pub fn maturity(&self) -> f64 {
        f64::from((self.windows / MATURE).min(1.0))
    }

    /// How extreme a mean deviation of `octaves` over `n` exchanges is.
    pub fn tail(&self, octaves: f64, n: f64) -> Tail {
        let up = student_upper(octaves / self.spread(n), freedom(n));
        Tail {
            up,
            down: sound(1.0 - up),
        }
    }

    /// Starts from what all pairs know together, where it knows nothing itself.
    pub fn borrow(&mut self, pool: &Self) {
        if self.windows <= 0.0 {
            self.within = pool.within;
            self.between = pool.between;
        }
    }

    /// Learns one window, with weight 0 to 1.
    pub fn learn(&mut self, octaves: f64, n: f64, weight: f64) {
        if !octaves.is_finite() {
            return;
        }
        let (within, all) = self.variance(n);
        let surprise = (octaves * octaves / all).min(CLIP) - 1.0;
        let gain = weight / f64::from(self.windows + PRIOR_WINDOWS);
        let share = within / all;
        let step = |value: f32, share: f64, min: f64| {
            (f64::from(value) * (1.0 + gain * share * surprise)).max(min) as f32
        };
        self.within = step(self.within, share, WITHIN_MIN);
        self.between = step(self.between, 1.0 - share, BETWEEN_MIN);
        self.windows = (self.windows + weight as f32).min(MEMORY);
    }
}

/// Degrees of freedom of a mean of `n`: the excess kurtosis 6/(ν − 4) of one is divided by n.
fn freedom(n: f64) -> f64 {
    4.0 + n.max(1.0) * (FREEDOM - 4.0)
}

/// P(T ≥ t) of Student's t: ½ I_{ν/(ν+t²)}(ν/2, ½) for t ≥ 0.
fn student_upper(t: f64, freedom: f64) -> f64 {
    let half =
        checked_beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)).unwrap_or(1.0) / 2.0;
    sound(if t >= 0.0 { half } else { 1.0 - half })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_tail_is_students() {
        // Tables: t with 6 degrees of freedom, one-sided 2.5 % and 0.05 %.
        assert!((student_upper(2.447, 6.0) - 0.025).abs() < 1e-4);
        assert!((student_upper(5.959, 6.0) - 0.0005).abs() < 1e-5);
        assert!((student_upper(-2.447, 6.0) - 0.975).abs() < 1e-4);
    }

    #[test]
    fn a_steady_scale_is_learned_to_be_steady_and_a_wild_one_wild() {
        let (mut steady, mut wild) = (ScaleModel::default(), ScaleModel::default());
        for i in 0..400 {
            let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
            steady.learn(0.05 * sign, 50.0, 1.0);
            wild.learn(1.5 * sign, 50.0, 1.0);
        }
        assert!(
            steady.tail(1.0, 50.0).up < 1e-4,
            "a doubling on a steady pair is rare"
        );
        assert!(wild.tail(1.0, 50.0).up > 0.05, "and usual on a wild one");
    }

    #[test]
    fn the_same_mean_over_more_exchanges_is_more_extreme() {
        let mut model = ScaleModel::default();
        for i in 0..400 {
            model.learn(if i % 2 == 0 { 0.5 } else { -0.5 }, 4.0, 1.0);
        }
        assert!(model.tail(1.5, 200.0).up < model.tail(1.5, 2.0).up);
    }

    proptest! {
        #[test]
        fn nothing_that_is_learned_makes_the_spread_unusable(
            ys in prop::collection::vec((-60.0f64..60.0, 0.0f64..1e6, 0.0f64..=1.0), 0..200),
        ) {
            let mut model = ScaleModel::default();
            for (y, n, w) in ys {
                model.learn(y, n, w);
            }
            let spread = model.spread(10.0);
            prop_assert!(spread.is_finite() && spread >= 0.05, "{spread}");
        }
    }
}
