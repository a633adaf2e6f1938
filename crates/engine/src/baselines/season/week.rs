//! What the day of the week makes of an hour: its rate against that of the same hour on all days.
//!
//! A day is known by all its hours together, each against what is usual in it, so that one of which only the evening was seen is
//! neither busy nor quiet for that. Around midnight it passes into the next: the day is of UTC, that of users is not.

use super::cycle::{self, Cycle};
use super::sum::Sum;
use super::{HOUR, PRIOR_EVENTS, ratio};
use crate::Time;

pub(super) const DAYS: usize = 7;
pub(super) const HOURS: usize = 24;
/// Days from Monday to the epoch's, which was a Thursday.
const EPOCH_WEEKDAY: u64 = 3;
/// Hours on either side of midnight over which one day passes into the next.
const MIDNIGHT: f64 = 4.0;
/// Cycles that the prior of a day weighs: the traffic of one Monday differs from the next by more than chance.
const PRIOR_CYCLES: f64 = 2.0;

/// The hour of the week at a time, in a cycle with a day's hours in a group.
pub(super) fn hour_of<S: Sum>(week: &Cycle<S>, at: Time) -> usize {
    week.at(day_of(at), hour_of_day(at))
}

fn hour_of_day(at: Time) -> usize {
    usize::try_from((at.0 / 3_600_000) % 24).unwrap_or(0)
}

fn day_of(at: Time) -> usize {
    let days = (at.0 / 86_400_000).wrapping_add(EPOCH_WEEKDAY);
    usize::try_from(days % 7).unwrap_or(0)
}

/// The hours of the week, beside what is usual in each hour of the day.
pub(super) struct Week<'a, S> {
    hours: &'a Cycle<S>,
    /// Events a second.
    usual: [f64; HOURS],
}

impl<'a, S: Sum> Week<'a, S> {
    pub(super) fn of(hours: &'a Cycle<S>) -> Self {
        let mut usual = [0.0; HOURS];
        for (hour, usual) in usual.iter_mut().enumerate() {
            *usual = cycle::mean((0..DAYS).map(|day| hours.phase(hours.at(day, hour))));
        }
        Self { hours, usual }
    }

    /// What multiplies the usual of its hour of the day at a time. `all` is the week of all pairs.
    pub(super) fn factor<A: Sum>(&self, at: Time, all: &Week<'_, A>) -> f64 {
        let (day, shared) = around_midnight(at, |at| {
            let shared = all.shared(all.day(at), 1.0);
            let whole = PRIOR_CYCLES * HOUR * self.usual.iter().sum::<f64>();
            let own = ratio(self.day(at), shared, whole.max(PRIOR_EVENTS));
            (own, shared)
        });
        let shape = all.shared(all.hour(at), shared) / shared;
        let whole = HOUR * self.usual_at(at);
        ratio(self.hour(at), day * shape, whole.max(PRIOR_EVENTS))
    }

    fn usual_at(&self, at: Time) -> f64 {
        self.usual.get(hour_of_day(at)).copied().unwrap_or_default()
    }

    /// Events of the hour of the week at a time, and how many would be usual.
    fn hour(&self, at: Time) -> (f64, f64) {
        let (events, seconds) = self.hours.phase(hour_of(self.hours, at));
        (events, seconds * self.usual_at(at))
    }

    /// Events of the day of the week at a time, and how many would be usual.
    fn day(&self, at: Time) -> (f64, f64) {
        let hours = self.hours.phases(day_of(at)).zip(&self.usual);
        hours.fold((0.0, 0.0), |sum, ((events, seconds), usual)| {
            (sum.0 + events, sum.1 + seconds * usual)
        })
    }

    /// What all pairs have shown: their events are many though their weeks are few, so that a third is the prior's.
    fn shared(&self, seen: (f64, f64), prior: f64) -> f64 {
        ratio(seen, prior, (seen.1 / PRIOR_CYCLES).max(PRIOR_EVENTS))
    }
}

/// A day's two figures, near midnight mixed with those of the day beyond.
fn around_midnight(at: Time, of: impl Fn(Time) -> (f64, f64)) -> (f64, f64) {
    let hours = (at.0 % 86_400_000) as f64 / 3_600_000.0;
    let (other, off) = if hours < 12.0 {
        (at.0.saturating_sub(43_200_000), hours)
    } else {
        (at.0.saturating_add(43_200_000), 24.0 - hours)
    };
    let share = 0.5 * (1.0 - off / MIDNIGHT).max(0.0);
    let today = of(at);
    if share > 0.0 {
        let next = of(Time(other));
        let mix = |a: f64, b: f64| a * (1.0 - share) + b * share;
        (mix(today.0, next.0), mix(today.1, next.1))
    } else {
        today
    }
}
