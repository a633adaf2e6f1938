//! Time of day and of week, as factors that multiply what is usual.
//!
//! For each hour and each ten minutes of the day, and for each day of the week, it is kept how many events were seen
//! in how much time. A factor is the rate in that phase against the mean over all of them, drawn towards a prior:
//!
//! ```text
//! factor = (seen + s · prior) / (expected + s)
//! ```
//!
//! which is the posterior mean of a Gamma–Poisson model whose prior has mean `prior` and the weight of `s` events. The prior
//! of an hour is the same hour over all pairs ([`Season::pool`], empirical Bayes), that of ten minutes is their hour. So a pair
//! that has seen few cycles, or has few requests, follows the common curve, then its own by the hour, and what runs at
//! two o'clock for twenty minutes is known as that after some nights. Hours are interpolated between their middles: traffic
//! has no steps on the hour, jobs have, and show in the ten minutes, which are the longest usual window.
//!
//! Days need more than hours, because the traffic of one Monday differs from the next by more than chance: the prior of
//! a day weighs as much as two whole usual days.
//!
//! A cycle is learned also where it was suspect, up to a few times the usual: what comes back the same time each day is how
//! things are, and one odd hour is one of several cycles. Hours are of UTC: a factor needs no name, only a period.

use super::count::CLUSTERING;
use crate::Time;
use serde::{Deserialize, Serialize};

/// Weight of a prior, in events: with twenty a Poisson rate is known to about a quarter, which is what hours differ by.
const PRIOR_EVENTS: f64 = 20.0;
/// Cycles remembered: a week of days, two months of weeks.
const CYCLES: f64 = 8.0;
/// What a pool takes from one pair at most, in events an hour: the busiest shall not drown all others.
const POOL_EVENTS: f64 = 30.0;
/// What a pool remembers of each hour, in events.
const POOL_MEMORY: f64 = 20_000.0;
/// Factors stay within these: a job that runs ten minutes a day is at 144 times its mean, and nothing is at more.
const RANGE: (f64, f64) = (0.02, 144.0);

/// Squared standard deviations at which a prior is half believed: three of them.
const CONTRADICTED: f64 = 9.0;

/// By how much one cycle differs from the next, beyond chance: one Monday has half as much again as another.
const CYCLE_DIFFERS: f64 = 0.5;

/// Hours on either side of midnight over which one day passes into the next.
const MIDNIGHT: f64 = 4.0;

const HOURS: usize = 24;
const DAYS: usize = 7;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const BINS_AN_HOUR: usize = 6;
/// Seconds.
const BIN: f64 = HOUR / BINS_AN_HOUR as f64;
/// Days from Monday to the epoch's, which was a Thursday.
const EPOCH_WEEKDAY: u64 = 3;

/// Events and seconds in each phase of a cycle. Phases come in groups of so many, of which the mean is known earlier.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cycle {
    seen: Box<[f32]>,
    seconds: Box<[f32]>,
    phases: usize,
}

/// The curve of a pair, or of all pairs together. 1,300 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Season {
    bins: Cycle,
    days: Cycle,
}

impl Cycle {
    fn new(groups: usize, phases: usize) -> Self {
        let all = groups.saturating_mul(phases);
        Self {
            seen: vec![0.0; all].into(),
            seconds: vec![0.0; all].into(),
            phases,
        }
    }

    /// Events and seconds of a phase.
    fn phase(&self, phase: usize) -> (f64, f64) {
        let seen = self.seen.get(phase).copied().unwrap_or_default();
        let seconds = self.seconds.get(phase).copied().unwrap_or_default();
        (f64::from(seen), f64::from(seconds))
    }

    /// Events and seconds of a group.
    fn group(&self, group: usize) -> (f64, f64) {
        let start = group.saturating_mul(self.phases);
        let sum = |of: &[f32]| -> f64 {
            let phases = of.get(start..start.saturating_add(self.phases));
            phases
                .unwrap_or_default()
                .iter()
                .map(|x| f64::from(*x))
                .sum()
        };
        (sum(&self.seen), sum(&self.seconds))
    }

    fn groups(&self) -> usize {
        self.seen.len().checked_div(self.phases).unwrap_or(0)
    }

    /// Events a second: the mean over the groups that were seen, each weighing the same however long it was seen.
    fn mean(&self) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for group in 0..self.groups() {
            let (events, seconds) = self.group(group);
            if seconds > 0.0 {
                sum += events / seconds;
                n += 1.0;
            }
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }

    fn total_seconds(&self) -> f64 {
        self.seconds.iter().map(|s| f64::from(*s)).sum()
    }

