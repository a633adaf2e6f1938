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
//! a day weighs as much as a whole usual day.
//!
//! A cycle is learned whole, also where it was suspect: what comes back the same time each day is how things are, and
//! one odd hour is one of several cycles. Hours are of UTC: a factor needs no name, only a period.

use super::count::CLUSTERING;
use crate::Time;
use serde::{Deserialize, Serialize};

/// Weight of a prior, in events: with twenty a Poisson rate is known to about a quarter, which is what hours differ by.
const PRIOR_EVENTS: f64 = 20.0;
/// Cycles remembered: a week of days, two months of weeks.
const CYCLES: f64 = 8.0;
/// What a pool takes from one pair at most, in events an hour: the busiest shall not drown all others.
const POOL_EVENTS: f64 = 30.0;
/// What a pool remembers of each phase, in events.
const POOL_MEMORY: f64 = 20_000.0;
/// Factors stay within these: a job that runs ten minutes a day is at 144 times its mean, and nothing is at more.
const RANGE: (f64, f64) = (0.02, 144.0);

/// Squared standard deviations at which a prior is half believed: three of them.
const CONTRADICTED: f64 = 9.0;

const HOUR: f64 = 3600.0;
const BIN: f64 = 600.0;
const DAY: f64 = 86_400.0;
const BINS: usize = 144;
const BINS_AN_HOUR: usize = 6;
/// Days from Monday to the epoch's, which was a Thursday.
const EPOCH_WEEKDAY: u64 = 3;

/// Events and seconds in each phase of a cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cycle {
    phases: Box<[(f32, f32)]>,
}

/// The curve of a pair, or of all pairs together. 1.2 KiB.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Season {
    bins: Cycle,
    days: Cycle,
}

impl Cycle {
    fn new(phases: usize) -> Self {
        Self {
            phases: vec![(0.0, 0.0); phases].into(),
        }
    }

    fn sum(&self, phases: std::ops::Range<usize>) -> (f64, f64) {
        let some = self.phases.get(phases).unwrap_or_default();
        some.iter().fold((0.0, 0.0), |(events, seconds), p| {
            (events + f64::from(p.0), seconds + f64::from(p.1))
        })
    }

    /// Events a second: the mean over the phases that were seen, each weighing the same however long it was seen.
    fn mean(&self) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for (events, seconds) in self.phases.iter().filter(|p| p.1 > 0.0) {
            sum += f64::from(*events) / f64::from(*seconds);
            n += 1.0;
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }

    /// Adds to a phase, and forgets what is beyond `memory` seconds.
    fn add(&mut self, phase: usize, events: f64, seconds: f64, memory: f64) {
        if let Some(p) = self.phases.get_mut(phase) {
            let total = f64::from(p.1) + seconds;
            let scale = if total > memory { memory / total } else { 1.0 };
            *p = (
                ((f64::from(p.0) + events) * scale) as f32,
                (total * scale) as f32,
            );
        }
    }
}

impl Default for Season {
    fn default() -> Self {
        Self {
            bins: Cycle::new(BINS),
            days: Cycle::new(7),
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
            self.bins.add(bin_of(at), seen, expected, POOL_MEMORY);
            self.days
                .add(weekday_of(at), seen, expected, POOL_MEMORY * 24.0);
        }
    }

    /// Moves the level and keeps the curve.
    pub fn move_by(&mut self, factor: f64) {
        let phases = self
            .bins
            .phases
            .iter_mut()
            .chain(self.days.phases.iter_mut());
        for phase in phases {
            phase.0 = (f64::from(phase.0) * factor) as f32;
        }
    }

    /// Events a second, over the phases that were seen.
    pub fn mean(&self) -> f64 {
        self.bins.mean()
    }

    /// How much of a whole day was seen, 0 to 1.
    pub fn coverage(&self) -> f64 {
        (self.bins.sum(0..BINS).1 / DAY).min(1.0)
    }

    /// What multiplies the usual at a time; 1 on average. `pool` is the curve of all pairs.
    pub fn factor(&self, at: Time, pool: &Self) -> f64 {
        let bin = bin_of(at);
        let (mean, pooled) = (self.bins.mean(), pool.bins.mean());
        let hour = |h: usize| {
            let start = h.saturating_mul(BINS_AN_HOUR);
            let phases = start..start.saturating_add(BINS_AN_HOUR);
            let prior = ratio(pool.bins.sum(phases.clone()), pooled, 1.0, PRIOR_EVENTS);
            ratio(self.bins.sum(phases), mean, prior, PRIOR_EVENTS)
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
        let own = self.bins.sum(bin..bin.saturating_add(1));
        ratio(own, mean, hours, PRIOR_EVENTS) * self.day(weekday_of(at), pool)
    }

    fn day(&self, day: usize, pool: &Self) -> f64 {
        let phase = day..day.saturating_add(1);
        let (mean, pooled) = (self.days.mean(), pool.days.mean());
        let all = pool.days.sum(phase.clone());
        let prior = ratio(all, pooled, 1.0, (all.1 * pooled / 2.0).max(PRIOR_EVENTS));
        let whole = (mean * DAY).max(PRIOR_EVENTS);
        ratio(self.days.sum(phase), mean, prior, whole)
    }
}

/// A phase's rate against the mean rate, drawn towards a prior with the weight of so many events. A prior that what was
/// seen contradicts weighs less, as one with heavy tails would (Student's t): it holds where there is nothing better.
fn ratio((seen, seconds): (f64, f64), mean: f64, prior: f64, weight: f64) -> f64 {
    let expected = seconds * mean;
    let spread = (1.0 + CLUSTERING) * (expected * prior + 1.0);
    let z2 = (seen - expected * prior).powi(2) / spread;
    let weight = weight / (1.0 + z2 / CONTRADICTED);
    ((seen + weight * prior) / (expected + weight)).clamp(RANGE.0, RANGE.1)
}
