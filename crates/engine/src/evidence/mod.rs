//! Rarity, accumulated until it outweighs the false alerts a user tolerates.
//!
//! Each window's tail probability p becomes an e-value: a bet that pays on rarity and at fair odds loses on average
//! nothing more than the stake. The power calibrators
//!
//! ```text
//! e(p) = κ p^(κ−1)      0 < κ < 1
//! ```
//!
//! are such bets (V. Vovk, R. Wang, "E-values: calibration, combination and applications", Annals of Statistics 49, 2021).
//! Bets are accumulated by the Shiryaev–Roberts recursion R ← (R + 1)·e and an alarm is raised at R ≥ A. Then the mean
//! number of windows between false alarms is at least A whatever the distribution, as long as the p are honest (J. Shin,
//! A. Ramdas, A. Rinaldo, "E-detectors", New England Journal of Statistics in Data Science 2, 2024). So the threshold
//! follows from the setting, a single huge window and a slow drift trip the same rule, and evidence fades by itself when
//! windows are usual again.
//!
//! A stream is the mean of two such recursions, which is one again: one with small κ, that sees a spike in its first
//! window, and one with larger κ, to which many windows that are a little rare add up. (One recursion with the [`mixture`]
//! over all κ was tried: it is good at neither, and on `make eval` found 6 of 270 fewer.)
//!
//! How honest the p of a stream are shows in the stream itself: see [`peaks`]. Each recursion is corrected by itself, because
//! they fail differently: a busy hour adds up in the one for drifts, and leaves the other alone.

mod chain;
mod peaks;

pub(crate) use chain::Trust;

use chain::{Bet, Chain};
use peaks::{Expected, Peaks};

use crate::signals::Seen;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The rarest a window may be said to be: below this a model's tail is arithmetic, not knowledge.
const P_MIN: f64 = 1e-30;
/// Evidence is capped, so that it fades in bounded time after what caused it has gone.
const R_MAX: f64 = 1e30;
/// Below this a stream carries no evidence: where usual windows keep it.
const IDLE: f64 = 4.0;
/// The recursion that sees spikes: a window of p = 10⁻⁸ makes it two million, close to the most any κ gets out of it.
const SPIKE: Bet = Bet {
    kappa: 0.08,
    runs: Expected {
        near: (0.02, 1.0),
        far: (8e-5, 1.0),
    },
};
/// The one that sees drifts: the most that windows around p = 0.1 can add up to.
const DRIFT: Bet = Bet {
    kappa: 0.4,
    runs: Expected {
        near: (0.1, 1.0),
        far: (4e-4, 1.0),
    },
};

/// Whether the windows of a stream are taken to tell of one another, until its runs are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// What is odd in one is news in the next.
    Independent,
    /// What is high in one is high in the next, so that spikes come as often as drifts do.
    Wandering,
}

/// How near to its threshold the evidence is to be found, as a logarithm, …
const NEAR: f64 = 1e-6;
/// … in how many steps at most: it takes five or six.
const STEPS: u32 = 24;

/// The logarithm of a tail probability, as it counts.
fn log(p: f64) -> f64 {
    p.clamp(P_MIN, 1.0).ln()
}

/// The e-value of a tail probability, given as its logarithm, by the calibrator of power κ.
fn e_value(log: f64, kappa: f64) -> f64 {
    kappa * ((kappa - 1.0) * log).exp()
}

/// The e-values of one window by the calibrators for spikes and for drifts: what it weighs is their mean.
fn e_values(log: f64) -> [f64; 2] {
    [SPIKE, DRIFT].map(|bet| e_value(log, bet.kappa))
}

/// The mixture of the calibrators over all κ, (1 − p + p ln p) / (p ln² p): for one recursion that is to see bursts and drifts
/// alike, and pays for it with some six nats at the usual thresholds.
pub(crate) fn mixture(p: f64) -> f64 {
    // With u = −ln p it is (e^u − 1 − u) / u², which stays exact near p = 1.
    let u = -log(p);
    if u < 1e-4 {
        return 0.5 + u / 6.0;
    }
    (u.exp_m1() - u) / (u * u)
}

