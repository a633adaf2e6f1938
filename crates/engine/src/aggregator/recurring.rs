//! What was odd at the same hour of the last two weeks is no oddity in the third.
//!
//! The season learns a week from what each cycle adds to a sum, and little of what was doubted: what one cycle showed is gone. So a
//! pair whose week is like no other's (an office on Mondays at eight, a report on Fridays) was told of at the same hour week after
//! week: each time its level is believed, over by the evening, and taken back with all that was seen of it, as that of a flood
//! has to be. Here it is kept for each hour of the week at what rate the pair was while that was doubted, and in how many weeks in a
//! row. From the third week on that rate is as usual as the season's, in which it is learned openly then.
//!
//! Two weeks, because told twice is enough, and one flood shall not hide the next. Who comes at the same hour each week, at
//! a rate like that of the weeks before, is not told of a third time: that is what a weekly job does.

use crate::Time;
use serde::{Deserialize, Serialize};

const HOUR: u64 = 3_600_000;
const HOURS: usize = 7 * 24;
/// Weeks in a row that make a habit, and as many as are counted: one week without ends none that was longer.
const WEEKS: u8 = 2;
const WEEKS_MOST: u8 = 3;
/// Half octaves by which a rate is another: a factor of two, which is the least that alerts of traffic are about.
const ANOTHER: u8 = 2;

/// What was doubted at an hour: the rate, in six bits, and in how many weeks in a row it was like that, in two. 0: nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Doubted(u8);

impl Doubted {
    const LEVEL: u8 = 63;
    const WEEK: u8 = 64;

    fn weeks(self) -> u8 {
        self.0 / Self::WEEK
    }

    fn level(self) -> u8 {
        self.0 & Self::LEVEL
    }

    /// It, once more a week later, at this level; a level of its own begins anew.
    fn again(self, level: u8) -> Self {
        let alike = self.weeks() > 0 && self.level().abs_diff(level) <= ANOTHER;
        let weeks = if alike {
            self.weeks().saturating_add(1).min(WEEKS_MOST)
        } else {
            1
        };
        Self(weeks.saturating_mul(Self::WEEK) | (level & Self::LEVEL))
    }

    /// It, after a week without.
    fn faded(self) -> Self {
        let left = Self(self.0.saturating_sub(Self::WEEK));
        if left.weeks() > 0 { left } else { Self(0) }
    }
}

/// A rate in half octaves of events an hour, 0 to 63.
fn level_of(hourly: f64) -> u8 {
    // A float turned into an integer saturates.
    ((hourly.max(0.0) + 1.0).log2() * 2.0)
        .round()
        .min(f64::from(Doubted::LEVEL)) as u8
}

fn hourly(level: u8) -> f64 {
    (f64::from(level) / 2.0).exp2() - 1.0
}

/// What was doubted in the hours of a pair's week. 32 bytes, and 168 more where there was anything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Recurring {
    /// From the epoch's hour on.
    hours: Box<[Doubted]>,
    /// The last hour that was watched, in hours since the epoch, …
    hour: u32,
    /// … and what was doubted in it so far: the level that was furthest from the usual.
    level: Option<u8>,
}

/// Events an hour in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hourly {
    pub(super) seen: f64,
    /// What the time lets expect, where nothing has just shifted.
    pub(super) usual: f64,
}

impl Recurring {
    /// Bytes beside its own.
    pub(super) const HEAP: usize = HOURS * size_of::<Doubted>();

    /// Events an hour that were seen at this hour of the last weeks as often as makes them usual.
    pub(super) fn rate(&self, at: Time) -> Option<f64> {
        let doubted = self.of(hour_of(at))?;
        (doubted.weeks() >= WEEKS).then(|| hourly(doubted.level()))
    }

    /// Takes in a window that began at `at`, and whether its rate is doubted, or only just believed.
    pub(super) fn take(&mut self, at: Time, Hourly { seen, usual }: Hourly, doubted: bool) {
        let hour = hour_of(at);
        if hour != self.hour {
            self.settle();
            self.hour = hour;
        }
        let (seen, usual) = (level_of(seen), level_of(usual));
        let off = |level: u8| level.abs_diff(usual);
        // What is a habit is doubted no more. It is one for as long as the season does not know better.
        let known = self.of(hour).filter(|known| known.weeks() > 0);
        let kept = known.is_some_and(|known| seen.abs_diff(known.level()) < off(seen));
        if (doubted || kept)
            && off(seen) >= ANOTHER
            && self.level.is_none_or(|l| off(l) < off(seen))
        {
            self.level = Some(seen);
        }
    }

