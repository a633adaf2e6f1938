//! How large an oddity must be to be rare, learned from all identities together.
//!
//! One identity's history is too short to call anything one in ten thousand: a person seen at forty hours may come at
//! a new one any day. All identities together have thousands of such hours, so each oddity gets a score, and the
//! scores of everybody's hours say how often honest callers reach it. A histogram of scores is kept, and beyond its last
//! handful an exponential tail is fitted to the excesses (peaks over threshold with shape 0, which is exact where the
//! score is the logarithm of a probability; A. Davison and R. Smith, "Models for exceedances over high thresholds", Journal
//! of the Royal Statistical Society B 52, 1990). So a score that is a poor model of people alarms less, not more, and
//! where everybody is odd nobody is.
//!
//! No score is entered higher than [`CLIPPED`] mean excesses: a few attacks must not teach that attacks are usual, while a
//! population that changes its ways still moves the threshold. (Tried and rejected: to leave out what was alerted, or enter
//! it low. It sees a tenth more where attacks are as many as honest oddities, and raises three times the false alarms it
//! promises.)

use crate::Time;
use serde::{Deserialize, Serialize};

/// Bins of a quarter of a nat: finer than any estimate of the tail.
const WIDTH: f64 = 0.25;
/// Scores to 24 nats: rarer than one in ten billion.
const BINS: usize = 96;
/// No score is worth an alert below this, however few reach it: what is less odd than one in twenty is not odd.
const ODD: f64 = 3.0;
/// Trials before the tail says anything: a tail out of fewer would be the prior's alone.
const ENOUGH: f64 = 200.0;
/// Exceedances the tail is fitted to: few, because what lies lower down may follow another law; a mean of ten is known to a
/// third.
const EXCEEDANCES: f64 = 10.0;
/// Mean excesses above which a score is entered no higher: one honest exceedance in twenty.
const CLIPPED: f64 = 3.0;
/// What clipping leaves of the mean of an exponential excess: m in m = 1 − e^(−3 m).
const LEFT: f64 = 0.94;
/// Prior excesses, of one nat each: a tail that thins out no faster than the score promises.
const PRIOR: f64 = 2.0;
/// Trials remembered: at some thousand a week, a season.
const MEMORY: f64 = 100_000.0;
const WEEK: f64 = 7.0 * 86_400.0 * 1000.0;

/// The scores of all identities' trials.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Tail {
    bins: Vec<f32>,
    trials: f64,
    /// Milliseconds over which they were seen.
    span: f64,
    last: Time,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            bins: vec![0.0; BINS],
            trials: 0.0,
            span: 0.0,
            last: Time::default(),
        }
    }
}

impl Tail {
    /// A trial took place: an identity could have been odd.
    pub(super) fn trial(&mut self, at: Time) {
        if self.trials > 0.0 {
            // A hole or a jump of the clock is no time in which anybody could have been seen.
            self.span += (at.since(self.last).as_millis() as f64).min(WEEK / 7.0);
        }
        self.last = self.last.max(at);
        self.trials += 1.0;
        if self.trials > MEMORY {
            self.trials /= 2.0;
            self.span /= 2.0;
            for bin in &mut self.bins {
                *bin /= 2.0;
            }
        }
    }

    /// One of the trials had this score.
    pub(super) fn score(&mut self, score: f64) {
        if score <= 0.0 {
            return;
        }
        let (_, edge, mean) = self.excesses();
        let score = score.min(edge + CLIPPED * mean);
        let at = (score / WIDTH).min(BINS as f64 - 1.0) as usize;
        if let Some(bin) = self.bins.get_mut(at) {
            *bin += 1.0;
        }
    }

    /// The edge that the highest scores exceed, how many do, and by how much on average.
    fn excesses(&self) -> (f64, f64, f64) {
        let (mut count, mut excess, mut edge) = (0.0, 0.0, 0.0);
        for (i, &n) in self.bins.iter().enumerate().rev() {
            let n = f64::from(n);
            edge = i as f64 * WIDTH;
            // What lies higher up exceeds this edge by one bin more.
            excess += count * WIDTH + n * WIDTH / 2.0;
            count += n;
            if count >= EXCEEDANCES {
                break;
            }
        }
        (count, edge, (excess / LEFT + PRIOR) / (count + PRIOR))
    }

    /// Whether a score is to be told of, once: the threshold that it reaches where it is and was not `told` yet. It is entered at
    /// once, so that where everybody does what nobody did the first few are told, not all.
    pub(super) fn alarm(&mut self, score: f64, per_week: f64, told: &mut bool) -> Option<f64> {
        let limit = self.threshold(per_week).filter(|l| score >= *l && !*told)?;
        *told = true;
        self.score(score);
        Some(limit)
    }

    /// The score that honest identities reach `per_week` times a week, all together; `None` while too little is known.
    pub(super) fn threshold(&self, per_week: f64) -> Option<f64> {
        if self.trials < ENOUGH {
            return None;
        }
        // At least an hour: the first trials come all at once.
        let trials_a_week = self.trials * WEEK / self.span.max(3.6e6);
        let wanted = (per_week / trials_a_week).min(1.0) * self.trials;
        let (count, edge, mean) = self.excesses();
        // One more than was seen, so that a tail without any is not taken for none.
        let rare = edge + mean * ((count + 1.0) / wanted.max(1e-12)).ln().max(0.0);
        Some(rare.max(ODD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn unit(state: &mut u64) -> f64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Trials a week of some 3 000 identities.
    const TRIALS: u64 = 6_000;

    fn alarms(per_week: f64, weeks: u64, score: impl Fn(f64) -> f64) -> f64 {
        let (mut tail, mut state, mut alarms) = (Tail::default(), 1u64, 0.0);
        for i in 0..weeks * TRIALS {
            let at = Time((i as f64 * WEEK / TRIALS as f64) as u64);
            tail.trial(at);
            let s = score(unit(&mut state));
            if tail.threshold(per_week).is_some_and(|limit| s >= limit) {
                alarms += 1.0;
            }
            tail.score(s);
        }
        alarms / weeks as f64
    }

    #[test]
    fn honest_scores_of_any_scale_alarm_no_more_often_than_promised() {
        for per_week in [0.25, 1.0, 5.0] {
            // Twice as many where the score says the square of how rare it is.
            for (scale, leeway) in [(0.3, 1.5), (1.0, 1.5), (2.0, 2.0)] {
                let told = alarms(per_week, 100, |u| -u.ln() * scale);
                assert!(
                    told <= per_week * leeway,
                    "{told} a week of {per_week} at scale {scale}"
                );
            }
        }
    }

    #[test]
    fn a_tail_that_ends_alarms_at_what_lies_well_beyond_it() {
        let mut tail = Tail::default();
        for i in 0..TRIALS {
            tail.trial(Time(i * 100_000));
            tail.score(if i % 20 == 0 { 2.0 } else { 0.0 });
        }
        let limit = tail.threshold(0.25).unwrap();
        assert!((2.0..6.0).contains(&limit), "{limit}");
    }

    #[test]
    fn a_few_trials_say_nothing() {
        let mut tail = Tail::default();
        for i in 0..100 {
            tail.trial(Time(i * 1000));
        }
        assert_eq!(tail.threshold(1.0), None);
    }
}