/// The threshold A for one stream, in windows: with `streams` of them, each closing a window every `window`, all together
/// raise at most `per_week` false alarms a week.
pub fn threshold(per_week: f64, window: Duration, streams: f64) -> f64 {
    const WEEK: f64 = 7.0 * 86_400.0;
    let windows_a_week = WEEK / window.as_secs_f64().max(1e-3);
    (windows_a_week * streams.max(1.0) / per_week.max(1e-9)).clamp(10.0, R_MAX / 10.0)
}

/// Accumulated evidence of one signal, direction and window length on one pair, and what was seen while it grew.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stream {
    spike: Chain,
    drift: Chain,
    /// Start of the first window of the run, in seconds since the epoch.
    since: u32,
    /// What the run holds, in the signal's own terms: see [`Seen`].
    pub(crate) seen: Seen,
}

/// What streams of one signal, direction and window length on all pairs lend to a young one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StreamPool {
    spike: Peaks,
    drift: Peaks,
}

impl Stream {
    /// Takes in a window that began at `start` (seconds) and had tail probability `p`. Returns whether that weighs at least as
    /// much as the run before it.
    pub(crate) fn update(
        &mut self,
        p: f64,
        start: u32,
        seen: Seen,
        pool: &mut StreamPool,
        trust: Trust,
    ) -> bool {
        if self.is_idle() {
            self.since = start;
        }
        self.seen = self.run();
        self.seen.add(&seen);
        let [spike, drift] = e_values(log(p));
        let outweighs = f64::midpoint(spike, drift) >= self.evidence();
        self.spike.update(spike, &mut pool.spike, trust);
        self.drift.update(drift, &mut pool.drift, trust);
        outweighs
    }

    /// Says that what it is of began with the last window: what was odd before is too little to count.
    pub(crate) fn begin(&mut self, start: u32, seen: Seen) {
        self.since = start;
        self.seen = seen;
    }

    fn is_idle(&self) -> bool {
        self.spike.is_idle() && self.drift.is_idle()
    }

    /// Whether a window of tail probability `p` weighs at least as much as all of the run so far.
    pub(crate) fn is_outweighed_by(&self, p: f64) -> bool {
        let [spike, drift] = e_values(log(p));
        f64::midpoint(spike, drift) >= self.evidence()
    }

    /// What the run holds that the next window goes on with: nothing where it begins one.
    pub(crate) fn run(&self) -> Seen {
        if self.is_idle() {
            Seen::default()
        } else {
            self.seen
        }
    }

    /// The evidence R.
    pub fn evidence(&self) -> f64 {
        f64::midpoint(self.spike.evidence(), self.drift.evidence())
    }

    /// The evidence R′, corrected by how often and high this stream rises by itself.
    pub(crate) fn corrected(&self, pool: &StreamPool, habit: Habit) -> f64 {
        let [spike, drift] = self.parts(pool, habit);
        f64::midpoint(spike, drift)
    }

    /// What it is the mean of: the evidence of the recursion that sees spikes, and of the one that sees drifts.
    pub(crate) fn parts(&self, pool: &StreamPool, habit: Habit) -> [f64; 2] {
        [
            self.spike.corrected(&SPIKE, &pool.spike, habit),
            self.drift.corrected(&DRIFT, &pool.drift, habit),
        ]
    }

