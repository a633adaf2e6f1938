//! When an identity acts: the hours of the day at which it is seen, and how odd another is.
//!
//! A profile counts, for each hour of the day (UTC), the days on which the identity acted in it. Its habit is that
//! histogram smeared by [`SPREAD`] hours around the circle, with one imagined day at the hours the whole population keeps:
//! so the night is odder than the evening for somebody of whom little is known, and a bot that is active around the clock
//! has no odd hour. The score of an hour is −ln of that density, in nats, plus the logarithm of how many times more it
//! asks for than in its usual hours (one nat a factor e: volume is a power law with exponent 1, the heaviest with which a
//! mean exists only just). It is positive only where neither the hour nor its neighbours were ever kept: more than usual
//! at a usual hour is another signal's business. What a score is worth is for [`super::tail`] to say.
//!
//! Limits: hours are UTC and days are alike. A person who changes time zone or shift is odd once in each new hour and
//! learned from then on; weekends are no days of their own, as a profile is too short to tell seven kinds of day apart.
//! Tried on ten days of 500 modelled people and rejected: the distance to the nearest known hour alone (recall of half the
//! odd sessions at ten honest alarms a week, against one), and a von Mises fit (people keep two spells a day).

use super::pool::Pool;
use serde::{Deserialize, Serialize};

/// Hours of the day.
pub(super) const HOURS: usize = 24;
/// Standard deviation of a habit around a known hour: people come an hour or two earlier or later.
const SPREAD: f64 = 1.5;
/// Days imagined at the population's hours.
const IMAGINED: f64 = 1.0;
/// Days a single hour's count may reach: after that all are halved, so that old habits fade within weeks.
const MOST_DAYS: u8 = 60;

/// The hours an identity keeps.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Hours {
    days: [u8; HOURS],
}

impl Hours {
    /// Hours of days seen, as far as they are remembered.
    pub(super) fn seen(&self) -> u32 {
        self.days
            .iter()
            .fold(0, |sum, &d| u32::from(d).saturating_add(sum))
    }

    /// Enters one more day at an hour.
    pub(super) fn learn(&mut self, hour: usize) {
        if let Some(days) = self.days.get_mut(hour) {
            *days = days.saturating_add(1);
            if *days >= MOST_DAYS {
                for d in &mut self.days {
                    *d /= 2;
                }
            }
        }
    }

    /// Whether neither this hour nor its neighbours were ever kept.
    pub(super) fn is_strange(&self, hour: usize) -> bool {
        [HOURS.saturating_sub(1), 0, 1].iter().all(|by| {
            let near = hour.saturating_add(*by).checked_rem(HOURS).unwrap_or(0);
            self.days.get(near).is_some_and(|d| *d == 0)
        })
    }

    /// How odd an hour is, in nats: the surprise that this identity acts at it.
    pub(super) fn surprise(&self, hour: usize, pool: &Pool) -> f64 {
        let (mut near, mut all, mut norm) = (0.0, 0.0, 0.0);
        for (at, &days) in self.days.iter().enumerate() {
            let apart = at.abs_diff(hour);
            let apart = apart.min(HOURS.saturating_sub(apart)) as f64;
            let weight = (-0.5 * (apart / SPREAD).powi(2)).exp();
            near += weight * f64::from(days);
            norm += weight;
            all += f64::from(days);
        }
        let density = (near / norm + IMAGINED * pool.share_at(hour)) / (all + IMAGINED);
        -density.max(1e-9).ln()
    }

    /// The stretch of hours around `hour` that it never kept, in words: `never before between 21:00 and 06:00 UTC`.
    pub(super) fn words(&self, hour: usize) -> String {
        let kept = |at: usize| self.days.get(at).is_some_and(|d| *d > 0);
        let back = |h: usize| h.checked_sub(1).unwrap_or(HOURS.saturating_sub(1));
        let on = |h: usize| h.saturating_add(1).checked_rem(HOURS).unwrap_or(0);
        let (mut from, mut to) = (hour, on(hour));
        // Bounded: an identity that keeps no hour at all must not go round for ever.
        for _ in 0..HOURS {
            if !kept(back(from)) {
                from = back(from);
            }
            if !kept(to) {
                to = on(to);
            }
        }
        format!("never before between {from:02}:00 and {to:02}:00 UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn office() -> Hours {
        let mut hours = Hours::default();
        for _ in 0..5 {
            (9..17).for_each(|h| hours.learn(h));
        }
        hours
    }

    #[test]
    fn the_night_is_odder_than_the_evening_to_whom_keeps_office_hours() {
        let pool = Pool::default();
        let hours = office();
        assert!(hours.surprise(3, &pool) > hours.surprise(19, &pool));
        assert!(hours.surprise(19, &pool) > hours.surprise(17, &pool));
        assert!(hours.is_strange(3) && hours.is_strange(18) && !hours.is_strange(17));
    }

    #[test]
    fn the_circle_has_no_end_at_midnight() {
        let mut hours = Hours::default();
        hours.learn(23);
        assert!(!hours.is_strange(0) && hours.is_strange(1));
        let pool = Pool::default();
        assert!((hours.surprise(0, &pool) - hours.surprise(22, &pool)).abs() < 1e-9);
    }

    #[test]
    fn whoever_acts_around_the_clock_has_no_strange_hour() {
        let mut hours = Hours::default();
        (0..HOURS).for_each(|h| hours.learn(h));
        assert!((0..HOURS).all(|h| !hours.is_strange(h)));
    }

    #[test]
    fn the_words_name_the_whole_stretch_that_was_never_kept() {
        assert_eq!(
            office().words(3),
            "never before between 17:00 and 09:00 UTC"
        );
        assert!(!Hours::default().words(5).is_empty());
    }

    #[test]
    fn old_habits_fade() {
        let mut hours = Hours::default();
        hours.learn(3);
        (0..60).for_each(|_| hours.learn(12));
        assert!(hours.is_strange(3), "seen once, and sixty days ago");
        assert!(!hours.is_strange(12));
    }
}