    /// Adds to a phase, and forgets of it what is beyond `memory` seconds.
    fn add(&mut self, phase: usize, events: f64, seconds: f64, memory: f64) {
        let (Some(seen), Some(time)) = (self.seen.get_mut(phase), self.seconds.get_mut(phase))
        else {
            return;
        };
        *seen += events as f32;
        *time += seconds as f32;
        if f64::from(*time) > memory {
            let keep = (memory / f64::from(*time)) as f32;
            *time *= keep;
            *seen *= keep;
        }
    }

    fn scale(&mut self, by: f64) {
        self.seen.iter_mut().for_each(|x| *x *= by as f32);
    }
}

impl Default for Season {
    fn default() -> Self {
        Self {
            bins: Cycle::new(HOURS, BINS_AN_HOUR),
            days: Cycle::new(DAYS, 1),
        }
    }
}

fn bin_of(at: Time) -> usize {
    usize::try_from((at.0 / 600_000) % 144).unwrap_or(0)
}

fn weekday_of(at: Time) -> usize {
    let days = (at.0 / 86_400_000).wrapping_add(EPOCH_WEEKDAY);
    usize::try_from(days % 7).unwrap_or(0)
}

impl Season {
    /// Bytes of a season beside its own: events and seconds of each phase.
    pub const HEAP: usize = (HOURS * BINS_AN_HOUR + DAYS) * 2 * size_of::<f32>();

    /// Learns that in `seconds` around `at` there were so many events.
    pub fn learn(&mut self, at: Time, events: f64, seconds: f64) {
        self.bins.add(bin_of(at), events, seconds, CYCLES * BIN);
        self.days.add(weekday_of(at), events, seconds, CYCLES * DAY);
    }

    /// Takes a pair's window into the curve of all pairs, by the pair's own mean rate, in events a second. A pool counts
    /// time in events expected, so that all pairs' curves lie on one another.
    pub fn pool(&mut self, at: Time, events: f64, seconds: f64, mean: f64) {
        if mean > 0.0 {
            let weight = (POOL_EVENTS / HOUR / mean).min(1.0);
            let (seen, expected) = (events * weight, seconds * mean * weight);
            self.bins.add(
                bin_of(at),
                seen,
                expected,
                POOL_MEMORY / BINS_AN_HOUR as f64,
            );
            self.days
                .add(weekday_of(at), seen, expected, POOL_MEMORY * 24.0);
        }
    }

    /// Moves the level and keeps the curve.
    pub fn move_by(&mut self, factor: f64) {
        self.bins.scale(factor);
        self.days.scale(factor);
    }

    /// Events a second, over the phases that were seen.
    pub fn mean(&self) -> f64 {
        self.bins.mean()
    }

    /// Cycles that are remembered of the phase at a time.
    pub fn cycles(&self, at: Time) -> f64 {
        self.bins.phase(bin_of(at)).1 / BIN
    }

    /// How much of a whole day was seen, 0 to 1.
    pub fn coverage(&self) -> f64 {
        (self.bins.total_seconds() / DAY).min(1.0)
    }

    /// What multiplies the usual at a time; 1 on average. `pool` is the curve of all pairs.
    pub fn factor(&self, at: Time, pool: &Self) -> f64 {
        let bin = bin_of(at);
        let (mean, pooled) = (self.bins.mean(), pool.bins.mean());
        let hour = |h: usize| {
            let prior = ratio(pool.bins.group(h), pooled, 1.0, PRIOR_EVENTS);
            ratio(
                self.bins.group(h),
                mean,
                prior,
                (mean * HOUR).max(PRIOR_EVENTS),
            )
        };
        // How far the middle of the bin lies from the middle of its hour, in hours.
        let h = bin / BINS_AN_HOUR;
        let off = ((bin % BINS_AN_HOUR) as f64 + 0.5) / BINS_AN_HOUR as f64 - 0.5;
        let other = if off < 0.0 {
            h.wrapping_add(23)
        } else {
            h.wrapping_add(1)
        } % 24;
        let hours = hour(h) * (1.0 - off.abs()) + hour(other) * off.abs();
        ratio(
            self.bins.phase(bin),
            mean,
            hours,
            (mean * BIN).max(PRIOR_EVENTS),
        ) * self.day_around(at, pool)
    }

    /// The factor of the day. Around midnight it passes into that of the next: the day is of UTC, that of users is not.
    fn day_around(&self, at: Time, pool: &Self) -> f64 {
        let of = |at| self.day(weekday_of(at), pool);
        let hours = (at.0 % 86_400_000) as f64 / 3_600_000.0;
        let (other, off) = if hours < 12.0 {
            (Time(at.0.saturating_sub(43_200_000)), hours)
        } else {
            (Time(at.0.saturating_add(43_200_000)), 24.0 - hours)
        };
        let share = 0.5 * (1.0 - off / MIDNIGHT).max(0.0);
        if share > 0.0 {
            of(at) * (1.0 - share) + of(other) * share
        } else {
            of(at)
        }
    }