    /// The largest tail probability with which the next window would complete the evidence; the rarest there is, where none would.
    ///
    /// The root is found by false position in the logarithms, which are nearly linear; of an end that stays half counts (M. Dowell,
    /// P. Jarratt, "A modified regula falsi method for computing the root of an equation", BIT 11, 1971).
    pub(crate) fn p_for(&self, threshold: f64, pool: &StreamPool, habit: Habit) -> f64 {
        // What the window teaches does not depend on how rare it is.
        let (mut next, mut pool) = (*self, *pool);
        next.update(1.0, 0, Seen::default(), &mut pool, Trust::FULL);
        let spike = next.spike.correction(&SPIKE, &pool.spike, habit);
        let drift = next.drift.correction(&DRIFT, &pool.drift, habit);
        let beyond = |log: f64| {
            let [high, long] = e_values(log);
            let spike = spike.of(self.spike.after(high).into());
            let drift = drift.of(self.drift.after(long).into());
            (f64::midpoint(spike, drift) / threshold).ln()
        };
        let (mut enough, mut short) = (P_MIN.ln(), 0.0);
        let (mut over, mut under) = (beyond(enough), beyond(short));
        if under >= 0.0 {
            return 1.0;
        }
        let (mut near, mut was_enough) = (over, None);
        let mut steps = 0..STEPS;
        while near > NEAR && steps.next().is_some() {
            let log = (enough * under - short * over) / (under - over);
            let at = beyond(log);
            let is_enough = at >= 0.0;
            let stays = was_enough.replace(is_enough) == Some(is_enough);
            let weight = if stays { 0.5 } else { 1.0 };
            if is_enough {
                (enough, over, near) = (log, at, at);
                under *= weight;
            } else {
                (short, under) = (log, at);
                over *= weight;
            }
        }
        enough.exp()
    }

    /// Starts over, because the alarm was raised. The run goes on.
    pub(crate) fn alarm(&mut self) {
        self.spike.alarm();
        self.drift.alarm();
    }

    /// Ends the run: what it is of is no longer odd.
    pub(crate) fn end(&mut self) {
        self.spike.end();
        self.drift.end();
    }

    /// Forgets the run, and that it was.
    pub(crate) fn forget(&mut self) {
        self.spike.forget();
        self.drift.forget();
    }