    /// Ends the last hour.
    fn settle(&mut self) {
        let level = self.level.take();
        if level.is_some() && self.hours.len() != HOURS {
            self.hours = vec![Doubted::default(); HOURS].into();
        }
        if let Some(doubted) = phase(self.hour).and_then(|at| self.hours.get_mut(at)) {
            *doubted = level.map_or(doubted.faded(), |level| doubted.again(level));
        }
    }

    fn of(&self, hour: u32) -> Option<Doubted> {
        self.hours.get(phase(hour)?).copied()
    }
}

fn hour_of(at: Time) -> u32 {
    u32::try_from(at.0 / HOUR).unwrap_or(u32::MAX)
}

/// The hour's place in the week.
fn phase(hour: u32) -> Option<usize> {
    usize::try_from(hour).ok()?.checked_rem(HOURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const WEEK: u64 = 168 * HOUR;
    const MONDAY_AT_EIGHT: u64 = 104 * HOUR;

    /// Weeks of 100 an hour, with so many at one hour of each, which are doubted.
    fn weeks(of: &[f64]) -> Recurring {
        let mut recurring = Recurring::default();
        for (week, at_eight) in of.iter().enumerate() {
            for window in 0..168 * 6 {
                let at = Time(week as u64 * WEEK + window * HOUR / 6);
                let odd = at.0 % WEEK / HOUR == MONDAY_AT_EIGHT / HOUR;
                let seen = if odd { *at_eight } else { 100.0 };
                recurring.take(at, Hourly { seen, usual: 100.0 }, odd);
            }
        }
        recurring
    }

    fn at_eight(of: &[f64]) -> Option<f64> {
        weeks(of).rate(Time(MONDAY_AT_EIGHT + of.len() as u64 * WEEK))
    }

    #[test]
    fn what_was_odd_at_the_same_hour_of_two_weeks_is_usual_in_the_third() {
        let rate = at_eight(&[1000.0, 1200.0]).unwrap();
        assert!((900.0..1500.0).contains(&rate), "{rate}");
        assert!(at_eight(&[0.0, 0.0]).unwrap() < 1.0);
    }

    #[test]
    fn what_was_odd_once_is_not() {
        assert_eq!(at_eight(&[1000.0]), None);
        assert_eq!(at_eight(&[1000.0, 100.0, 1000.0]), None);
    }

    #[test]
    fn what_differs_from_week_to_week_is_not() {
        assert_eq!(at_eight(&[1000.0, 5000.0]), None);
        assert_eq!(at_eight(&[1000.0, 10.0]), None);
    }

    #[test]
    fn another_hour_is_not() {
        let recurring = weeks(&[1000.0, 1000.0]);
        for hour in (0..168).filter(|h| h * HOUR != MONDAY_AT_EIGHT) {
            assert_eq!(recurring.rate(Time(2 * WEEK + hour * HOUR)), None);
        }
    }

    #[test]
    fn one_week_without_does_not_end_a_habit_and_two_do() {
        assert!(at_eight(&[1000.0, 1000.0, 1000.0, 100.0]).is_some());
        assert_eq!(at_eight(&[1000.0, 1000.0, 1000.0, 100.0, 100.0]), None);
    }

    #[test]
    fn a_pair_of_which_nothing_is_doubted_keeps_no_hours() {
        assert!(weeks(&[100.0, 100.0]).hours.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_was_seen_a_rate_is_a_number(
            windows in prop::collection::vec((0u64..3_000_000_000, 0.0f64..1e12, 0.0f64..1e12, prop::bool::ANY), 0..200),
            now in 0u64..3_000_000_000,
        ) {
            let mut recurring = Recurring::default();
            for (at, seen, usual, doubted) in windows {
                recurring.take(Time(at), Hourly { seen, usual }, doubted);
            }
            let rate = recurring.rate(Time(now));
            prop_assert!(rate.is_none_or(|rate| rate.is_finite() && rate >= 0.0), "{rate:?}");
        }
    }
}