    fn day(&self, day: usize, pool: &Self) -> f64 {
        let (mean, pooled) = (self.days.mean(), pool.days.mean());
        let all = pool.days.phase(day);
        let prior = ratio(all, pooled, 1.0, (all.1 * pooled / 2.0).max(PRIOR_EVENTS));
        let whole = (2.0 * mean * DAY).max(PRIOR_EVENTS);
        ratio(self.days.phase(day), mean, prior, whole)
    }
}

/// A phase's rate against the mean rate, drawn towards a prior with the weight of so many events. A prior that what was
/// seen contradicts weighs less, as one with heavy tails would (Student's t): it holds where there is nothing better.
fn ratio((seen, seconds): (f64, f64), mean: f64, prior: f64, weight: f64) -> f64 {
    let expected = seconds * mean;
    let spread =
        (1.0 + CLUSTERING) * (expected * prior + 1.0) + (CYCLE_DIFFERS * expected * prior).powi(2);
    let z2 = (seen - expected * prior).powi(2) / spread;
    let weight = weight / (1.0 + z2 / CONTRADICTED);
    ((seen + weight * prior) / (expected + weight)).clamp(RANGE.0, RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const WINDOW: f64 = 600.0;

    fn at(day: u64, bin: u64) -> Time {
        Time(day * 86_400_000 + bin * 600_000 + 300_000)
    }

    /// Days of a rate that is `busy` from nine to five and `quiet` else, in events a window.
    fn office(days: u64, quiet: f64, busy: f64) -> Season {
        let mut season = Season::default();
        for day in 0..days {
            for bin in 0..144 {
                let events = if (54..102).contains(&bin) {
                    busy
                } else {
                    quiet
                };
                season.learn(at(day, bin), events, WINDOW);
            }
        }
        season
    }

    #[test]
    fn a_pair_that_has_seen_some_days_follows_its_own_curve() {
        let (season, pool) = (office(5, 10.0, 60.0), Season::default());
        let ratio = season.factor(at(5, 80), &pool) / season.factor(at(5, 10), &pool);
        assert!((ratio / 6.0 - 1.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn one_that_has_seen_little_follows_the_curve_of_all() {
        let mut pool = Season::default();
        for day in 0..5 {
            for bin in 0..144 {
                let events = if (54..102).contains(&bin) { 6.0 } else { 1.0 };
                pool.pool(at(day, bin), events, WINDOW, 1.0 / 225.0);
            }
        }
        let young = Season::default();
        let ratio = young.factor(at(5, 80), &pool) / young.factor(at(5, 10), &pool);
        assert!(ratio > 4.0, "{ratio}");
    }

    #[test]
    fn a_nightly_job_is_known_at_its_ten_minutes_after_two_nights() {
        let mut season = Season::default();
        for day in 0..2 {
            for bin in 0..144 {
                season.learn(at(day, bin), if bin == 12 { 120.0 } else { 0.0 }, WINDOW);
            }
        }
        let pool = Season::default();
        assert!(season.factor(at(2, 12), &pool) > 50.0);
        assert!(season.factor(at(2, 40), &pool) < 1.0);
    }

    #[test]
    fn what_was_not_seen_yet_is_expected_as_what_was() {
        let (mut season, pool) = (Season::default(), Season::default());
        for bin in 60..75 {
            season.learn(at(0, bin), 3000.0, WINDOW);
            let factor = season.factor(at(0, bin + 1), &pool);
            assert!((factor - 1.0).abs() < 0.05, "{factor} after {bin}");
        }
    }

    #[test]
    fn moving_the_level_keeps_the_curve() {
        let (mut season, pool) = (office(5, 10.0, 60.0), Season::default());
        let before = (season.mean(), season.factor(at(5, 80), &pool));
        season.move_by(3.0);
        assert!((season.mean() / before.0 - 3.0).abs() < 1e-3);
        assert!((season.factor(at(5, 80), &pool) / before.1 - 1.0).abs() < 0.1);
    }

    proptest! {
        #[test]
        fn whatever_was_seen_a_factor_is_within_its_range(
            seen in prop::collection::vec((0u64..20_000_000_000, 0.0f64..1e9, 0.0f64..86_400.0), 0..200), now in 0u64..20_000_000_000,
        ) {
            let (mut season, mut pool) = (Season::default(), Season::default());
            for (at, events, seconds) in seen {
                season.learn(Time(at), events, seconds);
                pool.pool(Time(at), events, seconds, season.mean());
            }
            let factor = season.factor(Time(now), &pool);
            prop_assert!(factor.is_finite() && factor > 0.0 && factor <= RANGE.1 * RANGE.1, "{factor}");
        }
    }
}