    /// When the run began, in seconds since the epoch.
    pub fn since(&self) -> u32 {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Tail probabilities of windows that are as usual: uniform, and none tells of another.
    fn honest() -> impl Iterator<Item = f64> {
        std::iter::successors(Some(1u64), |state| {
            let next = state.wrapping_mul(6_364_136_223_846_793_005);
            Some(next.wrapping_add(1_442_695_040_888_963_407))
        })
        .skip(1)
        .map(|state| ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
    }

    #[test]
    fn a_fair_p_loses_nothing_on_average() {
        // The integral of e over (0, 1) is 1. Substituting p = e^−u: ∫ κ e^(−κu) du over (0, ∞).
        for kappa in [SPIKE.kappa, DRIFT.kappa] {
            let (mut sum, step) = (0.0, 0.001);
            let mut u: f64 = step / 2.0;
            while u < 68.0 {
                sum += e_value(-u, kappa) * (-u).exp() * step;
                u += step;
            }
            let beyond = (-kappa * 68.0).exp();
            assert!((sum + beyond - 1.0).abs() < 1e-3, "{sum}");
        }
    }

    #[test]
    fn a_run_that_is_ended_says_no_more_and_still_teaches_how_high_runs_rise() {
        let runs = |ends: bool| {
            let (mut stream, mut pool) = (Stream::default(), StreamPool::default());
            let mut take = |stream: &mut Stream, p| {
                stream.update(p, 0, Seen::default(), &mut pool, Trust::FULL);
            };
            for _ in 0..200 {
                (0..5).for_each(|_| take(&mut stream, 1e-4));
                if ends {
                    stream.end();
                    assert!(stream.evidence() == 0.0, "{}", stream.evidence());
                }
                (0..60).for_each(|_| take(&mut stream, 0.5));
            }
            (0..2).for_each(|_| take(&mut stream, 1e-4));
            stream.corrected(&pool, Habit::Independent)
        };
        let (ended, faded) = (runs(true), runs(false));
        assert!((ended / faded - 1.0).abs() < 0.1, "{ended}, {faded}");
    }

    #[test]
    fn fair_windows_alarm_no_more_often_than_promised() {
        let threshold = 1000.0;
        let (mut stream, mut alarms) = (Stream::default(), 0);
        let windows = 2_000_000u32;
        for p in honest().take(windows as usize) {
            stream.update(
                p,
                0,
                Seen::default(),
                &mut StreamPool::default(),
                Trust::FULL,
            );
            if stream.evidence() >= threshold {
                alarms += 1;
                stream.alarm();
            }
        }
        assert!(
            f64::from(alarms) <= f64::from(windows) / threshold,
            "{alarms} alarms"
        );
        assert!(
            alarms > 0,
            "a threshold that is never reached promises nothing"
        );
    }

    #[test]
    fn honest_windows_run_as_often_and_far_as_is_expected_of_them() {
        for bet in [SPIKE, DRIFT] {
            let (mut chain, mut near, mut far) = (Chain::default(), [0.0; 2], [0.0; 2]);
            let windows = 3_000_000u32;
            for p in honest().take(windows as usize) {
                if let Some(height) = chain.ended().map(|run| run.height) {
                    near = [near[0] + 1.0, near[1] + height];
                    let beyond = height - (peaks::FAR / IDLE).ln();
                    if beyond >= 0.0 {
                        far = [far[0] + 1.0, far[1] + beyond];
                    }
                }
                chain.step(e_value(p.ln(), bet.kappa));
            }
            for ([runs, heights], (rate, height)) in [(near, bet.runs.near), (far, bet.runs.far)] {
                // Some 240 runs are in the rarer far tail: three standard deviations are a fifth.
                let (often, high) = (runs / f64::from(windows) / rate, heights / runs / height);
                assert!(
                    (often - 1.0).abs() < 0.2,
                    "{runs} runs in {windows} windows, {often} of what is expected"
                );
                assert!((high - 1.0).abs() < 0.2, "{high} of the height expected");
            }
        }
    }

    #[test]
    fn one_huge_window_and_a_slow_drift_trip_the_same_rule() {
        let threshold = 1e6;
        let mut spike = Stream::default();
        spike.update(
            1e-10,
            0,
            Seen::default(),
            &mut StreamPool::default(),
            Trust::FULL,
        );
        assert!(spike.evidence() >= threshold);
        let mut drift = Stream::default();
        let windows = (0..).take_while(|_| {
            drift.update(
                0.05,
                0,
                Seen::default(),
                &mut StreamPool::default(),
                Trust::FULL,
            );
            drift.evidence() < threshold
        });
        assert!(
            windows.count() < 20,
            "a drift of one in twenty each window is seen in time"
        );
    }

    #[test]
    fn a_window_that_outweighs_its_run_can_begin_another() {
        let (mut stream, mut pool) = (Stream::default(), StreamPool::default());
        let last = Seen::default();
        let mut outweighs = Vec::new();
        for (start, p) in [(0, 1e-4), (10, 0.05), (20, 1e-9)] {
            outweighs.push(stream.update(p, start, last, &mut pool, Trust::FULL));
        }
        assert_eq!(outweighs, [true, false, true]);
        stream.begin(20, last);
        assert_eq!((stream.since(), stream.seen), (20, last));
    }

    proptest! {
        #[test]
        fn a_rarer_window_is_stronger_evidence(a in 1e-12f64..=1.0, b in 1e-12f64..=1.0) {
            for kappa in [SPIKE.kappa, DRIFT.kappa] {
                prop_assert!(e_value(a.min(b).ln(), kappa) >= e_value(a.max(b).ln(), kappa));
            }
        }

        #[test]
        fn the_probability_for_a_threshold_is_the_largest_that_completes_it(
            before in prop::collection::vec(1e-3f64..1.0, 0..30), exponent in 1.0f64..12.0,
        ) {
            let (mut stream, mut pool, threshold) = (Stream::default(), StreamPool::default(), 10f64.powf(exponent));
            for p in before {
                stream.update(p, 0, Seen::default(), &mut pool, Trust::FULL);
            }
            let p = stream.p_for(threshold, &pool, Habit::Wandering);
            let completes = |p: f64| {
                let (mut next, mut pool) = (stream, pool);
                next.update(p, 0, Seen::default(), &mut pool, Trust::FULL);
                next.corrected(&pool, Habit::Wandering) >= threshold
            };
            prop_assert!(completes(p * 0.999), "{p} is not rare enough");
            prop_assert!(p > 0.999 || !completes(p * 1.001), "{p} is rarer than needed");
        }
    }
}
