//! Time of day and of week, as factors that multiply what is usual.
//!
//! For each hour of the day, and for each day of the week, it is kept how many events were seen in how much time. A factor
//! is the rate in that hour or day against the mean over all of them, drawn towards a prior:
//!
//! ```text
//! factor = (seen + s · prior) / (expected + s)      s = PRIOR_EVENTS (hours), a whole day's events (days)
//! ```
//!
//! which is the posterior mean of a Gamma–Poisson model whose prior has mean `prior` and the weight of `s` events (empirical
//! Bayes: the prior is the same factor over all pairs, see [`Season::pool`]). So a pair that has seen few cycles, or has few
//! requests, follows the common curve, and one that has its own curve follows that. Between the middles of two hours the
//! factor is interpolated: traffic has no steps on the hour.
//!
//! Days need more than hours, because the traffic of one Monday differs from the next by more than chance: a day's own
//! events weigh as much as the prior only once it was seen whole, and none is believed before a second cycle bears it out.
//!
//! Hours are of UTC: a factor needs no name, only a period.

use crate::Time;
use serde::{Deserialize, Serialize};

/// Weight of the prior of an hour's factor, in events: with thirty a Poisson rate is known to a fifth.
const PRIOR_EVENTS: f64 = 30.0;
/// Cycles remembered: a week of days, two months of weeks.
const CYCLES: f64 = 8.0;
/// What a pool takes from one pair at most, in events an hour: the busiest shall not drown all others.
const POOL_EVENTS: f64 = 30.0;
/// Factors stay within these: more than twentyfold is no curve but on and off, which the rate's own model learns.
const RANGE: (f64, f64) = (0.05, 20.0);

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
/// Days from Monday to the epoch's, which was a Thursday.
const EPOCH_WEEKDAY: u64 = 3;

/// Events and seconds, in each of N phases of a cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cycle {
    seen: Vec<f32>,
    seconds: Vec<f32>,
}

/// The curve of a pair, or of all pairs together. 248 bytes and two allocations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Season {
    hours: Cycle,
    days: Cycle,
}

impl Cycle {
    fn new(phases: usize) -> Self {
        Self {
            seen: vec![0.0; phases],
            seconds: vec![0.0; phases],
        }
    }

    fn at(&self, phase: usize) -> (f64, f64) {
        let get = |v: &Vec<f32>| f64::from(v.get(phase).copied().unwrap_or_default());
        (get(&self.seen), get(&self.seconds))
    }

    /// Events a second: the mean over the phases that were seen, each weighing the same however long it was seen.
    fn mean(&self) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for (seen, seconds) in self.seen.iter().zip(&self.seconds) {
            if *seconds > 0.0 {
                sum += f64::from(*seen) / f64::from(*seconds);
                n += 1.0;
            }
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }

    fn add(&mut self, phase: usize, events: f64, seconds: f64, memory: f64) {
        let (Some(seen), Some(time)) = (self.seen.get_mut(phase), self.seconds.get_mut(phase))
        else {
            return;
        };
        let total = f64::from(*time) + seconds;
        let scale = if total > memory { memory / total } else { 1.0 };
        *seen = ((f64::from(*seen) + events) * scale) as f32;
        *time = (total * scale) as f32;
    }
}

impl Default for Season {
    fn default() -> Self {
        Self {
            hours: Cycle::new(24),
            days: Cycle::new(7),
        }
    }
}

fn hour_of(at: Time) -> (usize, f64) {
    let seconds = (at.0 / 1000) % 86_400;
    let hour = usize::try_from(seconds / 3600).unwrap_or(0);
    (hour, (seconds % 3600) as f64 / HOUR)
}

fn weekday_of(at: Time) -> usize {
    let days = (at.0 / 86_400_000).wrapping_add(EPOCH_WEEKDAY);
    usize::try_from(days % 7).unwrap_or(0)
}

impl Season {
    /// Learns that in `seconds` around `at` there were so many events, with weight 0 to 1.
    pub fn learn(&mut self, at: Time, events: f64, seconds: f64, weight: f64) {
        let (events, seconds) = (events * weight, seconds * weight);
        self.hours.add(hour_of(at).0, events, seconds, CYCLES * HOUR);
        self.days.add(weekday_of(at), events, seconds, CYCLES * DAY);
    }

    /// Takes a pair's window into the curve of all pairs, by the pair's own `mean` rate, in events a second.
    pub fn pool(&mut self, at: Time, events: f64, seconds: f64, mean: f64) {
        if mean > 0.0 {
            let weight = (POOL_EVENTS / HOUR / mean).min(1.0);
            // In units of the pair's mean, so that all pairs' curves lie on one another; time is not wall-clock but
            // what the window weighs.
            let pooled = (events * weight, seconds * mean * weight);
            self.hours.add(hour_of(at).0, pooled.0, pooled.1, f64::MAX);
            self.days.add(weekday_of(at), pooled.0, pooled.1, f64::MAX);
        }
    }

    /// Halves what a pool holds where it holds more than `events`, so that it forgets.
    pub fn fade(&mut self, events: f64) {
        for cycle in [&mut self.hours, &mut self.days] {
            if cycle.seconds.iter().any(|s| f64::from(*s) > events) {
                for x in cycle.seen.iter_mut().chain(&mut cycle.seconds) {
                    *x *= 0.5;
                }
            }
        }
    }

    /// Events a second, over the hours that were seen.
    pub fn mean(&self) -> f64 {
        self.hours.mean()
    }

    /// What multiplies the usual at a time; 1 on average. `pool` is the curve of all pairs.
    pub fn factor(&self, at: Time, pool: &Self) -> f64 {
        let (hour, within) = hour_of(at);
        // Between the middle of this hour and that of the one before or after it.
        let (other, share) = if within < 0.5 {
            ((hour.wrapping_add(23)) % 24, 0.5 - within)
        } else {
            ((hour.wrapping_add(1)) % 24, within - 0.5)
        };
        let (mean, pooled) = (self.hours.mean(), pool.hours.mean());
        let of = |h| self.hour(h, mean, pool, pooled);
        let hours = of(hour) * (1.0 - share) + of(other) * share;
        hours * self.day(weekday_of(at), pool)
    }

    fn hour(&self, hour: usize, mean: f64, pool: &Self, pooled: f64) -> f64 {
        let prior = ratio(pool.hours.at(hour), pooled, 1.0, PRIOR_EVENTS);
        ratio(self.hours.at(hour), mean, prior, PRIOR_EVENTS)
    }

    fn day(&self, day: usize, pool: &Self) -> f64 {
        let mean = self.days.mean();
        let pooled = pool.days.mean();
        // The events of a whole usual day.
        let (_, seconds) = pool.days.at(day);
        let prior = ratio(pool.days.at(day), pooled, 1.0, (seconds * pooled / 2.0).max(PRIOR_EVENTS));
        ratio(self.days.at(day), mean, prior, (mean * DAY).max(PRIOR_EVENTS))
    }
}

/// A phase's rate against the mean rate, drawn towards a prior with the weight of so many events.
fn ratio((seen, seconds): (f64, f64), mean: f64, prior: f64, weight: f64) -> f64 {
    ((seen + weight * prior) / (seconds * mean + weight)).clamp(RANGE.0, RANGE.1)
}
